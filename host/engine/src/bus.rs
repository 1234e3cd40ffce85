//! Where events are told, and from when on a listener hears them.
//!
//! Invariant: telling never waits: a listener that is too slow misses events and learns how many. The memory for those that are
//! kept is bounded.

use crate::event::{Event, News};
use crate::traffic::ClientCall;
use crate::{Error, Moment};
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::str::FromStr;
use std::sync::Arc;
use tokio::sync::broadcast;

/// Events that a slow listener may be behind.
const CHANNEL_EVENTS: usize = 1024;
/// Events that are kept for listeners that come later: some hundred bytes each.
const KEPT_EVENTS: usize = 4096;

/// From which event on a listener wants to hear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Since {
    /// What happens from now on.
    #[default]
    Now,
    /// What came after an event, which [`EventId`] tells apart from those of earlier daemons.
    Event(EventId),
    /// What happened at this time or later.
    Time(Moment),
}

/// An event among those of all daemons on this machine: `START-SEQUENCE`, the start in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventId {
    /// Which daemon told it; `None` is the one that is asked.
    start: Option<u64>,
    sequence: u64,
}

impl EventId {
    /// The number, if it is none of an earlier daemon's.
    pub(crate) fn own_sequence(self) -> Option<u64> {
        match self.start {
            None => Some(self.sequence),
            Some(_) => None,
        }
    }
}

impl FromStr for Since {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let number = |text: &str| text.parse().ok();
        let event = match text.split_once('-') {
            Some((start, sequence)) => u64::from_str_radix(start, 16)
                .ok()
                .zip(number(sequence))
                .map(|(start, sequence)| (Some(start), sequence)),
            None => number(text).map(|sequence| (None, sequence)),
        };
        if let Some((start, sequence)) = event {
            return Ok(Self::Event(EventId { start, sequence }));
        }
        // People leave the fraction out.
        let whole = text.strip_suffix('Z').filter(|text| !text.contains('.'));
        let precise = whole.map(|text| format!("{text}.000000000Z"));
        let moment = precise.as_deref().unwrap_or(text).parse();
        moment.map(Self::Time).map_err(|_no_moment| {
            Error::Invalid(format!(
                "`{}` is neither the number or id of an event nor a time such as 2026-01-31T12:00:00Z",
                mica_text::SafeText::label(text)
            ))
        })
    }
}

/// What a listener hears.
#[derive(Debug)]
pub struct Hearing {
    /// Which daemon tells: with the number of an event that makes its id.
    start: u64,
    /// What was told already, in order.
    pub told: Vec<Arc<Event>>,
    /// What comes.
    pub coming: broadcast::Receiver<Arc<Event>>,
}

impl Hearing {
    /// What makes the listener go on after an event of this daemon.
    #[must_use]
    pub fn after(&self, sequence: u64) -> Since {
        let start = Some(self.start);
        Since::Event(EventId { start, sequence })
    }

    /// The id of an event, to go on after it.
    #[must_use]
    pub fn id(&self, event: &Event) -> String {
        format!("{:x}-{}", self.start, event.sequence)
    }
}

/// Where events are told.
#[derive(Debug)]
pub(crate) struct Bus {
    start: u64,
    /// Held while an event is told, so that their order is that of their numbers.
    kept: Mutex<Kept>,
    sender: broadcast::Sender<Arc<Event>>,
}

#[derive(Debug, Default)]
struct Kept {
    /// The number of the last event.
    last: u64,
    events: VecDeque<Arc<Event>>,
    /// How many of each kind were told.
    kinds: BTreeMap<&'static str, u64>,
}

/// How many events there were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventCounts {
    /// Since the start, by kind.
    pub told: Vec<(&'static str, u64)>,
    /// That are kept for listeners that come later.
    pub kept: u64,
    /// That were kept once and are not any more.
    pub dropped: u64,
    /// Listeners that there are now.
    pub listeners: u64,
}

impl Default for Bus {
    fn default() -> Self {
        let now = Moment::now();
        Self {
            // Two daemons may start within one second.
            start: now.seconds << 30 | u64::from(now.nanoseconds),
            kept: Mutex::default(),
            sender: broadcast::Sender::new(CHANNEL_EVENTS),
        }
    }
}

