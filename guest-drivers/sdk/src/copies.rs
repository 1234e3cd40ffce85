//! Which files of a layer are copies of its parent's that no one has touched since.
//!
//! A change can keep size and modification time, and a copy has another inode than its original, so whoever compares the
//! two would have to read both. The list spares that: it knows, of each file that was copied, both inodes and the times
//! at which the kernel saw each last changed, which no process can set. If a pair has the same four numbers still,
//! neither file was touched, wherever in the trees they are now. Anything else (a clock that was set back, a tree that was
//! restored from a backup, a list that is damaged or missing) makes numbers differ, and the contents are then read.
//!
//! The kernel's times come in steps of some milliseconds. So only those files are on the list that were last changed before
//! the step in which it was begun (an original) or ended (a copy): a later change has a later time.
//!
//! Invariant: 8 bytes of memory and of disk for each file, up to [`MAX_LIST_BYTES`] files.
//!
//! See docs/decisions/0010-equal-size-and-time-is-compared-by-content.md.

use crate::host::directory::{Directory, File};
use crate::{Attributes, Code, Doing as _, Result, Timestamp};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// The list's name in a layer's room.
const NAME: &[u8] = b"copied";
/// What the file begins with.
const HEAD: &[u8; HEAD_BYTES as usize] = b"copied1\n";
/// Its bytes.
const HEAD_BYTES: u32 = 8;
/// Bytes of a part that is read or written at once; the host takes 256 KiB.
const READ_BYTES: u32 = 256 << 10;
/// Files that a list holds: 32 MiB, a quarter of a guest's memory. Of further ones the contents are read.
const MAX_LIST_BYTES: usize = 4 << 20;

/// The files of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copies(Vec<u64>);

/// A list that is being made.
#[derive(Debug)]
pub struct Notes {
    begun: Timestamp,
    prints: Vec<u64>,
    /// Those of the last step of the clock, and its time.
    last: (Timestamp, Vec<u64>),
}

/// What an original and its copy are known by. Another version of the library may compute another number: then nothing
/// is found, and contents are read.
fn print(original: &Attributes, copy: &Attributes) -> u64 {
    let mut hasher = DefaultHasher::new();
    for of in [original, copy] {
        (of.inode, of.changed.seconds, of.changed.nanoseconds).hash(&mut hasher);
    }
    hasher.finish()
}

fn is_before(a: Timestamp, b: Timestamp) -> bool {
    (a.seconds, a.nanoseconds) < (b.seconds, b.nanoseconds)
}

impl Notes {
    /// Begins a list at a time of the file system's clock that lies before the first file is copied.
    #[must_use]
    pub fn new(begun: Timestamp) -> Self {
        Self {
            begun,
            prints: Vec::new(),
            last: (begun, Vec::new()),
        }
    }

    /// Notes a file as it was before it was copied, and its copy as it is.
    pub fn note(&mut self, original: &Attributes, copy: &Attributes) {
        let (time, waiting) = &mut self.last;
        if self.prints.len() + waiting.len() >= MAX_LIST_BYTES
            || !is_before(original.changed, self.begun)
        {
            return;
        }
        if copy.changed != *time {
            self.prints.append(waiting);
            *time = copy.changed;
        }
        waiting.push(print(original, copy));
    }

    /// Ends the list at a time that lies behind the last copy.
    fn end(self, ended: Timestamp) -> Copies {
        let (mut prints, (time, waiting)) = (self.prints, self.last);
        if is_before(time, ended) {
            prints.extend(waiting);
        }
        prints.sort_unstable();
        Copies(prints)
    }
}

impl Copies {
    /// Whether a file is on the list as the copy of another, and both are as they were.
    #[must_use]
    pub fn has(&self, original: &Attributes, copy: &Attributes) -> bool {
        self.0.binary_search(&print(original, copy)).is_ok()
    }

    /// Begins a list in the room of a layer that is being made.
    ///
    /// # Errors
    /// [`crate::Error::Host`] if a host call fails; so for all functions.
    pub fn begin(room: &Directory) -> Result<(File, Notes)> {
        let begin = || {
            let file = room.create_file(NAME, 0o600)?;
            let notes = Notes::new(file.get_attributes()?.changed);
            Ok((file, notes))
        };
        begin().doing(|| "begin the list of copies")
    }

