//! What an operation asks of a driver, and what comes of it.
//!
//! Invariant: every export but `describe` is here, with all of its arguments that are no streams.

use super::codec::{Malformed, Read, Taped, Writer};
use super::whole;
use crate::bindings::exports::mica::driver::diff_driver::{ApplyReport, DiffReport};
use crate::bindings::mica::driver::types::{Description, Error};
use crate::capability::mounts::Mount;
use crate::{Access, ArchiveForm, LayerKind};
use mica_text::SafeText;
use serde::{Deserialize, Serialize};
use wasmtime::component::Resource;

/// Bytes of memory of a pair beside its texts.
const PAIR_BYTES: usize = size_of::<(String, String)>();
/// Bytes of an answer that are shown.
const SHOWN_BYTES: usize = 4096;

/// What was asked of a driver: a function of its exports, with the arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "function")]
pub enum Question {
    /// What the driver is; it is not recorded.
    Describe,
    /// `init`.
    Init {
        /// The store's options.
        options: Vec<(String, String)>,
    },
    /// `create` or `create-read-write`, and `get` after it if a view was asked for.
    Create {
        /// The layer.
        id: String,
        /// The layer below.
        parent: Option<String>,
        /// What it is created for.
        kind: LayerKind,
        /// An SELinux context.
        mount_label: Option<String>,
        /// Options of this layer alone.
        storage_options: Vec<(String, String)>,
        /// The view that was asked for in the same operation.
        view: Option<Access>,
    },
    /// `remove`.
    Remove {
        /// The layer.
        id: String,
    },
    /// `get`.
    Get {
        /// The layer.
        id: String,
        /// What processes may do there.
        access: Access,
        /// An SELinux context.
        mount_label: Option<String>,
        /// Whether the view was described rather than made.
        planned: bool,
    },
    /// `put`.
    Put {
        /// The layer.
        id: String,
    },
    /// `exists`.
    Exists {
        /// The layer.
        id: String,
    },
    /// `status`.
    Status,
    /// `metadata`.
    Metadata {
        /// The layer.
        id: String,
    },
    /// `cleanup`.
    Cleanup,
    /// `diff`.
    Diff {
        /// The layer.
        id: String,
        /// The other one.
        parent: Option<String>,
        /// How the archive looks.
        form: ArchiveForm,
    },
    /// `changes`.
    Changes {
        /// The layer.
        id: String,
        /// The other one.
        parent: Option<String>,
    },
    /// `apply-diff`.
    ApplyDiff {
        /// The layer.
        id: String,
        /// The layer below.
        parent: Option<String>,
        /// By which rules.
        form: ArchiveForm,
    },
    /// `diff-size`.
    DiffSize {
        /// The layer.
        id: String,
        /// The other one.
        parent: Option<String>,
    },
}

