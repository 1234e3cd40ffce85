//! Layers with all that lie below them.
//!
//! Invariant: what was made for a command that failed is removed again, the topmost first.

use mica_client::{Failure, segment, words};
use serde_json::json;

use crate::api::types::{LayerKind, LayerRequest, LayerView};
use crate::cli::context::Context;

/// Of a layer and those below it, the lowest first.
pub(super) fn chain(context: &Context, store: &str, id: &str) -> Result<Vec<LayerView>, Failure> {
    let mut chain = Vec::new();
    let mut next = Some(id.to_owned());
    while let Some(id) = next.take() {
        let layer = look_up(context, store, &id)?;
        next.clone_from(&layer.parent);
        chain.push(layer);
    }
    chain.reverse();
    Ok(chain)
}

fn look_up(context: &Context, store: &str, id: &str) -> Result<LayerView, Failure> {
    let document = context.client.get(&target(store, id, ""))?;
    mica_client::read(&document).ok_or_else(|| Failure::Connection {
        doing: format!("understand what the daemon says of layer `{id}`"),
        source: "it has another form than this program knows".into(),
    })
}

/// A layer, if the store has it.
pub(super) fn find(context: &Context, store: &str, id: &str) -> Result<Option<LayerView>, Failure> {
    match look_up(context, store, id) {
        Ok(layer) => Ok(Some(layer)),
        Err(Failure::Problem(problem)) if problem.code == "unknown-layer" => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// The target of a layer, with more after it.
pub(super) fn target(store: &str, id: &str, rest: &str) -> String {
    format!("/v1/stores/{}/layers/{}{rest}", segment(store), segment(id))
}

/// Layers that were made, which go again unless they are kept.
pub(super) struct Made<'a> {
    context: &'a Context,
    store: &'a str,
    ids: Vec<String>,
}

impl<'a> Made<'a> {
    /// None yet.
    pub(super) fn none(context: &'a Context, store: &'a str) -> Self {
        Self {
            context,
            store,
            ids: Vec::new(),
        }
    }

    /// Makes a layer.
    pub(super) fn create(
        &mut self,
        id: &str,
        parent: Option<&str>,
        kind: LayerKind,
    ) -> Result<(), Failure> {
        let request = LayerRequest {
            kind,
            ..LayerRequest::new(id, parent)
        };
        let target = format!("/v1/stores/{}/layers", segment(self.store));
        // A signal that comes meanwhile does not hide what was made.
        self.context.client.post(&target, Some(&json!(request)))?;
        self.ids.push(id.to_owned());
        Ok(())
    }

    /// Leaves them.
    pub(super) fn keep(mut self) {
        self.ids.clear();
    }
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        if self.ids.is_empty() {
            return;
        }
        let printer = &self.context.printer;
        // A signal that ended the command does not end this.
        let client = match self.context.client.undisturbed() {
            Ok(client) => client,
            Err(failure) => {
                let ids = self.ids.join("`, `");
                return printer.note(&format!("`{ids}` were made and stay: {}", failure.text()));
            }
        };
        let mut are_gone = true;
        for id in self.ids.iter().rev() {
            if let Err(failure) = client.delete(&target(self.store, id, "")) {
                are_gone = false;
                let text = format!("layer `{id}` was made and stays: {}", failure.text());
                printer.note(&text);
            }
        }
        if are_gone && self.context.client.is_interrupted() {
            let ids: Vec<_> = self.ids.iter().map(|id| words::safe(id)).collect();
            printer.note(&format!("removed again: {}", ids.join(", ")));
        }
    }
}
