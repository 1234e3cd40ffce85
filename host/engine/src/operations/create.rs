//! Creates a layer.
//!
//! Invariant: the parent can neither be removed nor changed from the check until the child is counted.

use crate::call::Call;
use crate::engine::Engine;
use crate::event::News;
use crate::home::Record;
use crate::layers::{Key, Mode};
use crate::scope::{Intent, Scope};
use crate::store::Store;
use crate::view::{LayerRequest, LayerView, LiveParent};
use crate::{Error, EventKind, LayerId, Result, label};
use mica_runtime::{CreateOptions, Error as DriverError};

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
        let store = self.usable_store(store)?;
        let _life = store.enter()?;
        let mut wanted = vec![(Key::Layer(id.clone()), Mode::Exclusive)];
        wanted.extend(
            parent
                .iter()
                .map(|parent| (Key::Layer(parent.clone()), Mode::Shared)),
        );
        let _held = store.lock(wanted)?;
        self.check_new(&store, &id, parent.as_ref())?;
        if let (Some(parent), LiveParent::Refuse) = (&parent, live_parent)
            && store.mounts.is_writable(parent)
        {
            store.check_unmounted(parent)?;
        }
        let scope = Scope::layer(&store.layers, &id, Intent::Create(parent.clone(), kind));
        let options = CreateOptions {
            mount_label,
            storage_options,
        };
        let below = parent.as_ref().map(LayerId::as_str);
        let call = Call::new("create", scope.clone());
        let staged = self.call(call, |generation, operation| {
            generation.create(operation, id.as_str(), below, kind, &options)?;
            scope
                .take_published()
                .ok_or_else(|| DriverError::Trapped("it published no layer".into()))
        })?;
        let record = Record::new(id.clone(), parent, kind, &store.description.driver);
        store.layers.publish(staged, record)?;
        self.bus.tell(
            News::new(EventKind::LayerCreated)
                .store(store.name.as_str())
                .layer(id.as_str()),
        );
        Ok(store.layer_view(store.facts(&id)?))
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
        let Some(parent) = parent else { return Ok(()) };
        let Some(below) = table.get(parent.as_str()) else {
            return Err(Error::UnknownParent {
                store: store_name,
                parent: parent.as_str().to_owned(),
            });
        };
        let (depth, limit) = (
            below.depth + 1,
            self.settings.depth_of(&store.description.driver),
        );
        drop(table);
        if depth > limit {
            return Err(Error::TooDeep {
                layer,
                depth,
                limit,
            });
        }
        Ok(())
    }
}
