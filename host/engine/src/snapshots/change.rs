//! Removes snapshots, and changes their labels.
//!
//! Invariant: one transaction each, and nothing slow.

use super::{Change, LabelChange, Snapshot, SnapshotStore, check_labels, shown};
use crate::disk::home::Syncing;
use crate::disk::rows::After;
use crate::{CancelToken, Error, LayerId, Moment, Result};
use std::sync::Arc;

impl SnapshotStore<'_> {
    /// Removes the row of a snapshot, and hands its layer to whoever removes such.
    pub(super) fn remove_row(&self, key: &str) -> Result<()> {
        let snapshots = &self.snapshots;
        let _held = self.lock([key], None)?;
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
        let removal = layer.and_then(|id| Some((self.open.store.number_of(&id)?, id)));
        snapshots.change(&[Change::Delete(key.to_owned(), removal)], After::Nothing)?;
        if let Some(layer) = &snapshot.layer {
            snapshots.remover().take(layer.clone());
        }
        Ok(())
    }

    /// Changes the labels of a snapshot.
    pub(super) fn change_labels(&self, key: &str, change: LabelChange) -> Result<Arc<Snapshot>> {
        let snapshots = &self.snapshots;
        let _held = self.lock([key], None)?;
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
            tracing::warn!(store = %self.open.store.name, %error, "the record of a snapshot has its old labels");
        }
        Ok(changed)
    }

    /// Removes a layer that no snapshot has any more; one that is gone already is no error.
    pub(super) fn remove_unowned(&self, layer: &LayerId, cancel: &CancelToken) -> Result<()> {
        self.open.check()?;
        let number = self.open.store.number_of(layer);
        match self
            .open
            .remove_layer(layer, &|_| true, Syncing::Later, cancel)
        {
            Err(Error::UnknownLayer { .. }) => Ok(()),
            Err(error) => Err(error),
            Ok(()) => {
                if let Some(number) = number {
                    self.snapshots.links().forget(number);
                }
                Ok(())
            }
        }
    }
}
