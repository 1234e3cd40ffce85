//! From an entry's attributes to those that may be set.
//!
//! Invariant: only `user.*` and valid capabilities pass; what is left out is counted.

use crate::archive::{Entry, Kind};
use crate::tree::wanted;
use crate::{AttributeChanges, Code, Failure, Ownership, Result, Xattr};

/// What may be set, and what was left out.
#[derive(Debug)]
pub(super) struct Filtered {
    /// What may be set.
    pub(super) changes: AttributeChanges,
    /// How many extended attributes were left out.
    pub(super) skipped: u64,
    /// The first of them.
    pub(super) first_skipped: Option<Vec<u8>>,
}

/// Filters an entry's attributes; what is wrong with them comes back in words.
pub(super) fn of(entry: &Entry) -> Result<Filtered, String> {
    let (kept, left): (Vec<&Xattr>, Vec<&Xattr>) = entry
        .xattrs
        .iter()
        .partition(|xattr| applies(entry.kind, xattr));
    if let Some(capability) = kept
        .iter()
        .find(|xattr| xattr.name == wanted::CAPABILITY.as_bytes())
        && !is_capability(&capability.value)
    {
        return Err(format!(
            "`{}` is not a valid set of capabilities",
            wanted::CAPABILITY
        ));
    }
    Ok(Filtered {
        changes: AttributeChanges {
            owner: Some(Ownership {
                uid: entry.uid,
                gid: entry.gid,
            }),
            mode: mode(entry),
            modified: Some(entry.modified),
            xattrs: kept.into_iter().cloned().collect(),
        },
        skipped: left.len() as u64,
        first_skipped: left.first().map(|xattr| xattr.name.clone()),
    })
}

/// A node is made with its mode. Only giving it away takes the set-user-id bits off again, and a directory may have
/// been there before.
fn mode(entry: &Entry) -> Option<u32> {
    let again = match entry.kind {
        Kind::Symlink => false,
        Kind::Directory => true,
        _ => entry.mode & 0o6000 != 0,
    };
    again.then_some(entry.mode)
}

fn applies(kind: Kind, xattr: &Xattr) -> bool {
    let capability = xattr.name == wanted::CAPABILITY.as_bytes();
    match kind {
        Kind::Regular => wanted::belongs(&xattr.name),
        Kind::Directory => wanted::belongs(&xattr.name) && !capability,
        // The kernel allows none on other nodes.
        _ => false,
    }
}

/// The kernel's `vfs_cap_data`: a revision in the first word, and the size that belongs to it.
fn is_capability(value: &[u8]) -> bool {
    let revision = value.get(3).copied().unwrap_or(0);
    matches!((revision, value.len()), (1, 12) | (2, 20) | (3, 24))
}

/// Sets attributes; where the file system has no extended ones, those are left out and counted.
pub(super) fn set(
    changes: &AttributeChanges,
    set: impl Fn(&AttributeChanges) -> Result<(), Failure>,
) -> Result<u64, Failure> {
    match set(changes) {
        Err(failure) if failure.code == Code::NotSupported && !changes.xattrs.is_empty() => {
            let plain = AttributeChanges {
                xattrs: Vec::new(),
                ..changes.clone()
            };
            set(&plain).map(|()| changes.xattrs.len() as u64)
        }
        done => done.map(|()| 0),
    }
}
