//! Reads what lies in a layer's room, and compares it with what lay there.
//!
//! Invariant: reads only, by descriptors, follows no link and crosses no mount; of a layer that someone changes or removes
//! meanwhile nothing is said, which the caller finds out.

use super::contents::{self, Links, read_all};
use super::digests::{Content, Digest, Digests, Metadata, Node, Nodes, Writer};
use super::pace::Pace;
use crate::view::{Difference, FileDamage};
use mica_runtime::{ARCHIVE_PATH, SafeText};
use mica_sys::node::{self, Kind};
use mica_sys::tree::{self, Depth, Visited};
use mica_sys::{Name, errno};
use sha2::{Digest as _, Sha256};
use std::cmp::Ordering;
use std::io;
use std::iter::Peekable;
use std::ops::ControlFlow;
use std::os::fd::{AsFd as _, BorrowedFd};

/// Files of a damaged layer that are named.
const MOST_NAMED: usize = 16;

/// What a walk met.
struct Met<'a> {
    path: &'a [u8],
    kind: Kind,
    /// `None` for what has no content, and where nobody wants to know more; the error for what cannot be read.
    known: Result<(Option<Content>, Option<Metadata>), io::Error>,
}

/// How much was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) files: u64,
    pub(super) bytes: u64,
}

/// What differs from a list.
#[derive(Debug, Default)]
pub(super) struct Differences {
    pub(super) named: Vec<FileDamage>,
    pub(super) count: u64,
}

impl Differences {
    pub(super) fn add(&mut self, path: &[u8], what: Difference, detail: impl Into<String>) {
        self.count += 1;
        if self.named.len() < MOST_NAMED {
            let path = SafeText::within(&String::from_utf8_lossy(path), 1024).into();
            let detail = detail.into();
            self.named.push(FileDamage { path, what, detail });
        }
    }
}

/// How much of the nodes is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rigor {
    /// Names, kinds and content: what a disk changes without a word.
    Content,
    /// Modes, owners, device numbers, hard links and extended attributes as well.
    Everything,
}

/// Makes a list of all that lies in a room, but for the archive of a sealed layer, of which the digest is known, and for one
/// directory, which is the kernel's own.
///
/// # Errors
/// `Interrupted` when the pace says so; `FileTooLarge` when there are more nodes than a list may have; what reading says.
pub(super) fn take(
    room: BorrowedFd<'_>,
    archive: Option<Digest>,
    left_out: Option<&[u8]>,
    pace: &mut Pace<'_>,
) -> io::Result<(Vec<u8>, Amount)> {
    let mut writer = Writer::new(archive, left_out);
    let mut files = 0;
    let before = pace.read_bytes();
    let skips = Skips {
        archive: archive.is_some(),
        left_out,
    };
    walk(room, skips, Rigor::Everything, pace, &mut |met| {
        let (content, metadata) = met.known?;
        files += 1;
        writer.push(&Node {
            path: met.path.to_vec(),
            kind: met.kind,
            metadata,
            content,
        })
    })?;
    let bytes = pace.read_bytes() - before;
    Ok((writer.end(), Amount { files, bytes }))
}

/// Compares what lies in a room with a list.
///
/// # Errors
/// `Interrupted` when the pace says so; what reading says, but for errors that tell of the file itself.
pub(super) fn compare(
    room: BorrowedFd<'_>,
    digests: &Digests,
    rigor: Rigor,
    pace: &mut Pace<'_>,
) -> io::Result<(Differences, Amount)> {
    let mut comparison = Comparison {
        recorded: digests.nodes().peekable(),
        found: Differences::default(),
    };
    let mut files = 0;
    let before = pace.read_bytes();
    let skips = Skips {
        archive: digests.archive.is_some(),
        left_out: digests.left_out.as_deref(),
    };
    walk(room, skips, rigor, pace, &mut |met| {
        files += 1;
        comparison.meet(met)
    })?;
    let mut found = comparison.end();
    if let Some(wanted) = digests.archive {
        files += 1;
        compare_archive(room, wanted, &mut found, pace)?;
    }
    let bytes = pace.read_bytes() - before;
    Ok((found, Amount { files, bytes }))
}

struct Comparison<'a> {
    recorded: Peekable<Nodes<'a>>,
    found: Differences,
}

