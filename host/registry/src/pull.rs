//! A driver comes from a registry.
//!
//! Invariant: a [`Pulled`] is what its pinned reference says, whatever the registry says later.

use crate::digest::Digest;
use crate::error::Error;
use crate::layout::{Config, Descriptor, Index, Manifest};
use crate::reference::Reference;
use crate::registry::{Ask, Registry, escaped};
use crate::transport::whole;
use crate::watch::Passing;
use bytes::Bytes;
use hyper::StatusCode;
use mica_signatures::{Kind, Signature};

/// Bytes of a configuration, of a signature, and of a list of signatures.
const MOST_SMALL: usize = 1 << 20;
/// Manifests that are asked for because a list calls them signatures: each is a connection, and the list is anybody's.
const MOST_LISTED: usize = 64;

/// A driver that was pulled.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// The reference with the digest of the manifest.
    pub reference: Reference,
    /// The component.
    pub component: Bytes,
    /// Its signatures, at most [`Signature::MOST`].
    pub signatures: Vec<Signature>,
}

impl Registry {
    /// Pulls the driver, of at most `most` bytes.
    ///
    /// # Errors
    /// [`Error`].
    pub fn pull(&mut self, most: usize) -> Result<Pulled, Error> {
        self.block_on(async |registry| registry.pull_driver(most).await)
    }

    async fn pull_driver(&mut self, most: usize) -> Result<Pulled, Error> {
        let reference = self.reference.clone();
        let found = self.manifest(reference.wanted()).await?;
        let (bytes, digest) = found.ok_or_else(|| Error::NotFound(format!("`{reference}`")))?;
        let no_driver = |what: String| Error::NoDriver {
            reference: reference.to_string(),
            what,
        };
        let manifest = Manifest::parse(&bytes).map_err(no_driver)?;
        let layer = manifest.driver_layer().map_err(no_driver)?;
        let config = self
            .blob("configuration", &manifest.config, MOST_SMALL)
            .await?;
        let config: Config = serde_json::from_slice(&config)
            .map_err(|error| no_driver(format!("its configuration cannot be read: {error}")))?;
        config.check(&layer.digest).map_err(no_driver)?;
        self.watch.tell(Passing::Begins(layer.size));
        let component = self.blob("component", layer, most).await?;
        let mut signatures = annotated(layer);
        signatures.extend(self.referring(&digest).await?);
        signatures.truncate(Signature::MOST);
        Ok(Pulled {
            reference: reference.pinned(&digest),
            component,
            signatures,
        })
    }

    /// The signatures that refer to a manifest.
    async fn referring(&mut self, to: &Digest) -> Result<Vec<Signature>, Error> {
        let mut found = Vec::new();
        for descriptor in self.referrers(to).await?.into_iter().take(MOST_LISTED) {
            if found.len() == Signature::MOST {
                break;
            }
            let Some((bytes, _)) = self.manifest(descriptor.digest.as_str()).await? else {
                continue;
            };
            let Ok(manifest) = Manifest::parse(&bytes) else {
                continue;
            };
            // A list says what it likes: the manifest itself says what it is about.
            if manifest
                .subject
                .as_ref()
                .is_none_or(|subject| subject.digest != *to)
            {
                continue;
            }
            for layer in &manifest.layers {
                let Some(kind) = Kind::of_media_type(&layer.media_type) else {
                    continue;
                };
                let bytes = self.blob("signature", layer, Signature::MOST_BYTES).await?;
                // One that is too large was refused above.
                found.extend(Signature::new(kind, bytes.to_vec()));
            }
        }
        Ok(found)
    }

    /// What refers to a manifest and is a signature, by the registry's own list, or by the list that clients keep where a registry has none.
    async fn referrers(&mut self, to: &Digest) -> Result<Vec<Descriptor>, Error> {
        let index = match self.own_list(to).await? {
            Some(index) => index,
            // Whatever is no list names no signatures.
            None => self
                .kept_list(to)
                .await?
                .and_then(|bytes| manifests(&bytes))
                .unwrap_or_default(),
        };
        let is_signature = |one: &Descriptor| {
            one.artifact_type
                .as_deref()
                .and_then(Kind::of_media_type)
                .is_some()
        };
        Ok(index.into_iter().filter(is_signature).collect())
    }

    async fn own_list(&mut self, to: &Digest) -> Result<Option<Vec<Descriptor>>, Error> {
        let target = format!("referrers/{}", escaped(to.as_str()));
        let answer = self.ask(Ask::get(&target, crate::layout::INDEX)).await?;
        if answer.status() != StatusCode::OK {
            return Ok(None);
        }
        let bytes = whole(answer, "the list of signatures", MOST_SMALL, &self.watch).await?;
        Ok(manifests(&bytes))
    }

    /// What lies under the tag for the list, which is made of the digest.
    pub(crate) async fn kept_list(&mut self, to: &Digest) -> Result<Option<Bytes>, Error> {
        let found = self.manifest(&list_tag(to)).await?;
        Ok(found.map(|(bytes, _)| bytes))
    }
}

/// What a list names; nothing if it is none.
fn manifests(list: &[u8]) -> Option<Vec<Descriptor>> {
    let index: Option<Index> = serde_json::from_slice(list).ok();
    index.map(|index| index.manifests)
}

/// The tag of the list of what refers to a manifest, where the registry keeps none.
pub(crate) fn list_tag(of: &Digest) -> String {
    of.as_str().replace(':', "-")
}

/// The signatures among the annotations of a layer.
fn annotated(layer: &Descriptor) -> Vec<Signature> {
    let annotations = layer.annotations.iter();
    let signatures = annotations.filter_map(|(key, value)| {
        Signature::new(Kind::of_annotation(key)?, value.clone().into_bytes()).ok()
    });
    signatures.collect()
}
