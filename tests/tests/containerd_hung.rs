//! A driver that hangs under containerd: it delays no other call, not even one on the same connection, and a client that
//! gives up ends what was done for it.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use mica_tests::build::hostile_driver;
use mica_tests::containerd::{Bench, wire};
use mica_tests::grpc;
use mica_tests::lab::{FileSystem, Lab};
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Request, Status};
use wire::snapshots_client::SnapshotsClient;

/// Calls that hang on one connection.
const HUNG: usize = 6;

/// A daemon whose store of snapshots has a driver that computes for good in every `create`.
fn bench() -> Bench {
    let lab = Lab::on(FileSystem::Ext4);
    let drivers = lab.path("drivers");
    fs::create_dir(&drivers).expect("a directory");
    fs::write(
        drivers.join("hung.wasm"),
        hostile_driver("hung", "hang-create"),
    )
    .expect("a driver");
    let mut settings = Bench::settings(&lab, "vfs");
    settings.arguments.push("--drivers-dir".into());
    settings
        .arguments
        .push(drivers.to_str().expect("text").into());
    settings.configuration = Some(
        // Longer than the test waits for anything.
        "[containerd]\ndriver = \"hung\"\n[limits]\nstall_seconds = 300\n".to_owned(),
    );
    Bench {
        daemon: settings.start(),
        socket: lab.path("run/containerd.sock"),
        lab,
    }
}

async fn prepare(mut client: SnapshotsClient<Channel>, key: String) -> Result<(), Status> {
    let request = wire::PrepareSnapshotRequest {
        snapshotter: "mica".into(),
        key,
        parent: String::new(),
        labels: BTreeMap::new(),
    };
    client.prepare(Request::new(request)).await.map(drop)
}

/// Operations of drivers that run now.
fn running(bench: &Bench) -> u64 {
    let status = bench.daemon.client.get("/v1/status").expect("the status");
    status["running"].as_u64().expect("a number")
}

#[track_caller]
fn wait_until(bench: &Bench, what: &str, expected: u64) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while running(bench) != expected {
        assert!(Instant::now() < deadline, "{what}: {} run", running(bench));
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn calls_that_hang_delay_no_other_on_their_connection_and_end_with_their_client() {
    let bench = bench();
    let (runtime, channel) = grpc::connect(&bench.socket);
    let client = SnapshotsClient::new(channel);
    let mut hung = JoinSet::new();
    runtime.block_on(async {
        for number in 0..HUNG {
            hung.spawn(prepare(client.clone(), format!("hung-{number}")));
        }
        // They are on their way once something later has been answered.
        assert!(stat(&client).await.is_err());
    });
    wait_until(&bench, "the calls hang", HUNG as u64);
    runtime.block_on(async {
        // In memory, and on a blocking thread.
        let missing = stat(&client).await.expect_err("there is nothing");
        assert_eq!(missing.code(), tonic::Code::NotFound);
        let request = wire::ListSnapshotsRequest {
            snapshotter: "mica".into(),
            filters: Vec::new(),
        };
        client
            .clone()
            .list(Request::new(request))
            .await
            .expect("a list");
        assert!(hung.try_join_next().is_none(), "a call that hangs ended");
        // The client gives up: its calls end, the connection does not.
        hung.shutdown().await;
        assert!(stat(&client).await.is_err());
    });
    wait_until(&bench, "the client gave up", 0);
    runtime.block_on(async {
        hung.spawn(prepare(client.clone(), "again".to_owned()));
        assert!(stat(&client).await.is_err());
    });
    wait_until(&bench, "one more call hangs", 1);
    // The connection breaks: that ends its calls as well.
    drop((hung, client, runtime));
    wait_until(&bench, "the connection broke", 0);
}

async fn stat(client: &SnapshotsClient<Channel>) -> Result<(), Status> {
    let request = wire::StatSnapshotRequest {
        snapshotter: "mica".into(),
        key: "nothing".into(),
    };
    client.clone().stat(Request::new(request)).await.map(drop)
}
