//! Looks whether a layer that is its archive is still what was sealed.
//!
//! Invariant: nothing is mounted, written or locked, and memory is bounded by the size of an index.

use super::{ARCHIVE, Files, INDEX, SEALED, named, read_and_check};
use crate::Failure;
use mica_sys::{content, node};
use sha2::{Digest as _, Sha256};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};

/// Bytes that are hashed at once.
const PIECE_BYTES: usize = 1 << 20;

/// How much of it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thoroughness {
    /// The index, and the size of the archive.
    Sizes,
    /// All of both.
    Content,
}

/// Which of the two files is not what was sealed, and why.
#[derive(Debug)]
pub enum ImageFault {
    /// `layer.erofs`.
    Index(Failure),
    /// `layer.tar`.
    Archive(Failure),
}

/// Looks at the image in a room; `None` if there is none, or it is what was sealed. An index of more than `most_bytes` is not
/// read.
///
/// # Errors
/// What opening the room's directory says.
pub fn inspect(
    room: BorrowedFd<'_>,
    most_bytes: usize,
    how: Thoroughness,
) -> io::Result<Option<ImageFault>> {
    let sealed = match node::open_directory(room, &named(SEALED)?) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let open = |name: &str| {
        let opened = named(name).and_then(|name| node::open_regular(sealed.as_fd(), &name));
        opened.map_err(|error| Failure::from_io("open it", &error))
    };
    let files = match (open(ARCHIVE), open(INDEX)) {
        (Ok(archive), Ok(index)) => Files { archive, index },
        (Err(failure), _) => return Ok(Some(ImageFault::Archive(failure))),
        (_, Err(failure)) => return Ok(Some(ImageFault::Index(failure))),
    };
    let facts = match read_and_check(files.index.as_fd(), most_bytes) {
        Ok((facts, _)) => facts,
        Err(failure) => return Ok(Some(ImageFault::Index(failure))),
    };
    let archive = files.check_size(&facts).and_then(|()| match how {
        Thoroughness::Sizes => Ok(()),
        Thoroughness::Content => compare(files.archive.as_fd(), facts.archive_sha256),
    });
    Ok(archive.err().map(ImageFault::Archive))
}

/// Where the archive of a sealed layer lies in its room.
pub const ARCHIVE_PATH: &[u8] = b"sealed/layer.tar";

/// The SHA-256 of the archive that the image in a room was made of, as its index tells it; `None` if there is no image.
///
/// # Errors
/// What opening says; `InvalidData` for an index that is damaged or of more than `most_bytes`.
pub fn archive_digest(room: BorrowedFd<'_>, most_bytes: usize) -> io::Result<Option<[u8; 32]>> {
    let sealed = match node::open_directory(room, &named(SEALED)?) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let index = node::open_regular(sealed.as_fd(), &named(INDEX)?)?;
    match read_and_check(index.as_fd(), most_bytes) {
        Ok((facts, _)) => Ok(Some(facts.archive_sha256)),
        Err(failure) => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            failure.to_string(),
        )),
    }
}

/// Compares the digest of a file.
fn compare(file: BorrowedFd<'_>, wanted: [u8; 32]) -> Result<(), Failure> {
    let (mut hasher, mut piece, mut at) = (Sha256::new(), vec![0; PIECE_BYTES], 0);
    loop {
        let read = content::read_full_at(file, &mut piece, at)
            .map_err(|error| Failure::from_io("read the archive", &error))?;
        let (bytes, _) = piece.split_at(read);
        hasher.update(bytes);
        at += read as u64;
        if read < PIECE_BYTES {
            break;
        }
    }
    let found: [u8; 32] = hasher.finalize().into();
    match found == wanted {
        true => Ok(()),
        false => Err(Failure::new(
            crate::Code::Io,
            "its digest is not that of the archive that the layer was made of",
        )),
    }
}
