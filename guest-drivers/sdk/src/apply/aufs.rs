//! AUFS's pseudo links: hard links whose common node lies in a directory of AUFS's own, `.wh..wh.plnk`.
//!
//! Invariant: the node is in the layer under a name that no archive can bring, and only until the archive ends.

use super::{Apply, Target};
use crate::Result;
use crate::archive::{Entry, Kind};
use crate::error::host;
use crate::tree::Source;

/// AUFS's directory.
const LINKS: &[u8] = b".wh..wh.plnk";

/// Nodes that links may be made of.
#[derive(Debug, Default)]
pub(super) struct Kept(Vec<(Vec<u8>, Vec<u8>)>);

impl Kept {
    /// The path of the node that a link's target means.
    pub(super) fn instead_of<'a>(&'a self, target: Vec<&'a [u8]>) -> Vec<&'a [u8]> {
        let [LINKS, wanted] = target.as_slice() else {
            return target;
        };
        let found = self.0.iter().find(|(name, _)| name == wanted);
        found.map_or(target, |(_, kept)| vec![kept.as_slice()])
    }
}

impl<T: Target, S: Source<File = T::File>> Apply<T, S> {
    /// Keeps what links are made of, and passes over all else of AUFS's.
    pub(super) fn take_aufs(&mut self, entry: &Entry, parts: &[&[u8]]) -> Result<()> {
        let [LINKS, name] = parts else {
            return Ok(());
        };
        if entry.kind != Kind::Regular {
            return Ok(());
        }
        let kept = format!(".wh..wh.mica.{}", self.kept.0.len()).into_bytes();
        self.take_node(entry, &[], &kept)?;
        self.kept.0.push((name.to_vec(), kept));
        Ok(())
    }

    /// Takes the names away again.
    pub(super) fn drop_kept(&mut self) -> Result<()> {
        for (_, kept) in std::mem::take(&mut self.kept.0) {
            let root = self.chain.root();
            root.remove_file(&kept)
                .map_err(|failure| host("remove what links were made of", failure))?;
        }
        Ok(())
    }
}
