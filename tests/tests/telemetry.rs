//! Do calls and what drivers do for them come out as traces, whatever becomes of the collector?

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::thread;

use mica_tests::build::hostile_driver;
use mica_tests::collector::{Collector, free_port};
use mica_tests::containerd::{self, wire};
use mica_tests::daemon::{Daemon, Settings};
use mica_tests::exposition::Exposition;
use mica_tests::grpc;
use mica_tests::http::{self, Body, Response};
use mica_tests::lab::{FileSystem, Lab};
use mica_tests::setup::Bench;
use mica_tests::watch::until;
use serde_json::{Value, json};

const LAYERS: &str = "/v1/stores/default/layers";
const CLIENT: &str = "b7ad6b7169203331";

fn trace(number: u8) -> String {
    format!("0af7651916cd43dd8448eb211c8031{number:02x}")
}

fn parent(number: u8, flags: &str) -> String {
    format!("00-{}-{CLIENT}-{flags}", trace(number))
}

/// A daemon that sends traces, to a collector that is or is not there.
fn start(endpoint: &str, more: &str) -> Bench {
    let lab = Lab::on(FileSystem::Ext4);
    let mut settings = Settings::new(&lab.root(), &lab.path("run"), "vfs");
    settings.configuration = Some(configuration(endpoint, more));
    let daemon = settings.start();
    let store = daemon.client.default_store();
    Bench { daemon, store, lab }
}

fn configuration(endpoint: &str, more: &str) -> String {
    format!("[telemetry]\notlp_endpoint = '{endpoint}'\n{more}\n")
}

