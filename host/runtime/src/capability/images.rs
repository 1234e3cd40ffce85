//! `mica:host/images`: layers that are their archives, and what of them the kernel is shown.
//!
//! An index is mounted only as the bytes that were checked: it is read whole through the descriptor that is mounted
//! afterwards, while nobody has it open for writing, and no driver can open a file for writing that is there already.
//! Where an image is attached is a directory in the layer's room, so the paths that leave Mica lie one name below a room as
//! those of any layer (`host/engine/src/snapshots/view.rs`). It is attached when it is first asked for, and found attached
//! afterwards, also by the next daemon.
//!
//! Invariant: no bytes are mounted that [`mica_erofs_check`] has not passed, and none over another archive than they
//! were made for, as far as its size tells; its digest is compared when it is sealed and whenever it is sent.
//!
//! See docs/decisions/0018-an-image-is-attached-below-its-room.md.

mod inspect;
mod one;
mod probe;
mod verified;

pub use inspect::{ARCHIVE_PATH, ImageFault, Thoroughness, archive_digest, inspect};
pub use probe::probe;

use super::directory::Directory;
use super::plan::Position;
use super::streams::{Sink, Source};
use super::{HostResult, State};
use crate::bindings::mica::host::images as wit;
use crate::{Code, Failure};
use mica_erofs_check::{Facts, check};
use mica_sys::mount::{self, Unmount};
use mica_sys::{Name, content, errno, filesystem, has_writers, node, xattr};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use verified::Identity;
use wasmtime::component::Resource;

/// The names in a room.
const SEALED: &str = "sealed";
const ARCHIVE: &str = "layer.tar";
const INDEX: &str = "layer.erofs";
const TOP: &str = "image";
/// The magic number of the file system.
const MAGIC: u32 = 0xe0f5_e1e2;
/// Of what is sealed: nobody writes to it.
const SEALED_MODE: u32 = 0o400;
/// Where the host keeps the digest of an index that it sealed. No driver can set it.
const DIGEST: &[u8] = b"trusted.mica.sha256";

/// Indexes above this are checked one at a time, because each is in memory meanwhile.
const LARGE_BYTES: usize = 4 << 20;
static LARGE: Mutex<()> = Mutex::new(());

fn named(text: &str) -> io::Result<Name> {
    Name::new(text.as_bytes()).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

fn failed(doing: &str) -> impl Fn(io::Error) -> Failure + '_ {
    move |error| Failure::from_io(doing, &error)
}

fn invalid(text: impl Into<String>) -> Failure {
    Failure::new(Code::Invalid, text)
}

/// A room that has the place of an image was sealed. Were it told that a file of it is not found, a driver would take the layer
/// for one that has no image, and so for an empty one.
fn lost(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::NotFound => Failure::new(
            Code::Io,
            "the archive `layer.tar` of the layer, or its index `layer.erofs`, is lost",
        ),
        _ => Failure::from_io("open the image", &error),
    }
}

/// The two files of an image.
struct Files {
    archive: OwnedFd,
    index: OwnedFd,
}

impl Files {
    fn open(room: BorrowedFd<'_>) -> io::Result<Self> {
        let sealed = node::open_directory(room, &named(SEALED)?)?;
        Ok(Self {
            archive: node::open_regular(sealed.as_fd(), &named(ARCHIVE)?)?,
            index: node::open_regular(sealed.as_fd(), &named(INDEX)?)?,
        })
    }

    /// Reads all of the index and checks it. Answers its digest as well.
    fn check(&self, most_bytes: usize) -> Result<(Facts, [u8; 32]), Failure> {
        let index = self.index.as_fd();
        if has_writers(index).map_err(failed("look whether the index is being written"))? {
            let text = "the index `layer.erofs` is still open for writing; close it first";
            return Err(Failure::new(Code::Busy, text));
        }
        let (facts, digest) = read_and_check(index, most_bytes)?;
        self.check_size(&facts)?;
        Ok((facts, digest))
    }

