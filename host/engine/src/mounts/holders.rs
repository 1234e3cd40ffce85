//! Who keeps a mount busy, as far as it can be seen.
//!
//! Invariant: looks only, and at a bounded number of files of other processes.

use mica_sys::mount::{mounts_below, root_of, shown_below};
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::SafeText;

/// Links of processes that are looked at: those of some thousand processes.
const MAX_LINKS: usize = 200_000;
/// Processes that are told of a mount: who looks for more has tools for that.
const MAX_PROCESSES: usize = 16;

/// Says what holds a mount, as the end of a sentence about it.
pub(crate) fn holder(path: &Path) -> String {
    let mounts = mounts_below(path).unwrap_or_default();
    let inner = mounts
        .iter()
        .map(|mount| Path::new(OsStr::from_bytes(&mount.mount_point)))
        .find(|point| *point != path);
    if let Some(inner) = inner {
        let inner = SafeText::label(&inner.to_string_lossy());
        return format!("`{inner}` is mounted within it; unmount that first");
    }
    match process(path) {
        Some((pid, name)) => format!(
            "process {pid} (`{name}`) uses files below `{}`",
            path.display()
        ),
        None => format!(
            "no process that Mica may look at uses files below `{0}`; it may be one with more rights, a loop device or a swap \
             file: `fuser -vm {0}` tells",
            path.display()
        ),
    }
}

/// A process that has a directory or a file below a path.
fn process(path: &Path) -> Option<(u32, SafeText)> {
    let mut found = None;
    each_link(|pid, target| {
        if !target.starts_with(path) {
            return ControlFlow::Continue(());
        }
        found = Some((pid, name_of(pid)));
        ControlFlow::Break(())
    });
    found
}

/// The processes whose root is a mount on one of the directories of `points`, which their mount tables tell to everyone, and those that
/// have a directory or a file below, which only some let be seen: by the name of that directory.
pub(crate) fn processes_below(points: &Path) -> HashMap<OsString, Vec<(u32, SafeText)>> {
    let mut found: HashMap<OsString, Vec<(u32, SafeText)>> = HashMap::new();
    let mut note = |point: &OsStr, pid| {
        let of_point = found.entry(point.to_owned()).or_default();
        let is_known = of_point.iter().any(|(known, _)| *known == pid);
        if !is_known && of_point.len() < MAX_PROCESSES {
            of_point.push((pid, name_of(pid)));
        }
    };
    let mounted = shown_below(points).unwrap_or_default();
    let mounted: HashMap<_, _> = mounted
        .into_iter()
        .map(|(point, shown)| (shown, point))
        .collect();
    for pid in pids() {
        // One that has just ended has none.
        let root = root_of(pid).ok().flatten();
        let point = root.and_then(|root| mounted.get(&root)?.strip_prefix(points).ok());
        if let Some(point) = point.and_then(|below| below.iter().next()) {
            note(point, pid);
        }
    }
    each_link(|pid, target| {
        let below = target.strip_prefix(points).ok();
        if let Some(point) = below.and_then(|below| below.iter().next()) {
            note(point, pid);
        }
        ControlFlow::Continue(())
    });
    found
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Looks at the links of processes to their directories and files until `see` breaks.
fn each_link(mut see: impl FnMut(u32, &Path) -> ControlFlow<()>) {
    let mut left = MAX_LINKS;
    for pid in pids() {
        let process = Path::new("/proc").join(pid.to_string());
        let files = fs::read_dir(process.join("fd")).into_iter().flatten();
        let files = files.flatten().map(|file| file.path());
        let own = ["cwd", "root", "exe"].map(|link| process.join(link));
        let links = own
            .into_iter()
            .chain(files)
            // A process can have millions of descriptors, and a message is not worth reading them all.
            .take(left)
            .inspect(|_| left -= 1);
        for target in links.filter_map(|link| fs::read_link(link).ok()) {
            if see(pid, &target).is_break() {
                return;
            }
        }
    }
}

fn name_of(pid: u32) -> SafeText {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    SafeText::label(name.trim())
}