fn on_port(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

fn collected(more: &str) -> (Bench, Collector) {
    let port = free_port();
    let collector = Collector::start(&port.to_string());
    (start(&on_port(port), more), collector)
}

fn ask(daemon: &Daemon, method: &str, target: &str, traced: &str, body: Body<'_>) -> Response {
    let headers = [("traceparent", traced), ("tracestate", "one=1,two=2")];
    http::send(&daemon.client.socket, method, target, &headers, body).expect("an answer")
}

fn scrape(daemon: &Daemon) -> Exposition {
    let answer = daemon.client.send("GET", "/metrics", Body::Empty);
    let text = String::from_utf8(answer.body).expect("text");
    Exposition::read(&text).expect("numbers")
}

fn lost(daemon: &Daemon, reason: &str) -> f64 {
    scrape(daemon).sum("mica_trace_spans_lost_total", &[("reason", reason)])
}

fn names(spans: &[Value]) -> Vec<&str> {
    spans
        .iter()
        .filter_map(|span| span["name"].as_str())
        .collect()
}

/// A span lies within another.
#[track_caller]
fn assert_within(inner: &Value, outer: &Value) {
    let at = |span: &Value, key: &str| span[key].as_u64().expect("a time");
    assert!(at(outer, "began") <= at(inner, "began"), "{inner} {outer}");
    assert!(at(inner, "began") <= at(inner, "ended"), "{inner}");
    assert!(at(inner, "ended") <= at(outer, "ended"), "{inner} {outer}");
}

/// The one operation of a request, with its host calls, each in its place.
#[track_caller]
fn operation(collector: &Collector, request: &Value, name: &str) -> Value {
    let below = collector.below(request);
    assert_eq!(names(&below), [name], "{request}");
    let operation = below[0].clone();
    assert_within(&operation, request);
    assert_eq!(operation["kind"], "SPAN_KIND_INTERNAL");
    let calls = collector.below(&operation);
    let told = &operation["attributes"];
    assert_eq!(told["mica.host_calls_without_span"], 0, "{operation}");
    assert_eq!(told["mica.host_calls"], calls.len() as u64, "{operation}");
    for call in &calls {
        assert_within(call, &operation);
        assert_eq!(call["kind"], "SPAN_KIND_INTERNAL");
        assert_eq!(collector.below(call).len(), 0);
    }
    for pair in calls.windows(2) {
        assert!(pair[0]["ended"].as_u64() <= pair[1]["began"].as_u64());
    }
    operation
}

/// A request is told with all that is known of it, below its client's span.
#[track_caller]
fn assert_told(request: &Value) {
    assert_eq!(request["parent"], CLIENT);
    assert_eq!(request["state"], "one=1,two=2");
    assert_eq!(request["flags"], 0x301, "sampled, and its parent is remote");
    assert_eq!(request["status"], "STATUS_CODE_UNSET");
    assert_eq!(request["resource"]["service.name"], "mica");
    let told = &request["attributes"];
    for (name, value) in [
        ("mica.front_end", "rest"),
        ("mica.store", "default"),
        ("mica.layer", "a"),
        ("mica.driver", "vfs"),
        ("mica.outcome", "ok"),
    ] {
        assert_eq!(told[name], value, "{request}");
    }
    assert_eq!(told["mica.generation"], 1, "{request}");
}

#[test]
fn a_creation_and_a_mount_are_one_tree_below_the_client_s_span() {
    let (bench, mut collector) = collected("");
    let (daemon, own) = (&bench.daemon, parent(2, "01"));
    // Whom nobody asked to record, and who only looks whether the daemon lives, is not there when later ones are.
    let layer = json!({"id": "quiet"});
    ask(daemon, "POST", LAYERS, &parent(1, "00"), Body::Json(&layer));
    daemon.client.send("GET", "/healthz", Body::Empty);
    let layer = json!({"id": "a"});
    let made = ask(daemon, "POST", LAYERS, &own, Body::Json(&layer));
    assert_eq!(made.status, 201);
    let (target, view) = (format!("{LAYERS}/a/mount"), json!({"access": "read-only"}));
    let mounted = ask(daemon, "POST", &target, &own, Body::Json(&view));
    assert_eq!(mounted.status, 200, "{:?}", mounted.json());
    let create = collector.request("create_layer", &trace(2));
    let mount = collector.request("mount_layer", &trace(2));
    assert_told(&create);
    assert_told(&mount);
    let id = made.header("x-request-id").expect("an id");
    assert_eq!(create["attributes"]["mica.request_id"], id);
    let made = operation(&collector, &create, "vfs.create");
    assert_eq!(made["attributes"]["mica.layer"], "a");
    assert_eq!(made["flags"], 0x101);
    let calls = collector.below(&made);
    let calls = names(&calls);
    assert!(
        calls.first() == Some(&"home.stage") && calls.last() == Some(&"home.publish"),
        "{calls:?}"
    );
    operation(&collector, &mount, "vfs.mount");
    let text = |span: &Value, key: &str| span[key].as_str().expect(key).to_owned();
    let spans = &collector.spans;
    assert!(spans.iter().all(|span| text(span, "trace") != trace(1)));
    assert!(!names(spans).contains(&"get_health"));
    let ids: BTreeSet<_> = spans.iter().map(|span| text(span, "id")).collect();
    assert_eq!(ids.len(), spans.len());
    bench.store.unmount("a").expect("unmount");
}

#[test]
fn what_waits_is_sent_before_a_daemon_ends_and_the_next_one_is_told_apart() {
    let (bench, mut collector) = collected("");
    ask(&bench.daemon, "GET", LAYERS, &parent(3, "01"), Body::Empty);
    let bench = bench.restart(|daemon| {
        daemon.stop();
    });
    let before = collector.request("list_layers", &trace(3));
    ask(&bench.daemon, "GET", LAYERS, &parent(4, "01"), Body::Empty);
    let after = collector.request("list_layers", &trace(4));
    let instance = |span: &Value| span["resource"]["service.instance.id"].clone();
    assert_ne!(instance(&before), instance(&after));
    // A call whose client says nothing has a trace of its own.
    bench.store.create("a", None).expect("create");
    collector.until("a root", |spans| {
        let is_root = |span: &Value| span["parent"] == "" && span["name"] == "create_layer";
        spans.iter().any(is_root)
    });
    let lost = ["no-room", "away", "refused"].map(|reason| lost(&bench.daemon, reason));
    assert_eq!(lost, [0.0; 3]);
}

/// Asks containerd's service for a snapshot, within a trace.
fn prepare(socket: &Path, key: &str, parent: &str, traced: &str) {
    let (runtime, channel) = grpc::connect(socket);
    let mut client = wire::snapshots_client::SnapshotsClient::new(channel);
    let mut request = tonic::Request::new(wire::PrepareSnapshotRequest {
        key: key.into(),
        parent: parent.into(),
        ..Default::default()
    });
    let traced = traced.parse().expect("metadata");
    request.metadata_mut().insert("traceparent", traced);
    runtime.block_on(client.prepare(request)).expect("prepare");
}

#[test]
fn containerd_s_traceparent_leads_down_to_host_calls_over_a_unix_socket() {
    let lab = Lab::on(FileSystem::Ext4);
    let path = lab.path("collector.sock");
    let mut collector = Collector::start(path.to_str().expect("text"));
    let mut settings = containerd::Bench::settings(&lab, "overlay");
    let endpoint = format!("unix://{}", path.display());
    settings.configuration = Some(configuration(&endpoint, "ratio = 0.0"));
    let bench = containerd::Bench::of(lab, &settings);
    // Of those that say nothing of it none is recorded here.
    bench.client().list(&[]).expect("list");
    prepare(&bench.socket, "k8s.io/1/a", "", &parent(5, "01"));
    let request = collector.request("Snapshots.Prepare", &trace(5));
    assert_eq!(request["parent"], CLIENT);
    let told = &request["attributes"];
    assert_eq!(told["mica.front_end"], "containerd");
    assert_eq!(told["mica.store"], "containerd");
    let operation = operation(&collector, &request, "overlay.create");
    assert!(!collector.below(&operation).is_empty());
    let traces: Vec<_> = collector.spans.iter().map(|span| &span["trace"]).collect();
    assert!(
        traces.iter().all(|found| **found == json!(trace(5))),
        "{traces:?}"
    );
}

#[test]
fn a_driver_that_breaks_is_told_with_what_it_came_to() {
    let (bench, mut collector) = collected("host_calls = 2");
    let client = &bench.daemon.client;
    client
        .load_driver(&hostile_driver("hostile", ""))
        .expect("load");
    let store = client.create_store("hostile", "hostile", &json!({}));
    store.expect("a store");
    let target = "/v1/stores/hostile/layers";
    let layer = json!({"id": "panic"});
    let refused = ask(
        &bench.daemon,
        "POST",
        target,
        &parent(6, "01"),
        Body::Json(&layer),
    );
    assert!(refused.status >= 500, "{}", refused.status);
    let request = collector.request("create_layer", &trace(6));
    assert_eq!(request["status"], "STATUS_CODE_ERROR");
    let below = collector.below(&request);
    assert_eq!(names(&below), ["hostile.create"]);
    let operation = &below[0];
    assert_eq!(operation["status"], "STATUS_CODE_ERROR");
    let message = operation["message"].as_str().expect("a reason");
    assert!(message.contains("unreachable"), "{message}");
    assert_eq!(operation["attributes"]["mica.error_code"], "driver-failed");
    // A client's own mistake is no error of the daemon.
    let refused = ask(
        &bench.daemon,
        "GET",
        "/v1/stores/none",
        &parent(7, "01"),
        Body::Empty,
    );
    assert_eq!(refused.status, 404);
    let request = collector.request("get_store", &trace(7));
    assert_eq!(request["status"], "STATUS_CODE_UNSET");
    assert_eq!(request["attributes"]["mica.outcome"], "not-found");
    // Of many host calls the first have spans, and the others are counted.
    let layer = json!({"id": "a"});
    ask(
        &bench.daemon,
        "POST",
        LAYERS,
        &parent(8, "01"),
        Body::Json(&layer),
    );
    let request = collector.request("create_layer", &trace(8));
    let below = collector.below(&request);
    let told = &below[0]["attributes"];
    assert_eq!(collector.below(&below[0]).len(), 2);
    let count = |name: &str| told[name].as_u64().expect("a number");
    assert_eq!(
        count("mica.host_calls_without_span"),
        count("mica.host_calls") - 2
    );
}

#[test]
fn a_collector_that_comes_later_gets_what_waits() {
    let port = free_port();
    let bench = start(&on_port(port), "");
    let layer = json!({"id": "a"});
    ask(
        &bench.daemon,
        "POST",
        LAYERS,
        &parent(9, "01"),
        Body::Json(&layer),
    );
    until("the log does not tell", || {
        bench
            .daemon
            .log()
            .contains("the collector of traces does not take them")
    });
    let mut collector = Collector::start(&port.to_string());
    let request = collector.request("create_layer", &trace(9));
    operation(&collector, &request, "vfs.create");
    assert_eq!(lost(&bench.daemon, "away"), 0.0);
}

/// Answers each connection with these bytes, for as long as they are read.
fn hostile_collector(answer: &'static [u8], is_endless: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 1024];
            // Whatever it is.
            let _read = stream.read(&mut request);
            let mut goes_on = stream.write_all(answer).is_ok();
            while goes_on && is_endless {
                goes_on = stream.write_all(answer).is_ok();
            }
        }
    });
    port
}

