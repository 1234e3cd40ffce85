//! Tells what an archive or a layer does not hold of the other.
//!
//! Invariant: it is told to whoever asked, if the protocol has a place for it, and always in the log and as an event.

use crate::engine::Engine;
use crate::event::News;
use crate::store::Store;
use crate::{EventKind, LayerId};

impl Engine {
    /// Tells what was left out of `layer` or of its archive: how many nodes and attributes, and the first of them.
    pub(in crate::operations) fn tell_left_out(
        &self,
        (store, layer): (&Store, &LayerId),
        what: &'static str,
        (count, first): (u64, &[String]),
    ) {
        if count == 0 {
            return;
        }
        let (store, layer) = (store.name.as_str(), layer.as_str());
        tracing::warn!(store, layer, count, ?first, what);
        let more = if count > first.len() as u64 {
            ", …"
        } else {
            ""
        };
        let detail = format!("{what}: {count} in all: {}{more}", first.join(", "));
        self.bus.tell(
            News::new(EventKind::LayerLeftOut)
                .store(store)
                .layer(layer)
                .detail(detail),
        );
    }
}
