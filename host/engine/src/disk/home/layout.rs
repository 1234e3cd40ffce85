//! Where things lie in a home.
//!
//! Invariant: no id is part of a path.

use crate::disk::files;
use crate::disk::reserve::Reserve;
use mica_sys::{Name, NameError, errno, node};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// The directories that hold layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Area {
    /// Published ones, by number.
    Layers,
    /// Ones that are being made, by random names.
    Staging,
    /// Ones that are being deleted, by random names.
    Trash,
}

/// The names of the directories in a home.
pub(crate) const AREAS: [&str; 3] = ["layers", "staging", "trash"];

/// The open directories of a home.
#[derive(Debug)]
pub(crate) struct Layout {
    path: PathBuf,
    top: OwnedFd,
    layers: OwnedFd,
    staging: OwnedFd,
    trash: OwnedFd,
    /// What removals may take from on a full disk.
    pub(super) reserve: OnceLock<Arc<Reserve>>,
    pub(super) record: Name,
    pub(super) room: Name,
    /// A record that is newer than the first one.
    pub(super) later_record: Name,
    /// What a record is called until it is whole, and once its layer is given up.
    pub(super) new_record: Name,
    pub(super) given_up: Name,
    /// The digests of a layer's files, and what they are called until they are whole.
    pub(super) digests: Name,
    pub(super) new_digests: Name,
    /// The blob that a layer was unpacked from, and what it is called until it is whole.
    pub(super) origin: Name,
    pub(super) new_origin: Name,
}

impl Layout {
    /// Opens a home's directories and makes those that are missing.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        for name in AREAS {
            files::make_directory(&path.join(name))?;
        }
        Self::look(path)
    }

    /// Opens a home's directories.
    ///
    /// # Errors
    /// `NotFound` when one of [`AREAS`] is missing.
    pub(crate) fn look(path: &Path) -> io::Result<Self> {
        let area = |name: &str| files::open_directory(&path.join(name));
        Ok(Self {
            layers: area("layers")?,
            staging: area("staging")?,
            trash: area("trash")?,
            top: files::open_directory(path)?,
            path: path.to_owned(),
            reserve: OnceLock::new(),
            record: name(b"record.json")?,
            room: name(b"d")?,
            later_record: name(b"record-2.json")?,
            new_record: name(b"record.json.new")?,
            given_up: name(b"given-up.json")?,
            digests: name(b"digests")?,
            new_digests: name(b"digests.new")?,
            origin: name(b"origin.json")?,
            new_origin: name(b"origin.json.new")?,
        })
    }

    /// The home's own directory.
    pub(crate) fn top(&self) -> BorrowedFd<'_> {
        self.top.as_fd()
    }

    /// The home's path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a layer's room, for people and for what protocols must tell.
    pub(crate) fn room_path(&self, number: u64) -> PathBuf {
        self.layer_path(number).join("d")
    }

    /// The number of the layer in whose room a directory lies: the inverse of [`Layout::room_path`], one name below it.
    pub(crate) fn number_of(&self, directory: &Path) -> Option<u64> {
        let room = directory.parent()?;
        let number = room.parent()?.file_name()?.to_str()?.parse().ok()?;
        (room == self.room_path(number)).then_some(number)
    }

    /// The path of a layer.
    pub(crate) fn layer_path(&self, number: u64) -> PathBuf {
        self.path.join("layers").join(number.to_string())
    }

    pub(super) fn numbers_path(&self) -> PathBuf {
        self.path.join("numbers")
    }

    pub(super) fn area(&self, area: Area) -> BorrowedFd<'_> {
        match area {
            Area::Layers => self.layers.as_fd(),
            Area::Staging => self.staging.as_fd(),
            Area::Trash => self.trash.as_fd(),
        }
    }

    /// Opens a directory in the room of a published layer, or the room itself.
    pub(crate) fn open_in_room(&self, number: u64, name: Option<&Name>) -> io::Result<OwnedFd> {
        let layer = Name::from_number(number);
        let path = [&layer, &self.room].into_iter().chain(name);
        let opened = node::open_directory_along(self.layers.as_fd(), path);
        match (opened, name) {
            // An image is attached there.
            (Err(error), Some(name)) if errno::of(&error) == Some(errno::EXDEV) => {
                node::open_mounted(self.open_room(number)?.as_fd(), name)
            }
            (opened, _) => opened,
        }
    }

    /// Opens the directory of a published layer, which has its record and its room.
    pub(crate) fn open_layer(&self, number: u64) -> io::Result<OwnedFd> {
        node::open_directory(self.layers.as_fd(), &Name::from_number(number))
    }

    /// Takes away the image that is attached in the room of what lies in an area, if one is.
    pub(super) fn detach_image(&self, area: Area, name: &Name) {
        let room = node::open_directory_along(self.area(area), [name, &self.room]);
        // What has no room has no image, and where one stays the removal fails and says so.
        let _detached = room.and_then(|room| mica_runtime::detach_image(room.as_fd()));
    }

    /// Opens the room of a published layer.
    pub(crate) fn open_room(&self, number: u64) -> io::Result<OwnedFd> {
        self.open_in_room(number, None)
    }
}

/// Checks a name of our own.
pub(super) fn name(text: &[u8]) -> io::Result<Name> {
    Name::new(text).map_err(|error: NameError| io::Error::new(io::ErrorKind::InvalidInput, error))
}

/// A new name for staging or trash.
pub(super) fn random_name() -> io::Result<Name> {
    name(files::random_name()?.as_bytes())
}
