//! What a snapshot is, and what is asked of it.
//!
//! Invariant: data only; keys, names and labels are any UTF-8.

use super::{IdMapping, shown};
use crate::disk::home::Record;
use crate::layers::Facts;
use crate::{Error, LayerId, Moment, Result, words};
use mica_runtime::LayerKind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Bytes of a key or name: a database key of this size still fits a page, and runtimes use a few hundred.
const KEY_BYTES: usize = 32 << 10;
/// Bytes of one label, key and value: containerd's own limit.
const LABEL_BYTES: usize = 4096;
/// Bytes of all labels of a snapshot: images with a hundred layers name them all in some kilobytes.
const LABELS_BYTES: usize = 256 << 10;

/// What a snapshot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SnapshotKind {
    /// Nothing can be changed in it.
    View,
    /// It can be changed.
    Active,
    /// It never changes again, and others can be built on it.
    Committed,
}

impl SnapshotKind {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Active => "active",
            Self::Committed => "committed",
        }
    }
}

impl SnapshotKind {
    /// What one of this kind is, within a sentence.
    pub(crate) fn described(self) -> &'static str {
        match self {
            Self::View => "a view",
            Self::Active => "active",
            Self::Committed => "committed",
        }
    }
}

/// What a snapshot takes on its device, without what lies below it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotUsage {
    /// Bytes of allocated blocks.
    pub bytes: u64,
    /// Inodes, each once; none where the file system may not be asked.
    pub inodes: Option<u64>,
}

/// Where a snapshot's own layer lies, and what else is known of it: such a layer has no record of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerPlace {
    number: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent: Option<LayerId>,
    #[serde(with = "words::kind")]
    kind: LayerKind,
    created: Moment,
}

impl LayerPlace {
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn of(layer: &Facts) -> Self {
        Self {
            number: layer.number,
            parent: layer.record.parent.clone(),
            kind: layer.record.kind,
            created: layer.record.created,
        }
    }
}

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The key of an active one or a view, the name of a committed one.
    pub key: String,
    /// What it is.
    pub kind: SnapshotKind,
    /// The committed snapshot below.
    pub parent: Option<String>,
    /// The layer that is its own.
    pub layer: Option<LayerId>,
    /// Where that lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<LayerPlace>,
    /// The labels.
    pub labels: BTreeMap<String, String>,
    /// When it was made, or committed.
    pub created: Moment,
    /// When its labels changed last.
    pub updated: Moment,
    /// What it takes; measured when it was committed, if that could be known for good.
    pub usage: Option<SnapshotUsage>,
    /// The owners that its mounts show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapping: Option<IdMapping>,
    /// Its content is filled in before its parent is known: see [`SnapshotRequest::late_parent`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub late_parent: bool,
    /// A power cut may take it as long as it is active and nothing was unpacked into it: see [`SnapshotRequest::replaceable`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replaceable: bool,
}

impl Snapshot {
    /// The number of its own layer, and what is known of it.
    pub(super) fn described(&self, driver: &str) -> Option<(u64, Record)> {
        let (layer, place) = (self.layer.clone()?, self.place.clone()?);
        let LayerPlace {
            number,
            parent,
            kind,
            created,
        } = place;
        let record = Record::described(layer, parent, kind, created, driver);
        Some((number, record))
    }

    /// The error for a snapshot of another kind than is needed.
    pub(crate) fn wrong_kind(&self, doing: &'static str) -> Error {
        Error::WrongSnapshotKind {
            doing,
            key: shown(&self.key),
            kind: self.kind.described(),
        }
    }
}

/// Asks for an active snapshot or a view.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotRequest {
    /// The new key.
    pub key: String,
    /// The committed snapshot to build on.
    pub parent: Option<String>,
    /// The labels; one with an empty value is none.
    pub labels: BTreeMap<String, String>,
    /// A label and its value: a committed snapshot on the same parent that has it is used instead, and so the request
    /// is refused with [`Error::SnapshotExists`].
    pub unless_held: Option<(String, String)>,
    /// The owners that its mounts are to show: none for those that files have.
    pub mapping: Option<IdMapping>,
    /// It has no parent yet, and is to be filled with what differs from the one that [`CommitRequest::parent`] names: in the
    /// form of an overlay's upper directory, with its whiteouts. So layers of an image can be unpacked all at once.
    pub late_parent: bool,
    /// Whoever asks fills it at once, and makes another one under another key if the machine ends meanwhile, as all that unpack
    /// images do. So nobody has to wait for the device until it is filled.
    pub replaceable: bool,
}

