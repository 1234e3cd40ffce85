//! The host calls of one operation: written down while it runs, or answered from what was written down.
//!
//! ```text
//! a call:  u8 the function's place in the table   u32 bytes of the arguments   u32 bytes of the answer   arguments   answer
//! ```
//!
//! Invariant: a call is on the tape with its answer or not at all; what does not fit any more leaves the beginning as it is.

use super::codec::{Malformed, Read, Reader, Taped, Writer};
use super::times::End;
use crate::Failure;
use crate::capability::{HostError, HostResult};
use parking_lot::Mutex;
use std::sync::Arc;

/// Bytes of a call beside its arguments and its answer.
const HEAD_BYTES: usize = 9;

/// What happens to the host calls of an operation.
#[derive(Debug, Default)]
pub(crate) enum Tape {
    /// Nothing.
    #[default]
    Off,
    /// They are written down.
    Recording(Recording),
    /// They are answered from what was written down.
    Playing(Arc<Mutex<Playing>>),
}

/// Host calls that are written down.
#[derive(Debug)]
pub(crate) struct Recording {
    writer: Writer,
    most_bytes: usize,
    /// Where the call begins that runs.
    begun: usize,
    made: u64,
    kept: u64,
}

/// What was written down.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) bytes: Vec<u8>,
    pub(crate) made: u64,
    pub(crate) kept: u64,
}

impl Recording {
    pub(crate) fn new(most_bytes: usize) -> Self {
        Self {
            writer: Writer::brief(),
            most_bytes,
            begun: 0,
            made: 0,
            kept: 0,
        }
    }

    fn is_full(&self) -> bool {
        self.kept < self.made
    }

    pub(crate) fn ask(&mut self, function: u8, arguments: impl FnOnce(&mut Writer)) {
        let was_full = self.is_full();
        self.made += 1;
        if was_full {
            return;
        }
        let writer = &mut self.writer;
        self.begun = writer.bytes.len();
        writer
            .bytes
            .extend_from_slice(&[function, 0, 0, 0, 0, 0, 0, 0, 0]);
        writer.set_brief(true);
        arguments(writer);
        let length = writer.bytes.len() - self.begun - HEAD_BYTES;
        self.patch(1, length);
    }

    /// Ends a call that was begun; the first one that does not fit is the last that is tried.
    pub(crate) fn note(&mut self, answer: impl FnOnce(&mut Writer)) {
        if self.kept + 1 < self.made {
            return;
        }
        let before = self.writer.bytes.len();
        self.writer.set_brief(false);
        answer(&mut self.writer);
        if self.writer.bytes.len() > self.most_bytes {
            self.writer.bytes.truncate(self.begun);
            return;
        }
        self.patch(5, self.writer.bytes.len() - before);
        self.kept += 1;
    }

    fn patch(&mut self, at: usize, length: usize) {
        let at = self.begun + at;
        // A length of more than 32 bits is of a call that does not fit anyway.
        let bytes = u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
        if let Some(place) = self.writer.bytes.get_mut(at..at + 4) {
            place.copy_from_slice(&bytes);
        }
    }

    pub(crate) fn finish(self) -> Recorded {
        let Self {
            mut writer,
            made,
            kept,
            begun,
            ..
        } = self;
        if kept < made && writer.bytes.len() > begun {
            // A call that the sandbox ended has no answer.
            writer.bytes.truncate(begun);
        }
        writer.bytes.shrink_to_fit();
        Recorded {
            bytes: writer.bytes,
            made,
            kept,
        }
    }
}

/// One host call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HostCall<'a> {
    pub(crate) function: u8,
    pub(crate) arguments: &'a [u8],
    pub(crate) answer: &'a [u8],
}

impl HostCall<'_> {
    /// Bytes that it takes.
    pub(crate) fn bytes(&self) -> usize {
        HEAD_BYTES + self.arguments.len() + self.answer.len()
    }
}

/// Reads what was written down.
pub(crate) fn calls(bytes: &[u8]) -> impl Iterator<Item = Read<HostCall<'_>>> {
    let mut reader = Reader::new(bytes);
    std::iter::from_fn(move || match reader.is_over() {
        true => None,
        false => {
            let call = call(&mut reader);
            if call.is_err() {
                // What comes behind it makes no sense either.
                reader = Reader::new(&[]);
            }
            Some(call)
        }
    })
}

fn call<'a>(reader: &mut Reader<'a>) -> Read<HostCall<'a>> {
    let function = reader.byte()?;
    let mut length = || -> Read<usize> {
        let bytes = reader
            .slice(4)?
            .try_into()
            .map_err(|_four_bytes| Malformed)?;
        usize::try_from(u32::from_le_bytes(bytes)).map_err(|_too_long| Malformed)
    };
    let (arguments, answer) = (length()?, length()?);
    Ok(HostCall {
        function,
        arguments: reader.slice(arguments)?,
        answer: reader.slice(answer)?,
    })
}

/// Host calls that are answered from what was written down.
#[derive(Debug)]
pub(crate) struct Playing {
    bytes: Vec<u8>,
    /// Where each call ends, and the next begins.
    at: usize,
    ended: bool,
    pub(crate) asked: u64,
    pub(crate) difference: Option<Difference>,
    /// What the export came to.
    pub(crate) end: Option<Vec<u8>>,
}

