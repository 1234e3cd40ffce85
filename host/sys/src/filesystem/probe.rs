//! What a file system can do, found by trying it.
//!
//! Invariant: a missing feature is an answer, not an error; an error means that the try itself was
//! not possible.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{FileType, RawDir};

use super::Support;
use super::scratch::Scratch;
use crate::content::{self, Copied};
use crate::mount::{self, DetachedMount, Overlay, in_user_namespace, opaque_xattr};
use crate::node::{self, Kind};
use crate::raw::{is, os_error};
use crate::{Name, errno, has_writers, xattr};

/// Bytes of the file that the reflink probe shares: enough to be in a block of its own on every
/// file system, which keep smaller ones beside the inode.
const SHARED_BYTES: usize = 64 * 1024;

/// Finds out whether directory entries tell the type of a node; overlay needs that.
///
/// # Errors
/// What making and removing nodes in `dir` says.
pub fn probe_d_type(dir: BorrowedFd<'_>) -> io::Result<Support> {
    let scratch = Scratch::create(dir)?;
    node::create_regular(scratch.dir(), &named("file")?, 0o600)?;
    node::create_directory(scratch.dir(), &named("directory")?, 0o700)?;
    let reader = node::reopen(scratch.dir())?;
    let mut buffer = Vec::with_capacity(node::LISTING_BYTES);
    let mut entries = RawDir::new(reader, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let is_own = !matches!(entry.file_name().to_bytes(), b"." | b"..");
        if is_own && entry.file_type() == FileType::Unknown {
            return Ok(missing(
                "directory entries do not tell the type of a node; \
                 make the file system anew, xfs with `mkfs.xfs -n ftype=1`",
            ));
        }
    }
    Ok(Support::Available)
}

/// Finds out whether files can share blocks.
///
/// # Errors
/// What making and removing nodes in `dir` says.
pub fn probe_reflink(dir: BorrowedFd<'_>) -> io::Result<Support> {
    let scratch = Scratch::create(dir)?;
    let original = node::create_regular(scratch.dir(), &named("original")?, 0o600)?;
    let copy = node::create_regular(scratch.dir(), &named("copy")?, 0o600)?;
    content::write_all_at(original.as_fd(), &vec![0x6d; SHARED_BYTES], 0)?;
    Ok(match content::copy(original.as_fd(), copy.as_fd())? {
        Copied::Reflink => Support::Available,
        Copied::Bytes => missing(
            "files of this file system cannot share blocks; use btrfs, or xfs with `mkfs.xfs -m reflink=1`",
        ),
    })
}

/// Finds out whether an overlay works here: mounts one of two lowers and an upper, attached nowhere,
/// and reads, writes and removes through it.
///
/// # Errors
/// What making and removing nodes in `dir` says.
pub fn probe_overlay(dir: BorrowedFd<'_>) -> io::Result<Support> {
    let layers = Layers::create(dir)?;
    node::create_regular(layers.far.as_fd(), &named("old")?, 0o600)?;
    node::create_regular(layers.near.as_fd(), &named("new")?, 0o600)?;
    let mounted = match layers.mount() {
        Ok(mounted) => mounted,
        Err(error) => return Ok(missing(&overlay_remedy(&error))),
    };
    let root = mounted.root()?;
    let tried = try_overlay(&layers, root.as_fd());
    Ok(match tried {
        Ok(true) => Support::Available,
        Ok(false) => missing("an overlay on this file system shows or keeps the wrong nodes"),
        Err(error) => missing(&format!(
            "changing a test overlay on this file system: {error}; use ext4, xfs or btrfs"
        )),
    })
}

/// What is in the image that a test mounts.
#[derive(Debug, Clone, Copy)]
pub struct TestImage<'a> {
    /// The image.
    pub index: &'a [u8],
    /// Its contents, which are those of its file as well.
    pub archive: &'a [u8],
    /// The name of the file.
    pub file: &'a str,
    /// Extended attributes of the file: a kernel may be built without them.
    pub xattrs: &'a [(&'a [u8], &'a [u8])],
}

