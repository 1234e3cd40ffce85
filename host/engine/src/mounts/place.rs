//! One mount point: made, mounted on, unmounted and removed.
//!
//! Invariant: mounts come and go below an open directory by one name, never by a path.

use super::State;
use super::state::boot_id;
use crate::disk::files;
use mica_sys::mount::{DetachedMount, Unmount, mount_id, unmount};
use mica_sys::{Name, errno, node};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often a busy mount is tried again: a process that was just forked holds its parent's files for a moment.
const UNMOUNT_ATTEMPTS: u32 = 6;
/// The first pause between attempts; each further one is twice as long: 315 ms in all.
const UNMOUNT_RETRY_DELAY: Duration = Duration::from_millis(5);

/// The mount points and states of one store.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) points: PathBuf,
    pub(super) states: PathBuf,
    pub(super) points_fd: OwnedFd,
}

/// What became of an unmount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unmounted {
    /// Nothing is left.
    Clean,
    /// Nothing is mounted any more, but the directory could not be removed.
    Leftover(String),
}

impl Place {
    /// Opens the directories of a store below the run directory, and makes those that are missing.
    pub(crate) fn open(run_dir: &Path, store: &str) -> io::Result<Self> {
        for path in Self::paths(run_dir, store) {
            files::make_directory(&path)?;
        }
        Self::look_in(run_dir, store)
    }

    fn paths(run_dir: &Path, store: &str) -> [PathBuf; 2] {
        ["m", "state"].map(|kind| run_dir.join(kind).join(store))
    }

    /// Opens the directories of a store below the run directory.
    ///
    /// # Errors
    /// `NotFound` when there are none, and so no mounts.
    pub(crate) fn look_in(run_dir: &Path, store: &str) -> io::Result<Self> {
        let [points, states] = Self::paths(run_dir, store);
        let points_fd = files::open_directory(&points)?;
        Ok(Self {
            points,
            states,
            points_fd,
        })
    }

    /// Removes the directories of a store that has no mounts.
    pub(crate) fn remove(&self) {
        for path in [&self.points, &self.states] {
            // Empty directories that stay are no harm.
            let _removed = std::fs::remove_dir(path);
        }
    }

    /// Where a layer is mounted.
    pub(crate) fn point(&self, number: u64) -> PathBuf {
        self.points.join(number.to_string())
    }

    /// The directory that all layers of the store are mounted in.
    pub(crate) fn points(&self) -> BorrowedFd<'_> {
        self.points_fd.as_fd()
    }

    fn state_path(&self, number: u64) -> PathBuf {
        self.states.join(format!("{number}.json"))
    }

    /// Remembers who holds a mount.
    pub(crate) fn remember(&self, state: &State) -> io::Result<()> {
        state.write(&self.state_path(state.number))
    }

    /// Mounts a view on a fresh directory. `state` gets the numbers that only the kernel knows, and is on disk
    /// before anyone can see the mount. On failure nothing is left.
    pub(crate) fn attach(&self, mount: DetachedMount, state: &mut State) -> io::Result<()> {
        state.mount_id = mount_id(mount.root()?.as_fd())?;
        boot_id().clone_into(&mut state.boot_id);
        let name = Name::from_number(state.number);
        let point = self.make_point(&name)?;
        let attached = self
            .remember(state)
            // The state is on disk before the mount is visible. A kill in between leaves a state without a mount, which the
            // next start forgets; the other way round it would be a mount that nobody answers for.
            .and_then(|()| mount.attach(point.as_fd()));
        if attached.is_err() {
            drop(point);
            // The first error is the one to tell; what is left here the next start removes.
            let _removed = self.forget(state.number);
        }
        attached.map(drop)
    }

    /// Makes a mount point; one that could not be removed before is made anew.
    fn make_point(&self, name: &Name) -> io::Result<OwnedFd> {
        match node::create_directory(self.points_fd.as_fd(), name, 0o700) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                node::remove_directory(self.points_fd.as_fd(), name)?;
                node::create_directory(self.points_fd.as_fd(), name, 0o700)
            }
            made => made,
        }
    }

    /// Unmounts and removes the mount point.
    ///
    /// # Errors
    /// `ResourceBusy` when the mount is in use, or when someone else mounted something on top: everything stays.
    pub(crate) fn detach(&self, state: &State) -> io::Result<Unmounted> {
        let name = Name::from_number(state.number);
        if self
            .top_mount(state.number)
            // umount2(2) takes the topmost mount, which would be somebody else's.
            .is_some_and(|top| top != state.mount_id && self.is_mounted(state))
        {
            return Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                "something else is mounted on top of it",
            ));
        }
        match self.unmount_patiently(&name) {
            Ok(()) => {}
            // Someone else was faster.
            Err(error)
                if errno::of(&error) == Some(errno::EINVAL)
                    || error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(match self.forget(state.number) {
            Ok(()) => Unmounted::Clean,
            Err(error) => Unmounted::Leftover(format!(
                "`{}` stays: {error}",
                self.point(state.number).display()
            )),
        })
    }

    fn unmount_patiently(&self, name: &Name) -> io::Result<()> {
        let mut pause = UNMOUNT_RETRY_DELAY;
        for _ in 1..UNMOUNT_ATTEMPTS {
            match unmount(self.points_fd.as_fd(), name, Unmount::Plain) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                    // Only EBUSY passes by itself; no event tells of it.
                    std::thread::sleep(pause)
                }
                done => return done,
            }
            pause *= 2;
        }
        unmount(self.points_fd.as_fd(), name, Unmount::Plain)
    }

    /// The mount that a process sees at a mount point.
    fn top_mount(&self, number: u64) -> Option<u64> {
        let top = File::open(self.point(number)).ok()?;
        mount_id(top.as_fd()).ok()
    }

    /// Says whether the mount is still attached where it was.
    pub(super) fn is_mounted(&self, state: &State) -> bool {
        let Ok(mounts) = mica_sys::mount::mounts_below(&self.point(state.number)) else {
            return false;
        };
        mounts.iter().any(|mount| mount.mount_id == state.mount_id)
    }

    /// Removes an unmounted mount point and its state. Removing the directory also ends copies of the mount in
    /// other mount name spaces.
    pub(super) fn forget(&self, number: u64) -> io::Result<()> {
        let removed = node::remove_directory(self.points_fd.as_fd(), &Name::from_number(number));
        let forgotten = files::remove(&self.state_path(number));
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => forgotten,
        }
    }
}
