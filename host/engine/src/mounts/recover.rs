//! Which mounts of an earlier daemon are still there.
//!
//! | state | mount with that number, same boot | layer | becomes |
//! |---|---|---|---|
//! | there | there | there, same number | adopted with its references, but for those of processes that have ended |
//! | there | there | gone | unmounted |
//! | there | missing | any | forgotten |
//! | missing | there | any | unmounted |
//!
//! Invariant: what cannot be unmounted stays and is reported; a start never fails for it.

use super::state::boot_id;
use super::{Place, State};
use crate::check::{Finding, FindingKind};
use mica_sys::mount::{MountEntry, Unmount, mounts_below, unmount};
use mica_sys::{Name, node};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The mounts of a store that go on, and what went wrong with the others.
#[derive(Debug, Default)]
pub(crate) struct Adopted {
    /// Mounts that go on.
    pub(crate) mounts: Vec<State>,
    /// Numbers whose mount points have mounts that nobody knows and that cannot be unmounted.
    pub(crate) stuck: Vec<u64>,
    /// What needs a person.
    pub(crate) findings: Vec<Finding>,
}

/// How states and mounts fit together.
#[derive(Debug, Default)]
struct Compared {
    /// Mounts that go on.
    mounts: Vec<State>,
    /// Mount points with mounts that nobody knows, and how many lie on each.
    unknown: Vec<(u64, usize)>,
    /// States without a mount, and mount points without either.
    stale: Vec<u64>,
    /// States that cannot be read.
    unreadable: Vec<PathBuf>,
}

impl Place {
    /// Compares states with mounts, and puts right what does not fit. `is_layer` says whether a state's layer is there under
    /// the state's number.
    pub(crate) fn adopt(&self, is_layer: impl Fn(&State) -> bool) -> io::Result<Adopted> {
        let compared = self.compare(is_layer)?;
        for path in &compared.unreadable {
            // It says nothing, so nothing is lost with it.
            let _removed = std::fs::remove_file(path);
        }
        let unknown = compared.unknown.into_iter();
        let mut mounts = compared.mounts;
        for state in &mut mounts {
            if state.drop_ended() {
                self.remember(state)?;
            }
        }
        let left = unknown.filter_map(|(number, mounts)| {
            let finding = self.clear(number, mounts)?;
            Some((number, finding))
        });
        let (stuck, mut findings): (Vec<u64>, Vec<Finding>) = left.unzip();
        findings.extend(self.sweep(compared.stale));
        Ok(Adopted {
            mounts,
            stuck,
            findings,
        })
    }

    /// What [`Place::adopt`] would put right.
    pub(crate) fn look(&self, is_layer: impl Fn(&State) -> bool) -> io::Result<Vec<Finding>> {
        let compared = self.compare(is_layer)?;
        let unknown = compared.unknown.into_iter().map(|(number, _)| {
            let point = self.point(number);
            let detail = format!("what is mounted at `{}` is nobody's", point.display());
            Finding::new(FindingKind::MountUnknown, detail).at(point)
        });
        let stale = compared.stale.into_iter().map(|number| {
            let point = self.point(number);
            let detail = format!("nothing is mounted at `{}`", point.display());
            Finding::new(FindingKind::MountGone, detail).at(point)
        });
        let unreadable = compared.unreadable.into_iter().map(|path| {
            let detail = format!("`{}` does not tell who holds a mount", path.display());
            Finding::new(FindingKind::StateUnreadable, detail).at(path)
        });
        let ended = compared.mounts.iter().flat_map(|state| {
            let ended = state.holders.iter().filter(|holder| holder.has_ended());
            ended.map(|holder| {
                let reference = &holder.reference;
                let detail = format!(
                    "the reference `{reference}` to the mount is of a process that has ended"
                );
                let finding = Finding::new(FindingKind::HolderEnded, detail);
                finding.of_layer(state.layer.as_str())
            })
        });
        Ok(unknown
            .chain(stale)
            .chain(unreadable)
            .chain(ended)
            .collect())
    }

    fn compare(&self, is_layer: impl Fn(&State) -> bool) -> io::Result<Compared> {
        let mut compared = Compared::default();
        let mut states = self.states(&mut compared.unreadable);
        let mut attached: BTreeMap<u64, Vec<MountEntry>> = BTreeMap::new();
        for mount in mounts_below(&self.points)? {
            if let Some(number) = self.number_of(&mount.mount_point) {
                attached.entry(number).or_default().push(mount);
            }
        }
        let points = node::names(self.points_fd.as_fd()).unwrap_or_default();
        let points = points
            .iter()
            .filter_map(|name| std::str::from_utf8(name).ok()?.parse().ok());
        let mut empty: BTreeSet<u64> = points.collect();
        for (number, mounts) in attached {
            empty.remove(&number);
            let state = states.remove(&number);
            let known = state.filter(|state| {
                // Mount numbers begin anew with each boot, so that an equal one says nothing about an earlier one.
                state.boot_id == boot_id()
                    && mounts.iter().any(|mount| mount.mount_id == state.mount_id)
            });
            match known {
                Some(state) if is_layer(&state) => compared.mounts.push(state),
                _ => compared.unknown.push((number, mounts.len())),
            }
        }
        empty.extend(states.into_keys());
        compared.stale = empty.into_iter().collect();
        Ok(compared)
    }

    /// The number of a mount point that is ours.
    fn number_of(&self, mount_point: &[u8]) -> Option<u64> {
        let below = Path::new(OsStr::from_bytes(mount_point))
            .strip_prefix(&self.points)
            .ok()?;
        below.to_str()?.parse().ok()
    }

    /// The states that can be read; others are as good as none.
    fn states(&self, unreadable: &mut Vec<PathBuf>) -> BTreeMap<u64, State> {
        let Ok(files) = std::fs::read_dir(&self.states) else {
            return BTreeMap::new();
        };
        let paths = files.filter_map(|file| Some(file.ok()?.path()));
        let states = paths.filter_map(|path| {
            let read = State::read(&path).ok();
            if read.is_none() {
                unreadable.push(path);
            }
            read
        });
        states.map(|state| (state.number, state)).collect()
    }

    /// Unmounts everything at a mount point; if that cannot be, answers why.
    fn clear(&self, number: u64, mounts: usize) -> Option<Finding> {
        let name = Name::from_number(number);
        // Several can lie on one another; each call takes the topmost.
        let unmounted =
            (0..mounts).try_for_each(|_| unmount(self.points_fd.as_fd(), &name, Unmount::Plain));
        let error = unmounted.and_then(|()| self.forget(number)).err()?;
        Some(self.stuck(number, "unmounted", &error))
    }

    /// Removes states without a mount, and mount points without either.
    fn sweep(&self, stale: Vec<u64>) -> Vec<Finding> {
        let left = stale.into_iter().filter_map(|number| {
            let error = self.forget(number).err()?;
            // Something is mounted there that could not be unmounted above, and that was reported.
            let is_told = error.kind() == io::ErrorKind::ResourceBusy;
            (!is_told).then(|| self.stuck(number, "removed", &error))
        });
        left.collect()
    }

    fn stuck(&self, number: u64, done: &str, error: &io::Error) -> Finding {
        let point = self.point(number);
        let detail = format!("`{}` cannot be {done}: {error}", point.display());
        Finding::new(FindingKind::MountStuck, detail).at(point)
    }
}
