//! A trace as a file.
//!
//! ```text
//! "MICATRACE\n"   u32 version   u32 bytes of the header   u32 bytes of the calls   u32 bytes of the end   u32 bytes of the component
//! header: JSON   calls: see tape.rs   end: see question.rs   component: if it was exported with it   SHA-256 of all before: 32 bytes
//! ```
//!
//! All numbers are little-endian.
//!
//! Invariant: a file is checked whole before anything of it is used; what it claims costs no memory.

use super::chance::Drawn;
use super::codec::Malformed;
use super::question::Question;
use super::tape::Recorded;
use super::{HostCallView, Trace};
use crate::capability::boundary::FUNCTIONS;
use crate::contract::{DRIVER, HOST};
use mica_text::SafeText;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

const MAGIC: &[u8] = b"MICATRACE\n";
/// The shape of the file.
const VERSION: u32 = 1;
/// The parts between the fixed beginning and the digest.
const PARTS: usize = 4;
const BEGINNING_BYTES: usize = MAGIC.len() + 4 + 4 * PARTS;
const DIGEST_BYTES: usize = 32;

/// Where a trace was recorded, and of what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceFacts {
    /// The driver.
    pub driver: String,
    /// `sha256:` and the hexadecimal digest of the component that ran.
    pub digest: String,
    /// The number of its build.
    pub generation: u64,
    /// What the engine did.
    pub operation: String,
    /// The store, and the layer if it was about one.
    pub store: String,
    /// The layer.
    pub layer: Option<String>,
    /// The client's request.
    pub request: Option<String>,
    /// When it ended: RFC 3339, UTC.
    pub time: String,
    /// What the client was told of it, if it failed.
    pub error: Option<String>,
}

/// What the header says.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    /// The release of Mica that wrote it.
    mica: String,
    /// The packages of the contract.
    host_contract: String,
    driver_contract: String,
    /// The functions that the calls name, each at its place.
    functions: Vec<String>,
    #[serde(flatten)]
    facts: TraceFacts,
    question: Question,
    /// Host calls that were made, and that are here.
    made: u64,
    kept: u64,
    drawn: Drawn,
    is_question_cut: bool,
    was_stopped: bool,
}

/// A trace that was read from a file, or that becomes one.
#[derive(Debug)]
pub struct TraceFile {
    /// Where it is from.
    pub facts: TraceFacts,
    /// What was recorded.
    pub trace: Trace,
    /// The component that ran, if it is in the file.
    pub component: Option<Vec<u8>>,
}

/// Why a file is no trace that can be used.
#[derive(Debug, thiserror::Error)]
pub enum BadTrace {
    /// It is something else.
    #[error("it is no trace: one begins with `MICATRACE`")]
    Foreign,
    /// Another release wrote it.
    #[error("it has version {0} of the form of traces, and this program reads {VERSION}")]
    Version(u32),
    /// A part of it is missing.
    #[error("it is cut off or has something behind it: it has {has} bytes, and tells of {told}")]
    Length {
        /// What there is.
        has: usize,
        /// What there should be.
        told: u64,
    },
    /// It is not what was written.
    #[error("it is damaged: its digest is another one")]
    Damaged,
    /// It is of another contract.
    #[error("it was recorded with `{told}`, and this program has `{own}`")]
    Contract {
        /// What it says.
        told: SafeText,
        /// What is here.
        own: String,
    },
    /// What it says cannot be.
    #[error("it makes no sense: {0}")]
    Senseless(SafeText),
}

impl From<Malformed> for BadTrace {
    fn from(Malformed: Malformed) -> Self {
        Self::Senseless("a host call cannot be read".into())
    }
}

impl TraceFile {
    /// Writes it.
    ///
    /// # Errors
    /// [`BadTrace::Senseless`] for parts that are too large for a file.
    pub fn write(facts: &TraceFacts, trace: &Trace, component: &[u8]) -> Result<Vec<u8>, BadTrace> {
        let senseless =
            |error: &dyn std::fmt::Display| BadTrace::Senseless(error.to_string().into());
        let header = Header {
            mica: env!("CARGO_PKG_VERSION").to_owned(),
            host_contract: HOST.to_string(),
            driver_contract: DRIVER.to_string(),
            functions: FUNCTIONS.iter().map(|&name| name.to_owned()).collect(),
            facts: facts.clone(),
            question: trace.question.clone(),
            made: trace.recorded.made,
            kept: trace.recorded.kept,
            drawn: trace.chance.clone(),
            is_question_cut: trace.is_question_cut,
            was_stopped: trace.was_stopped,
        };
        let header = serde_json::to_vec(&header).map_err(|error| senseless(&error))?;
        let parts = [&header, &trace.recorded.bytes, &trace.end, component];
        let mut file = MAGIC.to_vec();
        file.extend_from_slice(&VERSION.to_le_bytes());
        for part in parts {
            let length = u32::try_from(part.len()).map_err(|error| senseless(&error))?;
            file.extend_from_slice(&length.to_le_bytes());
        }
        for part in parts {
            file.extend_from_slice(part);
        }
        let digest = Sha256::digest(&file);
        file.extend_from_slice(&digest);
        Ok(file)
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`BadTrace`]: what is wrong with it.
    pub fn read(file: &[u8]) -> Result<Self, BadTrace> {
        let [header, calls, end, component] = parts(file)?;
        let header: Header = serde_json::from_slice(header)
            .map_err(|error| BadTrace::Senseless(error.to_string().into()))?;
        let contract = [
            (&header.host_contract, HOST),
            (&header.driver_contract, DRIVER),
        ];
        for (told, own) in contract {
            if *told != own.to_string() {
                return Err(BadTrace::Contract {
                    told: SafeText::label(told),
                    own: own.to_string(),
                });
            }
        }
        if !header.functions.iter().eq(FUNCTIONS) {
            let text = "the functions of its contract are not those of this program's";
            return Err(BadTrace::Senseless(text.into()));
        }
        if header.question == Question::Describe {
            let text = "it asks a driver what it is, which is not recorded";
            return Err(BadTrace::Senseless(text.into()));
        }
        // Their values are read one at a time, when they are asked for.
        let mut count = 0;
        for call in super::tape::calls(calls) {
            call?;
            count += 1;
        }
        if count != header.kept || header.kept > header.made {
            let text = format!("it has {count} host calls and tells of {}", header.kept);
            return Err(BadTrace::Senseless(text.into()));
        }
        Ok(Self {
            facts: header.facts,
            trace: Trace {
                question: header.question,
                recorded: Recorded {
                    bytes: calls.to_vec(),
                    made: header.made,
                    kept: header.kept,
                },
                end: end.to_vec(),
                chance: header.drawn,
                is_question_cut: header.is_question_cut,
                was_stopped: header.was_stopped,
            },
            component: (!component.is_empty()).then(|| component.to_vec()),
        })
    }

