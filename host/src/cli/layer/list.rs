//! What layers there are.
//!
//! Invariant: reads page after page until the end; never asks for all at once.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{layers_target, target};
use crate::api::types::{
    HoldView, HolderView, LayerKind, LayerList, LayerView, MetadataView, UsageView,
};
use crate::cli::context::Context;
use crate::cli::gc::kept_by as kept_by_words;
use mica_client::{Column, Failure, pairs, segment, table, words};

/// Lists the layers of the store, or only their ids.
pub(super) fn ls(context: &Context, is_quiet: bool) -> Result<(), Failure> {
    let document = json!({ "layers": all(context)? });
    context.printer.view(&document, |list: &LayerList| {
        if is_quiet {
            return words::lines(list.layers.iter().map(|layer| &layer.id));
        }
        let rows = list.layers.iter().map(|layer| {
            vec![
                words::told(&layer.id),
                words::told(&layer.parent),
                words::told(&layer.kind),
                layer.depth.to_string(),
                layer.children.to_string(),
                layer.mounts.to_string(),
                words::seconds(&layer.created),
            ]
        });
        let columns = [
            Column::Text("id"),
            Column::Text("parent"),
            Column::Text("kind"),
            Column::Number("depth"),
            Column::Number("children"),
            Column::Number("mounts"),
            Column::Text("created"),
        ];
        table(&columns, rows.collect())
    })
}

/// Every layer of the store, as this program knows it.
pub(super) fn layers(context: &Context) -> Result<Vec<LayerView>, Failure> {
    let document = json!({ "layers": all(context)? });
    let list: Option<LayerList> = mica_client::read(&document);
    let list = list.ok_or_else(|| Failure::Connection {
        doing: "understand the daemon's list of layers".to_owned(),
        source: "it has another form than this program knows".into(),
    })?;
    Ok(list.layers)
}

/// Every layer of the store, in byte order of the ids.
fn all(context: &Context) -> Result<Vec<Value>, Failure> {
    context.all(&layers_target(context), "layers")
}

/// Tells what a layer occupies.
pub(super) fn usage(context: &Context, id: &str) -> Result<(), Failure> {
    let document = context.client.get(&target(context, id, "/usage"))?;
    context.printer.view(&document, |usage: &UsageView| {
        pairs([
            ("bytes", usage.bytes.to_string()),
            ("inodes", words::told(&usage.inodes)),
            ("source", words::told(&usage.source)),
        ])
    })
}

/// A layer with what its driver tells of it.
#[derive(Deserialize)]
struct Inspected {
    #[serde(flatten)]
    layer: LayerView,
    #[serde(flatten)]
    told: MetadataView,
    #[serde(default)]
    holders: Vec<HolderView>,
    /// Only when it is to be explained.
    kept_by: Option<Vec<HoldView>>,
}

/// Tells all about a layer that the store has, and what keeps it; nothing if the daemon knows none of that id.
pub(in crate::cli) fn explain(context: &Context, id: &str) -> Option<Result<(), Failure>> {
    let mut document = context.client.get(&target(context, id, "")).ok()?;
    let store = segment(&context.store);
    // In byte order the id itself is the first that begins so.
    let holds = format!("/v1/stores/{store}/holds?limit=1&prefix={}", segment(id));
    let told = context.client.get(&holds).and_then(|mut holds| {
        let kept = holds.pointer_mut("/layers/0/held_by").map(Value::take);
        if let (Some(fields), Some(kept)) = (document.as_object_mut(), kept) {
            fields.insert("kept_by".to_owned(), kept);
        }
        tell(context, id, document)
    });
    Some(told)
}

/// Tells all about a layer.
pub(super) fn inspect(context: &Context, id: &str) -> Result<(), Failure> {
    let document = context.client.get(&target(context, id, ""))?;
    tell(context, id, document)
}

