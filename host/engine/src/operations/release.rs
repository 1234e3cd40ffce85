//! Gives back what a client held that has gone.
//!
//! Invariant: a mount that is inherited is one that no client answers for: it is unmounted when it is given back, or
//! when anyone needs its layer unmounted, and never while a process uses it.

use crate::engine::Engine;
use crate::layers::{Key, Mode};
use crate::mounts::State;
use crate::store::Store;
use crate::stores::explained;
use crate::view::Release;
use crate::{Error, LayerId, Result};

impl Engine {
    /// Gives back all references to mounts of a store, for a client that held them all has gone or ends.
    ///
    /// # Errors
    /// `unknown-store`; `io`. A mount that is in use is no error.
    pub fn release_mounts(&self, store: &str, release: Release) -> Result<()> {
        self.check_open()?;
        let store = self.find_store(store)?;
        let _life = store.enter()?;
        for id in store.mounts.layers() {
            let _mount = store.lock(vec![(Key::Mount(id.clone()), Mode::Exclusive)])?;
            if let Some(state) = store.mounts.get(&id) {
                self.release(&store, state, release)?;
            }
        }
        Ok(())
    }

    fn release(&self, store: &Store, mut state: State, release: Release) -> Result<()> {
        let_go(store, &mut state)?;
        if release == Release::Unmount
            && let Err(error) = self.detach(store, &state)
        {
            let (layer, error) = (state.layer.as_str(), explained(&error));
            tracing::warn!(store = %store.name, layer, error, "the layer stays mounted");
        }
        Ok(())
    }

    /// Makes sure that a layer, whose mount lock is held, is not mounted.
    ///
    /// # Errors
    /// [`Error::Mounted`] when a client holds the mount, [`Error::Busy`] when processes use it.
    pub(super) fn clear_mount(&self, store: &Store, id: &LayerId) -> Result<()> {
        match store.mounts.get(id) {
            Some(state) if state.references == 0 => self.detach(store, &state),
            _ => store.check_unmounted(id),
        }
    }
}

/// Takes all references off a mount, which stays attached.
pub(super) fn let_go(store: &Store, state: &mut State) -> Result<()> {
    state.references = 0;
    state.inherited = true;
    let path = store.place.point(state.number);
    store
        .place
        .remember(state)
        .map_err(|error| Error::path("give back the references to", &path, error))?;
    store.mounts.put(state.clone());
    Ok(())
}
