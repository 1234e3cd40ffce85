//! Whether images can be mounted from files of a file system.

use crate::Failure;
use mica_erofs_index::{Archive, Attributes, Below, Content, Data, Found, Segment, Tree, Xattr};
use mica_sys::filesystem::{Support, TestImage, probe_image};
use std::convert::Infallible;
use std::io;
use std::os::fd::BorrowedFd;

/// An access list as the kernel has it: user::rw-, user:1000:r--, group::r--, mask::r--, other::---.
const LIST: [u8; 44] = [
    2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 232, 3, 0, 0, 4, 0, 4, 0, 255, 255,
    255, 255, 16, 0, 4, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255,
];

/// What must be shown: rights, and the marks of overlayfs, which are of the same kind.
const XATTRS: [(&[u8], &[u8]); 2] = [(b"system.posix_acl_access", &LIST), (b"trusted.mica", b"y")];

/// No layers below.
struct Nothing;

impl Below for Nothing {
    type Error = Infallible;

    fn look(&mut self, _: &[&[u8]]) -> Result<Found, Infallible> {
        Ok(Found::Nothing)
    }
}

/// Mounts a small image from files in a directory of `dir`, which go again, and reads through it: a file of a block of
/// zeros that is not in the archive, and one that is, with an access list and a trusted attribute.
///
/// # Errors
/// What making and removing nodes in `dir` says.
pub fn probe(dir: BorrowedFd<'_>) -> io::Result<Support> {
    let archive = [[0; 512], [0x6d; 512]].concat();
    let Some(index) = image() else {
        return Err(io::Error::other("the image for the test cannot be made"));
    };
    let image = TestImage {
        index: &index,
        archive: &archive,
        file: "file",
        xattrs: &XATTRS,
    };
    probe_image(dir, &image)
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
    let xattrs = XATTRS.iter().map(|(name, value)| Xattr {
        name: name.to_vec(),
        value: value.to_vec(),
    });
    let attributes = Attributes {
        mode: 0o640,
        xattrs: xattrs.collect(),
        ..Attributes::default()
    };
    tree.add(&[], b"file", attributes, Content::File(data))
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
