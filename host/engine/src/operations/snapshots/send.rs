//! Sends the archive that a committed snapshot came as.
//!
//! Invariant: what is sent is that archive, byte for byte, or an error follows.

use super::look::owned;
use crate::call::Call;
use crate::engine::Engine;
use crate::layers::{Key, Mode};
use crate::scope::{Intent, Scope};
use crate::snapshots::shown;
use crate::{Error, Result, SnapshotKind};
use mica_runtime::{ArchiveForm, CancelToken, DiffReport, Sink};
use std::os::fd::AsFd as _;

impl Engine {
    /// Whether the driver keeps the archive that a committed snapshot was unpacked from. Nothing of it is read.
    ///
    /// # Errors
    /// `unknown-snapshot`, `unknown-layer`; what the file system answers.
    pub fn keeps_archive(&self, store: &str, key: &str) -> Result<bool> {
        let store = self.usable_store(store)?;
        let _life = store.enter()?;
        let snapshot = store.snapshots()?.get(key)?;
        let id = owned(&snapshot, snapshot.layer.as_ref())?;
        let room = store.layers.open_whole(store.facts(id)?.number);
        let kept = room.and_then(|room| mica_runtime::is_archive_kept(room.as_fd()));
        let doing = || format!("look for the archive of snapshot `{}`", shown(key));
        kept.map_err(|error| Error::io(doing(), error))
    }

    /// Sends the archive that a committed snapshot was unpacked from.
    ///
    /// # Errors
    /// `unknown-snapshot`, `wrong-snapshot-kind` when it is not committed; `not-supported` when what was sent is another
    /// archive, because none is kept or the layer was changed; `cancelled`; what the driver answers.
    pub fn send_snapshot(
        &self,
        store: &str,
        key: &str,
        sink: Sink,
        cancel: CancelToken,
    ) -> Result<DiffReport> {
        let store = self.usable_store(store)?;
        let _life = store.enter()?;
        let snapshot = store.snapshots()?.get(key)?;
        if snapshot.kind != SnapshotKind::Committed {
            return Err(snapshot.wrong_kind("send the archive of"));
        }
        let id = owned(&snapshot, snapshot.layer.as_ref())?;
        let _layer = store.lock(vec![(Key::Layer(id.clone()), Mode::Shared)])?;
        let parent = store.facts(id)?.record.parent;
        let parent = parent.as_ref().map(|parent| parent.as_str());
        let scope = Scope::layer(&store.layers, id, Intent::Look);
        let call = Call::new("diff", scope).with_cancel(cancel).streaming();
        let report = self.call(call, |generation, operation| {
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
