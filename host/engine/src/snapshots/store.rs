//! What can be done with snapshots: all of it is in this file, and how in the files beside it.
//!
//! | function | snapshot | others |
//! |---|---|---|
//! | prepare, view | exclusive | parent shared |
//! | commit | exclusive | the new name exclusive; a new parent shared |
//! | unpack | exclusive | |
//! | remove, label | exclusive | |
//! | mounts, usage, list, get, send | | |
//!
//! A layer is locked only while the driver works on it.
//!
//! Invariant: the lock of a key is held by one operation on that key; nothing that is slow holds anything else.

use super::{
    CommitRequest, Entry, LabelChange, Snapshot, SnapshotKind, SnapshotMount, SnapshotRequest,
    SnapshotUsage, Snapshots,
};
use crate::disk::home::BlobOrigin;
use crate::layers::{Held, Key, Mode};
use crate::store::OpenStore;
use crate::{Error, Result};
use mica_runtime::{ApplyReport, CancelToken, DiffReport, Sink, Source};
use std::path::Path;
use std::sync::Arc;

/// A snapshot, and how it is mounted.
pub(super) type Mounted = (Arc<Snapshot>, Arc<[SnapshotMount]>);

/// A store whose layers are the snapshots of a container runtime. It is not removed while this lives.
#[derive(Debug)]
pub struct SnapshotStore<'e> {
    pub(super) open: OpenStore<'e>,
    pub(super) snapshots: Arc<Snapshots>,
}

impl<'e> SnapshotStore<'e> {
    /// # Errors
    /// [`Error::NoSnapshots`].
    pub(crate) fn new(open: OpenStore<'e>) -> Result<Self> {
        let snapshots = Arc::clone(open.store.snapshots()?);
        Ok(Self { open, snapshots })
    }
}

