//! An image within an archive.
//!
//! Invariant: whatever is used has the digest by which it is named.

use crate::documents::{Config, Descriptor, DockerImage, Index, Manifest, Platform};
use crate::file::{self, ImageFile};
use crate::select;
use crate::{Digest, Error, Layer, Result};
use mica_text::SafeText;

/// Layers that an image may have: more than any driver stacks.
const MOST_LAYERS: usize = 1000;

/// Which image is meant, where an archive has more than one.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Its name, as the archive has it.
    pub name: Option<String>,
    /// For what machine it is; if absent this one, or whatever there is if that is all.
    pub platform: Option<Platform>,
}

/// An image, whose layers can be read.
#[derive(Debug)]
pub struct Image {
    /// The names that the archive gives it.
    pub names: Vec<String>,
    /// The digest of its config, which is what Docker calls the image's id.
    pub id: Digest,
    /// For what machine it is.
    pub platform: Platform,
    /// Its layers, the lowest first.
    pub layers: Vec<Layer>,
}

impl ImageFile {
    /// The image that is meant.
    ///
    /// # Errors
    /// [`Error::Choice`] where that is not clear or not there; [`Error::Malformed`], [`Error::Io`].
    pub fn image(&self, wanted: &Wanted) -> Result<Image> {
        let (image, is_told) = self.find(wanted)?;
        match &wanted.platform {
            // Where the index did not tell, the config does.
            Some(platform) if !is_told && !image.platform.suits(platform) => Err(Error::Choice {
                what: format!("the archive has no image for {platform}"),
                remedy: format!("its image is for {}", image.platform),
            }),
            _ => Ok(image),
        }
    }

    /// The image, and whether the index told for what machine it is.
    fn find(&self, wanted: &Wanted) -> Result<(Image, bool)> {
        if let Some(bytes) = self.document("index.json")? {
            let index: Index = select::json(&bytes, "index.json")?;
            let found = select::of_index(self, index, wanted)?;
            let is_told = found.manifest.platform.is_some();
            let image = self.of_manifest(found.names, &found.manifest)?;
            return Ok((image, is_told));
        }
        if self.is_archive()
            && let Some(bytes) = self.document("manifest.json")?
        {
            let images: Vec<DockerImage> = select::json(&bytes, "manifest.json")?;
            let image = self.of_docker(select::of_docker(images, wanted)?)?;
            return Ok((image, false));
        }
        Err(Error::Malformed(
            "it is no image: it has neither `index.json` nor `manifest.json` (a plain archive of files is applied by `mica layer apply`)".to_owned(),
        ))
    }

    fn of_manifest(&self, names: Vec<String>, found: &Descriptor) -> Result<Image> {
        let bytes = self.checked(found)?;
        let manifest: Manifest = select::json(&bytes, &found.digest.to_string())?;
        let config = self.checked(&manifest.config)?;
        let config: Config = select::json(&config, &manifest.config.digest.to_string())?;
        let diff_ids = diff_ids(&config, manifest.layers.len())?;
        let layers = manifest.layers.iter().zip(diff_ids).map(|(said, diff_id)| {
            let kind = said.media_type.as_str();
            // Suffixes by which layers are marked that are no archives as they lie there.
            if kind.ends_with("+encrypted") || kind.contains(".in-toto") {
                let kind = SafeText::label(kind);
                let digest = &said.digest;
                return Err(Error::Malformed(format!(
                    "layer {digest} is `{kind}`, which is no archive"
                )));
            }
            Ok(Layer {
                diff_id,
                bytes: said.size,
                blob: self.blob(&said.digest)?,
                said: Some((said.digest.clone(), said.size)),
            })
        });
        Ok(Image {
            names,
            id: manifest.config.digest.clone(),
            layers: layers.collect::<Result<_>>()?,
            platform: config.platform,
        })
    }

    fn of_docker(&self, image: DockerImage) -> Result<Image> {
        let missing = |name: &str| {
            let name = SafeText::label(name);
            Error::Malformed(format!(
                "`manifest.json` names `{name}`, which is not in the archive"
            ))
        };
        let config = self
            .document(&image.config)?
            .ok_or_else(|| missing(&image.config))?;
        let id = Digest::of(&config);
        // Its name is its digest, with or without a suffix or directory, in every release of Docker.
        if !image.config.contains(id.digits()) {
            let name = SafeText::label(&image.config);
            return Err(Error::Malformed(format!("`{name}` has the digest {id}")));
        }
        let config: Config = select::json(&config, &image.config)?;
        let diff_ids = diff_ids(&config, image.layers.len())?;
        let layers = image.layers.iter().zip(diff_ids).map(|(name, diff_id)| {
            let blob = self.piece(name)?.ok_or_else(|| missing(name))?;
            Ok(Layer {
                diff_id,
                bytes: blob.size(),
                blob,
                said: None,
            })
        });
        Ok(Image {
            names: image.repo_tags.unwrap_or_default(),
            id,
            layers: layers.collect::<Result<_>>()?,
            platform: config.platform,
        })
    }

    /// A document of the image, whose digest and size are as said.
    pub(crate) fn checked(&self, said: &Descriptor) -> Result<Vec<u8>> {
        let digest = &said.digest;
        let bytes = file::document(self.blob(digest)?, &digest.to_string())?;
        let found = Digest::of(&bytes);
        if found == *digest && bytes.len() as u64 == said.size {
            return Ok(bytes);
        }
        let (has, size) = (bytes.len(), said.size);
        Err(Error::Malformed(format!(
            "blob {digest} of {size} bytes has {has} bytes and the digest {found}"
        )))
    }
}

fn diff_ids(config: &Config, layers: usize) -> Result<Vec<Digest>> {
    let ids = &config.rootfs.diff_ids;
    if ids.len() != layers {
        let count = ids.len();
        return Err(Error::Malformed(format!(
            "the image has {layers} layers, and its config {count} digests of layers"
        )));
    }
    if layers > MOST_LAYERS {
        return Err(Error::Malformed(format!(
            "the image has {layers} layers, more than {MOST_LAYERS}"
        )));
    }
    Ok(ids.clone())
}
