//! The unix socket.
//!
//! Invariant: it appears under its name with its mode already set; what is no socket, and what a living daemon
//! listens on, is never replaced.

use super::{Error, directories};
use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener as StdListener, UnixStream};
use std::path::{Path, PathBuf};
use tokio::net::UnixListener;

/// For the daemon's user and group: whoever may connect may do everything.
const MODE: u32 = 0o660;

/// A socket that is listened on.
#[derive(Debug)]
pub(super) struct Socket {
    /// Takes connections.
    pub(super) listener: UnixListener,
    /// Where it is; none for one whose file is someone else's.
    pub(super) place: Option<Place>,
}

/// The file of a socket.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    identity: (u64, u64),
}

impl Place {
    /// Removes the file, unless another has taken its place.
    pub(super) fn remove(&self) {
        let is_ours = |metadata: Metadata| identity(&metadata) == self.identity;
        if fs::symlink_metadata(&self.path).is_ok_and(is_ours)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(%error, path = %self.path.display(), "remove the socket");
        }
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// Makes the socket in the place of one that a dead daemon left. Must run within tokio's runtime.
fn bind(path: &Path) -> Result<Socket, Error> {
    let failed = |source| Error::path("listen on", path, source);
    let directory = path.parent().unwrap_or(Path::new("/"));
    directories::make(directory, directories::PASSABLE)?;
    check_free(path)?;
    // Under another name first, so that no one connects before the mode is set; a short one, for a socket's address
    // has 107 bytes.
    let early = directory.join(format!(".m{}", std::process::id()));
    if fs::symlink_metadata(&early).is_ok_and(|metadata| metadata.file_type().is_socket()) {
        fs::remove_file(&early).map_err(failed)?;
    }
    let listener = UnixListener::bind(&early).map_err(failed)?;
    let settle = || {
        fs::set_permissions(&early, Permissions::from_mode(MODE))?;
        let identity = identity(&fs::symlink_metadata(&early)?);
        fs::rename(&early, path)?;
        Ok(identity)
    };
    let identity = settle().map_err(|error| {
        // The first error is the one to tell.
        let _removed = fs::remove_file(&early);
        failed(error)
    })?;
    let path = path.to_owned();
    Ok(Socket {
        listener,
        place: Some(Place { path, identity }),
    })
}

/// Takes a socket that was passed, or makes one. Must run within tokio's runtime.
pub(super) fn open(path: &Path, passed: Option<StdListener>) -> Result<Socket, Error> {
    let Some(passed) = passed else {
        return bind(path);
    };
    let take = || {
        passed.set_nonblocking(true)?;
        UnixListener::from_std(passed)
    };
    let listener = take().map_err(|source| Error::path("listen on", path, source))?;
    Ok(Socket {
        listener,
        place: None,
    })
}

/// Checks that nothing is at the path but, perhaps, a socket that no one listens on.
fn check_free(path: &Path) -> Result<(), Error> {
    let failed = |source| Error::path("look at", path, source);
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(Error::NoSocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(Error::SocketInUse(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within(check: impl FnOnce(&Path)) {
        let place = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .unwrap();
        let _entered = runtime.enter();
        check(&place.path().join("run/mica.sock"));
    }

    #[test]
    fn a_socket_is_for_user_and_group_and_goes_away() {
        within(|path| {
            let socket = bind(path).unwrap();
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(path), 0o660);
            assert_eq!(mode(path.parent().unwrap()), 0o711);
            UnixStream::connect(path).unwrap();
            socket.place.unwrap().remove();
            assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
        });
    }

    #[test]
    fn a_living_daemon_keeps_its_socket_and_a_dead_one_loses_it() {
        within(|path| {
            let first = bind(path).unwrap();
            assert!(matches!(bind(path).unwrap_err(), Error::SocketInUse(_)));
            drop(first.listener);
            let second = bind(path).unwrap();
            first.place.unwrap().remove();
            UnixStream::connect(path).unwrap();
            second.place.unwrap().remove();
        });
    }

    #[test]
    fn what_is_no_socket_stays() {
        within(|path| {
            fs::create_dir(path.parent().unwrap()).unwrap();
            fs::write(path, "precious").unwrap();
            assert!(matches!(bind(path).unwrap_err(), Error::NoSocket(_)));
            assert_eq!(fs::read(path).unwrap(), b"precious");
            fs::remove_file(path).unwrap();
            std::os::unix::fs::symlink("/dev/null", path).unwrap();
            assert!(matches!(bind(path).unwrap_err(), Error::NoSocket(_)));
        });
    }
}
