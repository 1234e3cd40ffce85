//! A collector of traces that reads OTLP by OpenTelemetry's own definitions (`peers/otlp`).
//!
//! Invariant: nothing of the protocol is read here; a request that is not of its form ends the test.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::build::{peer, repository};

/// How long spans may take to come: the daemon may wait before it tries again.
const PATIENCE: Duration = Duration::from_secs(120);

/// A collector that runs.
#[derive(Debug)]
pub struct Collector {
    child: Child,
    lines: Receiver<String>,
    /// The spans that have come, in their order.
    pub spans: Vec<Value>,
}

/// A port of this machine where nobody listens.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    listener.local_addr().expect("an address").port()
}

impl Collector {
    /// Starts one on a port, or at the path of a unix socket.
    #[track_caller]
    pub fn start(place: &str) -> Self {
        let mut child = Command::new("python3")
            .arg(repository().join("tests/peers/otlp/collector.py"))
            .arg(place)
            .env("PYTHONPATH", peer("opentelemetry-proto"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("start python3");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let (tell, lines) = channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        let collector = Self {
            child,
            lines,
            spans: Vec::new(),
        };
        let ready = collector.lines.recv_timeout(PATIENCE);
        assert_eq!(ready.as_deref(), Ok("ready"));
        collector
    }

    /// Waits until the spans that have come are as they should be.
    #[track_caller]
    pub fn until(&mut self, what: &str, is_so: impl Fn(&[Value]) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(&self.spans) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self
                    .spans
                    .push(serde_json::from_str(&line).expect("a span")),
                Err(error) => panic!("{what}: {error}; there are {:#?}", self.spans),
            }
        }
    }

    /// Waits for the request of a client's trace with this name.
    #[track_caller]
    pub fn request(&mut self, name: &str, trace: &str) -> Value {
        let is_it = |span: &Value| {
            span["name"] == name && span["trace"] == trace && span["kind"] == "SPAN_KIND_SERVER"
        };
        self.until(name, |spans| spans.iter().any(is_it));
        let mut spans = self.spans.iter();
        spans.find(|span| is_it(span)).expect("it has come").clone()
    }

    /// The spans below one that have come.
    pub fn below(&self, parent: &Value) -> Vec<Value> {
        let is_below =
            |span: &&Value| span["parent"] == parent["id"] && span["trace"] == parent["trace"];
        self.spans.iter().filter(is_below).cloned().collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // It may have ended.
        let _killed = self.child.kill();
        let _ended = self.child.wait();
    }
}
