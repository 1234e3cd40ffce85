//! Any requests to REST.
//!
//! Whatever is asked, the answer is a success or a problem document, never the daemon's own fault.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mica::fuzzing::Protocol;
use mica_fuzz::protocols::{Daemon, choose, parts};

/// Method, and path up to what the request is about.
const CALLS: &[&str] = &[
    "GET /v1/status",
    "GET /v1/drivers",
    "GET /v1/drivers/",
    "GET /v1/stores",
    "POST /v1/stores",
    "GET /v1/stores/",
    "DELETE /v1/stores/",
    "GET /v1/stores/default/layers",
    "POST /v1/stores/default/layers",
    "GET /v1/stores/default/layers/",
    "DELETE /v1/stores/default/layers/",
    "POST /v1/stores/default/layers/",
    "PUT /v1/stores/default/layers/",
    "GET /v1/stores/containerd/snapshots",
    "GET /v1/stores/containerd/snapshots/",
];

static DAEMON: LazyLock<Daemon> = LazyLock::new(Daemon::default);

fuzz_target!(|bytes: &[u8]| {
    for part in parts(bytes) {
        let call = choose(part.call, CALLS);
        let space = call.iter().position(|byte| *byte == b' ');
        let (method, path) = call.split_at(space.unwrap_or(0));
        let mut target = path.trim_ascii_start().to_vec();
        target.extend_from_slice(part.about);
        if method == b"POST" && target.starts_with(b"/v1/drivers") {
            // Components are parsed in a child process, which this target has not.
            continue;
        }
        if target.starts_with(b"/v1/events") {
            // It has no end.
            continue;
        }
        let headers: &[(&str, &[u8])] = &[("content-type", b"application/json")];
        let Some(answer) = DAEMON.ask(Protocol::Rest, method, &target, headers, part.body.to_vec())
        else {
            continue;
        };
        assert!(
            answer.status != 500,
            "{}: {}",
            target.escape_ascii(),
            answer.body.escape_ascii()
        );
        if answer.status >= 400 {
            let told: serde_json::Value = serde_json::from_slice(&answer.body).expect("a document");
            assert!(told["code"].is_string(), "no `code`: {told}");
        }
    }
    DAEMON.check();
});
