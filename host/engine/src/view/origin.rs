//! Which layer of a chain a file comes from, and which one hides it.
//!
//! Invariant: data only; a name that is no text keeps its bytes.

use super::FileKind;
use mica_runtime::{Change, ChangeKind};
use mica_sys::node::Attributes;
use mica_text::text_of;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a layer does to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PathChange {
    /// No layer below has it.
    Add,
    /// It takes the place of what a layer below has there.
    Modify,
    /// It hides what layers below have there, and all that lies below it.
    Delete,
}

impl From<ChangeKind> for PathChange {
    fn from(kind: ChangeKind) -> Self {
        match kind {
            ChangeKind::Add => Self::Add,
            ChangeKind::Modify => Self::Modify,
            ChangeKind::Delete => Self::Delete,
        }
    }
}

/// What one layer of a chain does to one path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OriginView {
    /// The layer, by its place in the chain: 1 is the lowest.
    pub depth: u64,
    /// What it does.
    pub change: PathChange,
    /// The path from the root, with a leading `/`; bytes that are no UTF-8 are shown as U+FFFD.
    pub path: String,
    /// The exact bytes of the path, where they are no UTF-8: base64 with padding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_base64: Option<String>,
    /// What the file is in that layer; absent of one that is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<FileKind>,
    /// Bytes of a regular file; 0 of anything else.
    pub size_bytes: u64,
    /// Of a file with several names in the layer the number of its inode: they have their bytes together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inode: Option<u64>,
}

impl OriginView {
    /// What the layer at `depth` does; `found` is the file there, if there is one.
    pub(crate) fn new(depth: u64, change: Change, found: Option<&Attributes>) -> Self {
        let (path, path_base64) = text_of(change.path);
        let kind = found.map(|found| FileKind::from(found.kind));
        let regular = found.filter(|_| kind == Some(FileKind::Regular));
        Self {
            depth,
            change: change.kind.into(),
            path,
            path_base64,
            kind,
            size_bytes: regular.map_or(0, |found| found.size),
            inode: regular
                .filter(|found| found.links > 1)
                .map(|found| found.inode),
        }
    }
}
