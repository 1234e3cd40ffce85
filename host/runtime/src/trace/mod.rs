//! Traces: what one operation asked of its driver, every host call that the driver made with its answer, and what came of it.
//!
//! A trace is enough to run the operation again without a store: the host calls are answered from it. See
//! docs/decisions/0058-host-calls-are-recorded-at-one-boundary.md.
//!
//! Invariant: what is written down while a driver works is copied, never formatted; a trace is read as a stranger's.

mod chance;
pub(crate) mod codec;
mod file;
mod question;
pub(crate) mod tape;
pub(crate) mod times;
pub(crate) mod words;

pub(crate) use chance::Chance;
pub use file::{BadTrace, TraceFacts, TraceFile};
pub use question::Question;
pub(crate) use question::{Outcome, broke};
pub use times::{TimedCall, Times};

use crate::Code;
use crate::capability::boundary;
use codec::{Malformed, Read, Reader};
use mica_text::SafeText;
use serde::Serialize;
use tape::Recorded;

/// Bytes of a call's arguments or answer that are shown.
const SHOWN_BYTES: usize = 1024;

/// What was written down of one operation.
#[derive(Debug)]
pub struct Trace {
    /// What was asked.
    pub question: Question,
    pub(crate) recorded: Recorded,
    /// What the driver answered, or why it was ended.
    pub(crate) end: Vec<u8>,
    pub(crate) chance: chance::Drawn,
    /// Whether a part of the question had no room.
    pub(crate) is_question_cut: bool,
    /// Whether the host ended the operation for no fault of the driver's calls: it was cancelled, or its time was over.
    pub(crate) was_stopped: bool,
}

impl Trace {
    /// Host calls that the driver made.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.recorded.made
    }

    /// Why it cannot be replayed, if it cannot.
    #[must_use]
    pub fn obstacle(&self) -> Option<String> {
        let Recorded { made, kept, .. } = self.recorded;
        if kept < made {
            return Some(format!(
                "of {made} host calls the first {kept} are kept: `trace_bytes`"
            ));
        }
        if self.is_question_cut {
            let text =
                "the options that it was asked with are too long to be kept: `driver_trace_bytes`";
            return Some(text.to_owned());
        }
        let too_many = "the driver read its clock too often";
        self.chance.is_cut.then(|| too_many.to_owned())
    }

    /// Makes it take `most` bytes of memory at most, which are 16 KiB or more. What does not fit makes an obstacle.
    pub fn bound(&mut self, most: usize) {
        if self.bytes() <= most {
            return;
        }
        let part = most / 4;
        if self.question.bytes() > part {
            self.question.shorten();
            self.is_question_cut = true;
        }
        let readings = part / size_of::<u64>();
        if self.chance.readings.len() > readings {
            self.chance.readings.truncate(readings);
            self.chance.readings.shrink_to_fit();
            self.chance.is_cut = true;
        }
        let others = self.bytes() - self.recorded.bytes.len();
        self.shorten(most.saturating_sub(others));
    }

    /// Keeps the first host calls only, of `most` bytes at most.
    pub fn shorten(&mut self, most: usize) {
        let (mut bytes, mut kept) = (0, 0);
        for call in tape::calls(&self.recorded.bytes).map_while(Read::ok) {
            let more = bytes + call.bytes();
            if more > most {
                break;
            }
            (bytes, kept) = (more, kept + 1);
        }
        self.recorded.bytes.truncate(bytes);
        self.recorded.bytes.shrink_to_fit();
        self.recorded.kept = kept;
    }

    /// Bytes of memory that it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let readings = self.chance.readings.len() * size_of::<u64>();
        let question = self.question.bytes();
        size_of::<Self>() + question + self.recorded.bytes.len() + self.end.len() + readings
    }

    /// The host calls that are kept.
    #[must_use]
    pub fn host_calls(&self) -> Vec<HostCallView> {
        views(&self.recorded.bytes).unwrap_or_default()
    }

    /// What the driver answered, for people.
    #[must_use]
    pub fn answer(&self) -> SafeText {
        self.question.show_end(&self.end)
    }
}

