//! containerd's snapshot service as a client sees it, and a daemon that offers it.
//!
//! Invariant: what a call sends and what comes back is not interpreted beyond the protocol's form.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::runtime::Runtime;
use tonic::Request;
use tonic::transport::Channel;

use crate::daemon::{Daemon, Settings};
use crate::grpc::{self, sort};
use crate::lab::{FileSystem, Lab};
use wire::snapshots_client::SnapshotsClient;

pub use crate::grpc::Answer;
pub use generated::services::snapshots::v1 as wire;
pub use generated::types::Mount;

#[expect(
    unreachable_pub,
    clippy::allow_attributes_without_reason,
    reason = "the modules lie as the packages do, for that is how generated code names them"
)]
pub(crate) mod generated {
    pub mod types {
        tonic::include_proto!("containerd.types");
    }
    pub mod services {
        pub mod diff {
            pub mod v1 {
                //! The diff service.
                tonic::include_proto!("containerd.services.diff.v1");
            }
        }
        pub mod snapshots {
            pub mod v1 {
                //! The snapshot service.
                tonic::include_proto!("containerd.services.snapshots.v1");
            }
        }
    }
}

/// Bytes of a message that the client sends, above what the service takes.
const MESSAGE_BYTES: usize = 64 << 20;

/// Labels of a request.
pub type Labels = BTreeMap<String, String>;

/// A client with a connection and a thread of its own.
#[derive(Debug)]
pub struct Snapshotter {
    runtime: Runtime,
    client: SnapshotsClient<Channel>,
}

impl Snapshotter {
    /// Connects.
    pub fn new(socket: &Path) -> Self {
        let (runtime, channel) = grpc::connect(socket);
        let client = SnapshotsClient::new(channel)
            .max_encoding_message_size(MESSAGE_BYTES)
            .max_decoding_message_size(MESSAGE_BYTES);
        Self { runtime, client }
    }

    /// `Prepare`.
    pub fn prepare(&mut self, key: &str, parent: &str, labels: &Labels) -> Answer<Vec<Mount>> {
        let request = wire::PrepareSnapshotRequest {
            snapshotter: "mica".into(),
            key: key.into(),
            parent: parent.into(),
            labels: labels.clone(),
        };
        sort(
            self.runtime
                .block_on(self.client.prepare(Request::new(request))),
        )
        .map(|answer| answer.mounts)
    }

    /// `View`.
    pub fn view(&mut self, key: &str, parent: &str) -> Answer<Vec<Mount>> {
        let request = wire::ViewSnapshotRequest {
            snapshotter: "mica".into(),
            key: key.into(),
            parent: parent.into(),
            labels: Labels::new(),
        };
        sort(
            self.runtime
                .block_on(self.client.view(Request::new(request))),
        )
        .map(|answer| answer.mounts)
    }

    /// `Mounts`.
    pub fn mounts(&mut self, key: &str) -> Answer<Vec<Mount>> {
        let request = wire::MountsRequest {
            snapshotter: "mica".into(),
            key: key.into(),
        };
        sort(
            self.runtime
                .block_on(self.client.mounts(Request::new(request))),
        )
        .map(|answer| answer.mounts)
    }

    /// `Commit`; `parent` is the field that containerd 2.2 added.
    pub fn commit(&mut self, name: &str, key: &str, parent: &str, labels: &Labels) -> Answer<()> {
        let request = wire::CommitSnapshotRequest {
            snapshotter: "mica".into(),
            name: name.into(),
            key: key.into(),
            labels: labels.clone(),
            parent: parent.into(),
        };
        sort(
            self.runtime
                .block_on(self.client.commit(Request::new(request))),
        )
    }

    /// `Remove`.
    pub fn remove(&mut self, key: &str) -> Answer<()> {
        let request = wire::RemoveSnapshotRequest {
            snapshotter: "mica".into(),
            key: key.into(),
        };
        sort(
            self.runtime
                .block_on(self.client.remove(Request::new(request))),
        )
    }

    /// `Stat`.
    pub fn stat(&mut self, key: &str) -> Answer<wire::Info> {
        let request = wire::StatSnapshotRequest {
            snapshotter: "mica".into(),
            key: key.into(),
        };
        sort(
            self.runtime
                .block_on(self.client.stat(Request::new(request))),
        )
        .map(|answer| answer.info.expect("a snapshot"))
    }

    /// `Update` with a mask.
    pub fn update(&mut self, info: wire::Info, paths: &[String]) -> Answer<wire::Info> {
        let request = wire::UpdateSnapshotRequest {
            snapshotter: "mica".into(),
            info: Some(info),
            update_mask: Some(prost_types::FieldMask {
                paths: paths.to_vec(),
            }),
        };
        sort(
            self.runtime
                .block_on(self.client.update(Request::new(request))),
        )
        .map(|answer| answer.info.expect("a snapshot"))
    }

    /// `List`: the snapshots of each message.
    pub fn list(&mut self, filters: &[String]) -> Answer<Vec<Vec<wire::Info>>> {
        self.begin_list(filters, usize::MAX)
    }

    /// `List`, of which only some messages are read before the client goes away.
    pub fn begin_list(
        &mut self,
        filters: &[String],
        messages: usize,
    ) -> Answer<Vec<Vec<wire::Info>>> {
        let request = wire::ListSnapshotsRequest {
            snapshotter: "mica".into(),
            filters: filters.to_vec(),
        };
        let client = &mut self.client;
        self.runtime.block_on(async {
            let mut stream = sort(client.list(Request::new(request)).await)?;
            let mut pages = Vec::new();
            while pages.len() < messages {
                let message = stream.message().await;
                match message.map_err(|status| (status.code(), status.message().to_owned()))? {
                    Some(page) => pages.push(page.info),
                    None => break,
                }
            }
            Ok(pages)
        })
    }

