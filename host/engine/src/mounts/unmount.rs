//! Gives back a reference to a mount.
//!
//! Invariant: a mount that is still in use stays known, with its last reference or as one that is inherited.

use super::release::let_go;
use super::{State, Unmounted, holder};
use crate::store::{Call, Intent, OpenStore, Scope};
use crate::view::{UnmountView, WhenBusy};
use crate::{Error, EventKind, LayerId, Result};
use mica_runtime::Access;
use mica_text::with_causes;
use std::io;

impl OpenStore<'_> {
    /// Gives back one reference to a mount.
    pub(crate) fn unmount_layer(&self, id: &LayerId, when_busy: WhenBusy) -> Result<UnmountView> {
        let store = &*self.store;
        let _mount = self.lock_mount(id)?;
        let Some(mut state) = store.mounts.get(id) else {
            store.facts(id)?;
            let (store, layer) = (store.name.as_str().to_owned(), id.as_str().to_owned());
            return Err(Error::NotMounted { store, layer });
        };
        // An inherited mount counts one more: processes of an earlier client may still use it, so the last reference does not
        // unmount it.
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
        let detached = self.detach(&state);
        if let (Err(Error::Busy(_)), WhenBusy::LetGo) = (&detached, when_busy) {
            let_go(store, &mut state)?;
        }
        detached?;
        self.tell(EventKind::LayerUnmounted, id);
        Ok(UnmountView { references: 0 })
    }

    /// Unmounts a layer whose mount lock is held.
    pub(super) fn detach(&self, state: &State) -> Result<()> {
        let store = &self.store;
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
            self.engine.report_store(store.name.as_str(), detail);
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
            tracing::warn!(store = %store.name, layer = %state.layer, error = with_causes(&error), "put failed");
        }
        // Whatever the driver said: the mount is gone.
        store.mounts.remove(&state.layer);
        if state.access == Access::ReadWrite {
            self.engine
                .scrubber
                .settled(store.name.as_str(), &state.layer);
        }
        Ok(())
    }
}
