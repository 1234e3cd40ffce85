//! Mounts a layer.
//!
//! Invariant: the driver is asked once; whoever comes later is only counted.

use super::State;
use super::references::Holder;
use crate::drivers::Question;
use crate::layers::{Facts, Mode};
use crate::store::{Call, Intent, OpenStore, Scope, Store, Verb};
use crate::view::{MountRequest, MountView};
use crate::words::access_word;
use crate::{Error, EventKind, LayerId, Result};
use mica_runtime::Access;

impl OpenStore<'_> {
    /// Mounts a layer, or counts a further reference to its mount.
    pub(crate) fn mount_layer(&self, id: &LayerId, request: MountRequest) -> Result<MountView> {
        let store = &*self.store;
        let asked = request.access.map(Access::from);
        let holder = Holder::of(&request)?;
        let _mount = self.lock_mount(id)?;
        if let Some(state) = store.mounts.get(id) {
            match check_same(&state, &request) {
                Ok(()) => return self.count(state, holder),
                // No one holds it, so no one is surprised by another.
                Err(_) if state.references == 0 => self.detach(&state)?,
                Err(error) => return Err(error),
            }
        }
        // Read without the layer's lock, to know which lock it takes; decided again below, once it is held.
        let mode = match access_for(&store.facts(id)?, asked)? {
            Access::ReadOnly => Mode::Shared,
            Access::ReadWrite => {
                store.check_no_snapshots()?;
                Mode::Exclusive
            }
        };
        let _held = self.lock_layer(id, mode)?;
        let facts = store.facts(id)?;
        let access = match mode {
            // It may have lost its children meanwhile, but the lock does not allow more.
            Mode::Shared => Access::ReadOnly,
            Mode::Exclusive => access_for(&facts, asked)?,
        };
        self.check_undamaged(id)?;
        if access == Access::ReadWrite {
            self.check_changeable(&facts)?;
        }
        let ready = self.ready(holder.as_ref())?;
        if access == Access::ReadWrite {
            store.layers.unsettle(id, facts.number)?;
        }
        let attached = self.attach(facts.number, id, access, (request.mount_label, holder));
        if attached.is_err() && access == Access::ReadWrite {
            // Nobody changed it, and its digests are gone.
            self.engine.scrubber.settled(store.name.as_str(), id);
        }
        let state = attached?;
        self.watch(id, request.reference.as_deref(), ready);
        let view = answer(store, &state, request.reference.as_deref());
        store.mounts.put(state);
        let news = self.news(EventKind::LayerMounted, id);
        let path = view.path.display().to_string();
        self.engine.bus.tell(news.detail(path));
        Ok(view)
    }

    /// Takes a further reference.
    fn count(&self, mut state: State, holder: Option<Holder>) -> Result<MountView> {
        let store = &*self.store;
        let ready = self.ready(holder.as_ref())?;
        let reference = holder.as_ref().map(|holder| holder.reference.clone());
        state.take(holder)?;
        let path = store.place.point(state.number);
        store
            .place
            .remember(&state)
            .map_err(|error| Error::path("count a reference to", &path, error))?;
        self.watch(&state.layer, reference.as_deref(), ready);
        let view = answer(store, &state, reference.as_deref());
        store.mounts.put(state);
        Ok(view)
    }

    /// How a layer is mounted.
    ///
    /// # Errors
    /// [`Error::UnknownLayer`], [`Error::NotMounted`].
    pub(crate) fn mount_of(&self, id: &LayerId) -> Result<MountView> {
        let store = &*self.store;
        let Some(state) = store.mounts.get(id) else {
            store.facts(id)?;
            let (store, layer) = (store.name.as_str().to_owned(), id.as_str().to_owned());
            return Err(Error::NotMounted { store, layer });
        };
        Ok(view(store, &state))
    }

    /// Every mount of the store, in byte order of the layers' ids.
    pub(crate) fn all_mounts(&self) -> Vec<(LayerId, MountView)> {
        let store = &*self.store;
        let layers = store.mounts.layers().into_iter();
        let mounts = layers.filter_map(|id| {
            let state = store.mounts.get(&id)?;
            Some((id, view(store, &state)))
        });
        mounts.collect()
    }

    fn attach(
        &self,
        number: u64,
        id: &LayerId,
        access: Access,
        (label, holder): (Option<String>, Option<Holder>),
    ) -> Result<State> {
        let store = &self.store;
        let call = Call::new(
            Verb::Mount,
            Scope::layer(&store.layers, id, Intent::View(access)),
        )
        .asking(Question::View);
        let mount = self.call(call, |generation, operation| {
            generation.get(operation, id.as_str(), access, label.as_deref())
        })?;
        let (layer, boot_id) = (id.clone(), String::new());
        let mut state = State {
            layer,
            number,
            references: 1,
            holders: holder.into_iter().collect(),
            is_let_go: false,
            inherited: false,
            access,
            label,
            mount_id: 0,
            boot_id,
        };
        let attached = store.place.attach(mount, &mut state);
        attached
            .map_err(|error| Error::path("mount layer on", &store.place.point(number), error))?;
        Ok(state)
    }
}

