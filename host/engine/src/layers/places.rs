//! Where a layer lies: what the host tells in moby's keys, and where its own content is measured.
//!
//! A driver says once for all its layers where their own content is ([`OwnContent`]); what lies below it is seen from the
//! view that the driver plans.
//!
//! Invariant: a path that is told was opened, lies one name below a room, where no process can exchange it, and holds no
//! text of a driver's but that name.

use super::Facts;
use crate::drivers::Question;
use crate::snapshots::{CheckedView, RoomDirectory, Shape, ViewRules};
use crate::store::{Call, Intent, OpenStore, Scope, Store, Verb};
use crate::{Error, LayerId, Result};
use mica_runtime::{Access, OwnContent, Stack};
use mica_sys::Name;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// The lower directories of a layer's view, nearest first, with colons between.
const LOWER: &str = "LowerDir";
/// The directory that takes a layer's changes.
const UPPER: &str = "UpperDir";
/// Overlayfs' own.
const WORK: &str = "WorkDir";
/// Where a layer without an upper has its content.
const SOURCE: &str = "SourceDir";
/// Where a layer is mounted, or would be.
const MERGED: &str = "MergedDir";
/// The keys that the host alone knows values for.
pub(super) const KEYS: [&str; 5] = [LOWER, UPPER, WORK, SOURCE, MERGED];

/// A key of [`KEYS`], with its value.
pub(super) type Place = (&'static str, String);

impl OpenStore<'_> {
    /// Where the layers of the store have their own content. No driver is called for it.
    ///
    /// # Errors
    /// `unknown-driver`.
    pub(super) fn own_content(&self) -> Result<OwnContent> {
        let active = self
            .engine
            .registry
            .get(&self.store.layers.driver)?
            .active()?;
        Ok(active.generation.description().content.clone())
    }

    /// Whether a layer is what it was made of and nothing else: it has no directory that takes changes, so all of it has been on
    /// the device since it was made.
    ///
    /// # Errors
    /// `unknown-driver`; [`Error::Io`] when a directory cannot be opened.
    pub(crate) fn is_sealed_alone(&self, id: &LayerId) -> Result<bool> {
        let store = &*self.store;
        let OwnContent::Stacked(Stack {
            upper,
            sealed: Some(sealed),
            ..
        }) = self.own_content()?
        else {
            return Ok(false);
        };
        let number = store.facts(id)?.number;
        let is_there = |name| open_own(store, id, number, name).map(|opened| opened.is_some());
        Ok(!is_there(&upper)? && is_there(&sealed)?)
    }

    /// The one directory that has all that a layer itself has, where there is one: what may also be an image has none.
    ///
    /// # Errors
    /// `unknown-driver`; [`Error::Io`] when it cannot be opened.
    pub(super) fn own_tree(&self, id: &LayerId) -> Result<Option<OwnedFd>> {
        let store = &*self.store;
        let name = match self.own_content()? {
            OwnContent::Complete(name) => name,
            OwnContent::Stacked(Stack {
                upper,
                sealed: None,
                ..
            }) => upper,
            OwnContent::Room | OwnContent::Stacked(_) => return Ok(None),
        };
        open_own(store, id, store.facts(id)?.number, &name)
    }

    /// Where a layer lies whose lock is held, and where it is mounted: moby's keys in moby's order.
    ///
    /// # Errors
    /// `unknown-driver`; [`Error::Io`] when a directory cannot be opened; what the driver answers.
    pub(super) fn places(
        &self,
        id: &LayerId,
        facts: &Facts,
    ) -> Result<(Vec<Place>, Option<Place>)> {
        let store = &*self.store;
        let content = self.own_content()?;
        let merged = || {
            let path = store.place.point(facts.number);
            (MERGED, path.display().to_string())
        };
        let is_mounted = store.mounts.get(id).is_some();
        let there = |key, name: &Name| -> Result<Option<Place>> {
            let opened = open_own(store, id, facts.number, name)?;
            let path = store.layers.room_path(facts.number).join(name.to_string());
            Ok(opened.map(|_directory| (key, path.display().to_string())))
        };
        Ok(match &content {
            OwnContent::Room => (Vec::new(), is_mounted.then(merged)),
            OwnContent::Complete(name) => {
                let source = there(SOURCE, name)?;
                (source.into_iter().collect(), is_mounted.then(merged))
            }
            OwnContent::Stacked(stack) => {
                let upper = there(UPPER, &stack.upper)?;
                let own = match (upper, &stack.sealed) {
                    (Some(upper), _) => [Some(upper), there(WORK, &stack.work)?],
                    (None, Some(sealed)) => [there(SOURCE, sealed)?, None],
                    (None, None) => [None, None],
                };
                let lower = self.lower(id, stack)?;
                let places = lower.into_iter().chain(own.into_iter().flatten());
                (places.collect(), Some(merged()))
            }
        })
    }

    /// What a layer's view shows below its upper; below the layer, if it has none.
    fn lower(&self, id: &LayerId, stack: &Stack) -> Result<Option<Place>> {
        let layers = &self.store.layers;
        let below = {
            let table = layers.table();
            let ids = table.ancestors(id.as_str()).unwrap_or_default();
            let entries = ids.iter().filter_map(|id| table.get(id));
            entries.map(|entry| entry.id().clone()).collect()
        };
        let rules = ViewRules::new(Some(id.clone()), below, Access::ReadOnly);
        let view = self.plan(id, &rules)?;
        let shown = match view.shape() {
            Shape::Bind(only) => std::slice::from_ref(only),
            Shape::Stack(all) | Shape::Overlay { lowers: all, .. } => all,
        };
        let is_upper = |shown: &RoomDirectory| shown.layer() == id && *shown.name() == stack.upper;
        let has_upper = shown.iter().any(is_upper);
        let lowers = shown
            .iter()
            .filter(|shown| shown.layer() != id || (has_upper && !is_upper(shown)));
        let paths = lowers.map(|lower| Ok(lower.path(layers)?.display().to_string()));
        let paths = paths.collect::<Result<Vec<_>>>()?;
        Ok((!paths.is_empty()).then(|| (LOWER, paths.join(":"))))
    }

    /// What a view of a layer consists of. An answer that breaks the rules counts as the driver's fault.
    pub(crate) fn plan(&self, layer: &LayerId, rules: &ViewRules) -> Result<CheckedView> {
        let access = rules.access();
        let scope = Scope::layer(&self.store.layers, layer, Intent::View(access));
        let call = Call::new(Verb::Mount, Arc::clone(&scope)).asking(Question::View);
        self.call(call, |generation, operation| {
            let plan = generation.plan(operation, layer.as_str(), access)?;
            rules.check(&plan, &*scope)
        })
    }
}

/// As [`open`], with an error that names the layer.
fn open_own(store: &Store, id: &LayerId, number: u64, name: &Name) -> Result<Option<OwnedFd>> {
    let doing = || format!("open `{name}` of layer `{id}` of store `{}`", store.name);
    open(store, number, name).map_err(|error| Error::io(doing(), error))
}

/// Opens a directory of a layer's room that a driver names; `None` if the room has none of that name.
pub(super) fn open(store: &Store, number: u64, name: &Name) -> io::Result<Option<OwnedFd>> {
    match store.layers.open_in_room(number, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some),
    }
}
