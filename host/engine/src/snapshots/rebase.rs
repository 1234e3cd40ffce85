//! Puts content that was unpacked before its parent was known onto that parent.
//!
//! A layer knows its parent from the host alone, so that nothing of it has to be moved where the driver stacks
//! directories: its own directory becomes the uppermost. Whether the driver does that is seen from the views that it
//! plans, not from its name.
//!
//! Invariant: a layer that does not end as the upper directory over its new parent's is as it was.
//!
//! See docs/decisions/0037-a-commit-may-name-the-parent.md.

use super::look::owned;
use super::prepare::committed;
use super::{
    LayerPlace, RoomDirectory, Shape, Snapshot, SnapshotStore, Snapshots, ViewRules, shown,
};
use crate::disk::home::{Purpose, Syncing};
use crate::layers::{Key, LayerSet, Mode, NewLayer};
use crate::{CancelToken, Error, LayerId, Result};
use mica_runtime::{Access, LayerKind};
use mica_sys::node::{self, Attributes};
use std::os::fd::AsFd;

/// Mode of the top directory of an empty layer.
const TOP_MODE: u32 = 0o755;
/// Why a snapshot gets no parent. It was shown as one directory and no overlay, so what its content deletes from the
/// parent was looked for in that directory, and nothing of it was kept.
const PREPARED_FOR_NONE: &str = "prepared for none, so that nothing was kept of what its content deletes; use a containerd \
     that tells of the parent when it prepares, with the label `containerd.io/snapshot/parent-chain-id`, or take `rebase` \
     out of the capabilities in the configuration of its runtime";

impl SnapshotStore<'_> {
    /// Checks that a snapshot may be made whose parent is told at its commit.
    ///
    /// # Errors
    /// [`Error::Invalid`], which names the snapshot; what the driver answers.
    pub(super) fn check_rebases(&self, key: &str, cancel: &CancelToken) -> Result<()> {
        let stacks = match self.snapshots.stacks.get() {
            Some(known) => *known,
            None => {
                let found = self.try_stack(cancel)?;
                *self.snapshots.stacks.get_or_init(|| found)
            }
        };
        if stacks {
            return Ok(());
        }
        Err(self.no_rebase(key))
    }

    /// Makes two layers that no one needs and looks whether the one is stacked on the other.
    fn try_stack(&self, cancel: &CancelToken) -> Result<bool> {
        let (below, above) = (Snapshots::new_layer_id()?, Snapshots::new_layer_id()?);
        let make = |id: &LayerId, parent: Option<&LayerId>, kind| {
            let rules = ViewRules::new(
                Some(id.clone()),
                parent.cloned().into_iter().collect(),
                Access::ReadWrite,
            );
            let new =
                NewLayer::of_snapshot((kind, Syncing::Later), Purpose::Nothing, rules, cancel);
            let made = self.open.create_layer(id, parent, new);
            made.map(|(_, view)| view)
        };
        let view = make(&below, None, LayerKind::Content)
            .and_then(|_| make(&above, Some(&below), LayerKind::ReadWrite));
        let remover = self.snapshots.remover();
        remover.take(above.clone());
        remover.take(below.clone());
        // The rules leave no other layers for it to consist of.
        Ok(view?.is_some_and(|view| matches!(view.shape(), Shape::Overlay { .. })))
    }

    /// Puts the layer of an active snapshot onto the one of a committed snapshot, and says what it is then.
    ///
    /// # Errors
    /// `unknown-snapshot` for the parent; [`Error::Invalid`] when it is not committed or the driver stacks no
    /// directories; `wrong-snapshot-kind` when no one said at first that the parent comes later; [`Error::TooDeep`]; what
    /// the driver answers.
    pub(super) fn rebase(
        &self,
        active: &Snapshot,
        parent: &str,
        cancel: &CancelToken,
    ) -> Result<LayerPlace> {
        let store = &self.open.store;
        let parent = committed(&self.snapshots, parent, &active.key)?;
        if !active.late_parent {
            self.check_rebases(&active.key, cancel)?;
            return Err(Error::WrongSnapshotKind {
                doing: "give a parent to",
                key: shown(&active.key),
                kind: PREPARED_FOR_NONE,
            });
        }
        let layer = owned(active, active.layer.as_ref())?;
        let below = owned(&parent, parent.layer.as_ref())?;
        let _held = store.lock(vec![
            (Key::Layer(layer.clone()), Mode::Exclusive),
            (Key::Layer(below.clone()), Mode::Shared),
        ])?;
        self.open.check_depth(layer, below)?;
        let rules = |below| ViewRules::new(Some(layer.clone()), below, Access::ReadOnly);
        let alone = self.open.plan(layer, &rules(Vec::new()))?;
        let Shape::Bind(own) = alone.shape() else {
            return Err(self.no_rebase(&active.key));
        };
        let rules = rules(self.snapshots.layers_below(Some(&parent.key))?);
        store.layers.set_parent(layer, Some(below));
        let view = self.open.plan(layer, &rules);
        let stacked = view.and_then(|view| match view.shape() {
            Shape::Stack(lowers) => stack(&store.layers, own, lowers),
            _ => Ok(false),
        });
        if !matches!(stacked, Ok(true)) {
            store.layers.set_parent(layer, None);
        }
        match stacked? {
            true => Ok(LayerPlace::of(&store.facts(layer)?)),
            false => Err(self.no_rebase(&active.key)),
        }
    }

    fn no_rebase(&self, key: &str) -> Error {
        Error::Invalid(format!(
            "snapshot `{}` is to get its parent when it is committed, and layers of driver `{}` are not stacked: take `rebase` \
             out of the capabilities in the configuration of its runtime",
            shown(key),
            self.open.store.layers.driver
        ))
    }
}

/// Looks whether a layer's own directory lies on its parent's. If it does, and has a top that no one has changed, it
/// gets the parent's, as if it had been made on it.
fn stack(layers: &LayerSet, own: &RoomDirectory, lowers: &[RoomDirectory]) -> Result<bool> {
    let [first, next, ..] = lowers else {
        return Ok(false);
    };
    if first != own || next.layer() == own.layer() {
        return Ok(false);
    }
    let top = own.open(layers)?;
    let below = next.open(layers)?;
    let adopt = || {
        let is_new = |top: &Attributes| (top.mode, top.uid, top.gid) == (TOP_MODE, 0, 0);
        if is_new(&node::stat_fd(top.as_fd())?) {
            let below = node::stat_fd(below.as_fd())?;
            node::set_owner_fd(top.as_fd(), below.uid, below.gid)?;
            node::set_mode_fd(top.as_fd(), below.mode)?;
        }
        Ok(true)
    };
    adopt().map_err(|error| Error::io(format!("set the top of layer `{}`", own.layer()), error))
}
