//! When two nodes of the same path count as different.
//!
//! Type, mode, owner, device number and attributes count for all nodes; time and size for all but directories, whose
//! times change with every name in them. Of two files that are equal in all of that the walk compares the contents,
//! unless it is known that no one has touched them ([`super::Kept`]).
//! Times are equal to the nanosecond or not at all. The original took a time without a fraction for any time of its
//! second, because its copies dropped the fraction; it missed what was changed within the second in which the parent was
//! unpacked (moby#21555), and later slept over it. Here a child has its parent's times exactly.
//!
//! Invariant: what is compared is what an archive can carry.

use crate::tree::wanted;
use crate::{Attributes, Entry, NodeKind};

/// Whether two nodes differ; targets of symbolic links and contents of files are not known here.
#[must_use]
pub fn differs(new: &Entry, old: &Entry) -> bool {
    let (a, b) = (&new.attributes, &old.attributes);
    if a.kind != b.kind
        || a.uid != b.uid
        || a.gid != b.gid
        || (a.major, a.minor) != (b.major, b.minor)
    {
        return true;
    }
    // A symbolic link has no mode of its own.
    if a.mode != b.mode && a.kind != NodeKind::Symlink {
        return true;
    }
    if a.kind != NodeKind::Directory && a.modified != b.modified {
        return true;
    }
    if has_size(a.kind) && a.size != b.size {
        return true;
    }
    !wanted::kept(&new.xattrs).eq(wanted::kept(&old.xattrs))
}

/// Whether both are one inode, which therefore cannot differ.
#[must_use]
pub fn same_node(new: &Entry, old: &Entry) -> bool {
    (new.attributes.device, new.attributes.inode) == (old.attributes.device, old.attributes.inode)
}

/// Whether the size of such a node means something.
#[must_use]
pub fn has_size(kind: NodeKind) -> bool {
    matches!(kind, NodeKind::Regular | NodeKind::Symlink)
}

/// Whether a node of an upper directory is overlayfs' whiteout: a character device 0:0.
#[must_use]
pub fn is_whiteout(attributes: &Attributes) -> bool {
    attributes.kind == NodeKind::CharacterDevice && (attributes.major, attributes.minor) == (0, 0)
}

/// Whether a directory of an upper hides what lies below; `xattr` is the attribute that says so.
#[must_use]
pub fn is_opaque(entry: &Entry, xattr: &str) -> bool {
    entry.attributes.kind == NodeKind::Directory
        && entry
            .xattrs
            .iter()
            .any(|found| found.name == xattr.as_bytes() && found.value == b"y")
}