/// Asks to make an active snapshot a committed one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitRequest {
    /// The active snapshot.
    pub key: String,
    /// The new name.
    pub name: String,
    /// The parent: the one that it has, or for one without a parent the committed snapshot that its content is to lie on.
    pub parent: Option<String>,
    /// The labels; those of the active snapshot go.
    pub labels: BTreeMap<String, String>,
}

/// Asks for other labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabelChange {
    /// These and no others.
    All(BTreeMap<String, String>),
    /// These, and all others stay; one without a value goes.
    Some(BTreeMap<String, Option<String>>),
}

/// One mount that makes a snapshot visible, for whoever carries it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotMount {
    /// `bind` or `overlay`.
    pub kind: &'static str,
    /// The directory to bind, or `overlay`.
    pub source: String,
    /// Options, in the order in which containerd's own snapshotters give them.
    pub options: Vec<String>,
}

/// Checks a key or name.
pub(crate) fn check_key(key: &str) -> Result<()> {
    if key.is_empty() {
        return Err(Error::Invalid("a snapshot's key is empty".into()));
    }
    if key.len() > KEY_BYTES {
        let key = shown(key);
        let text = format!("the key of snapshot `{key}` has more than {KEY_BYTES} bytes");
        return Err(Error::Invalid(text));
    }
    Ok(())
}

/// Checks labels, and leaves out those without a value.
///
/// # Errors
/// [`Error::Invalid`], which names snapshot and label.
pub(crate) fn check_labels(
    key: &str,
    labels: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>> {
    let mut all = 0;
    for (name, value) in &labels {
        let bytes = name.len() + value.len();
        if name.is_empty() || bytes > LABEL_BYTES {
            let (key, name) = (shown(key), shown(name));
            let text = format!(
                "label `{name}` of snapshot `{key}` has {bytes} bytes and a name of {}; a name is needed, and \
                     {LABEL_BYTES} bytes are allowed",
                name.len()
            );
            return Err(Error::Invalid(text));
        }
        all += bytes;
    }
    if all > LABELS_BYTES {
        let key = shown(key);
        let text = format!(
            "{} labels of snapshot `{key}` have {all} bytes; {LABELS_BYTES} are allowed",
            labels.len()
        );
        return Err(Error::Invalid(text));
    }
    Ok(labels
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_bounded_one_by_one_and_together_and_empty_ones_are_none() {
        let labels = |pairs: &[(&str, usize)]| {
            let pairs = pairs.iter();
            pairs
                .map(|(name, length)| ((*name).to_owned(), "v".repeat(*length)))
                .collect::<BTreeMap<_, _>>()
        };
        let kept = check_labels("k", labels(&[("a", 0), ("b", 4095)])).unwrap();
        assert_eq!(kept.keys().collect::<Vec<_>>(), ["b"]);
        for bad in [labels(&[("", 1)]), labels(&[("a", 4096)])] {
            assert!(matches!(check_labels("k", bad), Err(Error::Invalid(_))));
        }
        let many = (0..100).map(|number| (format!("{number}"), "v".repeat(4000)));
        let error = check_labels("k", many.collect()).unwrap_err();
        assert!(error.to_string().contains("100 labels of snapshot `k`"));
    }

    #[test]
    fn a_key_is_any_text_but_none() {
        assert!(check_key("").is_err());
        assert!(check_key(&"k".repeat(KEY_BYTES + 1)).is_err());
        for good in ["a/../b", "\0\u{1}", "ünï", &"k".repeat(4000)] {
            assert!(check_key(good).is_ok());
        }
    }
}
