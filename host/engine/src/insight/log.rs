//! The last lines that a driver said.
//!
//! Invariant: the lines that are kept have numbers without gaps, and take the bytes that the limit says.

use super::denials::Missed;
use super::span::OpenSpan;
use super::{Insight, Origin};
use crate::view::LogLine;
use crate::{Moment, Since};
use mica_runtime::{Denial, Line, Times, Trace, Witness};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::watch;

/// What a line takes beside its texts.
const LINE_COST_BYTES: usize = 256;

/// The last lines of a driver.
#[derive(Debug)]
pub(crate) struct DriverLog {
    most_bytes: usize,
    kept: Mutex<Kept>,
    said: watch::Sender<Said>,
}

/// What readers wait for.
#[derive(Clone, Copy, Debug, Default)]
struct Said {
    /// The number of the last line.
    last: u64,
    /// Whether the driver is gone, so that nothing will follow.
    is_over: bool,
}

#[derive(Debug, Default)]
struct Kept {
    last: u64,
    bytes: usize,
    lines: VecDeque<Arc<LogLine>>,
}

/// Which lines are wanted.
#[derive(Clone, Debug, Default)]
pub struct LogFilter {
    /// Those about this store.
    pub store: Option<String>,
    /// Those about this layer.
    pub layer: Option<String>,
    /// Those of this client's call.
    pub request: Option<String>,
}

/// The lines of a driver, as someone reads them.
#[derive(Clone, Debug)]
pub struct LogReading {
    insight: Arc<Insight>,
    filter: LogFilter,
    since: Option<Moment>,
    after: u64,
    said: watch::Receiver<Said>,
}

impl DriverLog {
    pub(super) fn new(most_bytes: usize) -> Self {
        Self {
            most_bytes,
            kept: Mutex::default(),
            said: watch::Sender::new(Said::default()),
        }
    }

    fn add(&self, origin: &Origin, line: Line) {
        let mut line = LogLine {
            sequence: 0,
            time: Moment::now(),
            source: line.source.word().to_owned(),
            text: line.text.into(),
            operation: origin.operation.to_owned(),
            store: origin.store.clone(),
            layer: origin.layer.clone(),
            generation: origin.generation,
            digest: origin.digest.to_string(),
            request: origin.request.as_deref().map(str::to_owned),
        };
        let mut kept = self.kept.lock();
        kept.last += 1;
        line.sequence = kept.last;
        kept.bytes += cost(&line);
        kept.lines.push_back(Arc::new(line));
        while kept.bytes > self.most_bytes {
            let Some(first) = kept.lines.pop_front() else {
                break;
            };
            kept.bytes -= cost(&first);
        }
        // In the order of the numbers, because the lock is held.
        self.said.send_modify(|said| said.last = kept.last);
    }

    /// Ends the waiting of readers, because the driver was removed.
    pub(crate) fn close(&self) {
        self.said.send_modify(|said| said.is_over = true);
    }

    /// How many lines are kept, and their bytes.
    pub(crate) fn amount(&self) -> (u64, u64) {
        let kept = self.kept.lock();
        (kept.lines.len() as u64, kept.bytes as u64)
    }
}

fn cost(line: &LogLine) -> usize {
    let of = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    LINE_COST_BYTES + line.text.len() + line.store.len() + of(&line.layer) + of(&line.request)
}

impl LogReading {
    /// Reads what was said since then.
    pub(crate) fn new(insight: &Arc<Insight>, filter: LogFilter, since: Option<Since>) -> Self {
        let said = insight.log.said.subscribe();
        let last = said.borrow().last;
        let (since, after) = match since {
            None => (None, 0),
            Some(Since::Now) => (None, last),
            Some(Since::Time(moment)) => (Some(moment), 0),
            // A line of an earlier daemon, or of a driver that had this name, is none of these: all of them came after it.
            Some(Since::Event(id)) => {
                let own = id.own_sequence().filter(|number| *number <= last);
                (None, own.unwrap_or(0))
            }
        };
        Self {
            insight: Arc::clone(insight),
            filter,
            since,
            after,
            said,
        }
    }

    /// The next lines that are wanted; empty if there are none yet. A line that is kept no more is left out, which shows in the
    /// numbers if there is no filter.
    pub fn next_lines(&mut self) -> Vec<Arc<LogLine>> {
        let kept = self.insight.log.kept.lock();
        let from = kept
            .lines
            .partition_point(|line| line.sequence <= self.after);
        let fits = |line: &&Arc<LogLine>| {
            self.since.is_none_or(|since| line.time >= since) && self.filter.fits(line)
        };
        let lines = kept.lines.range(from..).filter(fits).cloned().collect();
        self.after = kept.last;
        lines
    }

