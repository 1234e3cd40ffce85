//! Sockets that systemd has opened before: whoever connects while the daemon starts or starts again only waits.
//!
//! A socket is for the interface whose path it has. Its file belongs to systemd, and stays.
//!
//! Invariant: every socket that was passed is answered on, or the daemon does not start.

use super::Error;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// Sockets that are not used yet.
#[derive(Debug, Default)]
pub(super) struct Passed(Vec<(PathBuf, UnixListener)>);

impl Passed {
    /// Takes what the process was given. Meant to be called before anything is opened.
    pub(super) fn take() -> Result<Self, Error> {
        let failed = |source| Error::Process {
            doing: "take the sockets that were passed (LISTEN_FDS)",
            source,
        };
        let sockets = mica_sys::passed_sockets().map_err(failed)?;
        let named = sockets.into_iter().map(|socket| {
            let listener = UnixListener::from(socket);
            let address = listener.local_addr()?;
            let path = address.as_pathname().map(Path::to_owned);
            let none = || io::Error::other("a socket without a path was passed");
            Ok((path.ok_or_else(none)?, listener))
        });
        named.collect::<io::Result<_>>().map(Self).map_err(failed)
    }

    /// The socket of this path.
    pub(super) fn of(&mut self, path: &Path) -> Option<UnixListener> {
        let at = self
            .0
            .iter()
            .position(|(passed, _)| is_same(passed, path))?;
        Some(self.0.swap_remove(at).1)
    }

    /// Refuses sockets that would not be answered on.
    pub(super) fn check_known(&self, paths: &[&Path]) -> Result<(), Error> {
        let is_known = |passed: &Path| paths.iter().any(|path| is_same(passed, path));
        match self.0.iter().find(|(passed, _)| !is_known(passed)) {
            Some((passed, _)) => Err(Error::UnknownSocket(passed.clone())),
            None => Ok(()),
        }
    }
}

/// Whether two paths are those of one file; `/run` has other names.
fn is_same(one: &Path, other: &Path) -> bool {
    let identity = |path| {
        let found = fs::metadata(path).ok()?;
        Some((found.dev(), found.ino()))
    };
    one == other || identity(one).is_some_and(|found| identity(other) == Some(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_found_by_any_name_of_its_file_and_once() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("s");
        let link = place.path().join("link");
        std::os::unix::fs::symlink(place.path(), &link).unwrap();
        let listener = UnixListener::bind(&path).unwrap();
        let mut passed = Passed(vec![(path.clone(), listener)]);
        let other = place.path().join("other");
        let error = passed.check_known(&[&other]).unwrap_err();
        assert!(error.to_string().contains(path.to_str().unwrap()));
        passed.check_known(&[&other, &link.join("s")]).unwrap();
        assert!(passed.of(&other).is_none());
        assert!(passed.of(&link.join("s")).is_some());
        assert!(passed.of(&path).is_none());
    }
}
