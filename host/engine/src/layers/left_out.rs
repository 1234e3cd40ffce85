//! Tells what an archive or a layer does not hold of the other.
//!
//! Invariant: it is told to whoever asked, if the protocol has a place for it, and always in the log and as an event.

use crate::store::OpenStore;
use crate::{EventKind, LayerId};

impl OpenStore<'_> {
    /// Tells what was left out of `layer` or of its archive: how many nodes and attributes, and the first of them.
    pub(crate) fn tell_left_out(
        &self,
        layer: &LayerId,
        what: &'static str,
        (count, first): (u64, &[String]),
    ) {
        if count == 0 {
            return;
        }
        let (store, id) = (self.store.name.as_str(), layer.as_str());
        tracing::warn!(store, layer = id, count, ?first, what);
        let more = if count > first.len() as u64 {
            ", …"
        } else {
            ""
        };
        let detail = format!("{what}: {count} in all: {}{more}", first.join(", "));
        let news = self.news(EventKind::LayerLeftOut, layer);
        self.engine.bus.tell(news.detail(detail));
    }
}
