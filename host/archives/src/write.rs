//! Writes an image archive.
//!
//! The digest of a layer is its name in the archive, and so is known only after its bytes: each layer passes through a file without
//! a name. The archive is the same for the same layers: no time of its own, members in one order.
//!
//! Invariant: what is written is an OCI layout and Docker's archive at once, of the same blobs.

use crate::digest::Hashing;
use crate::documents::{
    CONFIG, Config, Descriptor, DockerImage, FULL_NAME, INDEX, ImageName, Index, LAYER, LAYER_GZIP,
    MANIFEST, Manifest, Platform, REF_NAME, RootFs,
};
use crate::{Digest, Error, Result};
use flate2::write::GzEncoder;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufReader, BufWriter, Read, Seek as _, SeekFrom, Write};

/// Bytes that are moved at once.
const BUFFER_BYTES: usize = 256 << 10;

/// Whether layers are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packed {
    /// Tar as it is.
    Not,
    /// Gzip, as registries have it.
    Gzip,
}

/// An archive that is being written.
#[expect(
    missing_debug_implementations,
    reason = "the tar crate's builder has none"
)]
pub struct Writer<W: Write> {
    tar: tar::Builder<W>,
    packed: Packed,
    layers: Vec<Descriptor>,
    diff_ids: Vec<Digest>,
    blobs: BTreeSet<Digest>,
}

/// What was written.
#[derive(Debug, Serialize)]
pub struct Written {
    /// The digest of the manifest.
    pub manifest: Digest,
    /// The digest of the config, which Docker calls the image's id.
    pub id: Digest,
    /// The digests of the layers, uncompressed, the lowest first.
    pub diff_ids: Vec<Digest>,
}

impl<W: Write> Writer<W> {
    /// Begins an archive.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn new(to: W, packed: Packed) -> Result<Self> {
        let mut writer = Self {
            tar: tar::Builder::new(to),
            packed,
            layers: Vec::new(),
            diff_ids: Vec::new(),
            blobs: BTreeSet::new(),
        };
        writer.member("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        Ok(writer)
    }

    /// Adds a layer, whose archive `fill` writes.
    ///
    /// # Errors
    /// [`Error::Io`]; whatever `fill` says.
    pub fn layer<E: From<Error>>(
        &mut self,
        fill: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<(), E> {
        let spool = || Error::io("write a temporary file");
        let spooled = tempfile::tempfile().map_err(spool())?;
        let outer = Hashing::new(BufWriter::with_capacity(BUFFER_BYTES, spooled));
        let (outer, diff_id) = match self.packed {
            Packed::Not => {
                let mut plain = Hashing::new(outer);
                fill(&mut plain)?;
                let (outer, diff_id, _) = plain.end();
                (outer, diff_id)
            }
            Packed::Gzip => {
                let gzip = GzEncoder::new(outer, flate2::Compression::default());
                let mut plain = Hashing::new(Even::new(gzip));
                fill(&mut plain)?;
                let (even, diff_id, _) = plain.end();
                let gzip = even.end().map_err(spool())?;
                (gzip.finish().map_err(spool())?, diff_id)
            }
        };
        let (spooled, digest, size) = outer.end();
        let error = |error: io::IntoInnerError<_>| spool()(error.into_error());
        let mut spooled = spooled.into_inner().map_err(error)?;
        spooled.seek(SeekFrom::Start(0)).map_err(spool())?;
        self.blob(
            &digest,
            size,
            BufReader::with_capacity(BUFFER_BYTES, spooled),
        )?;
        let media_type = match self.packed {
            Packed::Not => LAYER,
            Packed::Gzip => LAYER_GZIP,
        };
        self.layers.push(descriptor(media_type, &digest, size));
        self.diff_ids.push(diff_id);
        Ok(())
    }

    /// Ends the archive: an image of all layers, under a name if it has one. `config` is what an image's config may have beside its
    /// layers; its platform counts, or this machine's.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`] for a config that is none.
    pub fn finish(
        mut self,
        name: Option<&ImageName>,
        config: Map<String, Value>,
    ) -> Result<(W, Written)> {
        let config = bytes(&self.config(config)?);
        let config = self.document(CONFIG, &config)?;
        let layers = std::mem::take(&mut self.layers);
        let manifest = Manifest {
            schema_version: 2,
            media_type: MANIFEST.to_owned(),
            config,
            layers,
        };
        let mut found = self.document(MANIFEST, &bytes(&manifest))?;
        if let Some(name) = name {
            found.annotations = BTreeMap::from([
                (FULL_NAME.to_owned(), name.with_registry()),
                (REF_NAME.to_owned(), name.tag().to_owned()),
            ]);
        }
        let written = Written {
            manifest: found.digest.clone(),
            id: manifest.config.digest.clone(),
            diff_ids: self.diff_ids.clone(),
        };
        let index = Index {
            schema_version: 2,
            media_type: INDEX.to_owned(),
            manifests: vec![found],
        };
        let docker = DockerImage {
            config: blob_name(&manifest.config.digest),
            repo_tags: name.map(|name| vec![name.whole().to_owned()]),
            layers: manifest
                .layers
                .iter()
                .map(|layer| blob_name(&layer.digest))
                .collect(),
        };
        self.member("index.json", &bytes(&index))?;
        self.member("manifest.json", &bytes(&[docker]))?;
        let to = self
            .tar
            .into_inner()
            .map_err(Error::io("end the archive"))?;
        Ok((to, written))
    }

    fn config(&self, mut given: Map<String, Value>) -> Result<Config> {
        given.remove("rootfs");
        let platform: Option<Platform> = match given.contains_key("architecture") {
            true => {
                let platform = serde_json::from_value(Value::Object(given.clone()));
                Some(platform.map_err(|error| Error::Malformed(format!("the config: {error}")))?)
            }
            false => None,
        };
        for own in ["architecture", "os", "variant"] {
            given.remove(own);
        }
        Ok(Config {
            platform: platform.unwrap_or_else(Platform::here),
            rootfs: RootFs {
                kind: "layers".to_owned(),
                diff_ids: self.diff_ids.clone(),
            },
            rest: given,
        })
    }

    fn document(&mut self, media_type: &str, bytes: &[u8]) -> Result<Descriptor> {
        let (digest, size) = (Digest::of(bytes), bytes.len() as u64);
        self.blob(&digest, size, bytes)?;
        Ok(descriptor(media_type, &digest, size))
    }

    fn blob(&mut self, digest: &Digest, size: u64, from: impl Read) -> Result<()> {
        // Layers that are alike are one blob.
        if !self.blobs.insert(digest.clone()) {
            return Ok(());
        }
        self.append(&blob_name(digest), size, from)
    }

    fn member(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.append(name, bytes.len() as u64, bytes)
    }

    fn append(&mut self, name: &str, size: u64, from: impl Read) -> Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(size);
        let appended = self.tar.append_data(&mut header, name, from);
        appended.map_err(Error::io("write the archive"))
    }
}

