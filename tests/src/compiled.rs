//! Compiled code of the drivers that ship, handed from one daemon to the next: each would take seconds to compile them
//! again.
//!
//! Invariant: what is handed on was compiled by the very program that gets it, and before any client could load a driver.
//! A daemon with settings of its own compiles for itself, and nothing of it is kept.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use crate::build;

/// The directory of a root in which the daemon keeps code.
const CACHE: &str = "code-cache";
/// The directory of a root in which the daemon keeps drivers that clients loaded.
const LOADED: &str = "drivers";

/// Whether no daemon has compiled anything in this root, and no client has loaded a driver. What a client's driver would
/// leave to others fills their small disks, and is found by a test that wants to see it compiled.
pub fn is_new(root: &Path) -> bool {
    [CACHE, LOADED].iter().all(|name| !root.join(name).exists())
}

/// Gives a root that has no code yet what others have compiled.
pub fn lend(root: &Path) {
    if let Some(from) = shared()
        && from.is_dir()
    {
        // As the daemon would make it.
        DirBuilder::new().mode(0o700).create(root).ok();
        let to = root.join(CACHE);
        if directory(&to) {
            copy(&from, &to);
        }
    }
}

/// Keeps what a daemon in a new root compiled to start, for those that come.
pub fn keep(root: &Path) {
    if let Some(to) = shared() {
        if directory(&to) {
            forget_others(&to);
        }
        copy(&root.join(CACHE), &to);
    }
}

/// Where this program's code is kept; `None` where another program is tested than the one that was built here.
fn shared() -> Option<PathBuf> {
    if std::env::var_os("MICA_BIN").is_some() {
        return None;
    }
    let program = fs::metadata(build::mica()).expect("the program");
    let key = format!("code-{}-{}", program.mtime(), program.mtime_nsec());
    Some(build::target().join("test-guests").join(key))
}

/// Removes what earlier programs compiled.
fn forget_others(own: &Path) {
    let beside = own.parent().expect("it lies in a directory");
    for entry in fs::read_dir(beside).expect("list").flatten() {
        let is_code = entry.file_name().to_string_lossy().starts_with("code-");
        if is_code && entry.path() != own {
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}

/// Makes a directory that the daemon takes for its code; says whether it was not there.
fn directory(path: &Path) -> bool {
    DirBuilder::new().mode(0o700).create(path).is_ok()
}

/// Copies the files that are not there. Others may do the same at the same time.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("compiled code").flatten() {
        let name = entry.file_name();
        let at = to.join(&name);
        if at.exists() || name.to_string_lossy().contains(".new") {
            continue;
        }
        let staged = to.join(format!("{}.new{}", name.display(), std::process::id()));
        fs::copy(entry.path(), &staged).expect("copy compiled code");
        fs::rename(&staged, &at).expect("publish compiled code");
    }
}
