//! Gives back a reference to a mount.
//!
//! Invariant: a mount that is still in use stays known, with its last reference or as one that is inherited.

use super::references::{Process, check_name};
use super::release::let_go;
use super::{State, Unmounted, holder};
use crate::store::{Call, Intent, OpenStore, Scope};
use crate::view::{UnmountRequest, UnmountView, WhenBusy};
use crate::{Error, EventKind, LayerId, Result};
use mica_runtime::Access;
use mica_text::with_causes;
use std::io;

/// What is given back.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Give<'a> {
    /// A reference without a name.
    One,
    /// The one with this name, if it is there.
    Named(&'a str),
    /// The one with this name, if it is there and bound to this process.
    OfProcess(&'a str, Process),
    /// All of them.
    All,
}

impl<'a> Give<'a> {
    /// What a request asks for.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub(crate) fn of(request: &'a UnmountRequest) -> Result<Self> {
        match (&request.reference, request.all) {
            (Some(_), true) => Err(Error::Invalid(
                "`reference` and `all` were given; give one of them".to_owned(),
            )),
            (Some(reference), false) => check_name(reference).map(|()| Self::Named(reference)),
            (None, true) => Ok(Self::All),
            (None, false) => Ok(Self::One),
        }
    }
}

/// Whether the mount stays.
enum Left {
    /// It does.
    Mounted,
    /// It is to be unmounted.
    Nothing,
    /// There was nothing to give back.
    Untouched,
}

impl State {
    /// Takes away what is given back.
    fn give_back(&mut self, give: Give<'_>) -> Result<Left> {
        // An inherited mount counts one more: processes of an earlier client may still use it, so the last reference does not
        // unmount it.
        match give {
            Give::All => return Ok(Left::Nothing),
            Give::One if self.nameless() == 0 && !self.inherited && !self.holders.is_empty() => {
                let names = self.holders.iter().take(3);
                let names: Vec<_> = names
                    .map(|holder| format!("`{}`", holder.reference))
                    .collect();
                return Err(Error::HeldByName {
                    layer: self.layer.as_str().to_owned(),
                    names: names.join(", "),
                });
            }
            Give::One if self.nameless() == 0 && self.references > 0 => {
                self.inherited = false;
                return Ok(Left::Mounted);
            }
            Give::One => {}
            Give::Named(reference) | Give::OfProcess(reference, _) => {
                let place = self.place_of(reference).filter(|place| match give {
                    Give::OfProcess(_, process) => {
                        let holder = self.holders.get(*place);
                        holder.is_some_and(|holder| holder.bound == Some(process))
                    }
                    _ => true,
                });
                let Some(place) = place else {
                    return Ok(Left::Untouched);
                };
                self.holders.remove(place);
            }
        }
        if self.references + u64::from(self.inherited) > 1 {
            self.references = self.references.saturating_sub(1);
            return Ok(Left::Mounted);
        }
        Ok(Left::Nothing)
    }
}

impl OpenStore<'_> {
    /// Gives back references to a mount.
    pub(crate) fn unmount_layer(
        &self,
        id: &LayerId,
        give: Give<'_>,
        when_busy: WhenBusy,
    ) -> Result<UnmountView> {
        let store = &*self.store;
        let _mount = self.lock_mount(id)?;
        let Some(mut state) = store.mounts.get(id) else {
            store.facts(id)?;
            if !matches!(give, Give::One) {
                return Ok(UnmountView { references: 0 });
            }
            let (store, layer) = (store.name.as_str().to_owned(), id.as_str().to_owned());
            return Err(Error::NotMounted { store, layer });
        };
        let held = state.holders.clone();
        match state.give_back(give)? {
            Left::Nothing => {}
            Left::Untouched => {
                let references = state.references;
                return Ok(UnmountView { references });
            }
            Left::Mounted => {
                let path = store.place.point(state.number);
                store
                    .place
                    .remember(&state)
                    .map_err(|error| Error::path("give back a reference to", &path, error))?;
                if let Give::Named(reference) | Give::OfProcess(reference, _) = give {
                    self.unwatch(id, reference);
                }
                let references = state.references;
                store.mounts.put(state);
                return Ok(UnmountView { references });
            }
        }
        let detached = self.detach(&state);
        if let (Err(Error::Busy(_)), WhenBusy::LetGo) = (&detached, when_busy) {
            let_go(store, &mut state)?;
        }
        if detached.is_ok() || when_busy == WhenBusy::LetGo {
            for holder in &held {
                self.unwatch(id, &holder.reference);
            }
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
