//! Everything that a store on a path would need, tried out.
//!
//! Invariant: a thing that is missing is an answer; an error means that the path cannot be looked at.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use mica_engine::Limits;
use mica_sys::filesystem::{self, Statfs, Support};
use mica_sys::{KernelFacts, kernel_facts, mount};

use super::{Check, Need, Report, capabilities, file_system};
use crate::children;

/// Bytes that should be free: a root file system and one copy of it.
const WANTED_BYTES: u64 = 2 << 30;
/// Descriptors that the usual limits need: 2048 handles of each of 128 operations, and connections.
const WANTED_DESCRIPTORS: u64 = 270_000;
/// Inodes that should be free: a root file system of a distribution and one copy of it.
const WANTED_INODES: u64 = 200_000;

/// Tries out what drivers need, on the directory `path` or the nearest above it that exists.
///
/// # Errors
/// What opening the directory says.
pub(crate) fn examine(path: &Path) -> io::Result<Report> {
    let path = nearest(path)?;
    let directory = File::open(&path)?;
    let room = filesystem::statfs(directory.as_fd())?;
    let facts = kernel_facts();
    let mut checks = kernel(facts);
    checks.extend(rights());
    checks.push(compiler());
    checks.push(open_files());
    checks.extend(places(directory.as_fd()));
    checks.extend(enough(&room));
    Ok(Report {
        kernel: facts.release.clone(),
        file_system: file_system(&path)?.name,
        room,
        path,
        checks,
    })
}

/// The path if it is a directory, else the nearest directory above it.
fn nearest(path: &Path) -> io::Result<PathBuf> {
    let full = std::path::absolute(path)?;
    let found = full.ancestors().find(|path| path.is_dir());
    found
        .map(Path::to_owned)
        .ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn check(name: &'static str, need: Need, detail: &'static str, missing: Option<String>) -> Check {
    Check {
        name,
        need,
        detail,
        missing,
    }
}

/// `None` if it is there, else the remedy.
fn unless(is_there: bool, remedy: &str) -> Option<String> {
    (!is_there).then(|| remedy.to_owned())
}

/// What the kernel can do: name, need, meaning, whether it is there, and the remedy if it is not.
fn kernel(facts: &KernelFacts) -> Vec<Check> {
    let has = |name| facts.has_filesystem(name);
    let openat2 = "Linux 5.6 or later; a container's seccomp profile may forbid it";
    let mount_api = "Linux 5.2 or later; mount(2) is used instead, with at most a page of options";
    let by_path = "Linux 6.13 or later; paths below /proc/self/fd are used instead";
    let statmount = "Linux 6.8 or later; /proc/self/mountinfo is read instead";
    let btrfs = "`modprobe btrfs`, if a store shall lie on btrfs";
    let overlay = ("overlay", "the kernel's overlay file system");
    let handles = ("overlay by handles", "500 layers without a path");
    let xattrs = ("xattrs by handle", "xattrs of symbolic links");
    let rows = [
        (
            ("openat2", "confined paths"),
            Need::All,
            facts.openat2,
            openat2,
        ),
        (overlay, Need::Some, has("overlay"), "`modprobe overlay`"),
        (
            ("mount API", "mounts as handles"),
            Need::Nice,
            facts.mount_api,
            mount_api,
        ),
        (handles, Need::Nice, facts.overlay_fds, by_path),
        (
            ("statmount", "mounts listed by the kernel"),
            Need::Nice,
            facts.statmount,
            statmount,
        ),
        (xattrs, Need::Nice, facts.xattrat, by_path),
        (
            ("btrfs", "snapshots and shared blocks"),
            Need::Nice,
            has("btrfs"),
            btrfs,
        ),
    ];
    rows.into_iter()
        .map(|((name, detail), need, is_there, remedy)| {
            check(name, need, detail, unless(is_there, remedy))
        })
        .collect()
}

fn rights() -> Vec<Check> {
    let in_namespace = mount::in_user_namespace();
    let remedy = "run as root of the machine; in a user namespace overlay marks files with user xattrs, and device nodes cannot be made";
    let bits = capabilities::effective();
    let mut checks = vec![check(
        "user namespace",
        Need::Nice,
        "this is the machine's own",
        unless(!in_namespace, remedy),
    )];
    for capability in &capabilities::NEEDED {
        let remedy = format!(
            "give this process CAP_{}: run as root, or with `setpriv` or a service manager",
            capability.name
        );
        checks.push(check(
            capability.name,
            Need::All,
            capability.reason,
            unless(capability.is_in(bits), &remedy),
        ));
    }
    checks
}

/// Whether a component that is checked and compiled here is kept from everything else.
fn compiler() -> Check {
    let lacks = mica_runtime::probe_compiler(&children::compiler(), &Limits::default());
    let missing = match lacks {
        Ok(lacks) if lacks.is_empty() => None,
        Ok(lacks) => Some(format!(
            "components are compiled all the same, with less around the compiler: {}",
            lacks.join("; ")
        )),
        Err(error) => Some(format!("run as root: {error}")),
    };
    let detail = "strangers' components are compiled apart";
    check("confined compiler", Need::Nice, detail, missing)
}

/// Whether the daemon may raise its limit of descriptors as far as its usual limits need.
fn open_files() -> Check {
    let hard = mica_sys::open_files_limit();
    let may_raise = capabilities::may_raise_limits();
    check(
        "open files",
        Need::Nice,
        "descriptors for all operations at once",
        unless(
            may_raise || hard >= WANTED_DESCRIPTORS,
            "raise `LimitNOFILE` of the service, or `ulimit -Hn`: with few descriptors one busy driver leaves none for others",
        ),
    )
}

fn places(directory: BorrowedFd<'_>) -> Vec<Check> {
    let answer = |found: io::Result<Support>| match found {
        Ok(Support::Available) => None,
        Ok(Support::Missing(why)) => Some(why),
        Err(error) => Some(format!(
            "try it as root on a file system that can be written: {error}"
        )),
    };
    vec![
        check(
            "d_type",
            Need::Some,
            "directories tell types",
            answer(filesystem::probe_d_type(directory)),
        ),
        check(
            "overlay mount",
            Need::Some,
            "a test mount works",
            answer(filesystem::probe_overlay(directory)),
        ),
        check(
            "images",
            Need::Some,
            "EROFS images in files can be mounted",
            answer(mica_runtime::probe_images(directory)),
        ),
        check(
            "native diff",
            Need::Nice,
            "uppers hold the whole difference",
            answer(filesystem::probe_native_diff(directory)),
        ),
        check(
            "reflink",
            Need::Nice,
            "copies share blocks",
            answer(filesystem::probe_reflink(directory)),
        ),
    ]
}

fn enough(room: &Statfs) -> Vec<Check> {
    let has_bytes = room.free_bytes >= WANTED_BYTES;
    let has_inodes = room.total_inodes == 0 || room.free_inodes >= WANTED_INODES;
    vec![
        check(
            "free space",
            Need::Nice,
            "2 GiB or more",
            unless(
                has_bytes,
                "less than 2 GiB are free: remove something, or use a larger disk",
            ),
        ),
        check(
            "free inodes",
            Need::Nice,
            "200000 or more",
            unless(
                has_inodes,
                "few inodes are free: make the file system anew with more, or use xfs or btrfs",
            ),
        ),
    ]
}