/// Writes pieces of one length, whatever it gets. What zlib-rs makes of the same bytes depends on how they were cut.
struct Even<W> {
    inner: W,
    piece: Vec<u8>,
}

impl<W: Write> Even<W> {
    fn new(inner: W) -> Self {
        Self {
            inner,
            piece: Vec::with_capacity(BUFFER_BYTES),
        }
    }

    fn end(mut self) -> io::Result<W> {
        self.inner.write_all(&self.piece)?;
        Ok(self.inner)
    }
}

impl<W: Write> Write for Even<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(BUFFER_BYTES - self.piece.len());
        self.piece
            .extend_from_slice(bytes.get(..taken).unwrap_or_default());
        if self.piece.len() == BUFFER_BYTES {
            self.inner.write_all(&self.piece)?;
            self.piece.clear();
        }
        Ok(taken)
    }

    /// Nothing: a piece that is cut short would be another.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.digits())
}

fn descriptor(media_type: &str, digest: &Digest, size: u64) -> Descriptor {
    Descriptor {
        media_type: media_type.to_owned(),
        digest: digest.clone(),
        size,
        platform: None,
        annotations: BTreeMap::new(),
    }
}

/// A document as bytes.
#[expect(
    clippy::expect_used,
    reason = "keys are texts and nothing in it can fail"
)]
fn bytes(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(document).expect("a document is JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compressed_archive_is_the_same_however_its_bytes_come() {
        let numbers =
            (0..200_000_u64).flat_map(|number| (number * number).to_string().into_bytes());
        let bytes: Vec<u8> = numbers.collect();
        let written = |piece: usize| {
            let mut writer = Writer::new(Vec::new(), Packed::Gzip).unwrap();
            let fill = |sink: &mut dyn Write| {
                let mut pieces = bytes.chunks(piece);
                pieces
                    .try_for_each(|piece| sink.write_all(piece).and_then(|()| sink.flush()))
                    .map_err(Error::io("write"))
            };
            writer.layer(fill).unwrap();
            writer.finish(None, Map::new()).unwrap().1.manifest
        };
        let whole = written(bytes.len());
        for piece in [1_000, 65_536, 100_001] {
            assert_eq!(written(piece), whole, "{piece}");
        }
    }
}
