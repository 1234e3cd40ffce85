//! Whether images can be mounted from files of a file system.

use crate::Failure;
use mica_erofs_index::{Archive, Attributes, Below, Content, Data, Found, Segment, Tree};
use mica_sys::filesystem::{Support, probe_image};
use std::convert::Infallible;
use std::io;
use std::os::fd::BorrowedFd;

/// No layers below.
struct Nothing;

impl Below for Nothing {
    type Error = Infallible;

    fn look(&mut self, _: &[&[u8]]) -> Result<Found, Infallible> {
        Ok(Found::Nothing)
    }
}

/// Mounts a small image from files in a directory of `dir`, which go again, and reads through it: a file of a block of
/// zeros that is not in the archive, and one that is.
///
/// # Errors
/// What making and removing nodes in `dir` says.
pub fn probe(dir: BorrowedFd<'_>) -> io::Result<Support> {
    let archive = [[0; 512], [0x6d; 512]].concat();
    match image() {
        Some(index) => probe_image(dir, &index, &archive, "file"),
        None => Err(io::Error::other("the image for the test cannot be made")),
    }
}

fn image() -> Option<Vec<u8>> {
    let mut tree = Tree::new(Attributes::default(), 1 << 20);
    let data = Data {
        size: 1024,
        segments: vec![Segment {
            offset: 512,
            length: 512,
            at: 512,
        }],
    };
    tree.add(&[], b"file", Attributes::default(), Content::File(data))
        .ok()?;
    let index = tree.settle::<Nothing>(None).ok()?;
    let archive = Archive {
        size_bytes: 1024,
        sha256: [0; 32],
    };
    let mut bytes = Vec::new();
    index
        .write(&archive, |piece| {
            bytes.extend_from_slice(piece);
            Ok::<(), Failure>(())
        })
        .ok()?;
    Some(bytes)
}
