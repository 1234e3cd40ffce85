//! Any calls of containerd's snapshot service with any messages.
//!
//! Every answer is HTTP 200 with a status of gRPC's; the filters and field masks of a client are parsed on the way.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mica::fuzzing::Protocol;
use mica_fuzz::protocols::{Daemon, choose, parts};

const SERVICE: &str = "/containerd.services.snapshots.v1.Snapshots/";
const CALLS: &[&str] = &[
    "Prepare", "View", "Mounts", "Commit", "Remove", "Stat", "Update", "List", "Usage", "Cleanup",
];

static DAEMON: LazyLock<Daemon> = LazyLock::new(Daemon::default);

/// A message as a stream of gRPC has it: not compressed, its length, its bytes.
fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("libFuzzer's inputs are short");
    [&[0], &length.to_be_bytes()[..], message].concat()
}

fuzz_target!(|bytes: &[u8]| {
    for part in parts(bytes) {
        let mut target = SERVICE.as_bytes().to_vec();
        target.extend_from_slice(choose(part.call, CALLS));
        // What the request is about stands in front of the message, where protobuf has its first fields.
        let message = [part.about, part.body].concat();
        let headers: &[(&str, &[u8])] =
            &[("content-type", b"application/grpc"), ("te", b"trailers")];
        let body = framed(&message);
        if let Some(answer) = DAEMON.ask(Protocol::Containerd, b"POST", &target, headers, body) {
            assert_eq!(answer.status, 200, "{}", target.escape_ascii());
        }
    }
    DAEMON.check();
});
