//! Applies an archive to a layer.
//!
//! Invariant: the driver works on a private copy, which takes the layer's place if everything went well and is
//! thrown away if anything did not.

use crate::call::Call;
use crate::engine::Engine;
use crate::event::News;
use crate::layers::{Key, Mode};
use crate::scope::{Intent, Scope};
use crate::{Error, EventKind, LayerId, Result};
use mica_runtime::{ApplyReport, ArchiveForm, CancelToken, Source};

impl Engine {
    /// Reads an archive, which is not compressed, into a layer. Directories of the layer are copied for it, files
    /// are shared until they are replaced. In the form of moby an entry for the top directory is passed over.
    ///
    /// # Errors
    /// `unknown-layer`; `mounted` and `has-children`, for no one may see the layer change; `invalid-archive`,
    /// `no-space`, `cancelled`; what the driver answers. The layer is then as it was.
    pub fn apply(
        &self,
        store: &str,
        id: &str,
        form: ArchiveForm,
        source: Source,
        cancel: CancelToken,
    ) -> Result<ApplyReport> {
        let id = LayerId::parse(id)?;
        let store = self.usable_store(store)?;
        let _life = store.enter()?;
        store.check_no_snapshots()?;
        let _held = store.lock(vec![
            (Key::Mount(id.clone()), Mode::Exclusive),
            (Key::Layer(id.clone()), Mode::Exclusive),
        ])?;
        let facts = store.facts(&id)?;
        facts.check_childless()?;
        self.clear_mount(&store, &id)?;
        let copy = store.layers.copy(&id, facts.number)?;
        let scope = Scope::layer(&store.layers, &id, Intent::Apply(copy));
        let parent = facts.record.parent.as_ref().map(LayerId::as_str);
        let call = Call::new("apply", scope.clone())
            .with_cancel(cancel)
            .streaming();
        let report = self.call(call, |generation, operation| {
            generation.apply_diff(operation, id.as_str(), parent, form, source)
        })?;
        let held = || Error::Sandbox(format!("{}: the copy is still in use", scope_name(&id)));
        let copy = scope.into_copy().ok_or_else(held)?;
        store.layers.replace(copy, &id)?;
        self.tell_left_out(
            (&store, &id),
            "the layer does not hold what the archive has",
            (report.xattrs_skipped, &report.first_left_out),
        );
        self.bus.tell(
            News::new(EventKind::LayerApplied)
                .store(store.name.as_str())
                .layer(id.as_str()),
        );
        Ok(report)
    }
}

fn scope_name(id: &LayerId) -> String {
    format!("apply to layer `{id}`")
}