impl Comparison<'_> {
    /// Compares a node with its place in the list; those before it are missing.
    fn meet(&mut self, met: Met<'_>) -> io::Result<()> {
        let is_before = |node: &Node| Node::order(&node.path, met.path) == Ordering::Less;
        while let Some(node) = self.recorded.next_if(is_before) {
            self.found
                .add(&node.path, Difference::Missing, "it is gone");
        }
        let Some(node) = self.recorded.next_if(|node| node.path == met.path) else {
            let detail = "it was not there";
            self.found.add(met.path, Difference::Extra, detail);
            return Ok(());
        };
        if node.kind != met.kind {
            let detail = "it is a node of another kind";
            self.found.add(met.path, Difference::Kind, detail);
            return Ok(());
        }
        let (found, metadata) = match met.known {
            Ok(known) => known,
            Err(error) if is_of_the_file(&error) => {
                let detail = format!("it cannot be read: {error}");
                self.found.add(met.path, Difference::Unreadable, detail);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if let (Some(was), Some(is)) = (node.content, found) {
            self.compare(met.path, was, is);
        }
        if let (Some(was), Some(is)) = (node.metadata, metadata)
            && was != is
        {
            let detail = "its mode, owner, device number, hard links or extended attributes differ";
            self.found.add(met.path, Difference::Attributes, detail);
        }
        Ok(())
    }

    fn compare(&mut self, path: &[u8], was: Content, is: Content) {
        let by = match was.modified == is.modified {
            true => "and its time of change is the same: no program wrote that",
            false => "and so does its time of change: a program wrote to it",
        };
        if was.size != is.size {
            let (was, is) = (was.size, is.size);
            let detail = format!("it has {is} bytes and had {was}; its size differs, {by}");
            self.found.add(path, Difference::Size, detail);
        } else if was.digest != is.digest {
            let detail = format!("its content differs, {by}");
            self.found.add(path, Difference::Content, detail);
        }
    }

    fn end(mut self) -> Differences {
        for node in self.recorded {
            self.found
                .add(&node.path, Difference::Missing, "it is gone");
        }
        self.found
    }
}

/// Compares the archive of a sealed layer with the digest that its index had.
fn compare_archive(
    room: BorrowedFd<'_>,
    wanted: Digest,
    found: &mut Differences,
    pace: &mut Pace<'_>,
) -> io::Result<()> {
    let hashed = open_along(room, ARCHIVE_PATH).and_then(|archive| {
        let mut hasher = Sha256::new();
        read_all(archive.as_fd(), pace, &mut |piece| hasher.update(piece))?;
        Ok(hasher.finalize())
    });
    match hashed {
        Ok(digest) => {
            if digest.as_slice() != wanted {
                let detail = "its digest is not that of the archive that the layer was made of";
                found.add(ARCHIVE_PATH, Difference::Content, detail);
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            found.add(ARCHIVE_PATH, Difference::Missing, "it is gone");
        }
        Err(error) if is_of_the_file(&error) => {
            let detail = format!("it cannot be read: {error}");
            found.add(ARCHIVE_PATH, Difference::Unreadable, detail);
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Opens a regular file below a directory.
pub(super) fn open_along(top: BorrowedFd<'_>, path: &[u8]) -> io::Result<std::os::fd::OwnedFd> {
    let names: Result<Vec<Name>, _> = path.split(|byte| *byte == b'/').map(Name::new).collect();
    let names = names.map_err(io::Error::other)?;
    let (file, above) = names.split_last().ok_or(io::ErrorKind::InvalidInput)?;
    let directory = node::open_directory_along(top, above)?;
    node::open_regular(directory.as_fd(), file)
}

/// Whether an error tells that a file is damaged, rather than that the machine lacks something now.
pub(super) fn is_of_the_file(error: &io::Error) -> bool {
    let of_the_file = [errno::EIO, errno::EUCLEAN, errno::EBADMSG];
    errno::of(error).is_some_and(|number| of_the_file.contains(&number))
}

type Each<'a> = &'a mut dyn FnMut(Met<'_>) -> io::Result<()>;

/// What a walk passes over.
#[derive(Clone, Copy)]
struct Skips<'a> {
    archive: bool,
    left_out: Option<&'a [u8]>,
}

impl Skips<'_> {
    fn has(self, path: &[u8]) -> bool {
        let is_left_out = self.left_out.is_some_and(|name| {
            let below = path.strip_prefix(name);
            below.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        });
        is_left_out || (self.archive && path == ARCHIVE_PATH)
    }
}

/// Shows all that lies in a room, with the digests of content.
fn walk(
    room: BorrowedFd<'_>,
    skips: Skips<'_>,
    rigor: Rigor,
    pace: &mut Pace<'_>,
    each: Each<'_>,
) -> io::Result<()> {
    let mut failed = None;
    let mut links = (rigor == Rigor::Everything).then(Links::default);
    tree::visit(room, Depth::OneMount, &mut |visited| {
        if skips.has(visited.path) {
            return ControlFlow::Continue(());
        }
        let met = pace.meet();
        let met = met.and_then(|()| meet(&visited, links.as_mut(), pace));
        match met.and_then(|met| met.map_or(Ok(()), &mut *each)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    failed.map_or(Ok(()), Err)
}

/// What is known of a node; `None` if it has gone.
fn meet<'a>(
    visited: &Visited<'a>,
    links: Option<&mut Links>,
    pace: &mut Pace<'_>,
) -> io::Result<Option<Met<'a>>> {
    let (attributes, modified) = (visited.attributes, visited.attributes.modified);
    let content = match (attributes.kind, &visited.target) {
        (Kind::Regular, _) => contents::read_file(visited, pace).map(Some),
        (Kind::Symlink, Some(target)) => Ok(Some(Content {
            size: target.len() as u64,
            modified,
            digest: *blake3::hash(target).as_bytes(),
        })),
        _ => Ok(None),
    };
    let metadata = links.map_or(Ok(None), |links| links.metadata(visited));
    match content.and_then(|content| Ok((content, metadata?))) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
        known => Ok(Some(Met {
            path: visited.path,
            kind: attributes.kind,
            known,
        })),
    }
}
