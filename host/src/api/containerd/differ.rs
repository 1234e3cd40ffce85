//! containerd's diff service, for a proxy plugin: layers are unpacked by the store's driver.
//!
//! Every snapshot of every snapshotter may be asked for here, because containerd asks one differ after the other. What is
//! not this store's, or not for it, is Unimplemented, at once and untouched; then containerd asks the next. Any other error
//! ends the unpacking.
//!
//! Invariant: an answer means that the snapshot has the whole layer, on the device, and that blob and archive have the
//! digests that are told.

use super::bindings::containerd::services::diff::v1 as wire;
use super::bindings::containerd::services::diff::v1::diff_server::Diff;
use super::bindings::containerd::types::{Descriptor, Mount};
use super::blobs::Found;
use super::message::{is_for_content, mounts};
use super::service::Service;
use super::status::invalid;
use crate::api::Counted;
use crate::api::archive::{Inflating, Wanted, ahead, bridge, decode, in_pieces};
use mica_engine::{Blob, BlobOrigin, Error, SafeText, Source};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tonic::{Request, Response, Status};

/// How long containerd may be silent within a blob.
pub(super) const BLOB_IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// The media type of an archive that is not compressed.
pub(super) const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
/// Layers that registries have, without what is said of their compression: that is seen from their first bytes.
const LAYERS: [&str; 4] = [
    TAR,
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
];
/// Compressions, as media types tell them.
const COMPRESSIONS: [&str; 4] = ["", "+gzip", "+zstd", ".gzip"];

#[tonic::async_trait]
impl Diff for Service {
    async fn apply(
        &self,
        request: Request<wire::ApplyRequest>,
    ) -> Result<Response<wire::ApplyResponse>, Status> {
        // Payloads are for who decrypts, and what is unpacked is always synced.
        let wire::ApplyRequest { diff, mounts, .. } = request.into_inner();
        let descriptor = diff.ok_or_else(|| invalid("no descriptor of content".to_owned()))?;
        let key = self.extraction(mounts).await?;
        check_media_type(&descriptor.media_type)?;
        let size = descriptor.size.try_into();
        let size = size.map_err(|_negative| invalid("a size below zero".to_owned()))?;
        let told = Blob::new(&descriptor.digest, size).ok_or_else(|| {
            let digest = SafeText::label(&descriptor.digest);
            Status::unimplemented(format!("content `{digest}`: only sha256 is checked here"))
        })?;
        let shown = SafeText::label(&key);
        let doing = format!("unpack `{}` into snapshot `{shown}`", descriptor.digest);
        let found = self.blobs.find((&told, &descriptor.digest), &key, &doing);
        let found = self.in_time(self.limits.call(), found).await??;
        let origin = BlobOrigin {
            digest: descriptor.digest,
            size,
            media_type: descriptor.media_type,
            key,
        };
        let (digest, size) = match found {
            Found::File(blob) => self.unpack(origin, blob, doing).await?,
            Found::Stream(mut body) => {
                let (feeder, reader) = bridge(BLOB_IDLE_TIMEOUT);
                let unpacked = self.unpack(origin, told.check(reader), doing);
                // The feeder ends when the last piece is taken, or no one takes any.
                let ((), unpacked) = tokio::join!(feeder.feed(&mut body), unpacked);
                unpacked?
            }
        };
        let applied = Descriptor {
            media_type: TAR.to_owned(),
            digest: format!("sha256:{digest}"),
            size: size.try_into().unwrap_or(i64::MAX),
            ..Descriptor::default()
        };
        let applied = Some(applied);
        Ok(Response::new(wire::ApplyResponse { applied }))
    }

    async fn diff(
        &self,
        request: Request<wire::DiffRequest>,
    ) -> Result<Response<wire::DiffResponse>, Status> {
        let diff = self.compare(request.into_inner());
        let diff = self.in_time(self.limits.work(), diff).await??;
        Ok(Response::new(wire::DiffResponse { diff: Some(diff) }))
    }
}

impl Service {
    /// The snapshot of this store that these mounts were told of, if content is to be unpacked into it.
    async fn extraction(&self, asked: Vec<Mount>) -> Result<String, Status> {
        let not_ours =
            || Status::unimplemented("these mounts are of no snapshot of Mica that is unpacked");
        let directory = asked.last().and_then(own_directory).ok_or_else(not_ours)?;
        let found = self.quick(move |store| store.active_in(&directory));
        let (snapshot, told) = found.await?.ok_or_else(not_ours)?;
        // A container runs in other active snapshots, and must not find its files exchanged.
        if !is_for_content(&snapshot.key, &snapshot.labels) || mounts(&told) != asked {
            return Err(not_ours());
        }
        Ok(snapshot.key.clone())
    }

