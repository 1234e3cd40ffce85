//! Files of a layer that are the same.
//!
//! Invariant: only files of the same size are read, and files count as the same only by their digests.

use std::collections::BTreeMap;
use std::io::{self, Write};

use mica_client::progress::{Watched, bytes_bar};
use mica_client::{Failure, segment};
use mica_text::hex;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::super::target;
use super::model::{Explored, Node, sum};
use crate::api::types::FileKind;
use crate::cli::context::Context;

/// Files that are the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Duplicate {
    /// What is in each of them.
    digest: String,
    /// Bytes of each of them.
    bytes: u64,
    /// Where they are, in byte order.
    pub(super) paths: Vec<String>,
}

impl Duplicate {
    /// Bytes that one of them alone would not need.
    pub(super) fn wasted_bytes(&self) -> u64 {
        let further = self.paths.len().saturating_sub(1) as u64;
        self.bytes.saturating_mul(further)
    }
}

/// Finds them among the files that can be seen, the most wasteful first.
pub(super) fn find(
    context: &Context,
    id: &str,
    explored: &Explored,
) -> Result<Vec<Duplicate>, Failure> {
    let mut by_size: BTreeMap<u64, Vec<&Node>> = BTreeMap::new();
    for (node, version) in explored.visible() {
        // Of an inode with several names only the first has bytes.
        if version.kind == Some(FileKind::Regular) && version.bytes > 0 {
            by_size.entry(version.bytes).or_default().push(node);
        }
    }
    by_size.retain(|_, nodes| nodes.len() > 1);
    let total = by_size
        .iter()
        .map(|(bytes, nodes)| bytes.saturating_mul(nodes.len() as u64));
    let bar = bytes_bar(format!("compare files of {id}"), Some(sum(total)));
    let mut found: BTreeMap<(u64, String), Vec<String>> = BTreeMap::new();
    for (bytes, nodes) in by_size {
        for node in nodes {
            let mut hash = Watched::new(Hashing(Sha256::new()), &bar);
            let query = match &node.path_base64 {
                Some(exact) => format!("path_base64={}", segment(exact)),
                None => format!("path={}", segment(&node.path)),
            };
            let content = target(context, id, &format!("/content?{query}"));
            context.client.get_stream(&content, &mut hash)?;
            let digest = format!("sha256:{}", hex(&hash.into_inner().0.finalize()));
            found
                .entry((bytes, digest))
                .or_default()
                .push(node.path.clone());
        }
    }
    bar.finish_and_clear();
    let found = found.into_iter().filter(|(_, paths)| paths.len() > 1);
    let mut found: Vec<_> = found
        .map(|((bytes, digest), paths)| Duplicate {
            digest,
            bytes,
            paths,
        })
        .collect();
    found.sort_by_key(|one| std::cmp::Reverse(one.wasted_bytes()));
    Ok(found)
}

struct Hashing(Sha256);

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