/// Finds out whether an image that lies in files here can be mounted: mounts one, attached nowhere, and reads its file.
///
/// # Errors
/// What making and removing nodes in `dir` says.
pub fn probe_image(dir: BorrowedFd<'_>, image: &TestImage<'_>) -> io::Result<Support> {
    let TestImage {
        index,
        archive,
        file,
        xattrs,
    } = *image;
    let scratch = Scratch::create(dir)?;
    let make = |name: &str, bytes: &[u8]| {
        let made = node::create_regular(scratch.dir(), &named(name)?, 0o600)?;
        content::write_all_at(made.as_fd(), bytes, 0)?;
        Ok::<_, io::Error>(made)
    };
    drop(make("index", index)?);
    let data = make("archive", archive)?;
    let index = node::open_regular(scratch.dir(), &named("index")?)?;
    if let Err(error) = has_writers(index.as_fd()) {
        return Ok(missing(&format!(
            "asking for a lease on a file of this file system: {error}; use ext4, xfs or btrfs"
        )));
    }
    let mounted = match mount::image(index.as_fd(), data.as_fd()) {
        Ok(mounted) => mounted,
        Err(error) => return Ok(missing(&image_remedy(&error))),
    };
    let read = || {
        let file = node::open_regular(mounted.root()?.as_fd(), &named(file)?)?;
        for (name, value) in xattrs {
            if xattr::get_fd(file.as_fd(), name)?.as_deref() != Some(*value) {
                return Ok(false);
            }
        }
        let mut bytes = vec![0; archive.len()];
        let length = content::read_at(file.as_fd(), &mut bytes, 0)?;
        Ok::<_, io::Error>(length == archive.len() && bytes == archive)
    };
    Ok(match read() {
        Ok(true) => Support::Available,
        Ok(false) => missing(
            "an image on this file system shows the wrong bytes or attributes; the kernel must have EROFS_FS_XATTR and EROFS_FS_POSIX_ACL",
        ),
        Err(error) => missing(&format!(
            "reading a test image on this file system: {error}"
        )),
    })
}

/// Why no image can be mounted, and what would help.
fn image_remedy(error: &io::Error) -> String {
    let remedy = match errno::of(error) {
        Some(libc::ENODEV) => "load the kernel's module with `modprobe erofs`",
        Some(libc::EPERM) if in_user_namespace() => "the kernel mounts none in a user namespace",
        Some(libc::EPERM | libc::EACCES) => "run as root, with the capability SYS_ADMIN",
        _ => {
            "it takes Linux 6.12 or later with EROFS for files, and ext4, xfs or btrfs: neither a file system in memory nor \
             an overlay"
        }
    };
    format!("mounting a test image: {error}; {remedy}")
}

/// Finds out whether the upper of an overlay holds the complete difference: a directory that is
/// copied up is not marked opaque by mistake, and a renamed one leaves no redirect behind.
///
/// # Errors
/// What making and removing nodes in `dir` says.
pub fn probe_native_diff(dir: BorrowedFd<'_>) -> io::Result<Support> {
    let layers = Layers::create(dir)?;
    let (opaque, plain) = (named("opaque")?, named("plain")?);
    node::create_directory(layers.far.as_fd(), &opaque, 0o755)?;
    node::create_directory(layers.far.as_fd(), &plain, 0o755)?;
    let marked = node::create_directory(layers.near.as_fd(), &opaque, 0o755)?;
    if let Err(error) = xattr::set_fd(marked.as_fd(), opaque_xattr().as_bytes(), b"y") {
        return Ok(missing(&format!(
            "marking a directory with `{}`: {error}; the file system must keep extended attributes",
            opaque_xattr()
        )));
    }
    let mounted = match layers.mount() {
        Ok(mounted) => mounted,
        Err(error) => return Ok(missing(&overlay_remedy(&error))),
    };
    let root = mounted.root()?;
    let merged = node::open_directory(root.as_fd(), &opaque)?;
    node::create_regular(merged.as_fd(), &named("file")?, 0o600)?;
    if xattr::get(layers.upper.as_fd(), &opaque, opaque_xattr().as_bytes())?.is_some() {
        return Ok(missing(
            "the kernel copies opaque marks up; use Linux 4.8 or later",
        ));
    }
    probe_redirect(&layers, root.as_fd(), &plain)
}