    fn check_size(&self, facts: &Facts) -> Result<(), Failure> {
        let size = node::stat_fd(self.archive.as_fd())
            .map_err(failed("stat the archive"))?
            .size;
        if size.div_ceil(512) != u64::from(facts.archive_blocks) {
            let text = format!(
                "the index was made for an archive of {} blocks, and `layer.tar` has {size} bytes",
                facts.archive_blocks
            );
            return Err(Failure::new(Code::Io, text));
        }
        Ok(())
    }
}

/// Reads an index of a bounded size and checks it. Answers its digest as well.
fn read_and_check(file: BorrowedFd<'_>, most_bytes: usize) -> Result<(Facts, [u8; 32]), Failure> {
    let size = node::stat_fd(file).map_err(failed("stat the index"))?.size;
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if size > most_bytes {
        let text = format!("an index of {size} bytes is longer than {most_bytes}: `index_bytes`");
        return Err(Failure::new(Code::Limit, text));
    }
    let _one = (size > LARGE_BYTES).then(|| LARGE.lock());
    let bytes = read(file, size)?;
    let facts = check(&bytes).map_err(|refusal| invalid(refusal.to_string()))?;
    let digest: [u8; 32] = Sha256::digest(&bytes).into();
    let sealed = xattr::get_fd(file, DIGEST).map_err(failed("read the digest of the index"))?;
    match sealed {
        Some(sealed) if sealed != digest => Err(Failure::new(
            Code::Io,
            "the index of the layer was changed on disk: it is not the one that was sealed",
        )),
        _ => Ok((facts, digest)),
    }
}

/// Reads a file of this size.
fn read(file: BorrowedFd<'_>, size: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = vec![0; size];
    let read = content::read_full_at(file, &mut bytes, 0).map_err(failed("read the index"))?;
    if read < size {
        return Err(invalid("the index became shorter while it was read"));
    }
    Ok(bytes)
}

/// Opens the top of a room's image, which is attached if it is not yet.
fn attached(room: BorrowedFd<'_>, most_bytes: usize) -> Result<OwnedFd, Failure> {
    let opening = failed("open the image");
    let top = named(TOP).map_err(&opening)?;
    // Most images are attached already.
    let opened = node::open_mounted(room, &top).map_err(&opening)?;
    let found = filesystem::statfs(opened.as_fd()).map_err(&opening)?;
    if found.magic == MAGIC {
        return Ok(opened);
    }
    drop(opened);
    let found = node::stat_fd(room).map_err(&opening)?;
    let _one = one::at_a_time((found.device, found.inode));
    match node::open_directory(room, &top) {
        Ok(target) => {
            let files = Files::open(room).map_err(lost)?;
            files.check(most_bytes)?;
            mount::image(files.index.as_fd(), files.archive.as_fd())
                .and_then(|image| image.attach(target.as_fd()))
                .map_err(failed("mount the image"))?;
        }
        // Something is mounted there already.
        Err(error) if errno::of(&error) == Some(errno::EXDEV) => {}
        Err(error) => return Err(opening(error)),
    }
    let opened = node::open_mounted(room, &top).map_err(&opening)?;
    let found = filesystem::statfs(opened.as_fd()).map_err(&opening)?;
    match found.magic == MAGIC {
        true => Ok(opened),
        false => Err(Failure::new(
            Code::Io,
            "something else than an image is mounted on `image` of the room; unmount it",
        )),
    }
}

/// Whether a room has an archive that was kept, with an index or without.
///
/// # Errors
/// What looking says.
pub fn is_kept(room: BorrowedFd<'_>) -> io::Result<bool> {
    match node::open_directory(room, &named(SEALED)?) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        found => found.map(|_| true),
    }
}

/// Takes away the image that is attached in a room, if one is. Whoever uses it keeps it.
///
/// # Errors
/// What unmounting says.
pub fn detach(room: BorrowedFd<'_>) -> io::Result<()> {
    match mount::unmount(room, &named(TOP)?, Unmount::Detach) {
        Err(error) if matches!(errno::of(&error), Some(errno::EINVAL | errno::ENOENT)) => Ok(()),
        done => done,
    }
}

impl State {
    /// The room that a handle is, and its layer.
    fn image_room(&mut self, handle: &Resource<Directory>) -> HostResult<(Directory, Arc<str>)> {
        let directory = self.at(handle)?.clone();
        let Position::Room { layer } = directory.position() else {
            return Err(invalid("the directory is not the room of a layer").into());
        };
        let layer = Arc::clone(layer);
        Ok((directory, layer))
    }
}