    /// Its host calls.
    #[must_use]
    pub fn host_calls(&self) -> Vec<HostCallView> {
        self.trace.host_calls()
    }
}

/// The parts of a file that is whole.
fn parts(file: &[u8]) -> Result<[&[u8]; PARTS], BadTrace> {
    let mut rest = file.strip_prefix(MAGIC).ok_or(BadTrace::Foreign)?;
    let mut number = || -> Option<u32> {
        let (bytes, behind) = rest.split_first_chunk::<4>()?;
        rest = behind;
        Some(u32::from_le_bytes(*bytes))
    };
    let short = || BadTrace::Length {
        has: file.len(),
        told: (BEGINNING_BYTES + DIGEST_BYTES) as u64,
    };
    let version = number().ok_or_else(short)?;
    if version != VERSION {
        return Err(BadTrace::Version(version));
    }
    let mut lengths = [0_u32; PARTS];
    for length in &mut lengths {
        *length = number().ok_or_else(short)?;
    }
    let sum: u64 = lengths.iter().map(|&length| u64::from(length)).sum();
    let told = (BEGINNING_BYTES + DIGEST_BYTES) as u64 + sum;
    let (has, cut) = (file.len(), |()| BadTrace::Length {
        has: file.len(),
        told,
    });
    if has as u64 != told {
        return Err(cut(()));
    }
    let (signed, digest) = file
        .split_at_checked(has - DIGEST_BYTES)
        .ok_or_else(|| cut(()))?;
    if Sha256::digest(signed).as_slice() != digest {
        return Err(BadTrace::Damaged);
    }
    let mut found: [&[u8]; PARTS] = [&[]; PARTS];
    for (part, length) in found.iter_mut().zip(lengths) {
        let length = usize::try_from(length).map_err(|_no_such_machine| cut(()))?;
        let (taken, behind) = rest.split_at_checked(length).ok_or_else(|| cut(()))?;
        (*part, rest) = (taken, behind);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::tape::{Recording, Told};

    fn facts() -> TraceFacts {
        TraceFacts {
            driver: "vfs".to_owned(),
            digest: "sha256:00".to_owned(),
            generation: 1,
            operation: "create".to_owned(),
            store: "default".to_owned(),
            layer: None,
            request: None,
            time: "2026-01-31T12:00:00Z".to_owned(),
            error: None,
        }
    }

    fn file() -> Vec<u8> {
        let mut recording = Recording::new(1000);
        // `config.options` takes nothing.
        let place = FUNCTIONS.iter().position(|name| *name == "config.options");
        recording.ask(u8::try_from(place.unwrap()).unwrap(), |_| {});
        let options: wasmtime::Result<Vec<(String, String)>> =
            Ok(vec![("a".to_owned(), "b".to_owned())]);
        recording.note(|to| Told::put(&options, to));
        let trace = Trace {
            question: Question::Status,
            recorded: recording.finish(),
            end: crate::trace::broke("boom"),
            chance: Drawn::default(),
            is_question_cut: false,
            was_stopped: false,
        };
        TraceFile::write(&facts(), &trace, b"component").unwrap()
    }

    #[test]
    fn a_trace_is_read_as_it_was_written() {
        let read = TraceFile::read(&file()).unwrap();
        assert_eq!(read.facts, facts());
        assert_eq!(read.component.as_deref(), Some(&b"component"[..]));
        assert_eq!(read.trace.answer(), "boom");
        let calls = read.host_calls();
        assert_eq!(calls.len(), 1);
        let call = calls.first().unwrap();
        assert_eq!(call.function, "config.options");
        assert_eq!(call.answer, "[(\"a\", \"b\")]");
    }

    #[test]
    fn whatever_is_wrong_with_a_file_is_told() {
        let good = file();
        for end in 0..good.len() {
            let cut = TraceFile::read(good.get(..end).unwrap());
            assert!(
                matches!(cut, Err(BadTrace::Foreign | BadTrace::Length { .. })),
                "{end}: {cut:?}"
            );
        }
        for at in 0..good.len() {
            let mut flipped = good.clone();
            *flipped.get_mut(at).unwrap() ^= 1;
            assert!(TraceFile::read(&flipped).is_err(), "{at}");
        }
        let mut longer = good.clone();
        longer.push(0);
        assert!(matches!(
            TraceFile::read(&longer),
            Err(BadTrace::Length { .. })
        ));
        let mut other = good;
        *other.get_mut(MAGIC.len()).unwrap() = 9;
        assert!(matches!(TraceFile::read(&other), Err(BadTrace::Version(9))));
    }
}
