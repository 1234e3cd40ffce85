//! What a chain of layers consists of: which layer each file comes from, which one hides it, and how many bytes are there for nothing.
//!
//! Bytes are those of regular files, as they were written; names of one inode in a layer count once, and are hidden when all of them are.
//!
//! Invariant: the bytes of all layers are the visible ones and the hidden ones together.

use std::collections::{BTreeMap, HashMap};

use crate::api::types::{FileKind, OriginView, PathChange};
use mica_text::bytes_of;

/// What a layer has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LayerSum {
    pub(super) id: String,
    pub(super) added: u64,
    pub(super) modified: u64,
    pub(super) deleted: u64,
    /// Bytes of its files.
    pub(super) bytes: u64,
    /// Those of them that layers above hide.
    pub(super) hidden_bytes: u64,
    /// Bytes of layers below that it hides.
    pub(super) hides_bytes: u64,
}

/// A file, or its end, in one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    /// The place of the layer in the chain; 0 is the lowest.
    pub(super) layer: usize,
    pub(super) change: PathChange,
    pub(super) kind: Option<FileKind>,
    pub(super) bytes: u64,
    /// The layer that hides it.
    pub(super) hidden_by: Option<usize>,
    /// Bytes that nobody sees since then.
    pub(super) wasted_bytes: u64,
    inode: Option<u64>,
}

/// A path, with what the layers do to it, the lowest first.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) path: String,
    pub(super) path_base64: Option<String>,
    pub(super) versions: Vec<Version>,
}

impl Node {
    /// What a layer and those below it leave of it.
    pub(super) fn at(&self, layer: usize) -> Option<&Version> {
        let mut versions = self.versions.iter().rev();
        let version = versions.find(|version| version.layer <= layer)?;
        let is_hidden = version.hidden_by.is_some_and(|by| by <= layer);
        (!is_hidden).then_some(version)
    }

    /// Bytes that are there for nothing.
    pub(super) fn wasted_bytes(&self) -> u64 {
        sum(self.versions.iter().map(|version| version.wasted_bytes))
    }

    /// The last name.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// Directories that it is in.
    pub(super) fn level(&self) -> usize {
        self.path.matches('/').count().saturating_sub(1)
    }

    fn is_directory(&self) -> bool {
        let kind = self.versions.iter().rev().find_map(|version| version.kind);
        kind == Some(FileKind::Directory)
    }
}

/// The names of one inode in a layer.
#[derive(Debug)]
struct Names {
    visible: u64,
    bytes: u64,
}

/// A chain that is being read.
#[derive(Debug, Default)]
pub(super) struct Reading {
    layers: Vec<LayerSum>,
    /// By the path, whose slashes are NUL bytes: what lies below a path follows it at once.
    nodes: BTreeMap<Box<[u8]>, Node>,
    names: HashMap<(usize, u64), Names>,
}

/// A chain.
#[derive(Debug)]
pub(super) struct Explored {
    pub(super) layers: Vec<LayerSum>,
    /// Each directory before what is in it, names in byte order.
    pub(super) nodes: Vec<Node>,
    /// Of each node the one that it is in, if that is there.
    pub(super) parents: Vec<Option<usize>>,
    /// Whether it is a directory in the last layer that has it.
    pub(super) directories: Vec<bool>,
}

impl Reading {
    /// A chain of layers, the lowest first.
    pub(super) fn new(ids: impl IntoIterator<Item = String>) -> Self {
        let layer = |id| LayerSum {
            id,
            ..LayerSum::default()
        };
        Self {
            layers: ids.into_iter().map(layer).collect(),
            ..Self::default()
        }
    }

    /// Takes what a layer does to a path; those of a lower layer come first. What is told of a layer that is not known is passed over.
    pub(super) fn take(&mut self, origin: OriginView) {
        let place = usize::try_from(origin.depth).unwrap_or(usize::MAX);
        let layer = place.wrapping_sub(1);
        let Some(sum) = self.layers.get_mut(layer) else {
            return;
        };
        match origin.change {
            PathChange::Add => sum.added += 1,
            PathChange::Modify => sum.modified += 1,
            PathChange::Delete => sum.deleted += 1,
        }
        let key = key(&bytes_of(&origin.path, origin.path_base64.as_deref()));
        let is_directory = origin.kind == Some(FileKind::Directory);
        let was = self.nodes.get(&key).and_then(|node| node.versions.last());
        match was.filter(|was| was.hidden_by.is_none()) {
            // Its files stay.
            Some(was) if is_directory && was.kind == Some(FileKind::Directory) => {}
            Some(was) if was.kind == Some(FileKind::Directory) => self.hide_below(&key, layer),
            Some(_) => self.hide(&key, layer),
            None if origin.change == PathChange::Delete => self.hide_below(&key, layer),
            None => {}
        }
        let bytes = self.count(layer, &origin);
        let version = Version {
            layer,
            change: origin.change,
            kind: origin.kind,
            bytes,
            hidden_by: (origin.change == PathChange::Delete).then_some(layer),
            wasted_bytes: 0,
            inode: origin.inode,
        };
        let node = self.nodes.entry(key).or_insert_with(|| Node {
            path: origin.path,
            path_base64: origin.path_base64,
            versions: Vec::new(),
        });
        node.versions.push(version);
    }