impl SnapshotStore<'_> {
    /// Describes a snapshot. Never waits for a disk or a driver, so that it may be called on any thread.
    ///
    /// # Errors
    /// `unknown-snapshot`.
    pub fn get(&self, key: &str) -> Result<Arc<Snapshot>> {
        self.snapshots.get(key)
    }

    /// Describes all snapshots of one moment, in byte order of their keys.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Snapshot>> {
        self.snapshots.table().all()
    }

    /// Makes an active snapshot of the content of its parent, or an empty one, and tells how to mount it.
    ///
    /// # Errors
    /// `snapshot-exists`, `unknown-snapshot` for the parent, [`Error::Invalid`] when the parent is not committed or a
    /// key or label is not allowed; what the driver answers. There is no trace of the snapshot then.
    pub fn prepare(
        &self,
        request: SnapshotRequest,
        cancel: &CancelToken,
    ) -> Result<Arc<[SnapshotMount]>> {
        self.make(request, SnapshotKind::Active, cancel)
    }

    /// Makes a read-only snapshot of a committed one, or of nothing, and tells how to mount it.
    ///
    /// # Errors
    /// As [`SnapshotStore::prepare`].
    pub fn view(
        &self,
        request: SnapshotRequest,
        cancel: &CancelToken,
    ) -> Result<Arc<[SnapshotMount]>> {
        self.make(request, SnapshotKind::View, cancel)
    }

    /// Tells how an active snapshot or a view is mounted. Nothing is mounted.
    ///
    /// # Errors
    /// `unknown-snapshot`, `wrong-snapshot-kind` when it is committed; what the driver answers.
    pub fn mounts(&self, key: &str) -> Result<Arc<[SnapshotMount]>> {
        self.open.check()?;
        self.plan_mounts(key)
    }

    /// Tells how a snapshot is mounted if that is known. Never waits for a disk or a driver, so that it may be called on
    /// any thread.
    ///
    /// # Errors
    /// As [`SnapshotStore::mounts`].
    pub fn known_mounts(&self, key: &str) -> Result<Option<Arc<[SnapshotMount]>>> {
        let snapshot = self.snapshots.get(key)?;
        if snapshot.kind == SnapshotKind::Committed {
            return Err(snapshot.wrong_kind("mount"));
        }
        Ok(self.snapshots.table().get(key).and_then(Entry::mounts))
    }

    /// Measures what a snapshot takes without what lies below it: of a committed one as it was at the commit. A view
    /// takes nothing.
    ///
    /// # Errors
    /// `unknown-snapshot`, `cancelled`; what the driver answers.
    pub fn usage(&self, key: &str, cancel: &CancelToken) -> Result<SnapshotUsage> {
        self.open.check()?;
        self.measured(key, cancel)
    }

    /// The active snapshot whose own files lie in this directory, and how it is mounted; nothing if there is none.
    ///
    /// # Errors
    /// Those of [`SnapshotStore::mounts`].
    pub fn active_in(&self, directory: &Path) -> Result<Option<Mounted>> {
        self.open.check()?;
        self.find_active(directory)
    }

    /// Reads an archive, which is not compressed, into an active snapshot, by the rules of moby's form. Of a snapshot that
    /// gets its parent only when it is committed, deletions are kept for that parent. `blob` is what it is of, for the day on which the
    /// layer is damaged.
    ///
    /// # Errors
    /// `unknown-snapshot`, `wrong-snapshot-kind` when it is not active; `invalid-archive`, `no-space`, `cancelled`; what the
    /// driver answers. The snapshot is then as it was.
    pub fn unpack(
        &self,
        key: &str,
        source: Source,
        blob: BlobOrigin,
        cancel: CancelToken,
    ) -> Result<ApplyReport> {
        self.open.check()?;
        self.unpack_archive(key, source, blob, cancel)
    }

    /// Whether the driver keeps the archive that a committed snapshot was unpacked from. Nothing of it is read.
    ///
    /// # Errors
    /// `unknown-snapshot`, `unknown-layer`; what the file system answers.
    pub fn keeps_archive(&self, key: &str) -> Result<bool> {
        self.open.check()?;
        self.has_archive(key)
    }

    /// Sends the archive that a committed snapshot was unpacked from.
    ///
    /// # Errors
    /// `unknown-snapshot`, `wrong-snapshot-kind` when it is not committed; `not-supported` when what was sent is another
    /// archive, because none is kept or the layer was changed; `cancelled`; what the driver answers.
    pub fn send(&self, key: &str, sink: Sink, cancel: CancelToken) -> Result<DiffReport> {
        self.open.check()?;
        self.send_archive(key, sink, cancel)
    }

    /// Makes an active snapshot a committed one under another name. Its key is free afterwards.
    ///
    /// # Errors
    /// `snapshot-exists` for the name, `unknown-snapshot` for the key, `wrong-snapshot-kind` when it is not active,
    /// or gets a parent and was not prepared for one, [`Error::Invalid`] for another parent than it has or one that is not
    /// committed, `unknown-snapshot` for a parent that is not there. The snapshot is then as it was.
    pub fn commit(&self, request: CommitRequest, cancel: &CancelToken) -> Result<()> {
        self.commit_active(request, cancel)
    }

    /// Changes the labels of a snapshot and tells how it is then.
    ///
    /// # Errors
    /// `unknown-snapshot`; [`Error::Invalid`] for labels that are not allowed.
    pub fn label(&self, key: &str, change: LabelChange) -> Result<Arc<Snapshot>> {
        self.open.engine.check_open()?;
        self.change_labels(key, change)
    }

    /// Removes a snapshot that no other is built on. Its layer goes in the background.
    ///
    /// # Errors
    /// `unknown-snapshot`, `snapshot-has-children`.
    pub fn remove(&self, key: &str) -> Result<()> {
        self.open.engine.check_open()?;
        self.remove_row(key)
    }

    /// Deletes what removed snapshots left, and waits until it is gone.
    ///
    /// # Errors
    /// [`Error::Busy`] when a driver refuses to let layers go.
    pub fn clean_up(&self) -> Result<()> {
        self.open.check()?;
        let refused = self.snapshots.remover().clean_up();
        self.open.engine.reaper.settle();
        match refused {
            0 => Ok(()),
            refused => Err(Error::Busy(format!(
                "{refused} layers of removed snapshots of store `{}` cannot be removed now",
                self.open.store.name
            ))),
        }
    }

    /// Waits for the lock of a snapshot, and of others with it.
    pub(super) fn lock<'k>(
        &self,
        exclusive: impl IntoIterator<Item = &'k str>,
        shared: Option<&str>,
    ) -> Result<Held<'_>> {
        let key = |key: &str, mode| (Key::Snapshot(key.into()), mode);
        let exclusive = exclusive.into_iter().map(|name| key(name, Mode::Exclusive));
        let shared = shared.map(|name| key(name, Mode::Shared));
        self.open.store.lock(exclusive.chain(shared).collect())
    }
}
