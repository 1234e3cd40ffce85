//! Which subvolume belongs at a name.
//!
//! A snapshot does not hold the subvolumes within the one that it is made of: where they were it shows empty directories
//! that take no change. `btrfs send` leaves nothing of them at all. So a tree that was rolled back or restored looks whole
//! and has lost them. Whoever makes a subvolume notes its UUID beside its name, in an attribute of the directory that holds
//! it, which snapshots and send keep.
//!
//! Of a snapshot it is noted too what it was made of, and when: a copy of the snapshot, which an apply puts in its place, keeps
//! that.
//!
//! Invariant: an attribute tells what was made there; nothing is ever made good by what is found.
//!
//! See docs/decisions/0013-subvolumes-are-noted-by-uuid.md.

use std::fmt::{self, Display, Formatter};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::root::{Root, Uuid};
use super::subvolume::{id, is_subvolume};
use crate::node::{Timestamp, open_directory};
use crate::raw::{is, os_error};
use crate::{Name, xattr};

/// The attribute's name, before that of the subvolume.
const PREFIX: &[u8] = b"trusted.mica.subvolume.";

/// A subvolume that is not where it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    name: Name,
    found: Instead,
}

/// What is found in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Instead {
    Nothing,
    Directory,
    Another,
}

impl Display for Lost {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match self.found {
            Instead::Nothing => write!(f, "its subvolume `{name}` is missing"),
            Instead::Directory => write!(
                f,
                "its subvolume `{name}` is missing, a directory without it is in its place"
            ),
            Instead::Another => write!(f, "another subvolume is in the place of its `{name}`"),
        }
    }
}

/// What a snapshot was made of, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    /// The original.
    pub(super) uuid: Uuid,
    /// The transaction that made it: what is older is of the original.
    pub(super) born: u64,
    /// The time, in a step of the kernel's clock that had begun before.
    pub(super) made: Timestamp,
}

/// A note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Note {
    uuid: Uuid,
    origin: Option<Origin>,
}

impl Note {
    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = self.uuid.to_vec();
        if let Some(origin) = self.origin {
            bytes.extend(origin.uuid);
            bytes.extend(origin.born.to_le_bytes());
            bytes.extend(origin.made.seconds.to_le_bytes());
            bytes.extend(origin.made.nanoseconds.to_le_bytes());
        }
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (uuid, rest) = bytes.split_first_chunk()?;
        let origin = |rest: &[u8]| {
            let (uuid, rest) = rest.split_first_chunk()?;
            let (born, rest) = rest.split_first_chunk()?;
            let (seconds, rest) = rest.split_first_chunk()?;
            Some(Origin {
                uuid: *uuid,
                born: u64::from_le_bytes(*born),
                made: Timestamp {
                    seconds: i64::from_le_bytes(*seconds),
                    nanoseconds: u32::from_le_bytes(rest.try_into().ok()?),
                },
            })
        };
        Some(Self {
            uuid: *uuid,
            origin: origin(rest),
        })
    }

    fn read(directory: BorrowedFd<'_>, name: &Name) -> io::Result<Option<Self>> {
        let Ok(key) = key(name) else {
            return Ok(None);
        };
        let value = xattr::get_fd(directory, &key)?;
        Ok(value.and_then(|value| Self::parse(&value)))
    }
}

/// Notes that a subvolume was made under a name, and of what, if it was made of something. Where this process may not
/// search the file system, nothing is noted.
///
/// # Errors
/// ENAMETOOLONG for a name of more than 232 bytes; what setting an attribute says.
pub fn mark(
    directory: BorrowedFd<'_>,
    name: &Name,
    made: BorrowedFd<'_>,
    original: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let Some(root) = root_of(made)? else {
        return Ok(());
    };
    let original = original.map(root_of).transpose()?.flatten();
    let origin = original.map(|original| Origin {
        uuid: original.uuid,
        born: root.born,
        made: root.made,
    });
    let uuid = root.uuid;
    xattr::set_fd(directory, &key(name)?, &Note { uuid, origin }.to_bytes())
}

