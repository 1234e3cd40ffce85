//! What the compiler process answers, as bytes. The code cache keeps the same bytes.
//!
//! ```text
//! "MICA"  length of the header, 4 bytes  length of the code, 8 bytes  header, JSON  code
//! ```
//!
//! Invariant: an answer is whole or none; lengths are little-endian, and checked before anything is believed.

use crate::sandbox::admission::ComponentFacts;
use serde::{Deserialize, Serialize};

/// What an answer begins with.
const MAGIC: [u8; 4] = *b"MICA";
/// Bytes before the header.
const PREFIX_BYTES: usize = 16;
/// Bytes of a header: a thousand names of imports and a reason, with room.
pub(super) const HEADER_BYTES: usize = 1 << 20;

/// What came of a component.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::sandbox) enum Outcome {
    /// It has passed every check; the code follows.
    Accepted(ComponentFacts),
    /// It cannot be loaded.
    Rejected {
        /// What is wrong with it.
        reason: String,
        /// What would help.
        remedy: String,
    },
    /// It imports what it was not granted.
    NotGranted {
        /// What it imports.
        reason: String,
        /// The line to add.
        remedy: String,
    },
    /// There was none: the process only tells how it is confined.
    Probed,
}

/// An answer without its code.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::sandbox) struct Header {
    /// What the process could not give away before it read the component, each with the reason.
    pub(in crate::sandbox) lacks: Vec<String>,
    pub(in crate::sandbox) outcome: Outcome,
}

/// An answer that is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no whole answer")]
pub(in crate::sandbox) struct Damaged;

/// An answer's bytes.
pub(in crate::sandbox) fn encode(header: &Header, code: &[u8]) -> Result<Vec<u8>, Damaged> {
    let header = serde_json::to_vec(header).map_err(|_unwritable| Damaged)?;
    let length = u32::try_from(header.len()).map_err(|_too_long| Damaged)?;
    let mut bytes = Vec::with_capacity(PREFIX_BYTES + header.len() + code.len());
    bytes.extend(MAGIC);
    bytes.extend(length.to_le_bytes());
    bytes.extend((code.len() as u64).to_le_bytes());
    bytes.extend(header);
    bytes.extend(code);
    Ok(bytes)
}

/// An answer of its bytes.
pub(in crate::sandbox) fn decode(bytes: &[u8]) -> Result<(Header, &[u8]), Damaged> {
    let (magic, rest) = bytes.split_first_chunk().ok_or(Damaged)?;
    let (header_length, rest) = rest.split_first_chunk().ok_or(Damaged)?;
    let (code_length, rest) = rest.split_first_chunk().ok_or(Damaged)?;
    let header_length = u32::from_le_bytes(*header_length) as usize;
    if *magic != MAGIC || header_length > HEADER_BYTES {
        return Err(Damaged);
    }
    let (header, code) = rest.split_at_checked(header_length).ok_or(Damaged)?;
    if code.len() as u64 != u64::from_le_bytes(*code_length) {
        return Err(Damaged);
    }
    let header = serde_json::from_slice(header).map_err(|_unreadable| Damaged)?;
    Ok((header, code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_as_it_was_written_and_a_part_of_it_is_none() {
        let header = Header {
            lacks: vec!["x".into()],
            outcome: Outcome::Rejected {
                reason: "a".into(),
                remedy: "b".into(),
            },
        };
        let bytes = encode(&header, b"code").unwrap();
        let (read, code) = decode(&bytes).unwrap();
        assert_eq!(format!("{read:?}"), format!("{header:?}"));
        assert_eq!(code, b"code");
        for length in 0..bytes.len() {
            assert_eq!(decode(&bytes[..length]).unwrap_err(), Damaged, "{length}");
        }
        let longer = [&bytes[..], b"x"].concat();
        assert_eq!(decode(&longer).unwrap_err(), Damaged);
    }

    #[test]
    fn lengths_of_a_liar_are_not_believed() {
        for lengths in [[0xff; 12], [0x7f; 12]] {
            let bytes = [&MAGIC[..], &lengths, &[0; 64]].concat();
            assert_eq!(decode(&bytes).unwrap_err(), Damaged);
        }
    }
}
