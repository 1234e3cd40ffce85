//! What must come of a history by rule: its changes, its size, its copies.
//!
//! Invariant: computed from two lists of nodes of plain directories alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::dump::{Node, as_archived};

/// What a layer looks like to which the difference between `before` and `expected` was applied, over a copy of `before`. The
/// original does not take a directory's time for a change: a directory that the archive does not name (`names`, as they stand
/// there) keeps the time that it had in the copy below.
pub fn copied(expected: &[Node], names: &[Vec<u8>], below: &[Node]) -> Vec<Node> {
    let mut copied = as_archived(expected);
    for node in copied.iter_mut().filter(|node| node.kind == 'd') {
        let name = match node.path.as_slice() {
            b"/" => b"./".to_vec(),
            path => [&path[1..], b"/"].concat(),
        };
        let older = below
            .iter()
            .find(|older| older.path == node.path && !names.contains(&name));
        node.modified = older.map_or(node.modified, |older| older.modified);
    }
    copied
}

/// Changes from an upper directory: all that a comparison finds (`expected`), and beyond it only what was written to and looks
/// as before.
///
/// # Errors
/// What is not told, or told and not so.
pub fn check_native(
    expected: &str,
    changes: &str,
    before: &[Node],
    after: &[Node],
) -> Result<(), String> {
    let set = |lines: &str| lines.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let (all, found) = (all_kept(before, after), set(changes));
    let missing: Vec<_> = set(expected).difference(&found).cloned().collect();
    if !missing.is_empty() {
        return Err(format!("not told: {missing:?}"));
    }
    let odd: Vec<_> = found
        .difference(&set(expected))
        .filter(|line| !all.contains(*line))
        .cloned()
        .collect();
    if !odd.is_empty() {
        return Err(format!("told, and not so: {odd:?}"));
    }
    let mut sorted: Vec<_> = changes.lines().filter_map(|line| line.get(2..)).collect();
    sorted.sort_unstable();
    sorted.dedup();
    if sorted.len() != changes.lines().count() {
        return Err("a path comes twice".to_owned());
    }
    Ok(())
}

/// The lines that say of everything that is in both that it was written to.
fn all_kept(before: &[Node], after: &[Node]) -> BTreeSet<String> {
    let old: BTreeSet<&[u8]> = before.iter().map(|node| node.path.as_slice()).collect();
    let kept = after
        .iter()
        .filter(|node| old.contains(node.path.as_slice()));
    kept.map(|node| {
        change_line(&node.path, 'C')
            .trim_end_matches('\n')
            .to_owned()
    })
    .collect()
}

/// The changes of a copy: a socket is in no archive, so it is in no copy.
pub fn without_sockets(expected: &str, before: &[Node], after: &[Node]) -> String {
    let has_socket = |nodes: &[Node]| nodes.iter().any(|node| node.kind == 's');
    if has_socket(before) || has_socket(after) {
        compared(&as_archived(before), &as_archived(after))
    } else {
        expected.to_owned()
    }
}

/// What an empty layer looks like: the top of `nodes`, with the mode and owner of a new one.
pub fn empty(nodes: &[Node]) -> Vec<Node> {
    let mut root: Vec<Node> = nodes.iter().take(1).cloned().collect();
    for node in &mut root {
        (node.mode, node.owner) = (0o755, (0, 0));
        node.xattrs.clear();
    }
    root
}

/// Sum of the sizes of regular files, each inode once.
pub fn size_of(nodes: &[Node]) -> u64 {
    let counted = nodes.iter().filter(|node| {
        node.same_as
            .as_ref()
            .is_none_or(|first| *first == node.path)
    });
    let target = |node: &Node| match node.kind {
        'l' => crate::script::parse(&format!("l {}", &node.body[2..]))[0]
            .path
            .len(),
        _ => 0,
    };
    counted
        .map(|node| node.size + u64::try_from(target(node)).expect("a length"))
        .sum()
}

/// The rules of the original's `ChangesDirs`, on two lists of nodes; but a file's content counts too.
pub fn compared(before: &[Node], after: &[Node]) -> String {
    let old: BTreeMap<&[u8], &Node> = before
        .iter()
        .map(|node| (node.path.as_slice(), node))
        .collect();
    let new: BTreeMap<&[u8], &Node> = after
        .iter()
        .map(|node| (node.path.as_slice(), node))
        .collect();
    let mut changes: BTreeMap<Vec<u8>, char> = BTreeMap::new();
    for (&path, node) in &new {
        match old.get(path) {
            None => drop(changes.insert(path.to_vec(), 'A')),
            Some(old) if differs(old, node) => drop(changes.insert(path.to_vec(), 'C')),
            Some(_) => {}
        }
    }
    for &path in old
        .keys()
        .filter(|path| **path != b"/" && !new.contains_key(**path))
    {
        // What lies below something that is gone, or that is no directory any more, is not told.
        let is_directory = |path: &[u8]| new.get(path).is_some_and(|node| node.kind == 'd');
        if parents(path).all(is_directory) {
            changes.insert(path.to_vec(), 'D');
        }
    }
    let touched: Vec<Vec<u8>> = changes.keys().cloned().collect();
    for parent in touched.iter().flat_map(|path| parents(path)) {
        if old.contains_key(parent) {
            changes.entry(parent.to_vec()).or_insert('C');
        }
    }
    changes
        .into_iter()
        .map(|(path, kind)| change_line(&path, kind))
        .collect()
}

/// How the client shows a change.
pub fn change_line(path: &[u8], kind: char) -> String {
    match std::str::from_utf8(path) {
        Ok(path) => format!("{kind} {}\n", path.replace('\n', "\\n")),
        Err(_) => format!("{kind} base64:{}\n", base64(path)),
    }
}

fn differs(old: &Node, new: &Node) -> bool {
    let attributes = |node: &Node| (node.kind, node.mode, node.owner, node.xattrs.clone());
    // The body is a file's content, a link's target, a device's number.
    let content = |node: &Node| (node.modified, node.body.clone());
    attributes(old) != attributes(new) || (new.kind != 'd' && content(old) != content(new))
}

/// The directories above a path but for the root.
fn parents(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let slashes = path
        .iter()
        .enumerate()
        .filter(|&(at, &byte)| at > 0 && byte == b'/');
    slashes.map(|(at, _)| &path[..at])
}

/// RFC 4648, with padding.
pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |chunk: &[u8]| {
        let bits = (0..3).fold(0_usize, |bits, at| {
            bits << 8 | usize::from(chunk.get(at).copied().unwrap_or(0))
        });
        let digit = move |at: usize| char::from(DIGITS[bits >> (18 - 6 * at) & 63]);
        let length = chunk.len();
        (0..4).map(move |at| if at <= length { digit(at) } else { '=' })
    };
    bytes.chunks(3).flat_map(group).collect()
}
