//! From an entry's attributes to those that may be set.
//!
//! Invariant: only `user.*`, valid capabilities and valid access lists pass; what is left out is counted, and where an
//! access list is, the mode loses what only the list gave.

use super::target::Target;
use crate::archive::{Entry, Kind, acl};
use crate::tree::wanted;
use crate::{AttributeChanges, Code, Failure, Ownership, Result, Xattr};

/// What may be set, and what was left out.
#[derive(Debug)]
pub(crate) struct Filtered {
    /// What may be set.
    pub(crate) changes: AttributeChanges,
    /// Extended attributes that were left out.
    pub(crate) skipped: Vec<Vec<u8>>,
}

/// Filters an entry's attributes; what is wrong with them comes back in words.
pub(crate) fn of(entry: &Entry) -> Result<Filtered, String> {
    let (kept, left): (Vec<&Xattr>, Vec<&Xattr>) = entry
        .xattrs
        .iter()
        .partition(|xattr| applies(entry.kind, xattr));
    if let Some(capability) = kept
        .iter()
        .find(|xattr| wanted::is(&xattr.name, wanted::CAPABILITY))
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
            mode: mode(entry, &kept),
            modified: Some(entry.modified),
            xattrs: kept.into_iter().cloned().collect(),
        },
        skipped: left.into_iter().map(|xattr| xattr.name.clone()).collect(),
    })
}

/// A node is made with its mode. Only giving it away takes the set-user-id bits off again, an access list has group bits
/// of its own, and a directory may have been there before.
fn mode(entry: &Entry, kept: &[&Xattr]) -> Option<u32> {
    let listed = |xattr: &&Xattr| wanted::is(&xattr.name, wanted::ACCESS_LIST);
    let again = match entry.kind {
        Kind::Symlink => false,
        Kind::Directory => true,
        _ => entry.mode & 0o6000 != 0 || kept.iter().any(listed),
    };
    again.then_some(entry.mode)
}

fn applies(kind: Kind, xattr: &Xattr) -> bool {
    let is = |attribute| wanted::is(&xattr.name, attribute);
    if (is(wanted::ACCESS_LIST) || is(wanted::DEFAULT_LIST)) && !acl::is_valid(&xattr.value) {
        return false;
    }
    match kind {
        Kind::Regular => wanted::belongs(&xattr.name) && !is(wanted::DEFAULT_LIST),
        Kind::Directory => wanted::belongs(&xattr.name) && !is(wanted::CAPABILITY),
        Kind::HardLink | Kind::Symlink => false,
        // The kernel allows no other on these nodes.
        Kind::Fifo | Kind::BlockDevice | Kind::CharacterDevice => is(wanted::ACCESS_LIST),
    }
}

/// The kernel's `vfs_cap_data`: a revision in the first word, and the size that belongs to it.
fn is_capability(value: &[u8]) -> bool {
    let revision = value.get(3).copied().unwrap_or(0);
    matches!((revision, value.len()), (1, 12) | (2, 20) | (3, 24))
}

/// Sets attributes; where the file system has no extended ones, those are left out, and answered.
pub(super) fn set(
    changes: &AttributeChanges,
    set: impl Fn(&AttributeChanges) -> Result<(), Failure>,
) -> Result<Vec<Vec<u8>>, Failure> {
    match set(changes) {
        Err(failure) if failure.code == Code::NotSupported && !changes.xattrs.is_empty() => {
            let plain = AttributeChanges {
                xattrs: Vec::new(),
                mode: changes
                    .mode
                    .map(|mode| acl::mode_without(mode, &changes.xattrs)),
                ..changes.clone()
            };
            let names = changes.xattrs.iter().map(|xattr| xattr.name.clone());
            set(&plain).map(|()| names.collect())
        }
        done => done.map(|()| Vec::new()),
    }
}

/// As [`set`], of a directory. One that stands for a subvolume in a snapshot of btrfs keeps nothing of it, and says nothing: its
/// inode number is 2, and the host tells a change time of 0, which no other directory has.
pub(super) fn set_of_directory<T: Target>(
    changes: &AttributeChanges,
    directory: &T,
) -> Result<Vec<Vec<u8>>, Failure> {
    let mut left_out = set(changes, |changes| directory.set_attributes(changes))?;
    let found = directory.get_attributes(&[])?.attributes;
    let was_never_changed = (found.changed.seconds, found.changed.nanoseconds) == (0, 0);
    if found.inode == 2 && was_never_changed {
        left_out.push(b"owner, mode and time".to_vec());
    }
    Ok(left_out)
}

/// What keeps a directory's time.
pub(super) fn its_time<T: Target>(directory: &T) -> Result<AttributeChanges, Failure> {
    Ok(AttributeChanges {
        owner: None,
        mode: None,
        modified: Some(directory.get_attributes(&[])?.attributes.modified),
        xattrs: Vec::new(),
    })
}
