//! What is in one node: the digest of a file, and what else is known of a node.
//!
//! A file's digest does not tell holes from zeros, because whoever writes the same file again may make other holes: pieces that
//! are all zeros are not hashed, and where they lie goes into a digest of its own. So a hole is passed over without being read.
//!
//! Invariant: a file is read once, piece by piece, and each piece asks whether to go on.

use super::digests::{Content, Digest, Metadata};
use super::pace::Pace;
use mica_sys::node::{self, Kind};
use mica_sys::tree::Visited;
use mica_sys::{content, xattr};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};

/// Bytes that are read at once: a processor keeps them near while they are hashed. Part of what a digest is, for a piece is
/// zeros or it is not.
const PIECE_BYTES: usize = 256 << 10;
/// Extended attributes of overlayfs that an archive holds, or that say what an archive says; others come of how a file got here.
const OF_ARCHIVES: [&[u8]; 5] = [
    b"opaque",
    b"redirect",
    b"metacopy",
    b"whiteout",
    b"whiteouts",
];
/// What overlayfs puts before the names of its own.
const OF_OVERLAY: [&[u8]; 2] = [b"trusted.overlay.", b"user.overlay."];
/// What a host's policy gives each file by where it lies.
const OF_THE_HOST: &[u8] = b"security.selinux";

/// Reads a file.
pub(super) fn read_file(visited: &Visited<'_>, pace: &mut Pace<'_>) -> io::Result<Content> {
    let file = node::open_regular(visited.directory, visited.name)?;
    let mut hashed = Hashed::default();
    let wanted = visited.attributes.size;
    let size = read_pieces(file.as_fd(), wanted, pace, &mut |read| hashed.add(read))?;
    Ok(Content {
        size,
        modified: visited.attributes.modified,
        digest: hashed.end(),
    })
}

/// What the next bytes of a file are.
enum Read<'a> {
    Piece(&'a [u8]),
    /// So many zeros that are nowhere.
    Hole(u64),
}

/// A digest that is being made.
#[derive(Default)]
struct Hashed {
    data: blake3::Hasher,
    /// Where zeros begin and end.
    zeros: Option<blake3::Hasher>,
    /// Where the zeros begin that were met last.
    since: Option<u64>,
    at: u64,
}

impl Hashed {
    fn add(&mut self, read: Read<'_>) {
        let length = match read {
            Read::Piece(piece) if piece.iter().any(|byte| *byte != 0) => {
                self.end_zeros();
                self.data.update(piece);
                piece.len() as u64
            }
            Read::Piece(zeros) => {
                self.since.get_or_insert(self.at);
                zeros.len() as u64
            }
            Read::Hole(length) => {
                self.since.get_or_insert(self.at);
                length
            }
        };
        self.at += length;
    }

    fn end_zeros(&mut self) {
        if let Some(since) = self.since.take() {
            let zeros = self.zeros.get_or_insert_default();
            zeros.update(&since.to_le_bytes());
            zeros.update(&self.at.to_le_bytes());
        }
    }

    fn end(mut self) -> Digest {
        self.end_zeros();
        let data = self.data.finalize();
        let Some(zeros) = self.zeros else {
            return *data.as_bytes();
        };
        let mut both = blake3::Hasher::new_derive_key("mica digests 2: a file with zeros");
        both.update(data.as_bytes());
        both.update(zeros.finalize().as_bytes());
        *both.finalize().as_bytes()
    }
}

