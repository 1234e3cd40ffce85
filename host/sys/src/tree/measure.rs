//! What a tree occupies.
//!
//! Invariant: reads only, and takes a tree that others change meanwhile: what is gone does not count.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::pages::Pages;
use super::trail::Trail;
use super::unless_gone;
use crate::node::{self, Attributes, Kind};

/// What a tree occupies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Measured {
    /// Bytes of allocated blocks.
    pub bytes: u64,
    /// Nodes, the top included, each once however many names it has.
    pub inodes: u64,
}

/// Sums up what the tree below an open directory occupies, as `du` does. `go_on` is asked before every node.
///
/// # Errors
/// `Interrupted` once `go_on` says no; what reading says.
pub fn measure(top: BorrowedFd<'_>, go_on: &dyn Fn() -> bool) -> io::Result<Measured> {
    let attributes = node::stat_fd(top)?;
    let mut walk = Walk {
        trail: Trail::new(node::reopen(top)?, &attributes, Pages::default()),
        buffer: Vec::with_capacity(node::LISTING_BYTES),
        linked: HashSet::new(),
        measured: Measured::default(),
    };
    walk.count(&attributes);
    while walk.step()? {
        if !go_on() {
            return Err(io::ErrorKind::Interrupted.into());
        }
    }
    Ok(walk.measured)
}

struct Walk {
    trail: Trail<Pages>,
    buffer: Vec<u8>,
    /// Nodes of more than one name that were met.
    linked: HashSet<(u64, u64)>,
    measured: Measured,
}

impl Walk {
    fn count(&mut self, found: &Attributes) {
        let is_linked = found.kind != Kind::Directory && found.links > 1;
        if is_linked && !self.linked.insert((found.device, found.inode)) {
            return;
        }
        self.measured.inodes += 1;
        let bytes = found.blocks_512.saturating_mul(512);
        self.measured.bytes = self.measured.bytes.saturating_add(bytes);
    }

    /// Counts one entry, or goes up. Says whether there is more to do.
    fn step(&mut self) -> io::Result<bool> {
        let Some((dir, pages)) = self.trail.lowest() else {
            return Ok(false);
        };
        let Some(entry) = pages.next(dir, &mut self.buffer)? else {
            self.trail.pop()?;
            return Ok(true);
        };
        let Some(found) = unless_gone(node::stat(dir, &entry.name))? else {
            return Ok(true);
        };
        if found.kind == Kind::Directory {
            let Some(child) = unless_gone(node::open_directory(dir, &entry.name))? else {
                return Ok(true);
            };
            let attributes = node::stat_fd(child.as_fd())?;
            self.count(&attributes);
            self.trail.push(child, &attributes, Pages::default());
        } else {
            self.count(&found);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};

    #[test]
    fn each_node_counts_once_and_a_walk_can_be_ended() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir_all(place.path().join("a/b")).unwrap();
        fs::write(place.path().join("a/file"), vec![1; 10_000]).unwrap();
        fs::hard_link(place.path().join("a/file"), place.path().join("a/b/again")).unwrap();
        let top = File::open(place.path()).unwrap();
        let measured = measure(top.as_fd(), &|| true).unwrap();
        assert_eq!(measured.inodes, 4);
        assert!((10_000..80_000).contains(&measured.bytes), "{measured:?}");
        let ended = measure(top.as_fd(), &|| false).unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::Interrupted);
    }
}
