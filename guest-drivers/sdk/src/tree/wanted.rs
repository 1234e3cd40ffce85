//! Which extended attributes belong to a layer.
//!
//! Access lists do: without them the rights of a file are others. In archives they are attributes as any, by the names
//! that the kernel has for them (`SCHILY.xattr.system.posix_acl_access`), because that is what containerd, Docker, podman
//! and `tar --xattrs --xattrs-include='*'` set again; the text that `tar --acls` writes is read as well.
//!
//! Invariant: `trusted.*` and every `security.*` but the capabilities never enter or leave a layer by an archive; a copy
//! within a store has all of them, see [`crate::tree::Directory::copy_xattrs`].

use crate::Xattr;

/// The prefix of the attributes that users set.
pub const USER: &str = "user.";
/// The attribute that holds a program's capabilities.
pub const CAPABILITY: &str = "security.capability";
/// The attribute that holds a node's access list.
pub const ACCESS_LIST: &str = "system.posix_acl_access";
/// The attribute that holds the access list that a directory hands down.
pub const DEFAULT_LIST: &str = "system.posix_acl_default";
/// Overlayfs keeps its own marks here in a user namespace.
const USER_OVERLAY: &[u8] = b"user.overlay.";

/// What to ask of the host along with every entry.
#[must_use]
pub fn of_layers() -> Vec<String> {
    [USER, CAPABILITY, ACCESS_LIST, DEFAULT_LIST]
        .map(str::to_owned)
        .to_vec()
}

/// What to ask for where attributes that are left out are to be told.
#[must_use]
pub fn of_archives() -> Vec<String> {
    [USER, "security.", "trusted.", ACCESS_LIST, DEFAULT_LIST]
        .map(str::to_owned)
        .to_vec()
}

/// Whether it is told that an attribute is left out. Overlayfs' marks are not part of what it shows, and a label of
/// SELinux is the host's decision over its files, not the layer's.
#[must_use]
pub fn is_missed(name: &[u8]) -> bool {
    !belongs(name)
        && !name.starts_with(b"trusted.overlay.")
        && !name.starts_with(USER_OVERLAY)
        && !is(name, "security.selinux")
}

/// Whether an attribute of this name is part of a layer.
#[must_use]
pub fn belongs(name: &[u8]) -> bool {
    is(name, CAPABILITY)
        || is(name, ACCESS_LIST)
        || is(name, DEFAULT_LIST)
        || (name.starts_with(USER.as_bytes())
            && name.len() > USER.len()
            && !name.starts_with(USER_OVERLAY))
}

/// Whether a name is that of an attribute.
#[must_use]
pub fn is(name: &[u8], attribute: &str) -> bool {
    name == attribute.as_bytes()
}

/// Those of the attributes that are part of the layer, in byte order of their names.
pub fn kept(xattrs: &[Xattr]) -> impl Iterator<Item = &Xattr> {
    xattrs.iter().filter(|xattr| belongs(&xattr.name))
}