    /// `Usage`: bytes and inodes.
    pub fn usage(&mut self, key: &str) -> Answer<(i64, i64)> {
        let request = wire::UsageRequest {
            snapshotter: "mica".into(),
            key: key.into(),
        };
        sort(
            self.runtime
                .block_on(self.client.usage(Request::new(request))),
        )
        .map(|answer| (answer.size, answer.inodes))
    }

    /// `Cleanup`.
    pub fn clean_up(&mut self) -> Answer<()> {
        let request = wire::CleanupRequest {
            snapshotter: "mica".into(),
        };
        sort(
            self.runtime
                .block_on(self.client.cleanup(Request::new(request))),
        )
    }

    /// All snapshots, each as one line: what it is, its key, parent and labels.
    pub fn lines(&mut self) -> Vec<String> {
        let pages = self.list(&[]).expect("a list");
        let line = |info: &wire::Info| {
            let kind = info.kind().as_str_name();
            format!(
                "{kind} {:?} on {:?} {:?}",
                info.name, info.parent, info.labels
            )
        };
        pages.iter().flatten().map(line).collect()
    }
}

/// A daemon with the service.
#[derive(Debug)]
pub struct Bench {
    /// The daemon. Ends before the lab does.
    pub daemon: Daemon,
    /// The socket of the service.
    pub socket: PathBuf,
    /// Where it all lies.
    pub lab: Lab,
}

impl Bench {
    /// Starts a daemon on a file system.
    pub fn start(file_system: FileSystem, driver: &str) -> Self {
        let lab = Lab::on(file_system);
        let settings = Self::settings(&lab, driver);
        Self::of(lab, &settings)
    }

    /// Starts a daemon in a lab.
    pub fn of(lab: Lab, settings: &Settings) -> Self {
        Self {
            daemon: settings.start(),
            socket: Self::socket(&lab),
            lab,
        }
    }

    /// How to start such a daemon in a lab.
    pub fn settings(lab: &Lab, driver: &str) -> Settings {
        let mut settings = Settings::new(&lab.root(), &lab.path("run"), driver);
        let socket = Self::socket(lab);
        let socket = socket.to_str().expect("a path that is text");
        settings.arguments = vec!["--containerd-socket".into(), socket.into()];
        settings
    }

    fn socket(lab: &Lab) -> PathBuf {
        lab.path("run/containerd.sock")
    }

    /// A new client.
    pub fn client(&self) -> Snapshotter {
        Snapshotter::new(&self.socket)
    }

    /// Ends the daemon with `end` and starts it again.
    pub fn restart(self, end: impl FnOnce(Daemon)) -> Self {
        self.restart_on(|daemon, _| end(daemon))
    }

    /// Ends the daemon with `end`, which may change what it lies on, and starts it again.
    pub fn restart_on(self, end: impl FnOnce(Daemon, &Lab)) -> Self {
        let Self {
            daemon,
            socket,
            lab,
        } = self;
        let settings = daemon.settings.clone();
        end(daemon, &lab);
        let daemon = settings.start();
        Self {
            daemon,
            socket,
            lab,
        }
    }

    /// A path in the store's home.
    pub fn home(&self, relative: &str) -> PathBuf {
        self.lab.home("containerd").join(relative)
    }

    /// The layers that lie in the store's home, by their numbers.
    pub fn layers(&self) -> Vec<u64> {
        let entries = fs::read_dir(self.home("layers")).expect("list layers");
        let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse().ok();
        let mut layers: Vec<_> = entries.flatten().filter_map(number).collect();
        layers.sort_unstable();
        layers
    }

    /// Waits until the layers are exactly those that snapshots own, and nothing is left to be deleted.
    #[track_caller]
    pub fn settle(&self) -> usize {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let (owned, layers) = (self.owned(), self.layers());
            let busy = ["staging", "trash"]
                .map(|area| fs::read_dir(self.home(area)).map_or(0, Iterator::count));
            if owned == layers && busy == [0, 0] {
                return layers.len();
            }
            assert!(
                Instant::now() < deadline,
                "snapshots own {owned:?}, there are {layers:?}, and {busy:?} to delete"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The layers that snapshots own, as REST tells.
    fn owned(&self) -> Vec<u64> {
        let list = |what: &str| {
            let target = format!("/v1/stores/containerd/{what}?limit=10000");
            let list = self.daemon.client.get(&target).expect("a list");
            list[what].as_array().expect("a list").clone()
        };
        let (snapshots, layers) = (list("snapshots"), list("layers"));
        let number = |layer: &Value| {
            let is_it = |listed: &&Value| &listed["id"] == layer;
            layers.iter().find(is_it)?["number"].as_u64()
        };
        let layers = snapshots.iter().map(|snapshot| &snapshot["layer"]);
        let mut owned: Vec<_> = layers.filter_map(number).collect();
        owned.sort_unstable();
        owned
    }

    /// Nothing is left in the store.
    #[track_caller]
    pub fn assert_empty(&self) {
        assert_eq!(self.settle(), 0, "layers are left");
        let links = fs::read_dir(self.home("l")).expect("list links").count();
        assert_eq!(links, 0, "links are left");
    }
}
