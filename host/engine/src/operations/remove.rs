//! Removes a layer.
//!
//! Invariant: the layer goes only after the driver has agreed, and then at once and whole.

use crate::call::Call;
use crate::engine::Engine;
use crate::event::News;
use crate::home::Syncing;
use crate::layers::{Key, Mode};
use crate::scope::{Intent, Scope};
use crate::store::Store;
use crate::{EventKind, LayerId, Result};
use mica_runtime::{CancelToken, Error as DriverError};

impl Engine {
    /// Removes a layer; its files are deleted in the background.
    ///
    /// # Errors
    /// `unknown-layer`, `has-children`, `mounted`; what the driver answers. The layer is then as it was.
    pub fn remove_layer(&self, store: &str, id: &str) -> Result<()> {
        let id = LayerId::parse(id)?;
        let store = self.usable_store(store)?;
        let _life = store.enter()?;
        store.check_no_snapshots()?;
        self.remove_in(&store, &id, Syncing::Now, &CancelToken::default())
    }

    /// Removes a layer in a store that stays.
    pub(crate) fn remove_in(
        &self,
        store: &Store,
        id: &LayerId,
        syncing: Syncing,
        cancel: &CancelToken,
    ) -> Result<()> {
        let _held = store.lock(vec![
            (Key::Mount(id.clone()), Mode::Exclusive),
            (Key::Layer(id.clone()), Mode::Exclusive),
        ])?;
        let facts = store.facts(id)?;
        facts.check_childless()?;
        self.clear_mount(store, id)?;
        let scope = Scope::layer(&store.layers, id, Intent::Remove);
        let call = Call::new("remove", scope.clone()).with_cancel(cancel.clone());
        self.call(call, |generation, operation| {
            generation.remove(operation, id.as_str())?;
            let discarded = scope.is_discarded().then_some(());
            discarded.ok_or_else(|| DriverError::Trapped("it discarded no layer".into()))
        })?;
        store.layers.discard(id, syncing)?;
        self.bus.tell(
            News::new(EventKind::LayerRemoved)
                .store(store.name.as_str())
                .layer(id.as_str()),
        );
        Ok(())
    }
}
