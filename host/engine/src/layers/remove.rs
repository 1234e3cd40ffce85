//! Removes a layer.
//!
//! Invariant: the layer goes only after the driver has agreed, and then at once and whole.

use super::Expected;
use crate::disk::home::Syncing;
use crate::store::{Call, Intent, OpenStore, Scope, Verb};
use crate::{EventKind, LayerId, Result};
use mica_runtime::{CancelToken, Error as DriverError};

impl OpenStore<'_> {
    /// Removes a layer that is not mounted and has no children.
    pub(crate) fn remove_layer(
        &self,
        id: &LayerId,
        expected: Expected<'_>,
        syncing: Syncing,
        cancel: &CancelToken,
    ) -> Result<()> {
        let store = &self.store;
        let (_held, _facts) = self.lock_unused(id, expected)?;
        let scope = Scope::layer(&store.layers, id, Intent::Remove);
        let call = Call::new(Verb::Remove, scope.clone()).with_cancel(cancel.clone());
        self.call(call, |generation, operation| {
            generation.remove(operation, id.as_str())?;
            let discarded = scope.is_discarded().then_some(());
            discarded.ok_or_else(|| DriverError::Trapped("it discarded no layer".into()))
        })?;
        store.layers.discard(id, syncing)?;
        self.tell(EventKind::LayerRemoved, id);
        Ok(())
    }
}
