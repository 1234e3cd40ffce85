//! Answers that have one document a line.
//!
//! Invariant: a line is handed on whole, and once.

use crate::failure::Failure;
use serde::de::DeserializeOwned;
use std::io::Write;

/// Takes a stream apart into its lines.
pub(super) struct Lines<'a, T> {
    /// The beginning of a line that is not whole.
    pub(super) begun: Vec<u8>,
    pub(super) each: &'a mut dyn FnMut(T) -> Result<(), Failure>,
    /// Why no further line is wanted.
    pub(super) failed: Option<Failure>,
}

impl<T: DeserializeOwned> Lines<'_, T> {
    fn line(&mut self, line: &[u8]) -> Result<(), Failure> {
        let document = serde_json::from_slice(line).map_err(|error| Failure::Connection {
            doing: "understand a line of the answer".to_owned(),
            source: Box::new(error),
        })?;
        (self.each)(document)
    }
}

impl<T: DeserializeOwned> Write for Lines<'_, T> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, behind) = rest.split_at(end);
            // Most lines come in one piece, and are read where they lie.
            let read = match self.begun.is_empty() {
                true => self.line(line),
                false => {
                    let mut whole = std::mem::take(&mut self.begun);
                    whole.extend_from_slice(line);
                    self.line(&whole)
                }
            };
            if let Err(failure) = read {
                self.failed = Some(failure);
                return Err(std::io::Error::other("the reader of the lines has failed"));
            }
            rest = behind.get(1..).unwrap_or_default();
        }
        self.begun.extend_from_slice(rest);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
