//! Files of layers, as they are told of.
//!
//! Invariant: data only; a name that is no text keeps its bytes.

use mica_sys::node::{Attributes, Kind};
use mica_text::text_of;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A block device.
    BlockDevice,
    /// A character device.
    CharacterDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

impl From<Kind> for FileKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Regular => Self::Regular,
            Kind::Directory => Self::Directory,
            Kind::Symlink => Self::Symlink,
            Kind::BlockDevice => Self::BlockDevice,
            Kind::CharacterDevice => Self::CharacterDevice,
            Kind::Fifo => Self::Fifo,
            Kind::Socket => Self::Socket,
        }
    }
}

/// A file of a layer, as a process sees it whose root the layer is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileView {
    /// The path from the layer's root, with a leading `/`; bytes that are no UTF-8 are shown as U+FFFD.
    pub path: String,
    /// The exact bytes of the path, where they are no UTF-8: base64 with padding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_base64: Option<String>,
    /// What it is.
    pub kind: FileKind,
    /// Permission bits with set-user-id, set-group-id and sticky: four octal digits.
    pub mode: String,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes of content, or of a link's target.
    pub size_bytes: u64,
    /// Last change of the content: seconds since 1970-01-01 00:00:00 UTC, negative before.
    pub modified_seconds: i64,
    /// Nanoseconds past the second.
    pub modified_nanoseconds: u32,
    /// Number of names of the inode.
    pub links: u32,
    /// Where a symbolic link leads, with U+FFFD for bytes that are no UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The exact bytes of the target, where they are no UTF-8: base64 with padding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_base64: Option<String>,
    /// `major:minor` of a device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

impl FileView {
    pub(crate) fn new(path: Vec<u8>, found: &Attributes, target: Option<Vec<u8>>) -> Self {
        let (path, path_base64) = text_of(path);
        let (target, target_base64) = target.map(text_of).unzip();
        let device = matches!(found.kind, Kind::BlockDevice | Kind::CharacterDevice)
            .then(|| format!("{}:{}", found.major, found.minor));
        Self {
            path,
            path_base64,
            kind: found.kind.into(),
            mode: format!("{:04o}", found.mode),
            uid: found.uid,
            gid: found.gid,
            size_bytes: found.size,
            modified_seconds: found.modified.seconds,
            modified_nanoseconds: found.modified.nanoseconds,
            links: found.links,
            target,
            target_base64: target_base64.flatten(),
            device,
        }
    }
}

/// Asks for the files at a path of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesRequest {
    /// The layer.
    pub id: String,
    /// The path from the layer's root; links are followed.
    pub path: Vec<u8>,
    /// Whether the directory itself and what is in directories of it is told too.
    pub is_recursive: bool,
}
