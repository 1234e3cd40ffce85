//! Gives back what a client held that has gone.
//!
//! Invariant: a mount that is inherited is one that no client answers for: it is unmounted when it is given back, or
//! when anyone needs its layer unmounted, and never while a process uses it.

use super::State;
use crate::layers::{Expected, Facts, Held, Key, Mode};
use crate::store::{OpenStore, Store};
use crate::view::Release;
use crate::{Error, LayerId, Result};
use mica_text::with_causes;

impl OpenStore<'_> {
    /// Gives back all references to mounts of the store.
    pub(crate) fn release_all(&self, release: Release) -> Result<()> {
        let store = &self.store;
        for id in store.mounts.layers() {
            let _mount = self.lock_mount(&id)?;
            if let Some(state) = store.mounts.get(&id) {
                self.release(state, release)?;
            }
        }
        Ok(())
    }

    fn release(&self, mut state: State, release: Release) -> Result<()> {
        let_go(&self.store, &mut state)?;
        if release == Release::Unmount
            && let Err(error) = self.detach(&state)
        {
            let (layer, error) = (state.layer.as_str(), with_causes(&error));
            tracing::warn!(store = %self.store.name, layer, error, "the layer stays mounted");
        }
        Ok(())
    }

    /// Locks a layer that is to be changed or removed, and makes sure that it is as is expected, that nothing is built on it and that
    /// no one has it mounted.
    ///
    /// # Errors
    /// [`Error::UnknownLayer`]; [`Error::LayerChanged`], before anything was done; [`Error::HasChildren`]; those of
    /// [`OpenStore::clear_mount`].
    pub(crate) fn lock_unused(
        &self,
        id: &LayerId,
        expected: Expected<'_>,
    ) -> Result<(Held<'_>, Facts)> {
        let held = self.store.lock(vec![
            (Key::Mount(id.clone()), Mode::Exclusive),
            (Key::Layer(id.clone()), Mode::Exclusive),
        ])?;
        let facts = self.store.facts(id)?;
        if !expected(&self.store.layer_view(facts.clone())) {
            return Err(Error::LayerChanged {
                layer: id.as_str().to_owned(),
            });
        }
        facts.check_childless()?;
        self.clear_mount(id)?;
        Ok((held, facts))
    }

    /// Makes sure that a layer, whose mount lock is held, is not mounted.
    ///
    /// # Errors
    /// [`Error::Mounted`] when a client holds the mount, [`Error::Busy`] when processes use it.
    pub(crate) fn clear_mount(&self, id: &LayerId) -> Result<()> {
        match self.store.mounts.get(id) {
            Some(state) if state.references == 0 => self.detach(&state),
            _ => self.store.check_unmounted(id),
        }
    }
}

/// Takes all references off a mount, which stays attached.
pub(super) fn let_go(store: &Store, state: &mut State) -> Result<()> {
    state.references = 0;
    state.holders.clear();
    state.inherited = true;
    let path = store.place.point(state.number);
    store
        .place
        .remember(state)
        .map_err(|error| Error::path("give back the references to", &path, error))?;
    store.mounts.put(state.clone());
    Ok(())
}
