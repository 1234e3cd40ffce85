//! The end of a quarantine.
//!
//! Invariant: nothing but a person, another build, or a store's removal ends one.

use super::Drivers;
use crate::event::News;
use crate::view::QuarantineView;
use crate::{Error, EventKind, Result};

impl Drivers<'_> {
    /// Lets a driver be called again.
    pub(super) fn end_quarantine(
        self,
        name: &str,
        store: Option<&str>,
        layer: Option<&str>,
    ) -> Result<Vec<QuarantineView>> {
        if let (None, Some(layer)) = (store, layer) {
            let shown: String = layer.escape_debug().take(64).collect();
            return Err(Error::Invalid(format!(
                "layer `{shown}` is named without its store; name both"
            )));
        }
        let slot = self.engine.registry.get(name)?;
        let released = slot.quarantine.release(store, layer);
        for ended in &released {
            let news = News::new(EventKind::DriverReleased).driver(name);
            let news = news.about(ended.store.as_deref(), ended.layer.as_deref());
            self.engine.bus.tell(news.detail(ended.reason.clone()));
        }
        if slot.history.lock().went_back.is_some() {
            // Whoever releases a driver has seen it.
            let _changing = self.changing(&slot)?;
            self.record(&slot, |history| history.went_back = None)?;
        }
        self.try_stores_again(name);
        Ok(released)
    }
}
