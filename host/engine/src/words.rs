//! The words that stand for the contract's enums wherever they are written down.
//!
//! Invariant: reading takes exactly what writing gives.

use mica_runtime::{Access, LayerKind};
use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

/// A number of things: `1 layer`, `2 layers`.
pub(crate) fn counted(count: u64, thing: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {thing}{plural}")
}

/// The word for a kind of layer.
pub(crate) fn kind_word(kind: LayerKind) -> &'static str {
    match kind {
        LayerKind::Content => "content",
        LayerKind::ReadWrite => "read-write",
    }
}

/// The word for an access.
pub(crate) fn access_word(access: Access) -> &'static str {
    match access {
        Access::ReadOnly => "read-only",
        Access::ReadWrite => "read-write",
    }
}

/// `#[serde(with)]` for a kind of layer.
pub(crate) mod kind {
    use super::{Deserialize, Deserializer, LayerKind, Serializer, kind_word};
    use serde::de::Error as _;

    pub(crate) fn serialize<S: Serializer>(kind: &LayerKind, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(kind_word(*kind))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<LayerKind, D::Error> {
        let word = String::deserialize(from)?;
        [LayerKind::Content, LayerKind::ReadWrite]
            .into_iter()
            .find(|kind| kind_word(*kind) == word)
            .ok_or_else(|| D::Error::unknown_variant(&word, &["content", "read-write"]))
    }
}

/// `#[serde(with)]` for an access.
pub(crate) mod access {
    use super::{Access, Deserializer, Serializer, access_word, parse_access};

    pub(crate) fn serialize<S: Serializer>(access: &Access, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(access_word(*access))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Access, D::Error> {
        parse_access(from)
    }
}

fn parse_access<'de, D: Deserializer<'de>>(from: D) -> Result<Access, D::Error> {
    let word = String::deserialize(from)?;
    [Access::ReadOnly, Access::ReadWrite]
        .into_iter()
        .find(|access| access_word(*access) == word)
        .ok_or_else(|| D::Error::unknown_variant(&word, &["read-only", "read-write"]))
}