    /// Counts the bytes of a file of a layer: of several names of an inode those of the first.
    fn count(&mut self, layer: usize, origin: &OriginView) -> u64 {
        let bytes = match origin.inode {
            None => origin.size_bytes,
            Some(inode) => {
                let names = self.names.entry((layer, inode));
                let names = names.or_insert(Names {
                    visible: 0,
                    bytes: origin.size_bytes,
                });
                names.visible += 1;
                match names.visible {
                    1 => origin.size_bytes,
                    _ => 0,
                }
            }
        };
        if let Some(sum) = self.layers.get_mut(layer) {
            sum.bytes = sum.bytes.saturating_add(bytes);
        }
        bytes
    }

    /// Hides a path and all that lies below it.
    fn hide_below(&mut self, key: &[u8], by: usize) {
        let mut first = key.to_vec();
        first.push(0);
        let mut behind = key.to_vec();
        behind.push(1);
        let below = self
            .nodes
            .range(first.into_boxed_slice()..behind.into_boxed_slice());
        let below: Vec<_> = below.map(|(key, _)| key.clone()).collect();
        for key in below {
            self.hide(&key, by);
        }
        self.hide(key, by);
    }

    /// Hides the last version of a path, if it can be seen.
    fn hide(&mut self, key: &[u8], by: usize) {
        let node = self.nodes.get_mut(key);
        let version = node.and_then(|node| node.versions.last_mut());
        let Some(version) = version.filter(|version| version.hidden_by.is_none()) else {
            return;
        };
        version.hidden_by = Some(by);
        let wasted = match version.inode {
            None => version.bytes,
            Some(inode) => match self.names.get_mut(&(version.layer, inode)) {
                Some(names) => {
                    names.visible = names.visible.saturating_sub(1);
                    match names.visible {
                        0 => names.bytes,
                        _ => 0,
                    }
                }
                None => 0,
            },
        };
        version.wasted_bytes = wasted;
        let of = version.layer;
        if let Some(sum) = self.layers.get_mut(of) {
            sum.hidden_bytes = sum.hidden_bytes.saturating_add(wasted);
        }
        if let Some(sum) = self.layers.get_mut(by) {
            sum.hides_bytes = sum.hides_bytes.saturating_add(wasted);
        }
    }

    /// All has been told.
    pub(super) fn finish(self) -> Explored {
        let mut parents = Vec::with_capacity(self.nodes.len());
        // The directories that the next path may be in.
        let mut open: Vec<(usize, Box<[u8]>)> = Vec::new();
        let mut nodes = Vec::with_capacity(self.nodes.len());
        for (index, (key, node)) in self.nodes.into_iter().enumerate() {
            let is_in = |above: &[u8]| {
                let below = key.strip_prefix(above);
                below.is_some_and(|below| below.first() == Some(&0))
            };
            while open.last().is_some_and(|(_, above)| !is_in(above)) {
                open.pop();
            }
            parents.push(open.last().map(|(parent, _)| *parent));
            open.push((index, key));
            nodes.push(node);
        }
        Explored {
            directories: nodes.iter().map(Node::is_directory).collect(),
            layers: self.layers,
            nodes,
            parents,
        }
    }
}

/// Bytes together. A file without blocks may say that it has 8 EiB, and two of them are more than the number holds.
pub(super) fn sum(bytes: impl Iterator<Item = u64>) -> u64 {
    bytes.fold(0, u64::saturating_add)
}

/// Where a path stands among others.
fn key(path: &[u8]) -> Box<[u8]> {
    let path = path.strip_prefix(b"/").unwrap_or(path);
    let bytes = path
        .iter()
        .map(|byte| if *byte == b'/' { 0 } else { *byte });
    bytes.collect()
}

impl Explored {
    /// Bytes of all layers.
    pub(super) fn bytes(&self) -> u64 {
        sum(self.layers.iter().map(|layer| layer.bytes))
    }

    /// Bytes that nobody sees.
    pub(super) fn wasted_bytes(&self) -> u64 {
        sum(self.layers.iter().map(|layer| layer.hidden_bytes))
    }

    /// The part of the bytes that can be seen, from 0 to 1; 1 without any bytes.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a part of a whole: more than 53 bits of it are of no use"
    )]
    pub(super) fn efficiency(&self) -> f64 {
        match self.bytes() {
            0 => 1.0,
            bytes => 1.0 - self.wasted_bytes() as f64 / bytes as f64,
        }
    }

    /// Paths with bytes that nobody sees, the most wasteful first.
    pub(super) fn wasteful(&self) -> Vec<&Node> {
        let mut nodes: Vec<_> = self
            .nodes
            .iter()
            .filter(|node| node.wasted_bytes() > 0)
            .collect();
        nodes.sort_by_key(|node| std::cmp::Reverse(node.wasted_bytes()));
        nodes
    }

    /// Files that can be seen in the topmost layer, directories among them.
    pub(super) fn visible(&self) -> impl Iterator<Item = (&Node, &Version)> {
        let top = self.layers.len();
        self.nodes
            .iter()
            .filter_map(move |node| Some((node, node.at(top)?)))
    }
}

#[cfg(test)]
mod tests;