fn tell(context: &Context, id: &str, mut document: Value) -> Result<(), Failure> {
    let metadata = context.client.get(&target(context, id, "/metadata"))?;
    let mount = match words::number(&document, "mounts") {
        0 => Value::Null,
        // It may have been unmounted since.
        _ => (context.client.get(&target(context, id, "/mount"))).unwrap_or_default(),
    };
    if let (Some(fields), Some(more)) = (document.as_object_mut(), metadata.get("metadata")) {
        fields.insert("metadata".to_owned(), more.clone());
        if let Some(holders) = mount.get("holders") {
            fields.insert("holders".to_owned(), holders.clone());
        }
    }
    context.printer.view(
        &document,
        |Inspected {
             layer,
             told,
             holders,
             kept_by,
         }: &Inspected| {
            let text = pairs([
                ("id", words::told(&layer.id)),
                ("parent", words::told(&layer.parent)),
                ("kind", words::told(&layer.kind)),
                ("created", words::seconds(&layer.created)),
                ("depth", layer.depth.to_string()),
                ("children", layer.children.to_string()),
                ("mounts", layer.mounts.to_string()),
                ("number", layer.number.to_string()),
                ("store", words::told(&layer.store)),
                ("driver", words::told(&layer.driver)),
            ]);
            let metadata = words::section("the driver says", &told.metadata.0);
            let holders = held(holders);
            let kept = kept_by.as_ref().map(|holds| match holds.is_empty() {
                true => "\nnothing keeps it\n".to_owned(),
                false => format!("\nkept by {}\n", kept_by_words(holds)),
            });
            format!("{text}{holders}{}{metadata}", kept.unwrap_or_default())
        },
    )
}

/// Who holds the mount by a name.
fn held(holders: &[HolderView]) -> String {
    let lines = holders.iter().map(|holder| {
        let process = |pid: Option<u32>| words::told(&pid);
        let ended = if holder.has_ended { ", has ended" } else { "" };
        let of = match holder.while_pid {
            Some(_) => format!("while process {}{ended}", process(holder.while_pid)),
            None => format!("asked by process {}{ended}", process(holder.pid)),
        };
        let since = words::seconds(&holder.since);
        (holder.reference.clone(), format!("since {since}, {of}"))
    });
    words::section("held by", &lines.collect::<Vec<_>>())
}

/// Shows which layer lies on which.
pub(super) fn tree(context: &Context) -> Result<(), Failure> {
    let document = json!({ "layers": all(context)? });
    let drawn = |list: &LayerList| draw(&list.layers);
    context.printer.view(&document, drawn)
}

/// One layer a line, below its parent; no recursion, since chains are long.
fn draw(layers: &[LayerView]) -> String {
    let mut children: BTreeMap<Option<&str>, Vec<&LayerView>> = BTreeMap::new();
    for layer in layers {
        children
            .entry(layer.parent.as_deref())
            .or_default()
            .push(layer);
    }
    let mut text = String::new();
    // What is still to be drawn, the next one last: a layer, and the lines before it.
    let below = |parent: Option<&str>, indent: &str| -> Vec<(&LayerView, String, bool)> {
        let found = children.get(&parent).map_or(&[][..], Vec::as_slice);
        let count = found.len();
        let numbered = found.iter().enumerate().rev();
        numbered
            .map(|(index, layer)| (*layer, indent.to_owned(), index + 1 == count))
            .collect()
    };
    let mut open = below(None, "");
    while let Some((layer, indent, is_last)) = open.pop() {
        let id = words::told(&layer.id);
        let is_root = layer.parent.is_none();
        let branch = match (is_root, is_last) {
            (true, _) => "",
            (false, true) => "└─ ",
            (false, false) => "├─ ",
        };
        text.push_str(&format!("{indent}{branch}{id}{}\n", notes(layer)));
        let further = match (is_root, is_last) {
            (true, _) => "",
            (false, true) => "   ",
            (false, false) => "│  ",
        };
        open.extend(below(Some(&layer.id), &format!("{indent}{further}")));
    }
    text
}

fn notes(layer: &LayerView) -> String {
    let mut notes = Vec::new();
    if layer.kind == LayerKind::ReadWrite {
        notes.push("read-write");
    }
    if layer.mounts > 0 {
        notes.push("mounted");
    }
    if notes.is_empty() {
        String::new()
    } else {
        format!("  ({})", notes.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forest_is_drawn_below_its_roots() {
        let layer = |id: &str, parent: Option<&str>, kind: &str, mounts: u64| {
            let told = json!({
                "id": id, "parent": parent, "kind": kind, "mounts": mounts, "children": 0, "depth": 1, "number": 1,
                "created": "2026-01-31T12:00:00.000000000Z", "store": "default", "driver": "vfs",
            });
            serde_json::from_value(told).unwrap()
        };
        let layers = [
            layer("a", None, "content", 0),
            layer("b", Some("a"), "content", 0),
            layer("c", Some("b"), "read-write", 1),
            layer("d", Some("a"), "content", 0),
            layer("z", None, "content", 0),
        ];
        let text = "a\n├─ b\n│  └─ c  (read-write, mounted)\n└─ d\nz\n";
        assert_eq!(draw(&layers), text);
    }
}
