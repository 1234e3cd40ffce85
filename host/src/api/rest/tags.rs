//! Entity tags of layers: what a client has seen, and what it expects when it changes something.
//!
//! A tag has what changes in the description of a layer: the number of its directory, which every archive that is applied changes, how many
//! layers are built on it, and the references to its mount; and the time at which it was made, because a store may be made anew.
//!
//! Invariant: a layer has another tag whenever its description or its content is another, but for what processes write into its mount.

use crate::api::refusal::RequestError;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use mica_engine::LayerView;

/// The tag of a layer.
pub(super) fn of(layer: &LayerView) -> String {
    let LayerView {
        number,
        children,
        mounts,
        created,
        ..
    } = layer;
    let (seconds, nanoseconds) = (created.seconds, created.nanoseconds);
    format!("\"{number}.{children}.{mounts}.{seconds:x}.{nanoseconds:x}\"")
}

/// The header with the tag of a layer.
pub(super) fn header(layer: &LayerView) -> Result<(HeaderName, HeaderValue), RequestError> {
    let value = HeaderValue::from_str(&of(layer));
    let value = value.map_err(|error| RequestError::Internal(error.to_string()))?;
    Ok((header::ETAG, value))
}

/// What a client expects a layer to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Anything.
    Any,
    /// One with one of these tags.
    One(Vec<String>),
}

impl Wanted {
    /// Reads `If-Match`. A weak tag (`W/`) is none of a layer's: whoever changes something must be sure.
    ///
    /// # Errors
    /// The header is no text.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, RequestError> {
        let mut tags = Vec::new();
        for value in headers.get_all(header::IF_MATCH) {
            match told(value, header::IF_MATCH)? {
                "*" => return Ok(Self::Any),
                text => tags.extend(text.split(',').map(|tag| tag.trim().to_owned())),
            }
        }
        Ok(match headers.contains_key(header::IF_MATCH) {
            true => Self::One(tags),
            false => Self::Any,
        })
    }

    /// Whether a layer is as expected.
    pub(super) fn fits(&self, layer: &LayerView) -> bool {
        match self {
            Self::Any => true,
            Self::One(tags) => tags.contains(&of(layer)),
        }
    }
}

/// Whether a client has this very layer already (`If-None-Match`).
///
/// # Errors
/// The header is no text.
pub(super) fn is_known(headers: &HeaderMap, layer: &LayerView) -> Result<bool, RequestError> {
    let own = of(layer);
    for value in headers.get_all(header::IF_NONE_MATCH) {
        let text = told(value, header::IF_NONE_MATCH)?;
        let mut tags = text.split(',').map(str::trim);
        if tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == own) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn told(value: &HeaderValue, name: HeaderName) -> Result<&str, RequestError> {
    let told = value.to_str();
    told.map(str::trim)
        .map_err(|error| RequestError::Invalid(format!("the header `{name}` is no text: {error}")))
}
