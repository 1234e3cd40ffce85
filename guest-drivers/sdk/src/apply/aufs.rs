//! AUFS's pseudo links: hard links whose common node lies in a directory of AUFS's own, `.wh..wh.plnk`.
//!
//! Invariant: the node is in the layer under a name that no archive can bring, and only until the archive ends.

use super::{Apply, Target};
use crate::Result;
use crate::archive::{Entry, Kind};
use crate::error::host;
use crate::tree::Source;
use std::collections::BTreeMap;

/// AUFS's directory.
const LINKS_DIRECTORY: &[u8] = b".wh..wh.plnk";

/// Bytes that the names of all common nodes may have: those of AUFS are two numbers, so this is a million of them.
const NAME_BYTES: usize = 16 << 20;

/// Nodes that links may be made of: the number under which each is kept, by its name in the archive.
#[derive(Debug, Default)]
pub(super) struct Kept {
    numbers: BTreeMap<Vec<u8>, u64>,
    count: u64,
    name_bytes: usize,
}

/// The name that a node has until the archive ends.
fn kept_name(number: u64) -> Vec<u8> {
    format!(".wh..wh.mica.{number}").into_bytes()
}

impl Kept {
    /// The name of the node that a link's target means, if it is one of these.
    pub(super) fn instead_of(&self, target: &[&[u8]]) -> Option<Vec<u8>> {
        let [LINKS_DIRECTORY, wanted] = target else {
            return None;
        };
        self.numbers.get(*wanted).copied().map(kept_name)
    }

    /// Gives a node of the archive a number; the first of two of one name counts.
    fn add(&mut self, name: &[u8]) -> Result<u64, String> {
        let number = self.count;
        self.count += 1;
        if !self.numbers.contains_key(name) {
            self.name_bytes += name.len();
            if self.name_bytes > NAME_BYTES {
                return Err(format!(
                    "the names in `.wh..wh.plnk` have over {NAME_BYTES} bytes"
                ));
            }
            self.numbers.insert(name.to_vec(), number);
        }
        Ok(number)
    }
}

impl<T: Target, S: Source<File = T::File>> Apply<T, S> {
    /// Keeps what links are made of, and passes over all else of AUFS's.
    pub(super) fn take_aufs(&mut self, entry: &Entry, parts: &[&[u8]]) -> Result<()> {
        let [LINKS_DIRECTORY, name] = parts else {
            return Ok(());
        };
        if entry.kind != Kind::Regular {
            return Ok(());
        }
        let number = self.kept.add(name);
        let number = number.map_err(|what| self.reader.invalid(what))?;
        self.take_node(entry, &[], &kept_name(number))
    }

    /// Takes the names away again.
    pub(super) fn drop_kept(&mut self) -> Result<()> {
        let root = self.chain.root();
        (0..self.kept.count)
            .try_for_each(|number| root.remove_file(&kept_name(number)))
            .map_err(|failure| host("remove what links were made of", failure))
    }
}
