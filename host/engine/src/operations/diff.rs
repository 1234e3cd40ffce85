//! Compares layers: as an archive, as a list, as a size.
//!
//! Invariant: nothing is changed, and both layers stay as they are until the last byte is out.

use crate::call::Call;
use crate::engine::Engine;
use crate::layers::{Held, Key, Mode};
use crate::scope::{Intent, Scope};
use crate::store::Store;
use crate::view::{DiffParent, DiffRequest};
use crate::{Error, LayerId, Result};
use mica_runtime::{CancelToken, ChangeSink, DiffReport, Sink};
use std::sync::Arc;

/// Two layers that are compared.
struct Pair<'a> {
    id: LayerId,
    parent: Option<LayerId>,
    _held: Held<'a>,
}

impl Pair<'_> {
    fn parent(&self) -> Option<&str> {
        self.parent.as_ref().map(LayerId::as_str)
    }

    fn scope(&self, store: &Store) -> Arc<Scope> {
        Scope::layer(&store.layers, &self.id, Intent::Look)
    }
}

/// Locks both layers, and finds out what the other one is.
fn pair<'a>(store: &'a Store, id: &str, parent: &DiffParent) -> Result<Pair<'a>> {
    let id = LayerId::parse(id)?;
    let mut wanted = vec![(Key::Layer(id.clone()), Mode::Shared)];
    let mut named = None;
    if let DiffParent::Layer(parent) = parent {
        let parent = LayerId::parse(parent)?;
        wanted.push((Key::Layer(parent.clone()), Mode::Shared));
        named = Some(parent);
    }
    let held = store.lock(wanted)?;
    let facts = store.facts(&id)?;
    if let Some(named) = &named
        && store.layers.table().get(named.as_str()).is_none()
    {
        let (store, parent) = (store.name.as_str().to_owned(), named.as_str().to_owned());
        return Err(Error::UnknownParent { store, parent });
    }
    let parent = if *parent == DiffParent::Own {
        facts.record.parent
    } else {
        named
    };
    Ok(Pair {
        id,
        parent,
        _held: held,
    })
}

impl Engine {
    /// Writes the difference between two layers as a tar archive: the same bytes for the same layers and form. What
    /// the sink got before an error is no complete archive.
    ///
    /// # Errors
    /// `unknown-layer`, `unknown-parent`, `cancelled` also when the reader of the sink has gone; what the driver
    /// answers.
    pub fn diff(
        &self,
        store: &str,
        request: &DiffRequest,
        sink: Sink,
        cancel: CancelToken,
    ) -> Result<DiffReport> {
        let store = self.usable_store(store)?;
        let _life = store.enter()?;
        let pair = pair(&store, &request.id, &request.parent)?;
        let call = Call::new("diff", pair.scope(&store))
            .with_cancel(cancel)
            .streaming();
        let report = self.call(call, |generation, operation| {
            generation.diff(
                operation,
                pair.id.as_str(),
                pair.parent(),
                request.form,
                sink,
            )
        })?;
        self.tell_left_out(
            (&store, &pair.id),
            "the archive of the layer does not hold",
            (report.left_out_count, &report.first_left_out),
        );
        Ok(report)
    }

    /// Lists the difference between a layer and `parent` in byte order of the paths.
    ///
    /// # Errors
    /// As [`Engine::diff`].
    pub fn changes(
        &self,
        store: &str,
        id: &str,
        parent: DiffParent,
        sink: ChangeSink,
        cancel: CancelToken,
    ) -> Result<()> {
        let store = self.usable_store(store)?;
        let _life = store.enter()?;
        let pair = pair(&store, id, &parent)?;
        let call = Call::new("changes", pair.scope(&store))
            .with_cancel(cancel)
            .streaming();
        self.call(call, |generation, operation| {
            generation.changes(operation, pair.id.as_str(), pair.parent(), sink)
        })
    }

    /// Sums the sizes in bytes of what was added or modified against `parent`, each inode once.
    ///
    /// # Errors
    /// As [`Engine::diff`].
    pub fn size(&self, store: &str, id: &str, parent: DiffParent) -> Result<u64> {
        let store = self.usable_store(store)?;
        let _life = store.enter()?;
        let pair = pair(&store, id, &parent)?;
        let call = Call::new("size", pair.scope(&store));
        self.call(call, |generation, operation| {
            generation.diff_size(operation, pair.id.as_str(), pair.parent())
        })
    }
}
