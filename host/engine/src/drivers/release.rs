//! The end of a quarantine.
//!
//! Invariant: nothing but a person, another build, or a store's removal ends one.

use crate::engine::Engine;
use crate::event::News;
use crate::view::QuarantineView;
use crate::{Error, EventKind, Result};

impl Engine {
    /// Lets a driver be called again: for a layer, for a store and its layers, or, if neither is named, for everyone.
    /// Its faults count from zero there. Says what was ended; that may be nothing.
    ///
    /// # Errors
    /// [`Error::UnknownDriver`]; [`Error::Invalid`] for a layer without a store.
    pub fn release_driver(
        &self,
        name: &str,
        store: Option<&str>,
        layer: Option<&str>,
    ) -> Result<Vec<QuarantineView>> {
        self.check_open()?;
        if let (None, Some(layer)) = (store, layer) {
            let shown: String = layer.escape_debug().take(64).collect();
            return Err(Error::Invalid(format!(
                "layer `{shown}` is named without its store; name both"
            )));
        }
        let slot = self.registry.get(name)?;
        let released = slot.quarantine.release(store, layer);
        for ended in &released {
            let mut news = News::new(EventKind::DriverReleased)
                .driver(name)
                .detail(ended.reason.clone());
            if let Some(store) = &ended.store {
                news = news.store(store);
            }
            if let Some(layer) = &ended.layer {
                news = news.layer(layer);
            }
            self.bus.tell(news);
        }
        self.stores_of(name).for_each(|store| {
            // A store that could not be asked may be used from now on.
            let _ready = self.make_ready(&store);
        });
        Ok(released)
    }
}
