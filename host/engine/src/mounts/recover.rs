//! Which mounts of an earlier daemon are still there.
//!
//! | state | mount with that number, same boot | layer | becomes |
//! |---|---|---|---|
//! | there | there | there, same number | adopted with its references |
//! | there | there | gone | unmounted |
//! | there | missing | any | forgotten |
//! | missing | there | any | unmounted |
//!
//! Invariant: what cannot be unmounted stays and is reported; a start never fails for it.

use super::state::boot_id;
use super::{Place, State};
use mica_sys::mount::{MountEntry, Unmount, mounts_below, unmount};
use mica_sys::{Name, node};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The mounts of a store that go on, and what went wrong with the others.
#[derive(Debug, Default)]
pub(crate) struct Adopted {
    /// Mounts that go on.
    pub(crate) mounts: Vec<State>,
    /// What needs a person.
    pub(crate) problems: Vec<String>,
}

impl Place {
    /// Compares states with mounts. `is_layer` says whether a state's layer is there under the state's number.
    pub(crate) fn adopt(&self, is_layer: impl Fn(&State) -> bool) -> io::Result<Adopted> {
        let mut adopted = Adopted::default();
        let mut states = self.states();
        let mut attached: BTreeMap<u64, Vec<MountEntry>> = BTreeMap::new();
        for mount in mounts_below(&self.points)? {
            if let Some(number) = self.number_of(&mount.mount_point) {
                attached.entry(number).or_default().push(mount);
            }
        }
        for (number, mounts) in attached {
            let state = states.remove(&number);
            let known = state.filter(|state| {
                // Mount numbers begin anew with each boot, so that an equal one says nothing about an earlier one.
                state.boot_id == boot_id()
                    && mounts.iter().any(|mount| mount.mount_id == state.mount_id)
            });
            match known {
                Some(state) if is_layer(&state) => adopted.mounts.push(state),
                _ => adopted
                    .problems
                    .extend(self.clear(number, mounts.len()).err()),
            }
        }
        self.sweep(states.into_keys(), &mut adopted);
        Ok(adopted)
    }

    /// The number of a mount point that is ours.
    fn number_of(&self, mount_point: &[u8]) -> Option<u64> {
        let below = Path::new(OsStr::from_bytes(mount_point))
            .strip_prefix(&self.points)
            .ok()?;
        below.to_str()?.parse().ok()
    }

    /// The states that can be read; others are as good as none.
    fn states(&self) -> BTreeMap<u64, State> {
        let Ok(files) = std::fs::read_dir(&self.states) else {
            return BTreeMap::new();
        };
        let paths = files.filter_map(|file| Some(file.ok()?.path()));
        let states = paths.filter_map(|path| {
            let read = State::read(&path).ok();
            if read.is_none() {
                // It says nothing, so nothing is lost with it.
                let _removed = std::fs::remove_file(&path);
            }
            read
        });
        states.map(|state| (state.number, state)).collect()
    }

    /// Unmounts everything at a mount point.
    fn clear(&self, number: u64, mounts: usize) -> Result<(), String> {
        let name = Name::from_number(number);
        let explain = |error: io::Error| {
            format!(
                "`{}` cannot be unmounted: {error}",
                self.point(number).display()
            )
        };
        // Several can lie on one another; each call takes the topmost.
        for _ in 0..mounts {
            unmount(self.points_fd.as_fd(), &name, Unmount::Plain).map_err(explain)?;
        }
        self.forget(number).map_err(explain)
    }

    /// Removes states without a mount, and mount points without either.
    fn sweep(&self, stale: impl Iterator<Item = u64>, adopted: &mut Adopted) {
        let points = node::names(self.points_fd.as_fd()).unwrap_or_default();
        let numbers = points
            .iter()
            .filter_map(|name| std::str::from_utf8(name).ok()?.parse().ok());
        let in_use: Vec<u64> = adopted.mounts.iter().map(|state| state.number).collect();
        for number in stale
            .chain(numbers)
            .filter(|number| !in_use.contains(number))
        {
            let forgotten = self.forget(number);
            if let Err(error) = forgotten
                // Something is mounted there that could not be unmounted above, and that was reported.
                && error.kind() != io::ErrorKind::ResourceBusy
            {
                adopted.problems.push(format!(
                    "`{}` cannot be removed: {error}",
                    self.point(number).display()
                ));
            }
        }
    }
}
