//! What is told of many layers at once: what they occupy, and which processes use those that are mounted.
//!
//! Invariant: a layer that goes meanwhile, or that cannot be measured, hides no other.

use crate::mounts::processes_below;
use crate::store::OpenStore;
use crate::view::{LayerProblem, LayerProcess, LayerUsage};
use crate::{Error, LayerId, Result, SafeText};
use mica_runtime::CancelToken;
use mica_text::with_causes;
use std::ffi::OsStr;

impl OpenStore<'_> {
    /// What each of several layers occupies.
    pub(super) fn layer_usages(
        &self,
        ids: &[String],
        cancel: &CancelToken,
    ) -> Result<Vec<LayerUsage>> {
        let measure = |id: &String| {
            let measured = LayerId::parse(id).and_then(|id| self.layer_usage(&id, cancel));
            let (usage, problem) = match measured {
                Ok(usage) => (Some(usage), None),
                Err(Error::Cancelled) => return Err(Error::Cancelled),
                Err(error) => {
                    let (code, detail) = (error.code().to_owned(), with_causes(&error));
                    (None, Some(LayerProblem { code, detail }))
                }
            };
            Ok(LayerUsage {
                id: id.clone(),
                usage,
                problem,
            })
        };
        ids.iter().map(measure).collect()
    }

    /// The processes that use files of mounted layers.
    pub(super) fn mount_processes(&self) -> Vec<LayerProcess> {
        let store = &self.store;
        let ids = store.mounts.layers();
        if ids.is_empty() {
            return Vec::new();
        }
        let seen = processes_below(&store.place.points);
        let of_layer = |id: LayerId| {
            // It may have been unmounted meanwhile.
            let point = store.mounts.get(&id).map(|state| state.number.to_string());
            let found = point.and_then(|point| seen.get(OsStr::new(&point)));
            let found = found.into_iter().flatten().cloned();
            let process = |(pid, name): (u32, SafeText)| LayerProcess {
                layer: id.as_str().to_owned(),
                pid,
                name: name.into(),
            };
            found.map(process).collect::<Vec<_>>()
        };
        ids.into_iter().flat_map(of_layer).collect()
    }
}