    /// Writes a list down.
    ///
    /// # Errors
    /// See [`Copies::begin`].
    pub fn write(file: &File, notes: Notes) -> Result<()> {
        let write = || {
            // Writing gives the file the time of now.
            file.write(0, HEAD)?;
            let Self(prints) = notes.end(file.get_attributes()?.changed);
            let mut offset = HEAD.len() as u64;
            for part in prints.chunks(READ_BYTES as usize / 8) {
                let bytes: Vec<u8> = part.iter().flat_map(|print| print.to_le_bytes()).collect();
                file.write(offset, &bytes)?;
                offset += bytes.len() as u64;
            }
            Ok(())
        };
        write().doing(|| "write the list of copies")
    }

    /// Reads the list of a layer; empty if it has none, or a damaged one.
    ///
    /// # Errors
    /// See [`Copies::begin`].
    pub fn read(room: &Directory) -> Result<Self> {
        let doing = || "read the list of copies";
        let Some(file) = room.open_file(NAME).unless(Code::NotFound).doing(doing)? else {
            return Ok(Self::default());
        };
        let mut prints = Vec::new();
        if file.read(0, HEAD_BYTES).doing(doing)? != HEAD {
            return Ok(Self::default());
        }
        while prints.len() < MAX_LIST_BYTES {
            let offset = (HEAD.len() + prints.len() * 8) as u64;
            let bytes = file.read(offset, READ_BYTES).doing(doing)?;
            let whole = bytes.chunks_exact(8).flat_map(<[u8; 8]>::try_from);
            prints.extend(whole.map(u64::from_le_bytes));
            if bytes.len() < READ_BYTES as usize {
                break;
            }
        }
        if !prints.is_sorted() {
            prints.clear();
        }
        Ok(Self(prints))
    }

    /// Removes the list of a layer whose files are others from now on.
    ///
    /// # Errors
    /// See [`Copies::begin`].
    pub fn forget(room: &Directory) -> Result<()> {
        room.remove_file(NAME)
            .unless(Code::NotFound)
            .doing(|| "remove the list of copies")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NodeKind;

    fn at(nanoseconds: u32) -> Timestamp {
        Timestamp {
            seconds: 100,
            nanoseconds,
        }
    }

    fn file(inode: u64, changed: Timestamp) -> Attributes {
        Attributes {
            kind: NodeKind::Regular,
            mode: 0o644,
            uid: 0,
            gid: 0,
            size: 3,
            links: 1,
            inode,
            device: 1,
            major: 0,
            minor: 0,
            modified: at(0),
            changed,
        }
    }

    #[test]
    fn a_pair_is_known_as_long_as_neither_was_touched() {
        let (original, copy) = (file(1, at(5)), file(9, at(20)));
        let mut notes = Notes::new(at(10));
        notes.note(&original, &copy);
        notes.note(&file(2, at(6)), &file(10, at(30)));
        let copies = notes.end(at(40));
        assert!(copies.has(&original, &copy));
        assert!(copies.has(&file(2, at(6)), &file(10, at(30))));
        for (original, copy) in [
            (file(2, at(5)), copy),
            (file(1, at(6)), copy),
            (original, file(10, at(20))),
            (original, file(9, at(21))),
            // Of a clock that was set back.
            (original, file(9, at(19))),
            (copy, original),
            // Two directories changed places.
            (original, file(10, at(30))),
        ] {
            assert!(!copies.has(&original, &copy), "{original:?} {copy:?}");
        }
        assert!(!Copies::default().has(&original, &copy));
    }

    #[test]
    fn what_could_change_within_one_step_of_the_clock_is_not_on_the_list() {
        let mut notes = Notes::new(at(10));
        // The original may still change in the step in which it is copied; the copy in the one in which the list ends.
        notes.note(&file(1, at(10)), &file(11, at(20)));
        notes.note(&file(2, at(5)), &file(12, at(20)));
        notes.note(&file(3, at(5)), &file(13, at(30)));
        let copies = notes.end(at(30));
        assert!(!copies.has(&file(1, at(10)), &file(11, at(20))));
        assert!(copies.has(&file(2, at(5)), &file(12, at(20))));
        assert!(!copies.has(&file(3, at(5)), &file(13, at(30))));
    }
}
