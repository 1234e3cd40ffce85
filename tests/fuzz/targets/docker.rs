//! Any calls of Docker's plugin protocol with any bodies.
//!
//! Every answer has the protocol's form: 200 or 500, and a JSON object unless it is an archive.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mica::fuzzing::Protocol;
use mica_fuzz::protocols::{Daemon, choose, parts};

const CALLS: &[&str] = &[
    "/Plugin.Activate",
    "/GraphDriver.Init",
    "/GraphDriver.Capabilities",
    "/GraphDriver.Status",
    "/GraphDriver.Cleanup",
    "/GraphDriver.Create",
    "/GraphDriver.CreateReadWrite",
    "/GraphDriver.Remove",
    "/GraphDriver.Get",
    "/GraphDriver.Put",
    "/GraphDriver.Exists",
    "/GraphDriver.GetMetadata",
    "/GraphDriver.Diff",
    "/GraphDriver.Changes",
    "/GraphDriver.ApplyDiff",
    "/GraphDriver.DiffSize",
];

static DAEMON: LazyLock<Daemon> = LazyLock::new(|| {
    let daemon = Daemon::default();
    let body = br#"{"Home":"/var/lib/docker","Opts":[]}"#.to_vec();
    let answer = daemon.ask(Protocol::Docker, b"POST", b"/GraphDriver.Init", &[], body);
    assert!(answer.is_some_and(|answer| answer.status == 200), "Init");
    daemon
});

fuzz_target!(|bytes: &[u8]| {
    for part in parts(bytes) {
        let mut target = choose(part.call, CALLS).to_vec();
        target.extend_from_slice(part.about);
        let body = part.body.to_vec();
        let Some(answer) = DAEMON.ask(Protocol::Docker, b"POST", &target, &[], body) else {
            continue;
        };
        assert!(
            matches!(answer.status, 200 | 404 | 500),
            "{}: {}",
            target.escape_ascii(),
            answer.status
        );
        if answer.status != 200 {
            let told: serde_json::Value = serde_json::from_slice(&answer.body).expect("a document");
            assert!(told["Err"].is_string(), "no `Err`: {told}");
        }
    }
    DAEMON.check();
});
