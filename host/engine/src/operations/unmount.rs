//! Gives back a reference to a mount.
//!
//! Invariant: a mount that is still in use stays known, with its last reference or as one that is inherited.

use super::release::let_go;
use crate::call::Call;
use crate::engine::Engine;
use crate::event::News;
use crate::layers::{Key, Mode};
use crate::mounts::{State, Unmounted, holder};
use crate::scope::{Intent, Scope};
use crate::store::Store;
use crate::stores::explained;

use crate::view::{UnmountView, WhenBusy};
use crate::{Error, EventKind, LayerId, Result};
use std::io;

impl Engine {
    /// Gives back one reference; with the last one the layer is unmounted. A mount that is inherited counts as one that
    /// comes after all references.
    ///
    /// # Errors
    /// `unknown-layer`, `not-mounted`; `busy` when it is used, with who does if that can be seen.
    pub fn unmount(&self, store: &str, id: &str, when_busy: WhenBusy) -> Result<UnmountView> {
        let id = LayerId::parse(id)?;
        self.check_open()?;
        // A store whose driver is broken can still be unmounted.
        let store = self.find_store(store)?;
        let _life = store.enter()?;
        let _mount = store.lock(vec![(Key::Mount(id.clone()), Mode::Exclusive)])?;
        let Some(mut state) = store.mounts.get(&id) else {
            store.facts(&id)?;
            let (store, layer) = (store.name.as_str().to_owned(), id.as_str().to_owned());
            return Err(Error::NotMounted { store, layer });
        };
        if state.references + u64::from(state.inherited) > 1 {
            state.references -= 1;
            let path = store.place.point(state.number);
            store
                .place
                .remember(&state)
                .map_err(|error| Error::path("give back a reference to", &path, error))?;
            let references = state.references;
            store.mounts.put(state);
            return Ok(UnmountView { references });
        }
        let detached = self.detach(&store, &state);
        if let (Err(Error::Busy(_)), WhenBusy::LetGo) = (&detached, when_busy) {
            let_go(&store, &mut state)?;
        }
        detached?;
        self.bus.tell(
            News::new(EventKind::LayerUnmounted)
                .store(store.name.as_str())
                .layer(id.as_str()),
        );
        Ok(UnmountView { references: 0 })
    }

    /// Unmounts a layer whose mount lock is held.
    pub(super) fn detach(&self, store: &Store, state: &State) -> Result<()> {
        let path = store.place.point(state.number);
        let outcome = store
            .place
            .detach(state)
            .map_err(|error| match error.kind() {
                io::ErrorKind::ResourceBusy => {
                    let (layer, shown, holder) = (&state.layer, path.display(), holder(&path));
                    Error::Busy(format!(
                        "layer `{layer}`, mounted at `{shown}`, is in use: {holder}"
                    ))
                }
                _ => Error::path("unmount", &path, error),
            })?;
        if let Unmounted::Leftover(detail) = outcome {
            self.report_store(store.name.as_str(), detail);
        }
        let call = Call::new(
            "put",
            Scope::layer(&store.layers, &state.layer, Intent::Look),
        );
        let told = self.call(call, |generation, operation| {
            generation.put(operation, state.layer.as_str())
        });
        if let Err(error) = told {
            // The mount is gone, which is what the caller wanted; a driver keeps nothing that could leak.
            tracing::warn!(store = %store.name, layer = %state.layer, error = explained(&error), "put failed");
        }
        store.mounts.remove(&state.layer);
        Ok(())
    }
}