/// What processes may do in a mount.
fn access_for(facts: &Facts, asked: Option<Access>) -> Result<Access> {
    match asked {
        Some(Access::ReadWrite) => facts.check_childless().map(|()| Access::ReadWrite),
        Some(Access::ReadOnly) => Ok(Access::ReadOnly),
        None if facts.children > 0 => Ok(Access::ReadOnly),
        None => Ok(Access::ReadWrite),
    }
}

/// Refuses what the mount that is there is not.
fn check_same(state: &State, request: &MountRequest) -> Result<()> {
    let otherwise = |what: String| Error::MountedOtherwise {
        layer: state.layer.as_str().to_owned(),
        what,
    };
    if let Some(asked) = request
        .access
        .map(Access::from)
        .filter(|asked| *asked != state.access)
    {
        let (has, asked) = (access_word(state.access), access_word(asked));
        return Err(otherwise(format!("access {has}, {asked} was asked for")));
    }
    if request.mount_label.is_some() && request.mount_label != state.label {
        let shown = |label: &Option<String>| {
            label
                .as_ref()
                .map_or("no label".into(), |label| format!("label `{label}`"))
        };
        return Err(otherwise(format!(
            "{}, {} was asked for",
            shown(&state.label),
            shown(&request.mount_label)
        )));
    }
    Ok(())
}

fn view(store: &Store, state: &State) -> MountView {
    view_with(store, state, |_| true)
}

/// What whoever asked for a mount is told: of the holders only itself, because there may be many and they are others'.
fn answer(store: &Store, state: &State, reference: Option<&str>) -> MountView {
    view_with(store, state, |holder| Some(&*holder.reference) == reference)
}

fn view_with(store: &Store, state: &State, is_told: impl Fn(&Holder) -> bool) -> MountView {
    let told = state.holders.iter().filter(|holder| is_told(holder));
    MountView {
        path: store.place.point(state.number),
        references: state.references,
        access: state.access.into(),
        holders: told.map(Holder::view).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::home::Record;
    use mica_runtime::LayerKind;

    fn facts(children: u64) -> Facts {
        let id = LayerId::parse("a").unwrap();
        let child = (children > 0).then(|| LayerId::parse("b").unwrap());
        let record = Record::new(id, None, LayerKind::Content, "test");
        Facts {
            number: 1,
            record,
            depth: 1,
            children,
            child,
        }
    }

    #[test]
    fn a_layer_with_children_is_never_mounted_to_be_changed() {
        use Access::{ReadOnly, ReadWrite};
        for (children, asked, expected) in [
            (0, None, Some(ReadWrite)),
            (0, Some(ReadOnly), Some(ReadOnly)),
            (0, Some(ReadWrite), Some(ReadWrite)),
            (2, None, Some(ReadOnly)),
            (2, Some(ReadOnly), Some(ReadOnly)),
            (2, Some(ReadWrite), None),
        ] {
            assert_eq!(
                access_for(&facts(children), asked).ok(),
                expected,
                "{children} {asked:?}"
            );
        }
    }

    #[test]
    fn a_second_mount_may_leave_open_what_it_does_not_care_for() {
        let (layer, boot_id, label) = (
            LayerId::parse("a").unwrap(),
            String::new(),
            Some("x".to_owned()),
        );
        let state = State {
            layer,
            number: 1,
            references: 1,
            holders: Vec::new(),
            is_let_go: false,
            inherited: false,
            access: Access::ReadOnly,
            label,
            mount_id: 1,
            boot_id,
        };
        let ask = |access: Option<Access>, label: Option<&str>| {
            check_same(
                &state,
                &MountRequest {
                    access: access.map(Into::into),
                    mount_label: label.map(str::to_owned),
                    ..MountRequest::default()
                },
            )
            .is_ok()
        };
        assert!(ask(None, None) && ask(Some(Access::ReadOnly), Some("x")));
        assert!(!ask(Some(Access::ReadWrite), None) && !ask(None, Some("y")));
    }
}
