//! Where a store lies: in a directory below the root, or where a symbolic link there leads, on another file system for instance.
//!
//! ```text
//! <root>/stores/<name>                 the store, or a link to it
//! <directory>/<name>.<random>/         a store that lies elsewhere
//! <root>/stores/.<random>              what is being made, tried or given up, or a link to it: deleted at the start
//! ```
//!
//! Invariant: nothing elsewhere is deleted but a directory with a name that was made here, to which no store's link leads.

use crate::disk::files;
use crate::{Result, StoreName};
use mica_sys::{Name, node, tree};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// What a scratch directory calls a store that is removed with it.
pub(super) const REMOVED: &str = "store";

/// The directory of a store. A link that leads nowhere is told as it is, for whoever opens it to fail.
pub(crate) fn home_of(stores: &Path, name: &str) -> PathBuf {
    let entry = stores.join(name);
    match is_elsewhere(&entry) {
        // The kernel tells mount points as paths without links.
        true => entry
            .canonicalize()
            .or_else(|_| fs::read_link(&entry))
            .unwrap_or(entry),
        false => entry,
    }
}

/// Whether the entry of a store is a link to it.
pub(crate) fn is_elsewhere(entry: &Path) -> bool {
    entry.is_symlink()
}

/// A new name for the directory of a store elsewhere, which tells people whose it is and which nobody else has.
pub(super) fn new_name(store: &StoreName) -> io::Result<String> {
    Ok(format!("{store}.{}", files::random_name()?))
}

/// Deletes an entry beside the stores, and what it leads to.
///
/// # Errors
/// What the kernel says; a part may be gone.
pub(crate) fn clear(stores: &Path, top: BorrowedFd<'_>, name: &Name) -> io::Result<()> {
    let entry = stores.join(OsStr::from_bytes(name.as_bytes()));
    match fs::read_link(&entry) {
        Ok(target) => {
            clear_elsewhere(stores, &target)?;
            files::remove(&entry)
        }
        Err(_) => {
            if let Ok(target) = fs::read_link(entry.join(REMOVED)) {
                clear_elsewhere(stores, &target)?;
            }
            match tree::remove(top, name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                removed => removed.map(drop),
            }
        }
    }
}

/// Deletes the directory of a store elsewhere that is none any more.
fn clear_elsewhere(stores: &Path, target: &Path) -> io::Result<()> {
    let (Some(directory), Some(name)) = (target.parent(), target.file_name()) else {
        return Ok(());
    };
    let shown = target.display();
    if !is_of_ours(name) || is_in_use(stores, target)? {
        tracing::warn!(path = %shown, "a link leads to what is no left store, which stays");
        return Ok(());
    }
    let opened = match files::open_directory(directory) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            tracing::warn!(path = %shown, "what is left of a store may be there when its file system is mounted: delete it then");
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let name = Name::new(name.as_bytes()).map_err(io::Error::other)?;
    match tree::remove(opened.as_fd(), &name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map(drop),
    }
}

/// Whether a name is one of [`new_name`].
fn is_of_ours(name: &OsStr) -> bool {
    let parts = name.to_str().and_then(|name| name.rsplit_once('.'));
    parts.is_some_and(|(store, random)| {
        StoreName::parse(store).is_ok() && files::is_random_name(random)
    })
}

/// Whether the link of a store leads to a directory.
fn is_in_use(stores: &Path, target: &Path) -> io::Result<bool> {
    let Ok(target) = target.canonicalize() else {
        return Ok(false);
    };
    for entry in fs::read_dir(stores)? {
        let entry = entry?;
        let is_store = !entry.file_name().as_bytes().starts_with(b".");
        let leads = || entry.path().canonicalize().ok();
        if is_store && is_elsewhere(&entry.path()) && leads().as_deref() == Some(&*target) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Makes a link to a directory elsewhere, beside the stores.
pub(super) fn make_link(top: BorrowedFd<'_>, name: &Name, target: &Path) -> io::Result<()> {
    node::create_symlink(top, name, target.as_os_str().as_bytes())
}

/// Why a store cannot be opened whose directory is not there.
pub(crate) fn check_there(stores: &Path, name: &str) -> Result<()> {
    let (entry, home) = (stores.join(name), home_of(stores, name));
    if is_elsewhere(&entry) && !home.is_dir() {
        let doing = format!(
            "open store `{name}`, which lies at `{}`: mount its file system, then start the daemon anew",
            home.display()
        );
        return Err(crate::Error::io(doing, io::ErrorKind::NotFound.into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn nothing_elsewhere_goes_but_a_store_that_is_none_any_more() {
        let place = tempfile::tempdir().unwrap();
        let (stores, disk) = (place.path().join("stores"), place.path().join("disk"));
        let named = |name: &str| disk.join(format!("a.{}{name}", "0".repeat(31)));
        fs::create_dir_all(&stores).unwrap();
        let (live, left, odd) = (named("1"), named("2"), disk.join("photos"));
        for path in [&live, &left, &odd] {
            fs::create_dir_all(path.join("layers")).unwrap();
        }
        symlink(&live, stores.join("a")).unwrap();
        for (name, target) in [(".1", &live), (".2", &left), (".3", &odd)] {
            symlink(target, stores.join(name)).unwrap();
        }
        symlink(named("3"), stores.join(".4")).unwrap();
        let top = files::open_directory(&stores).unwrap();
        for name in [".1", ".2", ".3", ".4"] {
            let name = Name::new(name.as_bytes()).unwrap();
            clear(&stores, top.as_fd(), &name).unwrap();
        }
        assert!(live.is_dir() && odd.is_dir() && !left.exists());
        let rest = fs::read_dir(&stores).unwrap().count();
        assert_eq!(
            (rest, home_of(&stores, "a")),
            (1, live.canonicalize().unwrap())
        );
    }
}
