//! containerd's diff service as a client sees it, and a content store as containerd keeps it.
//!
//! Invariant: as in `containerd`: what comes back is not interpreted.

use std::fs;
use std::path::{Path, PathBuf};

use tokio::runtime::Runtime;
use tonic::transport::Channel;
use tonic::{Code, Request};

use crate::containerd::generated::services::diff::v1 as wire;
use crate::containerd::generated::types::{Descriptor, Mount};
use crate::containerd::{Bench, Labels};
use crate::grpc::{self, Answer, sort};
use crate::image::digest;
use crate::lab::{FileSystem, Lab};
use wire::diff_client::DiffClient;

/// The media type of a layer that is not compressed.
pub const TAR: &str = "application/vnd.oci.image.layer.v1.tar";

/// A daemon whose differ finds blobs in a directory of the lab, and that directory. `more` is further configuration.
pub fn unpacking(file_system: FileSystem, driver: &str, more: &str) -> (Bench, Content) {
    let lab = Lab::on(file_system);
    let content = Content::new(&lab.path("content"));
    let mut settings = Bench::settings(&lab, driver);
    let told = format!("[containerd]\ncontent_root = {:?}\n{more}", content.0);
    settings.configuration = Some(told);
    (Bench::of(lab, &settings), content)
}

/// A client with a connection and a thread of its own.
#[derive(Debug)]
pub struct Differ {
    runtime: Runtime,
    client: DiffClient<Channel>,
}

impl Differ {
    /// Connects.
    pub fn new(socket: &Path) -> Self {
        let (runtime, channel) = grpc::connect(socket);
        let client = DiffClient::new(channel);
        Self { runtime, client }
    }

    /// `Apply`: digest and size of the archive without its compression.
    pub fn apply(&mut self, blob: &Blob, mounts: &[Mount]) -> Answer<(String, i64)> {
        let request = Request::new(blob.request(mounts));
        let answer = sort(self.runtime.block_on(self.client.apply(request)))?;
        let applied = answer.applied.expect("what was applied");
        assert_eq!(applied.media_type, TAR);
        Ok((applied.digest, applied.size))
    }

    /// `Apply`, of a client that goes away after this time.
    pub fn begin_apply(&mut self, blob: &Blob, mounts: &[Mount], patience: std::time::Duration) {
        let request = Request::new(blob.request(mounts));
        let call = self.client.apply(request);
        let ended = async { tokio::time::timeout(patience, call).await };
        assert!(self.runtime.block_on(ended).is_err(), "it was over before");
        self.take_back();
    }

    /// `Diff` as content of a media type with labels.
    pub fn write_diff(
        &mut self,
        [left, right]: [&[Mount]; 2],
        media_type: &str,
        labels: &Labels,
    ) -> Answer<Blob> {
        let request = wire::DiffRequest {
            left: left.to_vec(),
            right: right.to_vec(),
            media_type: media_type.into(),
            labels: labels.clone(),
            ..wire::DiffRequest::default()
        };
        let answer = self.client.diff(Request::new(request));
        let answer = sort(self.runtime.block_on(answer))?;
        let diff = answer.diff.expect("what was written");
        Ok(Blob {
            media_type: diff.media_type,
            digest: diff.digest,
            size: diff.size,
        })
    }

    /// `Diff`, of a client that goes away after this time.
    pub fn begin_diff(&mut self, [left, right]: [&[Mount]; 2], patience: std::time::Duration) {
        let request = wire::DiffRequest {
            left: left.to_vec(),
            right: right.to_vec(),
            ..wire::DiffRequest::default()
        };
        let call = self.client.diff(Request::new(request));
        let ended = async { tokio::time::timeout(patience, call).await };
        assert!(self.runtime.block_on(ended).is_err(), "it was over before");
        self.take_back();
    }

    /// Has a call that was given up reset: this thread's runtime sends nothing between calls.
    fn take_back(&mut self) {
        let (code, text) = self.diff(&[], &[]).expect_err("a diff of nothing");
        assert_eq!(code, Code::Unimplemented, "{text}");
    }

    /// `Diff`.
    pub fn diff(&mut self, left: &[Mount], right: &[Mount]) -> Answer<wire::DiffResponse> {
        let request = wire::DiffRequest {
            left: left.to_vec(),
            right: right.to_vec(),
            ..wire::DiffRequest::default()
        };
        sort(
            self.runtime
                .block_on(self.client.diff(Request::new(request))),
        )
    }
}

/// A content store.
#[derive(Clone, Debug)]
pub struct Content(PathBuf);

/// What a client says of content.
#[derive(Clone, Debug)]
pub struct Blob {
    /// The media type.
    pub media_type: String,
    /// The digest.
    pub digest: String,
    /// Bytes.
    pub size: i64,
}

impl Blob {
    fn request(&self, mounts: &[Mount]) -> wire::ApplyRequest {
        // What containerd's CRI sends along with every layer.
        let payload = prost_types::Any {
            type_url: "io.containerd.ocicrypt.v1.Payload".to_owned(),
            value: vec![1, 2, 3],
        };
        let id = "io.containerd.ocicrypt.decoder.v1.tar".to_owned();
        wire::ApplyRequest {
            diff: Some(Descriptor {
                media_type: self.media_type.clone(),
                digest: self.digest.clone(),
                size: self.size,
                ..Descriptor::default()
            }),
            mounts: mounts.to_vec(),
            payloads: [(id, payload)].into(),
            sync_fs: false,
        }
    }
}

impl Content {
    /// An empty one.
    pub fn new(root: &Path) -> Self {
        fs::create_dir_all(root.join("blobs/sha256")).expect("make a content store");
        Self(root.to_owned())
    }

    /// Puts bytes into it.
    pub fn put(&self, media_type: &str, bytes: &[u8]) -> Blob {
        let blob = Blob {
            media_type: media_type.to_owned(),
            digest: digest(bytes),
            size: bytes.len().try_into().expect("a size"),
        };
        fs::write(self.path(&blob), bytes).expect("write a blob");
        blob
    }

    /// Where a blob lies.
    pub fn path(&self, blob: &Blob) -> PathBuf {
        let digits = blob.digest.strip_prefix("sha256:").expect("sha256");
        self.0.join("blobs/sha256").join(digits)
    }
}
