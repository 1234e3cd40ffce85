//! The daemon's directories.
//!
//! Invariant: a directory that the daemon makes has the mode it should have, whatever the umask is; one that is there
//! already keeps its mode, and is not used if others could change it.

use super::{Error, trusted};
use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

/// For what no one else may see: layers hold set-user-id programs.
pub(super) const PRIVATE: u32 = 0o700;
/// For what others may pass through, to a socket or a mount that they may use, but not list.
pub(super) const PASSABLE: u32 = 0o711;

/// Makes a directory that only this user can change, and those above it, if it is not there.
pub(super) fn make_own(path: &Path, mode: u32) -> Result<(), Error> {
    check_own(path)?;
    make(path, mode)
}

/// Refuses a directory that others could change, or put another one in the place of.
pub(super) fn check_own(path: &Path) -> Result<(), Error> {
    let checked = trusted::check(path).map_err(|source| Error::path("look at", path, source))?;
    checked.map_err(|untrusted| Error::Untrusted {
        path: path.to_owned(),
        reason: untrusted.reason,
        remedy: untrusted.remedy,
    })
}

/// Makes a directory, and those above it, if it is not there.
pub(super) fn make(path: &Path, mode: u32) -> Result<(), Error> {
    let failed = |source| Error::path("make the directory", path, source);
    if path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(above)
            .map_err(failed)?;
    }
    match DirBuilder::new().mode(mode).create(path) {
        Ok(()) => std::fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_directory_has_its_mode_and_an_old_one_keeps_its_own() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a/b");
        let mode = || path.metadata().unwrap().permissions().mode() & 0o777;
        make(&path, PASSABLE).unwrap();
        assert_eq!(mode(), 0o711);
        make(&path, PRIVATE).unwrap();
        assert_eq!(mode(), 0o711);
        std::fs::write(place.path().join("file"), "").unwrap();
        let error = make(&place.path().join("file"), PRIVATE).unwrap_err();
        assert!(error.to_string().contains("/file"), "{error}");
    }
}