/// Shows a file in whole pieces, but for the last, and in holes of whole pieces; says how long it is. `size` is how long it is
/// said to be.
fn read_pieces(
    file: BorrowedFd<'_>,
    size: u64,
    pace: &mut Pace<'_>,
    each: &mut dyn FnMut(Read<'_>),
) -> io::Result<u64> {
    let mut piece = std::mem::take(pace.buffer());
    piece.resize(PIECE_BYTES, 0);
    let (whole, mut at, mut data_ends) = (PIECE_BYTES as u64, 0, 0);
    let read = loop {
        // One piece is read sooner than asked about.
        if size > whole && at >= data_ends && at < size {
            let begins = match content::next_data(file, at, size) {
                Ok(extent) => {
                    data_ends = extent.end;
                    // The last piece is read, so that the file says itself where it ends.
                    extent.start.min(size - 1) / whole * whole
                }
                Err(error) => break Err(error),
            };
            if begins > at {
                each(Read::Hole(begins - at));
                at = begins;
            }
        }
        let filled = match read_full(file, &mut piece, at) {
            Ok(filled) => filled,
            Err(error) => break Err(error),
        };
        if filled > 0 {
            each(Read::Piece(piece.split_at(filled).0));
        }
        at += filled as u64;
        if let Err(error) = pace.advance(filled as u64) {
            break Err(error);
        }
        if filled < PIECE_BYTES {
            break Ok(at);
        }
    };
    *pace.buffer() = piece;
    read
}

/// Reads until a piece is full, or the file ends.
fn read_full(file: BorrowedFd<'_>, piece: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = piece.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match content::read_passing_at(file, rest, at + filled as u64)? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

/// Reads all of a file, holes included.
pub(super) fn read_all(
    file: BorrowedFd<'_>,
    pace: &mut Pace<'_>,
    each: &mut dyn FnMut(&[u8]),
) -> io::Result<()> {
    // Of a size of none, nobody is asked about holes.
    let mut piece_of = |read: Read<'_>| {
        if let Read::Piece(piece) = read {
            each(piece);
        }
    };
    read_pieces(file, 0, pace, &mut piece_of).map(drop)
}

/// Files with several names that a walk has met.
#[derive(Debug, Default)]
pub(super) struct Links {
    met: u64,
    /// By device and inode, the place where the file was met first.
    first: HashMap<(u64, u64), u64>,
}

impl Links {
    /// What is known of a node; nothing of one that another file system is mounted on.
    pub(super) fn metadata(&mut self, visited: &Visited<'_>) -> io::Result<Option<Metadata>> {
        let found = visited.attributes;
        self.met += 1;
        if found.kind == Kind::Directory && node::stat_fd(visited.directory)?.device != found.device
        {
            return Ok(None);
        }
        let same_as = match found.kind {
            Kind::Directory => 0,
            _ if found.links < 2 => 0,
            _ => {
                let inode = (found.device, found.inode);
                let first = *self.first.entry(inode).or_insert(self.met);
                if first == self.met { 0 } else { first }
            }
        };
        Ok(Some(Metadata {
            mode: found.mode,
            uid: found.uid,
            gid: found.gid,
            major: found.major,
            minor: found.minor,
            same_as,
            attributes: attributes(visited)?,
        }))
    }
}

fn attributes(visited: &Visited<'_>) -> io::Result<Option<Digest>> {
    let mut names = xattr::list(visited.directory, visited.name)?;
    names.retain(|name| counts(name));
    if names.is_empty() {
        return Ok(None);
    }
    names.sort();
    let mut hasher = blake3::Hasher::new();
    for name in &names {
        let value = xattr::get(visited.directory, visited.name, name)?;
        for part in [name, value.unwrap_or_default().as_slice()] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
    }
    Ok(Some(*hasher.finalize().as_bytes()))
}

/// Whether an archive would bring an extended attribute along.
fn counts(name: &[u8]) -> bool {
    let own = OF_OVERLAY.iter().find_map(|own| name.strip_prefix(*own));
    own.map_or(name != OF_THE_HOST, |rest| OF_ARCHIVES.contains(&rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::unix::fs::FileExt as _;
    use std::sync::atomic::AtomicU64;

    const PIECE: u64 = PIECE_BYTES as u64;

    fn digest(file: &File) -> (u64, Digest, u64) {
        let read = AtomicU64::new(0);
        let mut pace = Pace::new(&|| false, &read);
        let mut hashed = Hashed::default();
        let size = file.metadata().unwrap().len();
        let size = read_pieces(file.as_fd(), size, &mut pace, &mut |read| hashed.add(read));
        (size.unwrap(), hashed.end(), pace.read_bytes())
    }

    fn file(bytes: &[(u64, &[u8])], length: u64) -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(length).unwrap();
        for (at, bytes) in bytes {
            file.write_all_at(bytes, *at).unwrap();
        }
        file
    }

    #[test]
    fn holes_are_zeros_and_not_read() {
        let length = 40 * PIECE + 17;
        let zeros = vec![0; usize::try_from(length).unwrap()];
        let ends: [(u64, &[u8]); 3] = [(3, b"a"), (20 * PIECE - 1, b"bb"), (length - 1, b"c")];
        let (sparse, dense) = (file(&ends, length), file(&[(0, zeros.as_slice())], length));
        for (at, bytes) in ends {
            dense.write_all_at(bytes, at).unwrap();
        }
        let (size, is, read) = digest(&sparse);
        assert_eq!((size, is), (length, digest(&dense).1));
        assert!(read < 8 * PIECE, "{read}");
        let huge = file(&[(1 << 39, b"x".as_slice())], 1 << 40);
        let (size, _, read) = digest(&huge);
        assert_eq!(size, 1 << 40);
        assert!(read < 8 * PIECE, "{read}");
    }

    #[test]
    fn where_the_zeros_lie_and_how_many_counts() {
        let x = b"x".as_slice();
        let all = [
            file(&[], 0),
            file(&[], 1),
            file(&[], PIECE),
            file(&[], 2 * PIECE),
            file(&[(0, x)], 2 * PIECE),
            file(&[(PIECE, x)], 2 * PIECE),
            file(&[(PIECE, x)], 2 * PIECE + 1),
            file(&[(0, x)], PIECE),
            file(&[(0, x)], 1),
        ];
        let digests: std::collections::BTreeSet<_> =
            all.iter().map(|file| digest(file).1).collect();
        assert_eq!(digests.len(), all.len());
        assert_eq!(digest(&all[8]).1, *blake3::hash(b"x").as_bytes());
    }

    #[test]
    fn what_overlayfs_notes_for_itself_does_not_count() {
        for (name, expected) in [
            ("user.mime", true),
            ("security.capability", true),
            ("security.selinux", false),
            ("trusted.overlay.opaque", true),
            ("trusted.overlay.origin", false),
            ("user.overlay.impure", false),
        ] {
            assert_eq!(counts(name.as_bytes()), expected, "{name}");
        }
    }
}