/// Notes that a copy of what is noted in `from` was made.
pub(crate) fn mark_copy(
    from: BorrowedFd<'_>,
    directory: BorrowedFd<'_>,
    name: &Name,
    made: BorrowedFd<'_>,
) -> io::Result<()> {
    let Some(note) = Note::read(from, name)? else {
        return Ok(());
    };
    let Some(root) = root_of(made)? else {
        return Ok(());
    };
    let note = Note {
        uuid: root.uuid,
        ..note
    };
    xattr::set_fd(directory, &key(name)?, &note.to_bytes())
}

/// What was noted of a snapshot.
pub(super) fn origin(directory: BorrowedFd<'_>, name: &Name) -> io::Result<Option<Origin>> {
    Ok(Note::read(directory, name)?.and_then(|note| note.origin))
}

fn root_of(subvolume: BorrowedFd<'_>) -> io::Result<Option<Root>> {
    match id(subvolume).and_then(|tree| Root::of(subvolume, tree)) {
        Err(error) if is(&error, libc::EPERM) => Ok(None),
        found => found.map(Some),
    }
}

/// Whether an attribute is such a note, which belongs to one directory and to no copy of it.
pub(crate) fn is_mark(key: &[u8]) -> bool {
    key.starts_with(PREFIX)
}

/// Forgets what was noted of a name.
pub fn unmark(directory: BorrowedFd<'_>, name: &Name) -> io::Result<()> {
    let key = key(name)?;
    if xattr::get_fd(directory, &key)?.is_some() {
        xattr::remove_fd(directory, &key)?;
    }
    Ok(())
}

/// Looks whether every subvolume that is noted in a directory is there: itself, or one that was received as a copy of it,
/// or a snapshot of one of these.
pub fn find_lost(directory: BorrowedFd<'_>) -> io::Result<Option<Lost>> {
    for key in xattr::list_fd(directory)? {
        let Some(name) = key.strip_prefix(PREFIX) else {
            continue;
        };
        let Ok(name) = Name::new(name) else {
            continue;
        };
        let note = Note::read(directory, &name)?.ok_or_else(|| os_error(libc::EIO))?;
        if let Some(found) = instead(directory, &name, note.uuid)? {
            return Ok(Some(Lost { name, found }));
        }
    }
    Ok(None)
}

fn instead(directory: BorrowedFd<'_>, name: &Name, uuid: Uuid) -> io::Result<Option<Instead>> {
    let opened = match open_directory(directory, name) {
        Err(error)
            if [libc::ENOENT, libc::ENOTDIR, libc::ELOOP]
                .iter()
                .any(|no| is(&error, *no)) =>
        {
            return Ok(Some(Instead::Nothing));
        }
        opened => opened?,
    };
    let opened = opened.as_fd();
    if !is_subvolume(opened)? {
        return Ok(Some(Instead::Directory));
    }
    // In a user namespace no one can tell one subvolume from another.
    match root_of(opened)? {
        Some(root) if !root.stems_from(opened, uuid)? => Ok(Some(Instead::Another)),
        _ => Ok(None),
    }
}

fn key(name: &Name) -> io::Result<Vec<u8>> {
    /// `XATTR_NAME_MAX`.
    const MOST_BYTES: usize = 255;
    let key = [PREFIX, name.as_bytes()].concat();
    if key.len() > MOST_BYTES {
        return Err(os_error(libc::ENAMETOOLONG));
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written_and_one_that_is_none_is_not() {
        let origin = Origin {
            uuid: [7; 16],
            born: 1 << 40,
            made: Timestamp {
                seconds: -5,
                nanoseconds: 999_999_999,
            },
        };
        for origin in [None, Some(origin)] {
            let note = Note {
                uuid: [3; 16],
                origin,
            };
            assert_eq!(Note::parse(&note.to_bytes()), Some(note));
            let longer = [note.to_bytes(), vec![0]].concat();
            assert_eq!(Note::parse(&longer).and_then(|note| note.origin), None);
        }
        assert_eq!(Note::parse(&[3; 15]), None);
    }
}
