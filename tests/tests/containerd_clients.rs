//! Clients of containerd's services that are not written in Go: what they send as `:authority` is the socket's path.

use mica_tests::containerd::{Bench, wire};
use mica_tests::grpcio::Grpcio;
use mica_tests::lab::FileSystem;
use tonic::Code;

/// Prepares, reads, commits, lists and removes a snapshot, each more than once on one connection.
#[track_caller]
fn works(client: &mut Grpcio, key: &str) {
    let name = format!("{key} committed");
    let prepare = wire::PrepareSnapshotRequest {
        key: key.into(),
        ..Default::default()
    };
    let mounts = wire::MountsRequest {
        key: key.into(),
        ..Default::default()
    };
    let commit = wire::CommitSnapshotRequest {
        name: name.clone(),
        key: key.into(),
        ..Default::default()
    };
    let remove = wire::RemoveSnapshotRequest {
        key: name.clone(),
        ..Default::default()
    };
    let prepared: Vec<wire::PrepareSnapshotResponse> =
        client.ask("Prepare", &prepare).expect("prepare");
    let told: Vec<wire::MountsResponse> = client.ask("Mounts", &mounts).expect("mounts");
    assert_eq!(prepared[0].mounts, told[0].mounts);
    assert_eq!(told[0].mounts[0].r#type, "bind");
    client.ask::<()>("Commit", &commit).expect("commit");
    let (code, text) = client.ask::<()>("Commit", &commit).expect_err("again");
    assert_eq!(code, Code::AlreadyExists, "{text}");
    let list = wire::ListSnapshotsRequest::default();
    let pages: Vec<wire::ListSnapshotsResponse> = client.ask("List", &list).expect("list");
    let names: Vec<_> = pages
        .iter()
        .flat_map(|page| &page.info)
        .map(|info| &info.name)
        .collect();
    assert_eq!(names, [&name]);
    client.ask::<()>("Remove", &remove).expect("remove");
}

/// https://github.com/grpc/grpc/issues/38142, https://github.com/hyperium/h2/pull/487: grpcio since 1.57 sends
/// `run%2Fcontainerd.sock`, earlier ones and others `/run/containerd.sock`, both of which h2 refuses.
#[test]
fn grpcio_is_served_whatever_it_sends_as_authority() {
    let bench = Bench::start(FileSystem::Ext4, "overlay");
    let socket = bench.socket.to_str().expect("a path that is text");
    let long = format!("/{}", "directory/".repeat(300));
    for (number, (target, authority)) in [
        (format!("unix:{socket}"), None),
        (format!("unix://{socket}"), None),
        (format!("unix:{socket}"), Some(socket)),
        (format!("unix:{socket}"), Some("localhost")),
        (format!("unix:{socket}"), Some("ünïx:socket:1")),
        (format!("unix:{socket}"), Some(&*long)),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = Grpcio::start(&target, authority);
        for round in 0..2 {
            works(&mut client, &format!("python {number} {round}"));
        }
    }
}
