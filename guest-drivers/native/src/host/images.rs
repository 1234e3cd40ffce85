//! `mica:host/images`: not here.
//!
//! Invariant: every function is `not-supported`, as without the feature.

use super::directory::Directory;
use super::refused;
use super::streams::{Sink, Source};
pub use crate::generated::host_functions::mica::host::images::Archive;
use crate::mica::host::types::{Code, Failure};

fn none<T>() -> Result<T, Failure> {
    let text = "a native test mounts no images: `mica driver test` does";
    Err(refused(Code::NotSupported, text))
}

/// Writes all that an archive's source gives.
pub fn keep(_room: &Directory, _archive: &Source) -> Result<(), Failure> {
    none()
}

/// Says what was kept.
pub fn kept(_archive: &Source) -> Result<Archive, Failure> {
    none()
}

/// Gives the kept archive once more.
pub fn again(_room: &Directory) -> Result<Source, Failure> {
    none()
}

/// Makes the image of a room.
pub fn seal(_room: &Directory, _archive: &Source) -> Result<(), Failure> {
    none()
}

/// Opens the top directory of the room's image.
pub fn open(_room: &Directory) -> Result<Directory, Failure> {
    none()
}

/// Sends the archive of the room's image.
pub fn send(_room: &Directory, _sink: &Sink) -> Result<(), Failure> {
    none()
}