    /// Waits until something is said; false when nothing will be said any more.
    pub async fn wait(&mut self) -> bool {
        let after = self.after;
        let said = self.said.wait_for(|said| said.last > after || said.is_over);
        said.await.is_ok_and(|said| said.last > after)
    }
}

impl LogFilter {
    fn fits(&self, line: &LogLine) -> bool {
        let fits = |asked: &Option<String>, told: Option<&str>| {
            asked.is_none() || asked.as_deref() == told
        };
        fits(&self.store, Some(&line.store))
            && fits(&self.layer, line.layer.as_deref())
            && fits(&self.request, line.request.as_deref())
    }
}

/// Keeps what the driver says in one operation.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(super) insight: Arc<Insight>,
    pub(super) origin: Origin,
    pub(super) trace: Mutex<Option<Trace>>,
    /// The operation in the trace of its call, if that is recorded.
    pub(super) span: Option<OpenSpan>,
    pub(super) denials: Mutex<Vec<Missed>>,
}

impl Witness for Listener {
    fn line(&self, line: Line) {
        self.insight.log.add(&self.origin, line);
    }

    fn trace(&self, trace: Trace) {
        *self.trace.lock() = Some(trace);
    }

    fn timed_calls(&self) -> usize {
        self.span.as_ref().map_or(0, OpenSpan::timed_calls)
    }

    fn times(&self, times: Times) {
        if let Some(span) = &self.span {
            span.note(times);
        }
    }

    fn denied(&self, denial: Denial) {
        let is_first = self.insight.denials.add(&denial);
        // Of what is allowed the first is told, and the others are counted alone.
        if is_first || !denial.is_allowed {
            self.denials.lock().push(Missed { denial, is_first });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mica_runtime::{Limits, LineSource};

    fn insight() -> Arc<Insight> {
        Insight::new(&Limits {
            driver_log_bytes: 4096,
            ..Limits::default()
        })
    }

    fn say(insight: &Arc<Insight>, store: &str, text: &str) {
        let origin = Origin {
            operation: "create",
            store: store.to_owned(),
            layer: None,
            generation: 1,
            digest: "sha256:00".into(),
            request: None,
        };
        let source = LineSource::Stderr;
        let text = text.into();
        insight.log.add(&origin, Line { source, text });
    }

    fn texts(reading: &mut LogReading) -> Vec<String> {
        let lines = reading.next_lines();
        lines.iter().map(|line| line.text.clone()).collect()
    }

    #[test]
    fn a_reader_gets_each_line_once_and_only_those_that_are_wanted() {
        let insight = insight();
        say(&insight, "a", "1");
        say(&insight, "b", "2");
        let all = LogFilter::default();
        let mut reading = LogReading::new(&insight, all.clone(), None);
        assert_eq!(texts(&mut reading), ["1", "2"]);
        say(&insight, "a", "3");
        assert_eq!(texts(&mut reading), ["3"]);
        assert_eq!(texts(&mut reading), [""; 0]);
        let filter = LogFilter {
            store: Some("a".to_owned()),
            ..LogFilter::default()
        };
        assert_eq!(
            texts(&mut LogReading::new(&insight, filter, None)),
            ["1", "3"]
        );
        let after = |number: &str| Some(number.parse().unwrap());
        let mut reading = LogReading::new(&insight, all.clone(), after("2"));
        assert_eq!(texts(&mut reading), ["3"]);
        // A line that was not said yet is one of an earlier daemon's.
        let mut reading = LogReading::new(&insight, all, after("4"));
        assert_eq!(texts(&mut reading), ["1", "2", "3"]);
    }

    #[tokio::test]
    async fn a_reader_waits_no_longer_for_a_driver_that_is_gone() {
        let insight = insight();
        let mut reading = LogReading::new(&insight, LogFilter::default(), None);
        say(&insight, "a", "last words");
        insight.log.close();
        assert!(reading.wait().await);
        assert_eq!(texts(&mut reading), ["last words"]);
        assert!(!reading.wait().await);
    }

    #[test]
    fn the_oldest_lines_make_room_for_new_ones() {
        let insight = insight();
        for number in 0..1000 {
            say(&insight, "a", &number.to_string());
        }
        assert!(insight.log.amount().1 <= 4096);
        let mut reading = LogReading::new(&insight, LogFilter::default(), None);
        let lines = reading.next_lines();
        assert!(lines.len() > 10);
        assert_eq!(lines.last().unwrap().sequence, 1000);
        assert_eq!(lines.first().unwrap().sequence, 1001 - lines.len() as u64);
    }
}