impl wit::Host for State {
    fn keep(&mut self, room: Resource<Directory>, archive: Resource<Source>) -> HostResult<()> {
        let (room, _) = self.image_room(&room)?;
        let making = failed("make `sealed/layer.tar`");
        let room = room.writable()?.fd();
        let file = named(SEALED)
            .and_then(|name| node::create_directory(room, &name, 0o700))
            .and_then(|made| node::create_regular(made.as_fd(), &named(ARCHIVE)?, SEALED_MODE))
            .map_err(making)?;
        Ok(self.handles.get_mut(&archive)?.keep(file)?)
    }

    fn kept(&mut self, archive: Resource<Source>) -> HostResult<wit::Archive> {
        let kept = self.at(&archive)?.kept()?;
        Ok(wit::Archive {
            bytes: kept.bytes,
            sha256: kept.sha256.to_vec(),
        })
    }

    fn again(&mut self, room: Resource<Directory>) -> HostResult<Resource<Source>> {
        let (room, _) = self.image_room(&room)?;
        let opened = named(SEALED)
            .and_then(|name| node::open_directory(room.fd(), &name))
            .and_then(|sealed| node::open_regular(sealed.as_fd(), &named(ARCHIVE)?))
            .map_err(failed("open `sealed/layer.tar`"))?;
        let source = Source::from_reader(Box::new(File::from(opened)));
        self.handles.push(source)
    }

    fn seal(&mut self, room: Resource<Directory>, archive: Resource<Source>) -> HostResult<()> {
        let (room, _) = self.image_room(&room)?;
        let kept = self.handles.get_mut(&archive)?.kept()?;
        let room = room.writable()?.fd();
        let files = Files::open(room).map_err(failed("open the image's files"))?;
        let (facts, digest) = files.check(self.limits.index_bytes)?;
        if facts.archive_sha256 != kept.sha256 {
            return Err(invalid("the index was made for another archive").into());
        }
        let sealing = failed("seal the image");
        xattr::set_fd(files.index.as_fd(), DIGEST, &digest).map_err(&sealing)?;
        node::set_mode_fd(files.index.as_fd(), SEALED_MODE).map_err(&sealing)?;
        named(TOP)
            .and_then(|name| node::create_directory(room, &name, 0o700))
            .map_err(&sealing)?;
        Ok(())
    }

    fn open(&mut self, room: Resource<Directory>) -> HostResult<Resource<Directory>> {
        self.ask()?;
        let (room, layer) = self.image_room(&room)?;
        let top = attached(room.fd(), self.limits.index_bytes)?;
        let name = named(TOP).map_err(failed("open the image"))?;
        let position = Position::InRoom { layer, name };
        self.handles.push(Directory::read_only(top, position))
    }

    fn send(&mut self, room: Resource<Directory>, sink: Resource<Sink>) -> HostResult<()> {
        let (room, _) = self.image_room(&room)?;
        let files = Files::open(room.fd()).map_err(failed("open the image's files"))?;
        let (facts, _) = files.check(self.limits.index_bytes)?;
        let (archive, sha256) = (files.archive.as_fd(), facts.archive_sha256);
        let identity = || Identity::of(archive).map_err(failed("stat the archive"));
        let before = identity()?;
        let is_known = before.is_some_and(|identity| identity.has(sha256));
        let size = node::stat_fd(archive)
            .map_err(failed("stat the archive"))?
            .size;
        let sink_of_client = self.handles.get_mut(&sink)?;
        let sent = sink_of_client.append_whole(archive, size, (sha256, is_known));
        self.excuse_sink(&sink);
        sent?;
        let checked = identity().and_then(|after| match before {
            Some(before) if after == Some(before) => {
                before.found(sha256);
                Ok(())
            }
            // It was not known, and is right; it may be changing now.
            _ if !is_known => Ok(()),
            _ => {
                let text = "the archive of the layer was changed on disk while it was sent";
                Err(Failure::new(Code::Io, text))
            }
        });
        if checked.is_err() {
            self.handles.get_mut(&sink)?.spoil();
        }
        Ok(checked?)
    }
}
