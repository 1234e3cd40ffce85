//! Sends the archive that a committed snapshot came as.
//!
//! Invariant: what is sent is that archive, byte for byte, or an error follows.

use super::look::owned;
use super::{SnapshotKind, SnapshotStore, shown};
use crate::layers::Mode;
use crate::store::{Call, Intent, Scope, Verb};
use crate::{Error, Result};
use mica_runtime::{ArchiveForm, CancelToken, DiffReport, Sink};
use std::os::fd::AsFd as _;

impl SnapshotStore<'_> {
    /// Whether the driver keeps the archive that a snapshot was unpacked from.
    pub(super) fn has_archive(&self, key: &str) -> Result<bool> {
        let store = &self.open.store;
        let snapshot = self.snapshots.get(key)?;
        let id = owned(&snapshot, snapshot.layer.as_ref())?;
        let room = store.layers.open_whole(store.facts(id)?.number);
        let kept = room.and_then(|room| mica_runtime::is_archive_kept(room.as_fd()));
        let doing = || format!("look for the archive of snapshot `{}`", shown(key));
        kept.map_err(|error| Error::io(doing(), error))
    }

    /// Sends the archive that a committed snapshot was unpacked from.
    pub(super) fn send_archive(
        &self,
        key: &str,
        sink: Sink,
        cancel: CancelToken,
    ) -> Result<DiffReport> {
        let store = &self.open.store;
        let snapshot = self.snapshots.get(key)?;
        if snapshot.kind != SnapshotKind::Committed {
            return Err(snapshot.wrong_kind("send the archive of"));
        }
        let id = owned(&snapshot, snapshot.layer.as_ref())?;
        let _layer = self.open.lock_layer(id, Mode::Shared)?;
        let parent = store.facts(id)?.record.parent;
        let parent = parent.as_ref().map(|parent| parent.as_str());
        let scope = Scope::layer(&store.layers, id, Intent::Look);
        let call = Call::new(Verb::Diff, scope).with_cancel(cancel);
        let report = self.open.call_once(call, |generation, operation| {
            generation.diff(operation, id.as_str(), parent, ArchiveForm::Moby, sink)
        })?;
        match report.is_kept {
            true => Ok(report),
            false => Err(Error::NotSupported(format!(
                "snapshot `{}` is not any more what its archive says",
                shown(key)
            ))),
        }
    }
}
