//! Which extended attributes belong to a layer.
//!
//! Invariant: `trusted.*`, `system.*` and every `security.*` but the capabilities never enter or leave a layer.

use crate::Xattr;

/// The prefix of the attributes that users set.
pub const USER: &str = "user.";
/// The attribute that holds a program's capabilities.
pub const CAPABILITY: &str = "security.capability";
/// Overlayfs keeps its own marks here in a user namespace.
const USER_OVERLAY: &[u8] = b"user.overlay.";

/// What to ask of the host along with every entry.
#[must_use]
pub fn of_layers() -> Vec<String> {
    vec![USER.to_owned(), CAPABILITY.to_owned()]
}

/// Whether an attribute of this name is part of a layer.
#[must_use]
pub fn belongs(name: &[u8]) -> bool {
    name == CAPABILITY.as_bytes()
        || (name.starts_with(USER.as_bytes())
            && name.len() > USER.len()
            && !name.starts_with(USER_OVERLAY))
}

/// Those of the attributes that are part of the layer, in byte order of their names.
pub fn kept(xattrs: &[Xattr]) -> impl Iterator<Item = &Xattr> {
    xattrs.iter().filter(|xattr| belongs(&xattr.name))
}
