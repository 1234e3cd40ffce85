//! `mica:host/btrfs`: not here.
//!
//! Invariant: every function is `not-supported`, as on any file system but btrfs.

use super::directory::Directory;
use super::refused;
pub use crate::generated::host_functions::mica::host::btrfs::{
    Counting, Lineage, Subvolume, Touched, Usage,
};
use crate::mica::host::mounts::Access;
use crate::mica::host::types::{Code, Failure};

fn none<T>() -> Result<T, Failure> {
    let text = "a native test has no btrfs: `mica driver test --directory` has";
    Err(refused(Code::NotSupported, text))
}

/// Makes an empty subvolume.
pub fn create_subvolume(
    _parent: &Directory,
    _name: &[u8],
    _mode: u32,
) -> Result<Directory, Failure> {
    none()
}

/// Makes a snapshot.
pub fn snapshot(
    _original: &Directory,
    _target: &Directory,
    _name: &[u8],
    _access: Access,
) -> Result<Directory, Failure> {
    none()
}

/// Removes a subvolume.
pub fn remove_subvolume(_parent: &Directory, _name: &[u8]) -> Result<(), Failure> {
    none()
}

/// Reads what a subvolume is.
pub fn inspect(_subvolume: &Directory) -> Result<Subvolume, Failure> {
    none()
}

/// Tells what was touched since a snapshot was made.
pub fn since(
    _room: &Directory,
    _name: &[u8],
    _original: &Directory,
) -> Result<Option<Lineage>, Failure> {
    none()
}

/// Lets a subvolume refuse every change, or allow changes again.
pub fn set_access(_subvolume: &Directory, _access: Access) -> Result<(), Failure> {
    none()
}

/// Says whether the file system counts.
pub fn counts() -> Result<Counting, Failure> {
    none()
}

/// Lets the file system count from now on.
pub fn start_counting() -> Result<(), Failure> {
    none()
}

/// Bounds the bytes of a subvolume.
pub fn set_limit(_subvolume: &Directory, _bytes: Option<u64>) -> Result<(), Failure> {
    none()
}

/// Reads what a subvolume occupies.
pub fn measure(_subvolume: &Directory) -> Result<Option<Usage>, Failure> {
    none()
}

/// Begins to write what was changed.
pub fn start_sync() -> Result<(), Failure> {
    none()
}
