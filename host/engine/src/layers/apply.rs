//! Applies an archive to a layer.
//!
//! Invariant: the driver works on a private copy, which takes the layer's place if everything went well and is
//! thrown away if anything did not.

use super::Expected;
use crate::drivers::Question;
use crate::store::{Call, Intent, OpenStore, Scope, Verb};
use crate::{Error, EventKind, LayerId, Result};
use mica_runtime::{ApplyReport, ArchiveForm, CancelToken, Source};

impl OpenStore<'_> {
    /// Applies an archive to a layer that is not mounted and has no children.
    pub(super) fn apply_archive(
        &self,
        id: &LayerId,
        expected: Expected<'_>,
        form: ArchiveForm,
        source: Source,
        cancel: CancelToken,
    ) -> Result<ApplyReport> {
        let store = &self.store;
        let (_held, facts) = self.lock_unused(id, expected)?;
        self.check_undamaged(id)?;
        self.check_changeable(&facts)?;
        let copy = store.layers.copy(id, facts.number)?;
        let scope = Scope::layer(&store.layers, id, Intent::Apply(copy));
        let parent = facts.record.parent.as_ref().map(LayerId::as_str);
        let call = Call::new(Verb::Apply, scope.clone())
            .with_cancel(cancel)
            .asking(Question::Made);
        let report = self.call_once(call, |generation, operation| {
            generation.apply_diff(operation, id.as_str(), parent, form, source)
        })?;
        let held = || Error::Sandbox(format!("apply to layer `{id}`: the copy is still in use"));
        // No handle of the driver may be left that could change the files after they have become the layer.
        let copy = scope.into_copy().ok_or_else(held)?;
        store.layers.replace(copy, id)?;
        self.tell_left_out(
            id,
            "the layer does not hold what the archive has",
            (report.xattrs_skipped, &report.first_left_out),
        );
        self.tell(EventKind::LayerApplied, id);
        self.engine.scrubber.settled(store.name.as_str(), id);
        Ok(report)
    }
}
