//! Manifests and blobs, each by its address.
//!
//! Invariant: what is read was bounded before, and compared with its digest.

use crate::digest::Digest;
use crate::error::Error;
use crate::layout::{ACCEPTED, Descriptor};
use crate::registry::{Ask, Registry};
use crate::transport::whole;
use bytes::Bytes;
use hyper::{Method, StatusCode};

/// Bytes of a manifest, as registries bound it.
const MOST_MANIFEST: usize = 4 << 20;
/// The digest that a registry tells of what it sends.
const TOLD_DIGEST: &str = "docker-content-digest";

impl Registry {
    /// Reads a manifest, by a tag or by a digest; nothing if there is none.
    pub(crate) async fn manifest(
        &mut self,
        wanted: &str,
    ) -> Result<Option<(Bytes, Digest)>, Error> {
        let what = format!("manifest `{}:{wanted}`", self.reference.repository);
        let target = format!("manifests/{wanted}");
        let answer = self.ask(Ask::get(&target, ACCEPTED)).await?;
        match answer.status() {
            StatusCode::NOT_FOUND => return Ok(None),
            StatusCode::OK => {}
            _ => return Err(Self::refused(format!("read the {what}"), answer).await),
        }
        let told = answer.headers().get(TOLD_DIGEST);
        let told = told.and_then(|told| Digest::parse(told.to_str().ok()?).ok());
        let bytes = whole(answer, &format!("the {what}"), MOST_MANIFEST, &self.watch).await?;
        let expected = Digest::parse(wanted).ok();
        for digest in expected.iter().chain(&told) {
            digest.check("manifest", &bytes)?;
        }
        let digest = Digest::of(&bytes);
        Ok(Some((bytes, digest)))
    }

    /// Reads a blob of at most `most` bytes.
    pub(crate) async fn blob(
        &mut self,
        what: &str,
        blob: &Descriptor,
        most: usize,
    ) -> Result<Bytes, Error> {
        if blob.size > most as u64 {
            return Err(Error::TooLarge {
                what: format!("the {what}"),
                has: blob.size,
                most: most as u64,
            });
        }
        let target = format!("blobs/{}", blob.digest);
        let answer = self.ask(Ask::get(&target, "")).await?;
        match answer.status() {
            StatusCode::NOT_FOUND => {
                return Err(Error::NotFound(format!(
                    "{what} {} of `{}`",
                    blob.digest, self.reference
                )));
            }
            StatusCode::OK => {}
            _ => return Err(Self::refused(format!("read the {what}"), answer).await),
        }
        let most = usize::try_from(blob.size).unwrap_or(most);
        let bytes = whole(answer, &format!("the {what}"), most, &self.watch).await?;
        if bytes.len() as u64 != blob.size {
            return Err(Error::Lies {
                what: what.to_owned(),
                wanted: format!("{} bytes", blob.size),
                found: format!("{} bytes", bytes.len()),
            });
        }
        blob.digest.check(what, &bytes)?;
        Ok(bytes)
    }

    /// Writes a blob, unless it is there.
    pub(crate) async fn put_blob(&mut self, what: &str, bytes: &Bytes) -> Result<(), Error> {
        let digest = Digest::of(bytes);
        let target = format!("blobs/{digest}");
        let look = Ask {
            method: Method::HEAD,
            ..Ask::get(&target, "")
        };
        if self.ask(look).await?.status() == StatusCode::OK {
            return Ok(());
        }
        let begin = Ask {
            method: Method::POST,
            ..Ask::get("blobs/uploads/", "")
        };
        let from = self.address(begin.target)?;
        let answer = self.ask(begin).await?;
        let doing = format!("write the {what}");
        if answer.status() != StatusCode::ACCEPTED {
            return Err(Self::refused(doing, answer).await);
        }
        let place = self.location(&answer, &from)?.to_string();
        let joint = if place.contains('?') { '&' } else { '?' };
        let target = format!("{place}{joint}digest={digest}");
        let put = Ask {
            method: Method::PUT,
            content_type: "application/octet-stream",
            body: bytes.clone(),
            ..Ask::get(&target, "")
        };
        let answer = self.ask(put).await?;
        match answer.status() {
            StatusCode::CREATED => Ok(()),
            _ => Err(Self::refused(doing, answer).await),
        }
    }

    /// Writes a manifest under a tag or its digest; says whether the registry keeps lists of what refers to another manifest.
    pub(crate) async fn put_manifest(
        &mut self,
        name: &str,
        kind: &str,
        bytes: Vec<u8>,
    ) -> Result<bool, Error> {
        let digest = Digest::of(&bytes);
        let target = format!("manifests/{name}");
        let put = Ask {
            method: Method::PUT,
            content_type: kind,
            body: bytes.into(),
            ..Ask::get(&target, "")
        };
        let answer = self.ask(put).await?;
        if answer.status() != StatusCode::CREATED {
            let doing = format!("write the manifest `{}:{name}`", self.reference.repository);
            return Err(Self::refused(doing, answer).await);
        }
        let told = answer.headers().get(TOLD_DIGEST);
        let told = told.and_then(|told| Digest::parse(told.to_str().ok()?).ok());
        if let Some(told) = told.filter(|told| *told != digest) {
            return Err(Error::Lies {
                what: "manifest".to_owned(),
                wanted: digest.to_string(),
                found: told.to_string(),
            });
        }
        Ok(answer.headers().contains_key("oci-subject"))
    }
}