/// The first host call that is not the one that was written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Its number, from 1 on.
    pub(crate) number: u64,
    /// What was written down: function and arguments; nothing if there were no more.
    pub(crate) expected: Option<(u8, Vec<u8>)>,
    /// What the guest calls.
    pub(crate) got: (u8, Vec<u8>),
}

impl Playing {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            at: 0,
            ended: false,
            asked: 0,
            difference: None,
            end: None,
        }
    }

    /// The answer to a host call; nothing if another one was written down.
    pub(crate) fn ask(
        &mut self,
        function: u8,
        arguments: impl FnOnce(&mut Writer),
    ) -> Option<Vec<u8>> {
        let mut writer = Writer::brief();
        arguments(&mut writer);
        let got = (function, writer.bytes);
        self.asked += 1;
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let expected = match rest.is_empty() {
            true => None,
            false => call(&mut Reader::new(rest)).ok(),
        };
        if let Some(call) = &expected
            && (call.function, call.arguments) == (got.0, got.1.as_slice())
        {
            self.at += call.bytes();
            self.ended = call.answer.first() == Some(&ENDED);
            return Some(call.answer.to_vec());
        }
        self.difference.get_or_insert(Difference {
            number: self.asked,
            expected: expected.map(|call| (call.function, call.arguments.to_vec())),
            got,
        });
        None
    }

    /// Whether the last call that was answered ended the operation.
    pub(crate) fn was_ended(&self) -> bool {
        self.ended
    }

    /// Whether the guest has made all calls that were written down.
    pub(crate) fn is_played(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// The call that the guest did not come to.
    pub(crate) fn next_call(&self) -> Option<(u8, Vec<u8>)> {
        let rest = self.bytes.get(self.at..).filter(|rest| !rest.is_empty())?;
        let call = call(&mut Reader::new(rest)).ok()?;
        Some((call.function, call.arguments.to_vec()))
    }
}

/// What a host function returns.
pub(crate) trait Told: Sized {
    /// Writes it.
    fn put(&self, to: &mut Writer);
    /// Reads it.
    fn take(from: &mut Reader<'_>) -> Read<Self>;
    /// Shows it to people.
    fn show(&self, to: &mut String);
    /// Ends the operation.
    fn ended(why: &'static str) -> Self;
    /// How the call ended.
    fn end(&self) -> End;
}

/// What the answers begin with that end the operation.
const ENDED: u8 = 2;

/// How an operation that is replayed ends where its trace does not go on.
pub(crate) const ANOTHER_WAY: &str = "the trace goes another way";
/// How it ends where the trace makes no sense.
pub(crate) const NO_SENSE: &str = "the trace makes no sense";

impl<T: Taped> Told for wasmtime::Result<T> {
    fn put(&self, to: &mut Writer) {
        match self {
            Ok(value) => {
                to.byte(0);
                value.put(to);
            }
            Err(error) => {
                to.byte(ENDED);
                error.to_string().put(to);
            }
        }
    }
    fn take(from: &mut Reader<'_>) -> Read<Self> {
        match from.byte()? {
            0 => T::take(from).map(Ok),
            ENDED => String::take(from).map(|text| Err(wasmtime::Error::msg(text))),
            _ => Err(Malformed),
        }
    }
    fn show(&self, to: &mut String) {
        match self {
            Ok(value) => value.show(to),
            Err(error) => {
                to.push_str("the operation ended: ");
                to.push_str(&error.to_string());
            }
        }
    }
    fn ended(why: &'static str) -> Self {
        Err(wasmtime::Error::msg(why))
    }
    fn end(&self) -> End {
        match self {
            Ok(_) => End::Answered,
            Err(_) => End::Ended,
        }
    }
}

impl<T: Taped> Told for HostResult<T> {
    fn put(&self, to: &mut Writer) {
        match self {
            Ok(value) => {
                to.byte(0);
                value.put(to);
            }
            Err(HostError::Failure(failure)) => {
                to.byte(1);
                failure.put(to);
            }
            Err(HostError::Trap(error)) => {
                to.byte(ENDED);
                error.to_string().put(to);
            }
        }
    }
    fn take(from: &mut Reader<'_>) -> Read<Self> {
        match from.byte()? {
            0 => T::take(from).map(Ok),
            1 => Failure::take(from).map(|failure| Err(failure.into())),
            ENDED => String::take(from).map(|text| Err(wasmtime::Error::msg(text).into())),
            _ => Err(Malformed),
        }
    }
    fn show(&self, to: &mut String) {
        match self {
            Ok(value) => value.show(to),
            Err(HostError::Failure(failure)) => {
                Taped::show(&failure.code, to);
                to.push_str(": ");
                to.push_str(&failure.message);
            }
            Err(HostError::Trap(error)) => {
                to.push_str("the operation ended: ");
                to.push_str(&error.to_string());
            }
        }
    }
    fn ended(why: &'static str) -> Self {
        Err(wasmtime::Error::msg(why).into())
    }
    fn end(&self) -> End {
        match self {
            Ok(_) => End::Answered,
            Err(HostError::Failure(failure)) => End::Failed(failure.code),
            Err(HostError::Trap(_)) => End::Ended,
        }
    }
}

#[cfg(test)]
mod tests;