/// A host call, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostCallView {
    /// Its number in the operation, from 1 on.
    pub number: u64,
    /// The function, as the contract calls it: `directory.open-file`. The end of a handle is `directory.drop`.
    pub function: String,
    /// Its arguments; handles are numbers such as `#3`.
    pub arguments: SafeText,
    /// What the host answered.
    pub answer: SafeText,
}

/// Shows a function and its arguments.
pub(crate) fn describe_call(function: u8, arguments: &[u8]) -> String {
    let name = name_of(function).unwrap_or_else(|| "?".to_owned());
    match boundary::show(function, arguments, None) {
        Ok((shown, _)) => format!("{name} {}", SafeText::within(&shown, SHOWN_BYTES)),
        Err(Malformed) => name,
    }
}

/// What the contract calls a function.
fn name_of(function: u8) -> Option<String> {
    let name = boundary::FUNCTIONS.get(usize::from(function))?;
    let mut shown = String::new();
    words::put_name(name, &mut shown);
    Some(shown)
}

/// The calls of a tape.
fn views(bytes: &[u8]) -> Read<Vec<HostCallView>> {
    let view = |(number, call): (u64, Read<tape::HostCall<'_>>)| {
        let call = call?;
        let (arguments, answer) = boundary::show(call.function, call.arguments, Some(call.answer))?;
        Ok(HostCallView {
            number,
            function: name_of(call.function).ok_or(Malformed)?,
            arguments: SafeText::within(&arguments, SHOWN_BYTES),
            answer: SafeText::within(&answer, SHOWN_BYTES),
        })
    };
    (1..).zip(tape::calls(bytes)).map(view).collect()
}

/// Reads one value that is all there is.
fn whole<T: codec::Taped>(bytes: &[u8]) -> Read<T> {
    let mut reader = Reader::new(bytes);
    let value = T::take(&mut reader)?;
    match reader.is_over() {
        true => Ok(value),
        false => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tape::{Recording, Told};

    const LEAST_BYTES: usize = 16 << 10;

    fn trace(option_bytes: usize, calls: u32, readings: usize, end: &str) -> Trace {
        let mut recording = Recording::new(8 << 20);
        for number in 0..calls {
            recording.ask(7, |to| codec::Taped::put(&number, to));
            let answer: wasmtime::Result<Vec<u8>> = Ok(vec![0; 1000]);
            recording.note(|to| Told::put(&answer, to));
        }
        Trace {
            question: Question::Init {
                options: vec![("o".to_owned(), "v".repeat(option_bytes)); 64],
            },
            recorded: recording.finish(),
            end: broke(end),
            chance: chance::Drawn {
                readings: vec![7; readings],
                ..chance::Drawn::default()
            },
            is_question_cut: false,
            was_stopped: false,
        }
    }

    #[test]
    fn what_was_asked_and_how_it_ended_count_and_have_a_bound() {
        let end = "e".repeat(3 << 20);
        let mut large = trace(4096, 100, 4096, &end);
        assert!(large.bytes() > 64 * 4096 + 100 * 1000 + 4096 * 8);
        assert!(large.end.len() < 8192);
        large.bound(LEAST_BYTES);
        assert!(large.bytes() <= LEAST_BYTES, "{}", large.bytes());
        assert!(large.obstacle().is_some());
        assert!(large.answer().starts_with("eee"));
        // What fits stays as it is, and what fits but for its host calls keeps the first of them.
        let mut small = trace(1, 3, 3, "");
        small.bound(LEAST_BYTES);
        assert_eq!((small.obstacle(), small.recorded.kept), (None, 3));
        let mut long = trace(1, 100, 3, "");
        long.bound(LEAST_BYTES);
        assert!(long.bytes() <= LEAST_BYTES && long.recorded.kept > 5);
    }
}
