//! Blobs of containerd for whoever repairs a layer that was unpacked from one.
//!
//! Invariant: blocks, and is asked on threads that may; size and digest are compared with what was told when the layer was unpacked.

use super::blobs::{Blobs, Found};
use super::differ::BLOB_IDLE_TIMEOUT;
use crate::api::archive::{Inflating, Wanted, bridge, decode, in_pieces};
use crate::config::{ApiLimits, Containerd};
use mica_engine::{Blob, BlobOrigin, SafeText};
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// Blobs of one containerd.
#[derive(Debug)]
struct Kept {
    blobs: Blobs,
    limits: ApiLimits,
    /// How long containerd may take to find one.
    patience: Duration,
    runtime: Handle,
}

/// The blobs of a containerd, asked for on this runtime.
pub(crate) fn kept(
    settings: &Containerd,
    limits: &ApiLimits,
    runtime: &Handle,
) -> Arc<dyn mica_engine::Blobs> {
    Arc::new(Kept {
        blobs: Blobs::new(settings),
        limits: limits.clone(),
        patience: settings.limits.call(),
        runtime: runtime.clone(),
    })
}

impl mica_engine::Blobs for Kept {
    fn open(&self, origin: &BlobOrigin) -> io::Result<Box<dyn Read + Send>> {
        let shown = SafeText::label(&origin.digest);
        let told = Blob::new(&origin.digest, origin.size).ok_or_else(|| {
            io::Error::other(format!("content `{shown}`: only sha256 is checked"))
        })?;
        let doing = format!("repair a layer from `{shown}`");
        let find = self
            .blobs
            .find((&told, &origin.digest), &origin.key, &doing);
        let found = self.runtime.block_on(async {
            let found = tokio::time::timeout(self.patience, find).await;
            found.map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))
        })?;
        let found = found
            .map_err(|status| io::Error::other(String::from(SafeText::line(status.message()))))?;
        let blob: Box<dyn Read + Send> = match found {
            Found::File(blob) => blob,
            Found::Stream(mut body) => {
                let (feeder, reader) = bridge(BLOB_IDLE_TIMEOUT);
                // Ends when the last piece is taken, or no one takes any.
                self.runtime
                    .spawn(async move { feeder.feed(&mut body).await });
                Box::new(told.check(reader))
            }
        };
        let (archive, _told_by_its_reader) = decode(
            in_pieces(blob),
            Wanted::Found,
            Inflating::Here,
            &self.limits,
        );
        Ok(archive)
    }
}
