//! The blob that a layer was unpacked from, as a file beside its record. A blob that is still kept makes a damaged layer again.
//!
//! Invariant: nothing depends on it: what is made of a blob counts only if it is what the layer was.

use super::{Home, Layout};
use crate::disk::files;
use mica_sys::node;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;

/// The shape of the file; a reader refuses what it does not know.
const VERSION: u32 = 1;
/// Bytes of the file.
const MOST_BYTES: u64 = 64 << 10;

/// The blob that a layer was unpacked from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobOrigin {
    /// Its digest, `sha256:` and 64 digits, as it was told.
    pub digest: String,
    /// Its bytes.
    pub size: u64,
    /// Its media type.
    pub media_type: String,
    /// The key of the snapshot that it was unpacked into, which begins with the namespace of whoever has it.
    pub key: String,
}

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LayerOrigin {
    version: u32,
    /// The blob.
    pub(crate) blob: BlobOrigin,
    /// Whether it was unpacked before the layer's parent was known.
    pub(crate) late_parent: bool,
}

impl LayerOrigin {
    pub(crate) fn new(blob: BlobOrigin, late_parent: bool) -> Self {
        Self {
            version: VERSION,
            blob,
            late_parent,
        }
    }
}

impl Layout {
    /// The blob that a layer was unpacked from; `None` if it came another way.
    ///
    /// # Errors
    /// What reading says; `InvalidData` for a file that makes no sense.
    pub(crate) fn read_origin(&self, number: u64) -> io::Result<Option<LayerOrigin>> {
        let layer = self.open_layer(number)?;
        let file = match node::open_regular(layer.as_fd(), &self.origin) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => File::from(opened?),
        };
        let bytes = files::read_bounded(file, MOST_BYTES)?;
        files::check_sum(&bytes)?;
        let origin: LayerOrigin = serde_json::from_slice(&bytes)?;
        let is_known = origin.version == VERSION;
        is_known.then_some(Some(origin)).ok_or_else(|| {
            let text = "where the layer came from is told by a later version of Mica";
            io::Error::new(io::ErrorKind::InvalidData, text)
        })
    }
}

impl Home {
    /// Writes down the blob that a layer is being unpacked from. It is on the device with the layer's files, which are synced next.
    pub(crate) fn write_origin(&self, number: u64, origin: &LayerOrigin) -> io::Result<()> {
        let layer = self.layout.open_layer(number)?;
        let (layer, new) = (layer.as_fd(), &self.layout.new_origin);
        match node::remove_file(layer, new) {
            // A kill left one that is not whole.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut json = serde_json::to_vec_pretty(origin)?;
        json.push(b'\n');
        let bytes = files::with_sum(&json);
        // A media type is as long as a client makes it.
        if bytes.len() as u64 > MOST_BYTES {
            let text = "it is longer than what is read again";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let mut file = File::from(node::create_regular(layer, new, 0o600)?);
        file.write_all(&bytes)?;
        node::replace(layer, new, &self.layout.origin)
    }
}