/// Renames a directory of a lower: the kernel must refuse, or move it without a redirect.
fn probe_redirect(layers: &Layers<'_>, root: BorrowedFd<'_>, name: &Name) -> io::Result<Support> {
    let renamed = named("renamed")?;
    match node::rename(root, name, root, &renamed) {
        Err(error) if is(&error, libc::EXDEV) => return Ok(Support::Available),
        moved => moved?,
    }
    let prefix = opaque_xattr().trim_end_matches("opaque");
    let redirect = format!("{prefix}redirect");
    if xattr::get(layers.upper.as_fd(), &renamed, redirect.as_bytes())?.is_some() {
        return Ok(missing(
            "the kernel redirects renamed directories although told not to; \
             boot with `overlay.redirect_dir=off`",
        ));
    }
    Ok(Support::Available)
}

/// The directories of a test overlay.
struct Layers<'a> {
    // Declared first, so that it is dropped last of all that matters: the mount is gone by then.
    scratch: Scratch<'a>,
    far: std::os::fd::OwnedFd,
    near: std::os::fd::OwnedFd,
    upper: std::os::fd::OwnedFd,
    work: std::os::fd::OwnedFd,
}

impl<'a> Layers<'a> {
    fn create(dir: BorrowedFd<'a>) -> io::Result<Self> {
        let scratch = Scratch::create(dir)?;
        let make = |name: &str| node::create_directory(scratch.dir(), &named(name)?, 0o755);
        let (far, near, upper, work) = (make("far")?, make("near")?, make("upper")?, make("work")?);
        Ok(Self {
            scratch,
            far,
            near,
            upper,
            work,
        })
    }

    fn mount(&self) -> io::Result<DetachedMount> {
        mount::overlay(&Overlay {
            lowers: &[self.near.as_fd(), self.far.as_fd()],
            upper_and_work: Some((self.upper.as_fd(), self.work.as_fd())),
            label: None,
            read_only: false,
        })
    }
}

/// Whether the overlay shows both lowers, keeps a new file in the upper, and hides a removed one
/// with a whiteout there.
fn try_overlay(layers: &Layers<'_>, root: BorrowedFd<'_>) -> io::Result<bool> {
    let (old, new, made) = (named("old")?, named("new")?, named("made")?);
    let shown = node::stat(root, &old).is_ok() && node::stat(root, &new).is_ok();
    let file = node::create_regular(root, &made, 0o600)?;
    content::write_all_at(file.as_fd(), b"mica", 0)?;
    node::remove_file(root, &old)?;
    let kept = node::stat(layers.upper.as_fd(), &made)?.size == 4;
    let hidden = node::stat(layers.upper.as_fd(), &old)?;
    let is_whiteout =
        hidden.kind == Kind::CharacterDevice && (hidden.major, hidden.minor) == (0, 0);
    let untouched = node::stat(layers.far.as_fd(), &old)?.kind == Kind::Regular;
    Ok(shown
        && kept
        && is_whiteout
        && untouched
        && node::stat(layers.scratch.dir(), &made).is_err())
}

/// Why no overlay can be mounted, and what would help.
fn overlay_remedy(error: &io::Error) -> String {
    let remedy = match errno::of(error) {
        Some(libc::ENODEV) => "load the kernel's overlay module with `modprobe overlay`",
        Some(libc::EPERM) if in_user_namespace() => {
            "in a user namespace Linux 5.11 or later is needed"
        }
        Some(libc::EPERM | libc::EACCES) => {
            "run as root, with the capabilities SYS_ADMIN and DAC_OVERRIDE"
        }
        _ => "use ext4, xfs with `ftype=1`, or btrfs as the backing file system",
    };
    format!("mounting a test overlay: {error}; {remedy}")
}

fn missing(text: &str) -> Support {
    Support::Missing(text.to_owned())
}

fn named(text: &str) -> io::Result<Name> {
    Name::new(text.as_bytes()).or(Err(os_error(libc::EINVAL)))
}
