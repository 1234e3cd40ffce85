//! What is known of the content of layers' files.
//!
//! Invariant: data only.

use crate::Moment;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which layers of a store get digests of their files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ScrubMode {
    /// None, and nothing is verified.
    Off,
    /// Those that were made since the store has this setting.
    #[default]
    New,
    /// All, those that were there before as they are now.
    All,
}

/// What differs of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Difference {
    /// Its content, or where a symbolic link leads.
    Content,
    /// Its size.
    Size,
    /// It is gone.
    Missing,
    /// It was not there.
    Extra,
    /// It is a node of another kind.
    Kind,
    /// Its mode, owner, device number, hard links or extended attributes.
    Attributes,
    /// The disk does not give it back.
    Unreadable,
}

impl Difference {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Size => "size",
            Self::Missing => "missing",
            Self::Extra => "extra",
            Self::Kind => "kind",
            Self::Attributes => "attributes",
            Self::Unreadable => "unreadable",
        }
    }
}

/// A file that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileDamage {
    /// Its path in the layer's room, printable.
    pub path: String,
    /// What differs: `content`, `size`, `missing`, `extra`, `kind`, `attributes` or `unreadable`.
    #[schema(value_type = String)]
    pub what: Difference,
    /// More about it, for people.
    pub detail: String,
}

/// A layer whose files are not what they were.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DamageView {
    /// The layer.
    pub layer: String,
    /// The number of its directory.
    pub number: u64,
    /// When that was found: RFC 3339, UTC.
    #[schema(value_type = String)]
    pub found: Moment,
    /// The first of them, in the order of their paths.
    pub files: Vec<FileDamage>,
    /// How many there are.
    pub count: u64,
}

/// All layers of a store, verified one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PassView {
    /// When it began: RFC 3339, UTC.
    #[schema(value_type = String)]
    pub began: Moment,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub ended: Option<Moment>,
    /// Layers that were verified.
    pub layers: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// Layers that got digests, because they had none.
    pub taken: u64,
    /// Layers that were found damaged.
    pub damaged: u64,
    /// Layers that could not be verified, because others worked on them or they could not be read.
    #[serde(default)]
    pub skipped: u64,
}

/// What is known of the content of a store's layers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScrubView {
    /// The store.
    pub store: String,
    /// `off`, `new` or `all`.
    #[schema(value_type = String)]
    pub mode: ScrubMode,
    /// Since when layers count as new: RFC 3339, UTC.
    #[schema(value_type = String)]
    pub since: Moment,
    /// Whether it rests until someone lets it go on.
    pub paused: bool,
    /// The layer that is read now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
    /// How often this daemon was asked to verify, and how often that has ended.
    pub asked: u64,
    /// See `asked`.
    pub answered: u64,
    /// Layers of what was answered last that could not be verified.
    #[serde(default)]
    pub skipped: u64,
    /// The pass that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pass: Option<PassView>,
    /// The last one that has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<PassView>,
    /// Lists of digests that were damaged themselves, and made anew.
    pub lists_lost: u64,
    /// Layers that are damaged; the last 128 that were found.
    pub damaged: Vec<DamageView>,
    /// How many there are besides.
    #[serde(default)]
    pub damaged_more: u64,
}

/// How a layer was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// All is as it was.
    Whole,
    /// It is not.
    Damaged,
    /// It had no digests, and has some now.
    Taken,
    /// Someone may be changing it, so nothing is known of it.
    Unsettled,
}

/// A layer that was verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VerifyView {
    /// The layer.
    pub layer: String,
    /// `whole`, `damaged`, `taken` (it had no digests, and has some now) or `unsettled` (someone may be changing it).
    #[schema(value_type = String)]
    pub verdict: Verdict,
    /// Nodes that were looked at.
    pub files: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// What is damaged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<DamageView>,
}

/// A layer that was repaired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RepairView {
    /// The layer.
    pub layer: String,
    /// What it was made of again, in words.
    pub source: String,
    /// Nodes that it has.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}
