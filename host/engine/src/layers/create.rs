//! Creates a layer.
//!
//! Invariant: the parent can neither be removed nor changed from the check until the child is counted.

use super::{Facts, Key, Mode};
use crate::disk::home::{Purpose, Record, Syncing};
use crate::drivers::Question;
use crate::snapshots::{CheckedView, ViewRules};
use crate::store::{Call, Intent, OpenStore, Scope, Verb};
use crate::view::{LayerRequest, LiveParent};
use crate::{Error, EventKind, LayerId, Result};
use mica_runtime::{CancelToken, CreateOptions, Error as DriverError, LayerKind};

/// How a layer is made.
#[derive(Debug)]
pub(crate) struct NewLayer {
    kind: LayerKind,
    options: CreateOptions,
    syncing: Syncing,
    cancel: CancelToken,
    live_parent: LiveParent,
    /// What it is needed for, if not for itself.
    purpose: Option<Purpose>,
    /// The rules for its view, if that is asked at once.
    view: Option<ViewRules>,
}

impl NewLayer {
    /// The layer that a client asks for.
    pub(super) fn of_client(request: LayerRequest, cancel: &CancelToken) -> Self {
        Self {
            kind: request.kind.into(),
            options: CreateOptions {
                mount_label: request.mount_label,
                storage_options: request.storage_options.0,
            },
            syncing: Syncing::Now,
            cancel: cancel.clone(),
            live_parent: request.live_parent,
            purpose: None,
            view: None,
        }
    }

    /// The layer of a snapshot: its files may get to the device later, for its row tells whether it counts.
    pub(crate) fn of_snapshot(
        (kind, syncing): (LayerKind, Syncing),
        purpose: Purpose,
        view: ViewRules,
        cancel: &CancelToken,
    ) -> Self {
        Self {
            kind,
            options: CreateOptions::default(),
            syncing,
            cancel: cancel.clone(),
            live_parent: LiveParent::Refuse,
            purpose: Some(purpose),
            view: Some(view),
        }
    }
}

impl OpenStore<'_> {
    /// Creates a layer, and tells what it is and what the view that was asked for consists of. Both are read while the layer is
    /// locked, because others may remove it at once.
    pub(crate) fn create_layer(
        &self,
        id: &LayerId,
        parent: Option<&LayerId>,
        new: NewLayer,
    ) -> Result<(Facts, Option<CheckedView>)> {
        let store = &self.store;
        let mut wanted = vec![(Key::Layer(id.clone()), Mode::Exclusive)];
        wanted.extend(parent.map(|parent| (Key::Layer(parent.clone()), Mode::Shared)));
        let _held = store.lock(wanted)?;
        self.check_new(id, parent)?;
        parent.map_or(Ok(()), |parent| self.check_undamaged(parent))?;
        if let (Some(parent), LiveParent::Refuse) = (parent, new.live_parent)
            && store.mounts.is_writable(parent)
        {
            store.check_unmounted(parent)?;
        }
        let intent = Intent::Create(parent.cloned(), new.kind);
        let scope = Scope::layer(&store.layers, id, intent);
        let below = parent.map(LayerId::as_str);
        let call = Call::new(Verb::Create, scope.clone())
            .with_cancel(new.cancel)
            .asking(Question::Made);
        let (staged, view) = self.call(call, |generation, operation| {
            let (kind, options) = (new.kind, &new.options);
            let access = new.view.as_ref().map(ViewRules::access);
            let plan = generation.create(operation, id.as_str(), below, kind, options, access)?;
            let view = match (&plan, &new.view) {
                (Some(plan), Some(rules)) => Some(rules.check(plan, &*scope)?),
                _ => None,
            };
            let staged = scope
                // The driver only wished: nothing is visible until the record is written and the rename is done.
                .take_published()
                .ok_or_else(|| DriverError::Trapped("it published no layer".into()))?;
            Ok((staged, view))
        })?;
        let driver = &store.description.driver;
        let record = Record::new(id.clone(), parent.cloned(), new.kind, driver);
        let record = record.for_purpose(new.purpose);
        store.layers.publish(staged, record, new.syncing)?;
        self.tell(EventKind::LayerCreated, id);
        Ok((store.facts(id)?, view))
    }

    /// Checks what can be known before the driver is asked.
    fn check_new(&self, id: &LayerId, parent: Option<&LayerId>) -> Result<()> {
        let store = &self.store;
        let (store_name, layer) = (store.name.as_str().to_owned(), id.as_str().to_owned());
        let table = store.layers.table();
        if table.get(id.as_str()).is_some() {
            return Err(Error::LayerExists {
                store: store_name,
                layer,
            });
        }
        // A new layer of that id would become the parent of children that were made on another content.
        if let Some(orphan) = table.orphan_of(id.as_str()) {
            let text =
                format!("layer `{layer}` was lost, but layer `{orphan}` is still built on it");
            return Err(Error::Busy(text));
        }
        drop(table);
        parent.map_or(Ok(()), |parent| self.check_depth(id, parent))
    }

    /// Checks that a layer may lie on another one.
    ///
    /// # Errors
    /// [`Error::UnknownParent`], [`Error::TooDeep`].
    pub(crate) fn check_depth(&self, id: &LayerId, parent: &LayerId) -> Result<()> {
        let store = &self.store;
        let below = store
            .layers
            .table()
            .get(parent.as_str())
            .map(|below| below.depth);
        let depth = 1 + below.ok_or_else(|| Error::UnknownParent {
            store: store.name.as_str().to_owned(),
            parent: parent.as_str().to_owned(),
        })?;
        let limit = self.engine.settings.depth_of(&store.description.driver);
        if depth > limit {
            return Err(Error::TooDeep {
                layer: id.as_str().to_owned(),
                depth,
                limit,
            });
        }
        Ok(())
    }
}
