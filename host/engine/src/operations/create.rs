//! Creates a layer.
//!
//! Invariant: the parent can neither be removed nor changed from the check until the child is counted.

use crate::call::Call;
use crate::engine::Engine;
use crate::event::News;
use crate::home::{Purpose, Record, Syncing};
use crate::layers::{Facts, Key, Mode};
use crate::scope::{Intent, Scope};
use crate::snapshots::{CheckedView, ViewRules};
use crate::store::Store;
use crate::view::{LayerRequest, LayerView, LiveParent};
use crate::{Error, EventKind, LayerId, Result, label, options};
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
    /// The layer of a snapshot: its files may get to the device later, for its row tells whether it counts.
    pub(crate) fn of_snapshot(
        kind: LayerKind,
        purpose: Purpose,
        view: ViewRules,
        cancel: &CancelToken,
    ) -> Self {
        Self {
            kind,
            options: CreateOptions::default(),
            syncing: Syncing::Later,
            cancel: cancel.clone(),
            live_parent: LiveParent::Refuse,
            purpose: Some(purpose),
            view: Some(view),
        }
    }
}

impl Engine {
    /// Creates a layer of the content of its parent, or an empty one.
    ///
    /// # Errors
    /// [`Error::InvalidId`], [`Error::LayerExists`], [`Error::UnknownParent`], [`Error::TooDeep`],
    /// [`Error::Mounted`] when processes may change the parent right now and [`LiveParent::Refuse`] is asked for,
    /// [`Error::NoSpace`]; what the driver answers. Whatever the error, there is no trace of the layer.
    pub fn create_layer(&self, store: &str, request: LayerRequest) -> Result<LayerView> {
        let LayerRequest {
            id,
            parent,
            kind,
            mount_label,
            storage_options,
            live_parent,
        } = request;
        let id = LayerId::parse(&id)?;
        let parent = parent.as_deref().map(LayerId::parse).transpose()?;
        label::check(mount_label.as_deref())?;
        options::check("storage option", &storage_options, self.runtime.limits())?;
        let store = self.usable_store(store)?;
        let _life = store.enter()?;
        store.check_no_snapshots()?;
        let new = NewLayer {
            kind,
            options: CreateOptions {
                mount_label,
                storage_options,
            },
            syncing: Syncing::Now,
            cancel: CancelToken::default(),
            live_parent,
            purpose: None,
            view: None,
        };
        let (created, _) = self.create_in(&store, &id, parent.as_ref(), new)?;
        Ok(store.layer_view(created))
    }

    /// Creates a layer in a store that stays, and tells what it is and what the view that was asked for consists of. Both
    /// are read while the layer is locked, because others may remove it at once.
    pub(crate) fn create_in(
        &self,
        store: &Store,
        id: &LayerId,
        parent: Option<&LayerId>,
        new: NewLayer,
    ) -> Result<(Facts, Option<CheckedView>)> {
        let mut wanted = vec![(Key::Layer(id.clone()), Mode::Exclusive)];
        wanted.extend(parent.map(|parent| (Key::Layer(parent.clone()), Mode::Shared)));
        let _held = store.lock(wanted)?;
        self.check_new(store, id, parent)?;
        if let (Some(parent), LiveParent::Refuse) = (parent, new.live_parent)
            && store.mounts.is_writable(parent)
        {
            store.check_unmounted(parent)?;
        }
        let intent = Intent::Create(parent.cloned(), new.kind);
        let scope = Scope::layer(&store.layers, id, intent);
        let below = parent.map(LayerId::as_str);
        let call = Call::new("create", scope.clone()).with_cancel(new.cancel);
        let (staged, view) = self.call(call, |generation, operation| {
            let (kind, options) = (new.kind, &new.options);
            let access = new.view.as_ref().map(ViewRules::access);
            let plan = generation.create(operation, id.as_str(), below, kind, options, access)?;
            let view = match (&plan, &new.view) {
                (Some(plan), Some(rules)) => Some(rules.check(plan, &*scope)?),
                _ => None,
            };
            let staged = scope
                .take_published()
                .ok_or_else(|| DriverError::Trapped("it published no layer".into()))?;
            Ok((staged, view))
        })?;
        let driver = &store.description.driver;
        let record = Record::new(id.clone(), parent.cloned(), new.kind, driver);
        let record = record.for_purpose(new.purpose);
        store.layers.publish(staged, record, new.syncing)?;
        self.bus.tell(
            News::new(EventKind::LayerCreated)
                .store(store.name.as_str())
                .layer(id.as_str()),
        );
        Ok((store.facts(id)?, view))
    }

    /// Checks what can be known before the driver is asked.
    fn check_new(&self, store: &Store, id: &LayerId, parent: Option<&LayerId>) -> Result<()> {
        let (store_name, layer) = (store.name.as_str().to_owned(), id.as_str().to_owned());
        let table = store.layers.table();
        if table.get(id.as_str()).is_some() {
            return Err(Error::LayerExists {
                store: store_name,
                layer,
            });
        }
        if let Some(orphan) = table.orphan_of(id.as_str()) {
            let text =
                format!("layer `{layer}` was lost, but layer `{orphan}` is still built on it");
            return Err(Error::Busy(text));
        }
        drop(table);
        parent.map_or(Ok(()), |parent| self.check_depth(store, id, parent))
    }

    /// Checks that a layer may lie on another one.
    ///
    /// # Errors
    /// [`Error::UnknownParent`], [`Error::TooDeep`].
    pub(crate) fn check_depth(&self, store: &Store, id: &LayerId, parent: &LayerId) -> Result<()> {
        let below = store
            .layers
            .table()
            .get(parent.as_str())
            .map(|below| below.depth);
        let depth = 1 + below.ok_or_else(|| Error::UnknownParent {
            store: store.name.as_str().to_owned(),
            parent: parent.as_str().to_owned(),
        })?;
        let limit = self.settings.depth_of(&store.description.driver);
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