impl Bus {
    /// Tells this start of the daemon from all others, as the ids of its events do.
    pub(crate) fn start(&self) -> String {
        format!("{:x}", self.start)
    }

    pub(crate) fn listen(&self, since: Since) -> Hearing {
        let kept = self.kept.lock();
        let is_wanted = |event: &&Arc<Event>| match since {
            Since::Now => false,
            Since::Event(EventId { start, sequence }) => {
                // All of this daemon's came after those of an earlier one.
                start.is_some_and(|start| start != self.start) || event.sequence > sequence
            }
            Since::Time(moment) => event.time >= moment,
        };
        Hearing {
            start: self.start,
            told: kept.events.iter().filter(is_wanted).cloned().collect(),
            coming: self.sender.subscribe(),
        }
    }

    pub(crate) fn counts(&self) -> EventCounts {
        let kept = self.kept.lock();
        let still = kept.events.len() as u64;
        EventCounts {
            told: kept
                .kinds
                .iter()
                .map(|(kind, count)| (*kind, *count))
                .collect(),
            kept: still,
            dropped: kept.last - still,
            listeners: self.sender.receiver_count() as u64,
        }
    }

    pub(crate) fn tell(&self, news: News) {
        let News {
            kind,
            store,
            layer,
            driver,
            detail,
        } = news;
        tracing::debug!(target: "mica::event", %kind, store, layer, driver, detail);
        let request = ClientCall::current_id().map(|id| id.to_string());
        let mut kept = self.kept.lock();
        kept.last += 1;
        *kept.kinds.entry(kind.as_str()).or_default() += 1;
        let event = Arc::new(Event {
            sequence: kept.last,
            time: Moment::now(),
            kind,
            store,
            layer,
            driver,
            detail,
            request,
        });
        if kept.events.len() == KEPT_EVENTS {
            kept.events.pop_front();
        }
        kept.events.push_back(Arc::clone(&event));
        // An error means that no one listens.
        let _heard = self.sender.send(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EventKind;

    fn heard(bus: &Bus, since: &str) -> Vec<u64> {
        let told = bus.listen(since.parse().unwrap()).told;
        told.iter().map(|event| event.sequence).collect()
    }

    #[test]
    fn a_listener_hears_what_came_after_an_event_or_a_time() {
        let bus = Bus::default();
        assert_eq!(heard(&bus, "0"), [0; 0]);
        for _ in 0..3 {
            bus.tell(News::new(EventKind::LayerCreated));
        }
        let hearing = bus.listen(Since::Event(EventId {
            start: None,
            sequence: 0,
        }));
        let id = hearing.id(&hearing.told[1]);
        assert_eq!(heard(&bus, &id), [3]);
        assert_eq!(heard(&bus, "1"), [2, 3]);
        assert_eq!(heard(&bus, "3"), [0; 0]);
        assert_eq!(heard(&bus, "1f-900"), [1, 2, 3], "of an earlier daemon");
        assert_eq!(heard(&bus, "2000-01-01T00:00:00Z"), [1, 2, 3]);
        assert_eq!(heard(&bus, "9999-01-01T00:00:00.000000001Z"), [0; 0]);
        assert!(bus.listen(Since::Now).told.is_empty());
        for wrong in [
            "",
            "yesterday",
            "2026-01-31",
            "-1",
            "x-1",
            "1-x",
            "18446744073709551615-01-01T00:00:00Z",
            "2026-01-31T18446744073709551615:00:00.000000000Z",
        ] {
            let error = wrong.parse::<Since>().unwrap_err();
            assert_eq!(error.code(), "invalid-option", "{wrong}");
        }
    }

    #[test]
    fn the_last_events_are_kept() {
        let bus = Bus::default();
        for _ in 0..KEPT_EVENTS + 10 {
            bus.tell(News::new(EventKind::LayerCreated));
        }
        let kept = heard(&bus, "0");
        assert_eq!((kept[0], kept.len()), (11, KEPT_EVENTS));
    }
}
