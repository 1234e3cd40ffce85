//! Does somebody who waits at a terminal see how far the daemon is, and nobody else anything of it?

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{self, Receiver};

use mica_tests::command::mica;
use mica_tests::terminal::play;
use serde_json::{Value, json};

/// A command, what is asked of the daemon for it, and the answer.
type Case = (&'static [&'static str], &'static str, &'static str, Value);

fn cases() -> Vec<Case> {
    let scrub = json!({"layer": "a", "verdict": "whole", "files": 1, "bytes": 1});
    let swap = json!({"driver": "overlay", "old_digest": "sha256:0", "new_digest": "sha256:1", "build": 2, "compile_ms": 1,
        "probe_ms": 1, "layers_asked": 0, "calls_compared": 0, "bake_seconds": 0, "running_on_old": 0, "running": []});
    let moved = json!({"store": "default", "from": "/a", "to": "/b", "layers": 1, "files": 1, "bytes": 1,
        "needed_bytes": 1, "free_bytes": 1, "is_dry_run": false});
    vec![
        (
            &["store", "move", "default", "--to", "/b"],
            "/v1/stores/default/move",
            "move_store",
            moved,
        ),
        (
            &["layer", "verify", "a"],
            "/v1/stores/default/layers/a/verify",
            "verify_layer",
            scrub,
        ),
        (
            &["driver", "swap", "overlay"],
            "/v1/drivers/overlay/swap",
            "swap_driver",
            swap,
        ),
        (
            &["gc", "--layers", "default", "--yes"],
            "/v1/stores/default/collect",
            "collect_layers",
            json!({"removed": [], "bytes": 0, "kept": [], "is_dry_run": false, "is_cut_short": false}),
        ),
    ]
}

/// Reads a request, and says what its first line asks for.
fn request(stream: &UnixStream) -> String {
    let mut reader = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).expect("a request");
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a header");
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a number");
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");
    first
}

fn answer(mut stream: &UnixStream, document: &Value) {
    let body = document.to_string();
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    // A client that has its result asks no more.
    let _sent = stream.write_all((head + &body).as_bytes());
}

/// A daemon that does one thing, and is done with it once it was asked twice how far it is, if anyone is to ask: a bar is drawn between.
/// Tells the first line of what was asked.
fn serve(
    socket: &Path,
    (_, target, operation, result): Case,
    is_watched: bool,
) -> Receiver<String> {
    let listener = UnixListener::bind(socket).expect("listen");
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut held, mut questions) = (None, 0);
        for stream in listener.incoming().flatten() {
            let asked = request(&stream);
            if asked.contains("/v1/operations?") {
                questions += 1;
                let call = json!({"number": 1, "request": "r", "front_end": "rest", "client": "c", "operation": operation,
                    "began": "2026-01-01T00:00:00.000000000Z", "age_ms": 1, "bytes": 0, "work_bytes": 4000, "done_bytes": 1000});
                answer(&stream, &json!({ "operations": [call] }));
                if let Some(held) = held.take_if(|_| questions > 1) {
                    answer(&held, &result);
                }
            } else if asked.contains(target) && is_watched {
                held = Some(stream);
            } else {
                answer(&stream, &result);
            }
            if tell.send(asked).is_err() {
                return;
            }
        }
    });
    told
}

#[test]
fn who_waits_at_a_terminal_sees_bytes_and_how_many_there_are() {
    for case in cases() {
        let place = tempfile::tempdir().expect("a directory");
        let socket = place.path().join("socket");
        let (arguments, operation) = (case.0, case.2);
        let told = serve(&socket, case, true);
        let seen = play(&socket, (120, 20), arguments, &["end"]);
        assert!(seen.contains("1.00 kB/4.00 kB"), "{arguments:?}: {seen}");
        assert!(seen.contains("exit 0"), "{arguments:?}: {seen}");
        let asked: Vec<_> = told.try_iter().collect();
        let is_named = asked
            .iter()
            .any(|line| line.contains(&format!("operation={operation}")));
        assert!(is_named, "{asked:?}");
    }
}

#[test]
fn without_a_terminal_nothing_is_asked_or_told() {
    for case in cases() {
        let place = tempfile::tempdir().expect("a directory");
        let socket = place.path().join("socket");
        let arguments = case.0;
        let told = serve(&socket, case, false);
        let ended = mica(&socket, arguments);
        ended.worked();
        let asked: Vec<_> = told.try_iter().collect();
        let is_asked = asked.iter().any(|line| line.contains("/v1/operations"));
        assert!(
            !is_asked && !ended.stderr.contains("kB"),
            "{asked:?} {ended:?}"
        );
    }
}
