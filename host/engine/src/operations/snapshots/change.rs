//! Removes snapshots, and changes their labels.
//!
//! Invariant: one transaction each, and nothing slow.

use crate::engine::Engine;
use crate::home::Syncing;
use crate::layers::{Key, Mode};
use crate::rows::After;
use crate::snapshots::{Change, check_labels, shown};
use crate::{CancelToken, Error, LabelChange, LayerId, Moment, Result, Snapshot};
use std::sync::Arc;

impl Engine {
    /// Removes a snapshot that no other is built on. Its layer goes in the background.
    ///
    /// # Errors
    /// `unknown-snapshot`, `snapshot-has-children`.
    pub fn remove_snapshot(&self, store: &str, key: &str) -> Result<()> {
        self.check_open()?;
        let store = self.find_store(store)?;
        let _life = store.enter()?;
        let snapshots = store.snapshots()?;
        let _held = store.lock(vec![(Key::Snapshot(key.into()), Mode::Exclusive)])?;
        let snapshot = snapshots.get(key)?;
        if let Some(entry) = snapshots.table().get(key)
            && let Some(child) = entry.children.first()
        {
            return Err(Error::SnapshotHasChildren {
                key: shown(key),
                child: shown(child),
                children: entry.children.len() as u64,
            });
        }
        let layer = snapshot.layer.clone();
        let removal = layer.and_then(|id| Some((store.number_of(&id)?, id)));
        snapshots.change(&[Change::Delete(key.to_owned(), removal)], After::Nothing)?;
        if let Some(layer) = &snapshot.layer {
            snapshots.remover().take(layer.clone());
        }
        Ok(())
    }

    /// Changes the labels of a snapshot and tells how it is then.
    ///
    /// # Errors
    /// `unknown-snapshot`; [`Error::Invalid`] for labels that are not allowed.
    pub fn label_snapshot(
        &self,
        store: &str,
        key: &str,
        change: LabelChange,
    ) -> Result<Arc<Snapshot>> {
        self.check_open()?;
        let store = self.find_store(store)?;
        let _life = store.enter()?;
        let snapshots = store.snapshots()?;
        let _held = store.lock(vec![(Key::Snapshot(key.into()), Mode::Exclusive)])?;
        let snapshot = snapshots.get(key)?;
        let labels = match change {
            LabelChange::All(labels) => labels,
            LabelChange::Some(changes) => {
                let mut labels = snapshot.labels.clone();
                for (label, value) in changes {
                    labels.insert(label, value.unwrap_or_default());
                }
                labels
            }
        };
        let changed = Arc::new(Snapshot {
            labels: check_labels(key, labels)?,
            updated: Moment::now(),
            ..Snapshot::clone(&snapshot)
        });
        snapshots.change(&[Change::Put(Arc::clone(&changed))], After::Nothing)?;
        if let Err(error) = snapshots.write_record(&changed) {
            tracing::warn!(store = %store.name, %error, "the record of a snapshot has its old labels");
        }
        Ok(changed)
    }

    /// Deletes what removed snapshots left, and waits until it is gone.
    ///
    /// # Errors
    /// [`Error::Busy`] when a driver refuses to let layers go.
    pub fn clean_up_snapshots(&self, store: &str) -> Result<()> {
        let store = self.usable_store(store)?;
        let _life = store.enter()?;
        let refused = store.snapshots()?.remover().clean_up();
        self.reaper.settle();
        match refused {
            0 => Ok(()),
            refused => Err(Error::Busy(format!(
                "{refused} layers of removed snapshots of store `{}` cannot be removed now",
                store.name
            ))),
        }
    }

    /// Removes a layer that no snapshot has any more; one that is gone already is no error.
    pub(crate) fn remove_snapshot_layer(
        &self,
        store: &str,
        layer: &LayerId,
        cancel: &CancelToken,
    ) -> Result<()> {
        let store = self.usable_store(store)?;
        let _life = store.enter()?;
        let number = store.number_of(layer);
        match self.remove_in(&store, layer, Syncing::Later, cancel) {
            Err(Error::UnknownLayer { .. }) => Ok(()),
            Err(error) => Err(error),
            Ok(()) => {
                if let Some(number) = number {
                    store.snapshots()?.links().forget(number);
                }
                Ok(())
            }
        }
    }
}
