//! Overlay mounts, built from directory descriptors.
//!
//! ```text
//! Linux 6.13   fsopen, each layer as a descriptor                up to 500 lowers
//! Linux 6.7    fsopen, each layer as the path of its descriptor  up to 500 lowers
//! before       mount(2), all layers in one string                as many as fit a page
//! ```
//!
//! Invariant: `redirect_dir`, `metacopy`, `index` and `xino` are always said, so that an upper holds
//! the complete difference and nothing else, whatever the kernel was built with.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use rustix::io::{Errno, read};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_fd, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};

use super::DetachedMount;
use super::classic;
use super::error::explained;
use super::namespace::in_user_namespace;
use crate::raw::descriptor_path;

/// The most lower directories that the kernel takes.
pub const MAX_LOWERS: usize = 500;

/// What is always said, so that the kernel's defaults do not matter.
pub(super) const OPTIONS: &[(&str, &str)] = &[
    ("redirect_dir", "nofollow"),
    ("metacopy", "off"),
    ("index", "off"),
    ("xino", "off"),
];

/// The most bytes of one message of the kernel that are read.
const MESSAGE_BYTES: usize = 512;
/// The most messages of the kernel that are read; it keeps eight.
const MESSAGE_COUNT: usize = 8;

/// What an overlay is made of.
#[derive(Debug, Clone, Copy)]
pub struct Overlay<'a> {
    /// The lower directories, nearest first: 1 to 500, or 2 to 500 without an upper.
    pub lowers: &'a [BorrowedFd<'a>],
    /// Where changes go, and a directory of the same file system for the kernel's own use.
    pub upper_and_work: Option<(BorrowedFd<'a>, BorrowedFd<'a>)>,
    /// An SELinux context for all files of the view.
    pub label: Option<&'a str>,
    /// Whether nothing can be changed. Always so without an upper.
    pub read_only: bool,
}

/// The ways to mount an overlay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Each layer as a descriptor.
    Descriptors,
    /// Each layer as the path of its descriptor.
    Paths,
    /// All layers in one string.
    Classic,
}

/// Mounts an overlay, attached nowhere, in the best way that the kernel has.
///
/// # Errors
/// Those of the kernel, with its own words. EINVAL with an explanation for a wrong number of lowers
/// and for a label that cannot be passed on, E2BIG when the kernel is too old for so many lowers,
/// EBUSY when the upper is in use, ENODEV when the kernel has no overlay.
pub fn overlay(plan: &Overlay<'_>) -> io::Result<DetachedMount> {
    overlay_by(way(), plan)
}

/// Mounts an overlay in one certain way.
pub(super) fn overlay_by(way: Way, plan: &Overlay<'_>) -> io::Result<DetachedMount> {
    check_plan(plan)?;
    match way {
        Way::Descriptors => modern(plan, &|context, key, layer| {
            Ok(fsconfig_set_fd(context, key, layer)?)
        }),
        Way::Paths => modern(plan, &|context, key, layer| {
            Ok(fsconfig_set_string(context, key, descriptor_path(layer))?)
        }),
        Way::Classic => classic::overlay(plan),
    }
}

/// The best way that the kernel has, found by trying and remembered.
pub(crate) fn way() -> Way {
    static FOUND: OnceLock<Way> = OnceLock::new();
    *FOUND.get_or_init(find_way)
}

fn find_way() -> Way {
    // A parameter that the kernel does not know makes the context fail, so each try has its own.
    let open = || fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC);
    let Ok(context) = open() else {
        return Way::Classic;
    };
    let flags =
        rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
    let root = rustix::fs::open("/", flags, rustix::fs::Mode::empty());
    if root.is_ok_and(|root| fsconfig_set_fd(&context, "lowerdir+", &root).is_ok()) {
        return Way::Descriptors;
    }
    if open().is_ok_and(|context| fsconfig_set_string(&context, "lowerdir+", "/").is_ok()) {
        return Way::Paths;
    }
    Way::Classic
}

