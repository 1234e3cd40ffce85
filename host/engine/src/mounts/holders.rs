//! Who keeps a mount busy, as far as it can be seen.
//!
//! Invariant: looks only, and at a bounded number of files of other processes.

use mica_sys::mount::mounts_below;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::SafeText;

/// Links of processes that are looked at: those of some thousand processes.
const MAX_LINKS: usize = 200_000;

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
    let mut left = MAX_LINKS;
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let process = entry.path();
        let files = fs::read_dir(process.join("fd")).into_iter().flatten();
        let files = files.flatten().map(|file| file.path());
        let own = ["cwd", "root", "exe"].map(|link| process.join(link));
        let mut links = own
            .into_iter()
            .chain(files)
            // A process can have millions of descriptors, and a message is not worth reading them all.
            .take(left)
            .inspect(|_| left -= 1);
        if links.any(|link| fs::read_link(link).is_ok_and(|target| target.starts_with(path))) {
            let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
            return Some((pid, SafeText::label(name.trim())));
        }
    }
    None
}
