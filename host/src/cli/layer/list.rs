//! What layers there are.
//!
//! Invariant: reads page after page until the end; never asks for all at once.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{layers_target, target};
use crate::cli::context::Context;
use mica_client::Failure;
use mica_client::segment;
use mica_client::words;
use mica_client::{Column, pairs, table};

/// Lists the layers of the store.
pub(super) fn ls(context: &Context) -> Result<(), Failure> {
    let layers = all(context)?;
    let document = json!({ "layers": layers });
    context.printer.result(&document, || {
        let rows = layers.iter().map(|layer| {
            vec![
                words::field(layer, "id"),
                words::field(layer, "parent"),
                words::field(layer, "kind"),
                words::number(layer, "depth").to_string(),
                words::number(layer, "children").to_string(),
                words::number(layer, "mounts").to_string(),
                words::moment(layer, "created"),
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

/// Every layer of the store, in byte order of the ids.
fn all(context: &Context) -> Result<Vec<Value>, Failure> {
    let mut layers = Vec::new();
    let mut query = String::new();
    loop {
        let mut page = context
            .client
            .get(&format!("{}{query}", layers_target(context)))?;
        if let Some(Value::Array(items)) = page.get_mut("layers").map(Value::take) {
            layers.extend(items);
        }
        match page.get("next").and_then(Value::as_str) {
            Some(next) => query = format!("?after={}", segment(next)),
            None => return Ok(layers),
        }
    }
}

/// Tells what a layer occupies.
pub(super) fn usage(context: &Context, id: &str) -> Result<(), Failure> {
    let document = context.client.get(&target(context, id, "/usage"))?;
    context.printer.result(&document, || {
        let inodes = document.get("inodes").and_then(Value::as_u64);
        pairs([
            ("bytes", words::number(&document, "bytes").to_string()),
            (
                "inodes",
                inodes.map_or("-".to_owned(), |inodes| inodes.to_string()),
            ),
            ("source", words::field(&document, "source")),
        ])
    })
}

/// Tells all about a layer.
pub(super) fn inspect(context: &Context, id: &str) -> Result<(), Failure> {
    let mut document = context.client.get(&target(context, id, ""))?;
    let metadata = context.client.get(&target(context, id, "/metadata"))?;
    if let (Some(fields), Some(more)) = (document.as_object_mut(), metadata.get("metadata")) {
        fields.insert("metadata".to_owned(), more.clone());
    }
    context.printer.result(&document, || {
        let mut text = pairs([
            ("id", words::field(&document, "id")),
            ("parent", words::field(&document, "parent")),
            ("kind", words::field(&document, "kind")),
            ("created", words::moment(&document, "created")),
            ("depth", words::number(&document, "depth").to_string()),
            ("children", words::number(&document, "children").to_string()),
            ("mounts", words::number(&document, "mounts").to_string()),
            ("number", words::number(&document, "number").to_string()),
            ("store", words::field(&document, "store")),
            ("driver", words::field(&document, "driver")),
        ]);
        let metadata = words::pairs(&document, "metadata");
        if !metadata.is_empty() {
            text.push_str("\nthe driver says\n");
            let indented: Vec<_> = metadata
                .into_iter()
                .map(|(name, value)| (format!("  {name}"), value))
                .collect();
            text.push_str(&pairs(
                indented
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.clone())),
            ));
        }
        text
    })
}

/// Shows which layer lies on which.
pub(super) fn tree(context: &Context) -> Result<(), Failure> {
    let layers = all(context)?;
    let document = json!({ "layers": layers });
    context.printer.result(&document, || draw(&layers))
}

/// One layer a line, below its parent; no recursion, since chains are long.
fn draw(layers: &[Value]) -> String {
    let mut children: BTreeMap<Option<&str>, Vec<&Value>> = BTreeMap::new();
    for layer in layers {
        children
            .entry(layer.get("parent").and_then(Value::as_str))
            .or_default()
            .push(layer);
    }
    let mut text = String::new();
    // What is still to be drawn, the next one last: a layer, and the lines before it.
    let below = |parent: Option<&str>, indent: &str| -> Vec<(&Value, String, bool)> {
        let found = children.get(&parent).map_or(&[][..], Vec::as_slice);
        let count = found.len();
        let numbered = found.iter().enumerate().rev();
        numbered
            .map(|(index, layer)| (*layer, indent.to_owned(), index + 1 == count))
            .collect()
    };
    let mut open = below(None, "");
    while let Some((layer, indent, is_last)) = open.pop() {
        let id = words::field(layer, "id");
        let is_root = layer.get("parent").is_none_or(Value::is_null);
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
        open.extend(below(
            layer.get("id").and_then(Value::as_str),
            &format!("{indent}{further}"),
        ));
    }
    text
}

fn notes(layer: &Value) -> String {
    let mut notes = Vec::new();
    if words::field(layer, "kind") == "read-write" {
        notes.push("read-write");
    }
    if words::number(layer, "mounts") > 0 {
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
        let layers = [
            json!({"id": "a"}),
            json!({"id": "b", "parent": "a"}),
            json!({"id": "c", "parent": "b", "kind": "read-write", "mounts": 1}),
            json!({"id": "d", "parent": "a"}),
            json!({"id": "z"}),
        ];
        let text = "a\n├─ b\n│  └─ c  (read-write, mounted)\n└─ d\nz\n";
        assert_eq!(draw(&layers), text);
    }
}