/// Refuses what no kernel takes, in words that say why.
fn check_plan(plan: &Overlay<'_>) -> io::Result<()> {
    let least = if plan.upper_and_work.is_some() { 1 } else { 2 };
    if plan.lowers.len() < least {
        let text = format!(
            "an overlay {} an upper needs at least {least} lower directories, not {}",
            if least == 1 { "with" } else { "without" },
            plan.lowers.len(),
        );
        return Err(explained(libc::EINVAL, text));
    }
    if plan.lowers.len() > MAX_LOWERS {
        let text = format!(
            "{} lower directories, the limit is {MAX_LOWERS}",
            plan.lowers.len()
        );
        return Err(explained(libc::EINVAL, text));
    }
    let passable = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    if plan
        .label
        .is_some_and(|label| label.is_empty() || !label.bytes().all(passable))
    {
        return Err(explained(
            libc::EINVAL,
            "the mount label has bytes that no label can have",
        ));
    }
    Ok(())
}

type SetLayer<'a> = &'a dyn Fn(&OwnedFd, &str, BorrowedFd<'_>) -> io::Result<()>;

/// The ways by `fsopen`; `set_layer` hands one directory to the kernel.
fn modern(plan: &Overlay<'_>, set_layer: SetLayer<'_>) -> io::Result<DetachedMount> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    configure(&context, plan, set_layer).map_err(|error| with_words(&context, error))?;
    // On the mount as well as on the file system: a remount of either alone would not make it writable.
    let attributes = if plan.read_only || plan.upper_and_work.is_none() {
        MountAttrFlags::MOUNT_ATTR_RDONLY
    } else {
        MountAttrFlags::empty()
    };
    let top = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
        .map_err(|error| with_words(&context, error.into()))?;
    Ok(DetachedMount::new(top))
}

/// Says everything to the kernel and makes the file system.
fn configure(context: &OwnedFd, plan: &Overlay<'_>, set_layer: SetLayer<'_>) -> io::Result<()> {
    fsconfig_set_string(context, "source", "overlay")?;
    for (key, value) in OPTIONS {
        set_if_known(context, key, value)?;
    }
    // Marks in `trusted.*` need CAP_SYS_ADMIN in the first user name space.
    if in_user_namespace() {
        fsconfig_set_flag(context, "userxattr")?;
    }
    if let Some(label) = plan.label {
        fsconfig_set_string(context, "context", label)?;
    }
    if plan.read_only {
        fsconfig_set_flag(context, "ro")?;
    }
    // The first is the nearest; each further one goes below the last.
    for lower in plan.lowers {
        set_layer(context, "lowerdir+", *lower)?;
    }
    if let Some((upper, work)) = plan.upper_and_work {
        set_layer(context, "upperdir", upper)?;
        set_layer(context, "workdir", work)?;
    }
    Ok(fsconfig_create(context)?)
}

/// Sets an option; one that the kernel does not know has no default to fear.
fn set_if_known(context: &OwnedFd, key: &str, value: &str) -> io::Result<()> {
    match fsconfig_set_string(context, key, value) {
        Err(Errno::INVAL) => {
            let words = words(context);
            // EINVAL also means a value that is refused. Capital or not differs between kernels.
            if words.contains("nknown parameter") {
                return Ok(());
            }
            Err(explained(libc::EINVAL, format!("{key}={value}: {words}")))
        }
        done => Ok(done?),
    }
}

/// Adds the kernel's words to an error that has none yet.
pub(super) fn with_words(context: &OwnedFd, error: io::Error) -> io::Error {
    let Some(number) = error.raw_os_error() else {
        return error;
    };
    let words = words(context);
    if words.is_empty() {
        error
    } else {
        explained(number, words)
    }
}

/// What the kernel has to say about a context: one line for each read, such as
/// `e overlay: Unknown parameter 'x'`.
#[expect(
    clippy::indexing_slicing,
    reason = "a read fills no more than the buffer"
)]
fn words(context: &OwnedFd) -> String {
    let mut all = Vec::new();
    let mut buffer = [0_u8; MESSAGE_BYTES];
    for _ in 0..MESSAGE_COUNT {
        let Ok(length @ 1..) = read(context.as_fd(), &mut buffer) else {
            break;
        };
        let line = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let text = line.trim_end();
        let text = text
            .strip_prefix("e ")
            .or_else(|| text.strip_prefix("w "))
            .unwrap_or(text);
        all.push(text.to_owned());
    }
    all.join("; ")
}
