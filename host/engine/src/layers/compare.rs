//! Compares layers: as an archive, as a list, as a size.
//!
//! Invariant: nothing is changed, and both layers stay as they are until the last byte is out.

use super::{Held, Key, Mode};
use crate::drivers::Question;
use crate::store::{Call, Intent, OpenStore, Scope, Store};
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
    // Only now: without the lock it could be removed, or get another parent, in between.
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

impl OpenStore<'_> {
    /// Writes the difference between two layers as a tar archive.
    pub(super) fn write_diff(
        &self,
        request: &DiffRequest,
        sink: Sink,
        cancel: CancelToken,
    ) -> Result<DiffReport> {
        let pair = pair(&self.store, &request.id, &request.parent)?;
        self.check_undamaged(&pair.id)?;
        let archive = Question::Archive(pair.parent.clone(), request.form);
        let call = Call::new("diff", pair.scope(&self.store))
            .with_cancel(cancel)
            .asking(archive);
        let report = self.call_once(call, |generation, operation| {
            generation.diff(
                operation,
                pair.id.as_str(),
                pair.parent(),
                request.form,
                sink,
            )
        })?;
        self.tell_left_out(
            &pair.id,
            "the archive of the layer does not hold",
            (report.left_out_count, &report.first_left_out),
        );
        Ok(report)
    }

    /// Lists the difference between two layers.
    pub(super) fn list_changes(
        &self,
        id: &str,
        parent: &DiffParent,
        sink: ChangeSink,
        cancel: CancelToken,
    ) -> Result<()> {
        let pair = pair(&self.store, id, parent)?;
        let call = Call::new("changes", pair.scope(&self.store))
            .with_cancel(cancel)
            .asking(Question::Changes(pair.parent.clone()));
        self.call_once(call, |generation, operation| {
            generation.changes(operation, pair.id.as_str(), pair.parent(), sink)
        })
    }

    /// Sums the sizes of what differs between two layers.
    pub(super) fn diff_size(&self, id: &str, parent: &DiffParent) -> Result<u64> {
        let pair = pair(&self.store, id, parent)?;
        let call =
            Call::new("size", pair.scope(&self.store)).asking(Question::Size(pair.parent.clone()));
        self.call(call, |generation, operation| {
            generation.diff_size(operation, pair.id.as_str(), pair.parent())
        })
    }
}
