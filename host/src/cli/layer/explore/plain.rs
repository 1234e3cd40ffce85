//! A chain as text.
//!
//! Invariant: a path is shown in one line of printable characters.

use mica_client::{Column, pairs, table, words};

use super::duplicates::Duplicate;
use super::model::{Explored, Node, Version};
use crate::api::types::{FileKind, PathChange};

/// Paths and duplicates that are told by themselves; the document has all.
const MOST: usize = 10;

/// Layers, waste and the tree.
pub(super) fn text(explored: &Explored, duplicates: Option<&[Duplicate]>) -> String {
    let mut text = format!("{}\n\n{}", layers(explored), sums(explored));
    let wasteful = explored.wasteful();
    if !wasteful.is_empty() {
        let rows = wasteful.iter().take(MOST).map(|node| {
            let copies = node.versions.iter().filter(|version| version.bytes > 0);
            vec![
                words::bytes(node.wasted_bytes()),
                copies.count().to_string(),
                words::safe(&node.path),
            ]
        });
        let columns = [
            Column::Number("wasted"),
            Column::Number("copies"),
            Column::Text("path"),
        ];
        text.push_str(&format!("\n{}\n", table(&columns, rows.collect())));
    }
    for duplicate in duplicates.into_iter().flatten().take(MOST) {
        let bytes = words::bytes(duplicate.wasted_bytes());
        let paths: Vec<_> = duplicate
            .paths
            .iter()
            .map(|path| words::safe(path))
            .collect();
        text.push_str(&format!("\n{bytes} twice: {}", paths.join(", ")));
    }
    text.push('\n');
    let top = explored.layers.len();
    for node in &explored.nodes {
        if let Some(line) = line(explored, node, top) {
            text.push_str(&format!("{line}\n"));
        }
    }
    text
}

fn layers(explored: &Explored) -> String {
    let rows = explored.layers.iter().zip(1..).map(|(layer, depth)| {
        vec![
            depth.to_string(),
            words::safe(&layer.id),
            layer.added.to_string(),
            layer.modified.to_string(),
            layer.deleted.to_string(),
            words::bytes(layer.bytes),
            words::bytes(layer.hidden_bytes),
        ]
    });
    let columns = [
        Column::Number("depth"),
        Column::Text("layer"),
        Column::Number("added"),
        Column::Number("changed"),
        Column::Number("deleted"),
        Column::Number("bytes"),
        Column::Number("hidden above"),
    ];
    table(&columns, rows.collect())
}

fn sums(explored: &Explored) -> String {
    pairs([
        ("files", explored.visible().count().to_string()),
        ("bytes of all layers", words::bytes(explored.bytes())),
        ("wasted", words::bytes(explored.wasted_bytes())),
        ("efficiency", format!("{:.4}", explored.efficiency())),
    ])
}

/// A line of the tree: what the last layer did that touched it, which one that was, its bytes, its name.
fn line(explored: &Explored, node: &Node, top: usize) -> Option<String> {
    let last = node.versions.last()?;
    let seen = node.at(top);
    let bytes = seen.map_or_else(|| "-".to_owned(), |version| words::bytes(version.bytes));
    let layer = explored.layers.get(last.layer);
    let layer = layer.map_or_else(String::new, |layer| words::safe(&layer.id));
    let gone = if seen.is_none() { "  (gone)" } else { "" };
    Some(format!(
        "{} {bytes:>9}  {}{}  [{layer}]{gone}",
        letter(last),
        "  ".repeat(node.level()),
        name(node, last),
    ))
}

/// The letter for a change, as the original prints it.
pub(super) fn letter(version: &Version) -> char {
    match version.change {
        PathChange::Add => 'A',
        PathChange::Modify => 'C',
        PathChange::Delete => 'D',
    }
}

/// The name, with what kind of file it is.
pub(super) fn name(node: &Node, version: &Version) -> String {
    let name = words::safe(node.name());
    match version.kind {
        Some(FileKind::Directory) => format!("{name}/"),
        Some(FileKind::Symlink) => format!("{name}@"),
        _ => name,
    }
}
