//! Blobs of containerd: files of its content directory, or read from its content service.
//!
//! Invariant: whatever the way, size and digest are compared with what was told.

use super::peer::Peer;
use crate::config::{CONTENT_ROOT, Containerd};
use axum::body::Body;
use mica_engine::{Blob, SafeText};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use tokio::task::block_in_place;
use tonic::Status;

/// Where blobs are looked for.
#[derive(Debug)]
pub(super) struct Blobs {
    configured: Option<PathBuf>,
    /// containerd's own socket.
    address: Option<Arc<Path>>,
    /// What containerd said, once.
    told: OnceLock<PathBuf>,
}

/// A blob that was found.
pub(super) enum Found {
    /// As a file.
    File(Box<dyn Read + Send>),
    /// At containerd's content service.
    Stream(Body),
}

impl Blobs {
    pub(super) fn new(settings: &Containerd) -> Self {
        Self {
            configured: settings.content_root.clone(),
            address: settings.address.as_deref().map(Arc::from),
            told: OnceLock::new(),
        }
    }

    /// Finds a blob for a snapshot: below the directory that is configured or that containerd tells, or else at its content service.
    ///
    /// # Errors
    /// `Internal` with where it was looked for and what to configure; containerd's own.
    pub(super) async fn find(
        &self,
        (blob, digest): (&Blob, &str),
        key: &str,
        doing: &str,
    ) -> Result<Found, Status> {
        let mut peer = None;
        if let (Some(address), None) = (&self.address, self.configured.as_ref().or(self.told.get()))
        {
            let connected = Peer::connect(address, key).await?;
            if let Some(root) = connected.content_root().await? {
                // Another request may have been told the same.
                let _first = self.told.set(root);
            }
            peer = Some(connected);
        }
        let root = self.configured.as_ref().or(self.told.get());
        let root = root.map_or(Path::new(CONTENT_ROOT), PathBuf::as_path);
        let unreadable = match block_in_place(|| blob.open(root)) {
            Ok(file) => return Ok(Found::File(Box::new(file))),
            Err(error) => self.explain(doing, root, &error),
        };
        let Some(address) = &self.address else {
            return Err(unreadable);
        };
        let peer = match peer {
            Some(peer) => peer,
            None => Peer::connect(address, key).await?,
        };
        let body = peer.read(digest).await.map_err(|status| {
            let text = format!("{}; {}", unreadable.message(), status.message());
            Status::new(status.code(), SafeText::from(text))
        })?;
        tracing::debug!(
            digest,
            reason = unreadable.message(),
            "read a blob from containerd"
        );
        Ok(Found::Stream(body))
    }

    fn explain(&self, doing: &str, root: &Path, error: &io::Error) -> Status {
        let remedy = match (&self.configured, &self.address) {
            (_, Some(_)) => "",
            (Some(_), None) => "; correct `containerd.content_root`, or set `containerd.address`",
            (None, None) => "; set `containerd.content_root` or `containerd.address`",
        };
        let root = root.display();
        Status::internal(format!(
            "{doing}: look for it in containerd's content store `{root}`: {error}{remedy}"
        ))
    }
}