#[test]
fn a_collector_that_refuses_or_misbehaves_costs_spans_and_nothing_else() {
    const REFUSAL: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    let bench = start(&on_port(hostile_collector(REFUSAL, false)), "");
    bench.store.create("a", None).expect("create");
    until("no span was refused", || {
        lost(&bench.daemon, "refused") > 1.0
    });
    bench.store.create("b", None).expect("create");
    // A head without an end; a body without an end, of which the beginning is an answer.
    const BODY: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n";
    for (answer, is_endless) in [(&b"HTTP/1.1 200 OK\r\nx: y\r\n"[..], true), (BODY, true)] {
        let bench = start(&on_port(hostile_collector(answer, is_endless)), "");
        bench.store.create("a", None).expect("create");
        until("it does not go on", || {
            let read = scrape(&bench.daemon);
            let taken = read.sum("mica_trace_spans_delivered_total", &[]);
            taken > 0.0 || bench.daemon.log().contains("does not take them")
        });
        bench.store.create("b", None).expect("create");
        assert!(bench.daemon.stop().success());
    }
}

#[test]
fn spans_that_have_no_room_are_dropped_and_counted_and_no_call_waits() {
    // It takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = silent.local_addr().expect("an address").port();
    let bench = start(&on_port(port), "queue_spans = 512\nhost_calls = 0");
    // Some are in the hand of the exporter, and 512 wait.
    until("nothing was dropped", || {
        for _ in 0..100 {
            let listed = bench.daemon.client.send("GET", "/v1/stores", Body::Empty);
            assert_eq!(listed.status, 200);
        }
        lost(&bench.daemon, "no-room") > 0.0
    });
    let read = scrape(&bench.daemon);
    assert!(read.sum("mica_trace_spans_waiting", &[]) <= 512.0);
    bench.store.create("a", None).expect("create");
    assert!(bench.daemon.stop().success());
}

#[test]
fn an_endpoint_elsewhere_is_refused_before_anything_starts() {
    let lab = Lab::on(FileSystem::Tmpfs);
    let mut settings = Settings::new(&lab.root(), &lab.path("run"), "vfs");
    for (text, names) in [
        (
            "otlp_endpoint = 'http://192.0.2.1:4318'",
            "telemetry.otlp_endpoint",
        ),
        ("otlp_endpoint = 'https://127.0.0.1:4318'", "encryption"),
        ("ratio = 1.5", "telemetry.ratio"),
        ("queue_spans = 1", "telemetry.queue_spans"),
        (
            "queue_spans = 512\nhost_calls = 512",
            "telemetry.host_calls",
        ),
    ] {
        settings.configuration = Some(format!("[telemetry]\n{text}"));
        let log = settings.try_start().expect_err(text);
        assert!(log.contains(names), "{text}: {log}");
    }
}