impl Question {
    /// The function of the contract.
    #[must_use]
    pub fn function(&self) -> &'static str {
        match self {
            Self::Describe => "describe",
            Self::Init { .. } => "init",
            Self::Create {
                kind: LayerKind::Content,
                ..
            } => "create",
            Self::Create { .. } => "create-read-write",
            Self::Remove { .. } => "remove",
            Self::Get { .. } => "get",
            Self::Put { .. } => "put",
            Self::Exists { .. } => "exists",
            Self::Status => "status",
            Self::Metadata { .. } => "metadata",
            Self::Cleanup => "cleanup",
            Self::Diff { .. } => "diff",
            Self::Changes { .. } => "changes",
            Self::ApplyDiff { .. } => "apply-diff",
            Self::DiffSize { .. } => "diff-size",
        }
    }

    /// Bytes of memory of its texts.
    pub(super) fn bytes(&self) -> usize {
        let pair = |(key, value): &(String, String)| PAIR_BYTES + key.len() + value.len();
        let pairs = |pairs: &[(String, String)]| pairs.iter().map(pair).sum::<usize>();
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        match self {
            Self::Describe | Self::Status | Self::Cleanup => 0,
            Self::Init { options } => pairs(options),
            Self::Create {
                id,
                parent,
                mount_label,
                storage_options,
                ..
            } => id.len() + text(parent) + text(mount_label) + pairs(storage_options),
            Self::Get {
                id, mount_label, ..
            } => id.len() + text(mount_label),
            Self::Remove { id }
            | Self::Put { id }
            | Self::Exists { id }
            | Self::Metadata { id } => id.len(),
            Self::Diff { id, parent, .. }
            | Self::Changes { id, parent }
            | Self::ApplyDiff { id, parent, .. }
            | Self::DiffSize { id, parent } => id.len() + text(parent),
        }
    }

    /// Leaves out what may be long: options and labels. Ids have few bytes.
    pub(super) fn shorten(&mut self) {
        match self {
            Self::Init { options } => *options = Vec::new(),
            Self::Create {
                mount_label,
                storage_options,
                ..
            } => (*mount_label, *storage_options) = (None, Vec::new()),
            Self::Get { mount_label, .. } => *mount_label = None,
            _ => {}
        }
    }

    /// What came of it, for people.
    pub(crate) fn show_end(&self, end: &[u8]) -> SafeText {
        let shown = match end.split_first() {
            Some((&BROKE, rest)) => whole::<String>(rest),
            Some((&ANSWERED, rest)) => self.show_answer(rest),
            Some((&LONG, rest)) => whole::<(u64, u32)>(rest)
                .map(|(length, _)| format!("an answer of {length} bytes, which is not kept")),
            _ => Err(Malformed),
        };
        let text = shown.unwrap_or_else(|Malformed| "an answer that makes no sense".to_owned());
        SafeText::within(&text, SHOWN_BYTES)
    }

    fn show_answer(&self, answer: &[u8]) -> Read<String> {
        fn shown<T: Taped>(answer: &[u8]) -> Read<String> {
            let mut text = String::new();
            whole::<Result<T, Error>>(answer)?.show(&mut text);
            Ok(text)
        }
        match self {
            Self::Describe => Err(Malformed),
            Self::Create { .. } => {
                type Both = (Result<(), Error>, Option<Result<Resource<Mount>, Error>>);
                let (created, viewed) = whole::<Both>(answer)?;
                let mut text = String::new();
                created.show(&mut text);
                if let Some(viewed) = viewed {
                    text.push_str(", and the view ");
                    viewed.show(&mut text);
                }
                Ok(text)
            }
            Self::Init { .. }
            | Self::Remove { .. }
            | Self::Put { .. }
            | Self::Cleanup
            | Self::Changes { .. } => shown::<()>(answer),
            Self::Get { .. } => shown::<Resource<Mount>>(answer),
            Self::Exists { .. } => shown::<bool>(answer),
            Self::Status | Self::Metadata { .. } => shown::<Vec<(String, String)>>(answer),
            Self::Diff { .. } => shown::<DiffReport>(answer),
            Self::ApplyDiff { .. } => shown::<ApplyReport>(answer),
            Self::DiffSize { .. } => shown::<u64>(answer),
        }
    }
}

/// The end of an operation begins with one of these.
const ANSWERED: u8 = 0;
const BROKE: u8 = 1;
const LONG: u8 = 2;

/// Bytes of an end that are written down: one with long texts has their beginnings, and of one with many values there is but what tells it
/// from others.
const END_BYTES: usize = 4 << 10;

/// The same value makes the same bytes, so that ends can be compared.
fn end(kind: u8, put: impl Fn(&mut Writer)) -> Vec<u8> {
    let mut whole = Vec::new();
    for mut writer in [Writer::default(), Writer::brief()] {
        writer.byte(kind);
        put(&mut writer);
        whole = writer.bytes;
        if whole.len() <= END_BYTES {
            whole.shrink_to_fit();
            return whole;
        }
    }
    let mut writer = Writer::default();
    writer.byte(LONG);
    writer.number(whole.len() as u64);
    writer.number(crc32fast::hash(&whole).into());
    writer.bytes
}

/// What exports return.
pub(crate) trait Outcome {
    /// Writes what the driver answered.
    fn put(&self, to: &mut Writer);

    /// The same behind the byte that says that it answered.
    fn end(&self) -> Vec<u8> {
        end(ANSWERED, |to| self.put(to))
    }
}

/// That the sandbox ended the operation, and why.
pub(crate) fn broke(why: &str) -> Vec<u8> {
    let why = why.to_owned();
    end(BROKE, |to| why.put(to))
}

impl<T: Taped> Outcome for Result<T, Error> {
    fn put(&self, to: &mut Writer) {
        Taped::put(self, to);
    }
}

/// With the place of the stream in the host's table, which is none of the driver's.
impl<T: Taped> Outcome for (Result<T, Error>, u32) {
    fn put(&self, to: &mut Writer) {
        Taped::put(&self.0, to);
    }
}

/// `create`, and `get` after it.
impl Outcome for (Result<(), Error>, Option<Result<Resource<Mount>, Error>>) {
    fn put(&self, to: &mut Writer) {
        Taped::put(self, to);
    }
}

/// It is asked without a store, and never recorded.
impl Outcome for Description {
    fn put(&self, _: &mut Writer) {}
}
