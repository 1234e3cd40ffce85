//! A driver goes to a registry.
//!
//! Invariant: a tag leads to a manifest only when all that the manifest names is there; the same component with the same facts has the
//! same digest each time.

use crate::digest::Digest;
use crate::error::Error;
use crate::layout::{
    CONFIG, Config, Descriptor, EMPTY, Facts, INDEX, Index, LAYER, MANIFEST, Manifest, TITLE,
};
use crate::pull::list_tag;
use crate::reference::Reference;
use crate::registry::Registry;
use crate::watch::Passing;
use bytes::Bytes;
use mica_signatures::Signature;
use mica_text::SafeText;
use std::collections::BTreeMap;

/// What is pushed.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The component.
    pub component: Bytes,
    /// The name of its file.
    pub title: String,
    /// What it exports and imports.
    pub facts: Facts,
    /// When it was made: RFC 3339.
    pub created: String,
    /// Who made it.
    pub author: Option<String>,
    /// Its signatures.
    pub signatures: Vec<Signature>,
}

/// What was pushed.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// The reference with the digest of the manifest.
    pub reference: Reference,
    /// The digest of the manifest.
    pub manifest: Digest,
    /// The digest of the component.
    pub component: Digest,
}

impl Registry {
    /// Pushes a driver under the reference's tag.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Reference`] for a reference with a digest, which follows from what is pushed.
    pub fn push(&mut self, offer: Offer) -> Result<Pushed, Error> {
        let wrong = |reason: &str| Error::Reference {
            reference: SafeText::label(&self.reference.to_string()),
            reason: reason.to_owned(),
        };
        if self.reference.digest.is_some() {
            return Err(wrong(
                "the digest follows from what is pushed: leave it out",
            ));
        }
        if self.reference.tag.is_none() {
            return Err(wrong("what is pushed needs a tag"));
        }
        self.block_on(async |registry| registry.push_driver(offer).await)
    }

    async fn push_driver(&mut self, offer: Offer) -> Result<Pushed, Error> {
        let Offer {
            component,
            title,
            facts,
            created,
            author,
            signatures,
        } = offer;
        let config = Bytes::from(json(&Config::of(&component, facts, created, author))?);
        self.watch.tell(Passing::Begins(component.len() as u64));
        self.put_blob("component", &component).await?;
        self.put_blob("configuration", &config).await?;
        let mut layer = Descriptor::of(LAYER, &component);
        layer.annotations.insert(TITLE.to_owned(), title);
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(MANIFEST.to_owned()),
            artifact_type: None,
            config: Descriptor::of(CONFIG, &config),
            layers: vec![layer],
            subject: None,
            annotations: BTreeMap::new(),
        };
        let bytes = json(&manifest)?;
        let subject = Descriptor::of(MANIFEST, &bytes);
        // Its signatures are there before anybody finds it by its tag.
        self.put_manifest(subject.digest.as_str(), MANIFEST, bytes.clone())
            .await?;
        for signature in &signatures {
            self.attach(&subject, signature).await?;
        }
        let tag = self.reference.tag().to_owned();
        self.put_manifest(&tag, MANIFEST, bytes).await?;
        Ok(Pushed {
            reference: self.reference.pinned(&subject.digest),
            manifest: subject.digest,
            component: Digest::of(&component),
        })
    }

    /// Puts a signature beside a manifest: as a manifest that refers to it.
    async fn attach(&mut self, subject: &Descriptor, signature: &Signature) -> Result<(), Error> {
        let bytes = Bytes::copy_from_slice(signature.bytes());
        let media_type = signature.kind().media_type();
        let (kind, empty) = EMPTY;
        self.put_blob("signature", &bytes).await?;
        self.put_blob("configuration", &Bytes::from_static(empty))
            .await?;
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(MANIFEST.to_owned()),
            artifact_type: Some(media_type.to_owned()),
            config: Descriptor::of(kind, empty),
            layers: vec![Descriptor::of(media_type, &bytes)],
            subject: Some(subject.clone()),
            annotations: BTreeMap::new(),
        };
        let bytes = json(&manifest)?;
        let mut own = Descriptor::of(MANIFEST, &bytes);
        own.artifact_type = manifest.artifact_type;
        let has_lists = self
            .put_manifest(own.digest.as_str(), MANIFEST, bytes)
            .await?;
        if has_lists {
            return Ok(());
        }
        let tag = list_tag(&subject.digest);
        let mut list: Index = match self.kept_list(&subject.digest).await? {
            None => Index::empty(),
            // Somebody's, and it would be lost.
            Some(bytes) => serde_json::from_slice(&bytes).map_err(|error| Error::NoList {
                reference: format!(
                    "{}/{}:{tag}",
                    self.reference.registry, self.reference.repository
                ),
                reason: SafeText::label(&error.to_string()),
            })?,
        };
        list.manifests.retain(|one| one.digest != own.digest);
        list.manifests.push(own);
        self.put_manifest(&tag, INDEX, json(&list)?).await?;
        Ok(())
    }
}

fn json(document: &impl serde::Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(document).map_err(|error| Error::Broken {
        doing: "write a document".to_owned(),
        source: error.into(),
    })
}