    /// Unpacks a blob. Answers the digits and the size of the archive without its compression.
    async fn unpack(
        &self,
        origin: BlobOrigin,
        blob: impl Read + Send + 'static,
        doing: String,
    ) -> Result<(String, u64), Status> {
        let limits = self.archive.clone();
        let blob = Counted::new(blob);
        let unpacked = self.long(move |store, cancel| {
            let (reader, fault) = decode(in_pieces(blob), Wanted::Found, Inflating::Here, &limits);
            let threads = |source| Error::Io {
                doing: doing.clone(),
                source,
            };
            let (reader, sum) = ahead(reader).map_err(threads)?;
            let source = Source::from_pieces(Box::new(reader));
            let done = store.unpack(&origin.key, source, origin.clone(), cancel.clone());
            if let Err(error) = done {
                return Err(explained(error, &doing, fault.take()));
            }
            sum.wait().map_err(threads)
        });
        unpacked.await
    }
}

/// Where a mount shows what is a snapshot's own.
fn own_directory(mount: &Mount) -> Option<PathBuf> {
    let directory = match mount.r#type.as_str() {
        "bind" => mount.source.as_str(),
        "overlay" => mount
            .options
            .iter()
            .find_map(|option| option.strip_prefix("upperdir="))?,
        _ => return None,
    };
    Some(Path::new(directory).to_owned())
}

/// Refuses what is no layer of files.
fn check_media_type(media_type: &str) -> Result<(), Status> {
    let is_layer = LAYERS.iter().any(|layer| {
        let rest = media_type.strip_prefix(layer);
        rest.is_some_and(|rest| COMPRESSIONS.contains(&rest))
    });
    if is_layer {
        return Ok(());
    }
    let shown = SafeText::label(media_type);
    Err(Status::unimplemented(format!(
        "content of type `{shown}` is not unpacked: only archives, plain or compressed by gzip or zstd"
    )))
}

/// The driver learns only that its source broke; what was noted on the way says why.
fn explained(error: Error, doing: &str, fault: Option<io::Error>) -> Error {
    match (error, fault) {
        (Error::Cancelled, _) => Error::Cancelled,
        (Error::InvalidArchive(text), None) => Error::InvalidArchive(format!("{doing}: {text}")),
        (error, Some(fault)) if is_vague(&error) => match fault.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                Error::InvalidArchive(format!("{doing}: {fault}"))
            }
            _ => Error::Io {
                doing: doing.to_owned(),
                source: fault,
            },
        },
        (error, _) => error,
    }
}

fn is_vague(error: &Error) -> bool {
    matches!(
        error,
        Error::Io { .. } | Error::InvalidArchive(_) | Error::DriverFailed { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_of_every_registry_are_taken_and_nothing_else() {
        for taken in [
            "application/vnd.oci.image.layer.v1.tar",
            "application/vnd.oci.image.layer.v1.tar+gzip",
            "application/vnd.oci.image.layer.v1.tar+zstd",
            "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
            "application/vnd.docker.image.rootfs.diff.tar",
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        ] {
            check_media_type(taken).unwrap();
        }
        for refused in [
            "",
            "application/vnd.oci.image.layer.v1.tar+encrypted",
            "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
            "application/vnd.erofs.layer.v1",
            "application/vnd.oci.image.config.v1+json",
        ] {
            let error = check_media_type(refused).unwrap_err();
            assert_eq!(error.code(), tonic::Code::Unimplemented, "{refused}");
        }
    }

    #[test]
    fn the_own_directory_is_that_of_a_bind_or_the_upper_one() {
        let mount = |kind: &str, source: &str, options: &[&str]| Mount {
            r#type: kind.to_owned(),
            source: source.to_owned(),
            options: options.iter().map(|&option| option.to_owned()).collect(),
            ..Mount::default()
        };
        let upper = mount(
            "overlay",
            "overlay",
            &["workdir=/w", "upperdir=/u", "lowerdir=/l"],
        );
        assert_eq!(own_directory(&upper), Some("/u".into()));
        let bind = mount("bind", "/b", &["rw", "rbind"]);
        assert_eq!(own_directory(&bind), Some("/b".into()));
        assert_eq!(
            own_directory(&mount("overlay", "overlay", &["lowerdir=/l:/m"])),
            None
        );
        assert_eq!(own_directory(&mount("btrfs", "/dev/sda", &[])), None);
    }
}
