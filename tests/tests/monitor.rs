//! Can programs and people see what the daemon does, and find a call again by its id?

use std::fs;
use std::io::{BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use mica_tests::archive::archive;
use mica_tests::client::Against;
use mica_tests::command::{self, mica};
use mica_tests::containerd::{self, Labels, Snapshotter, wire};
use mica_tests::daemon::{Daemon, Settings};
use mica_tests::docker::Plugin;
use mica_tests::exposition::Exposition;
use mica_tests::http::{self, Body, Response};
use mica_tests::lab::{FileSystem, Lab};
use mica_tests::setup;
use mica_tests::watch::until;
use mica_tests::{build, grpc};
use serde_json::{Value, json};

const HEADER: &str = "x-request-id";

/// A daemon that answers at every door.
struct Bench {
    daemon: Daemon,
    plugin: Plugin,
    containerd: std::path::PathBuf,
    _lab: Lab,
}

fn bench(configuration: &str) -> Bench {
    let lab = Lab::on(FileSystem::Ext4);
    let mut settings = containerd::Bench::settings(&lab, "vfs");
    let socket = lab.path("docker.sock");
    let path = socket.to_str().expect("text").to_owned();
    settings
        .arguments
        .extend(["--docker-socket".to_owned(), path]);
    settings.configuration = Some(configuration.to_owned());
    let daemon = settings.start();
    let plugin = Plugin { socket };
    plugin
        .init("/docker/mica", &["mica.driver=vfs"])
        .expect("init");
    Bench {
        daemon,
        plugin,
        containerd: lab.path("run").join("containerd.sock"),
        _lab: lab,
    }
}

fn ask(socket: &Path, method: &str, target: &str, id: &str, body: Body<'_>) -> Response {
    let headers = [(HEADER, id)];
    http::send(socket, method, target, &headers, body).expect("an answer")
}

fn scrape(socket: &Path) -> Exposition {
    let answer = http::send(socket, "GET", "/metrics", &[], Body::Empty).expect("an answer");
    assert_eq!(answer.status, 200);
    let kind = answer.header("content-type").expect("a type");
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    let text = String::from_utf8(answer.body).expect("text");
    Exposition::read(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn id_of(answer: &Response) -> String {
    let ids = answer.headers.iter().filter(|(name, _)| name == HEADER);
    let ids: Vec<_> = ids.map(|(_, id)| id.clone()).collect();
    assert_eq!(ids.len(), 1, "one id: {answer:?}");
    ids[0].clone()
}

#[test]
fn every_answer_of_rest_has_an_id_and_a_problem_has_the_same() {
    let bench = bench("log = 'debug'");
    let socket = &bench.daemon.client.socket;
    let long = "x".repeat(65);
    for (method, target, status) in [
        ("GET", "/v1/status", 200),
        ("HEAD", "/v1/status", 200),
        ("GET", "/nowhere", 404),
        ("PATCH", "/v1/status", 405),
        ("GET", "/v1/stores/default/layers/none", 404),
        ("GET", "/v1/status?x=1", 400),
        ("GET", "/healthz", 200),
        ("GET", "/v1/events?since=0&follow=false", 200),
    ] {
        for (sent, is_taken) in [
            ("my-1.id_X", true),
            ("a b", false),
            ("ü", false),
            (&long, false),
        ] {
            let answer = ask(socket, method, target, sent, Body::Empty);
            assert_eq!(answer.status, status, "{method} {target}");
            let id = id_of(&answer);
            assert_eq!(id == sent, is_taken, "{method} {target}: `{sent}`, `{id}`");
            if status >= 400 {
                assert_eq!(answer.json()["request_id"], json!(id));
            }
        }
        let bare = || http::send(socket, method, target, &[], Body::Empty).expect("an answer");
        assert_ne!(id_of(&bare()), id_of(&bare()), "{method} {target}");
    }
    let refused = ask(socket, "GET", "/v1/stores/gone", "wanted-1", Body::Empty);
    assert_eq!(refused.status, 404);
    let is_told = |line: &str| line.contains("unknown-store") && line.contains("request=wanted-1");
    assert!(
        bench.daemon.log().lines().any(is_told),
        "{}",
        bench.daemon.log()
    );
}

/// `Prepare` with an id: the id that comes back.
fn prepare(socket: &Path, key: &str, parent: &str, id: &str) -> Result<String, String> {
    let (runtime, channel) = grpc::connect(socket);
    let mut client = wire::snapshots_client::SnapshotsClient::new(channel);
    let mut request = tonic::Request::new(wire::PrepareSnapshotRequest {
        key: key.into(),
        parent: parent.into(),
        ..Default::default()
    });
    request
        .metadata_mut()
        .insert(HEADER, id.parse().expect("metadata"));
    let told = |metadata: &tonic::metadata::MetadataMap| {
        let id = metadata.get(HEADER).expect("an id").to_str();
        id.expect("text").to_owned()
    };
    match runtime.block_on(client.prepare(request)) {
        Ok(made) => Ok(told(made.metadata())),
        Err(refused) => Err(told(refused.metadata())),
    }
}

fn events(socket: &Path) -> Vec<Value> {
    let told = mica(
        socket,
        &["--output", "json", "events", "--since", "0", "--no-follow"],
    );
    let told = told.worked();
    let lines = told.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("a document"))
        .collect()
}

#[test]
fn events_operations_and_the_log_name_the_call_at_every_door() {
    let bench = bench("log = 'debug'");
    let socket = &bench.daemon.client.socket;
    let layer = json!({"id": "a"});
    let target = "/v1/stores/default/layers";
    ask(socket, "POST", target, "rest-1", Body::Json(&layer));
    let layer = json!({"ID": "b", "Parent": ""});
    let target = "/GraphDriver.Create";
    let made = ask(
        &bench.plugin.socket,
        "POST",
        target,
        "docker-1",
        Body::Json(&layer),
    );
    assert_eq!(id_of(&made), "docker-1");
    let made = prepare(&bench.containerd, "c", "", "containerd-1");
    assert_eq!(made.as_deref(), Ok("containerd-1"));
    let refused = prepare(&bench.containerd, "d", "none", "containerd-2");
    assert_eq!(refused.as_deref(), Err(&"containerd-2".to_owned()));
    let (events, log) = (events(socket), bench.daemon.log());
    for id in ["rest-1", "docker-1", "containerd-1"] {
        let of_call = events.iter().filter(|event| event["request"] == id);
        assert_eq!(of_call.count(), 1, "{id}: {events:?}");
        assert!(log.contains(&format!("request={id}\n")), "{id}: {log}");
    }
    let has_own = events.iter().any(|event| event["request"].is_null());
    assert!(has_own, "the daemon's own: {events:?}");
    let target = "/v1/stores/default/layers/a/diff";
    let answer = ask(socket, "GET", target, "diff-1", Body::Empty);
    let operation = answer.header("mica-operation").expect("an operation");
    let view = bench
        .daemon
        .client
        .get(&format!("/v1/operations/{operation}"));
    assert_eq!(view.expect("it is known")["request"], "diff-1");
}

#[test]
fn the_command_line_tells_the_id_of_an_error() {
    let bench = setup::VFS_EXT4.start();
    let socket = &bench.daemon.client.socket;
    let failed = mica(socket, &["--output", "json", "layer", "inspect", "none"]);
    let told: Value = serde_json::from_str(&failed.stderr).expect("a document");
    assert_eq!(told["code"], "unknown-layer");
    assert!(
        told["request_id"].as_str().is_some_and(|id| id.len() == 16),
        "{told}"
    );
    let failed = mica(socket, &["layer", "inspect", "none"]);
    assert!(!failed.stderr.contains("request="), "{}", failed.stderr);
}

/// Does something at every door, with and without success; the numbers before and after it.
fn exercised(bench: &Bench) -> [Exposition; 2] {
    let socket = &bench.daemon.client.socket;
    let store = bench.daemon.client.default_store();
    let before = scrape(socket);
    store.create("a", None).expect("create");
    store.apply("a", &archive("f x data=1")).expect("apply");
    store.diff("a", Against::Parent).expect("diff");
    store.create("a", None).expect_err("it is there");
    store.mount("a").expect("mount");
    store.mount("a").expect("mount");
    bench.plugin.create("b", "").expect("create");
    bench.plugin.get("c").expect_err("it is not there");
    let mut client = Snapshotter::new(&bench.containerd);
    client.prepare("k", "", &Labels::new()).expect("prepare");
    client.remove("none").expect_err("it is not there");
    bench.daemon.client.swap_driver("vfs", None).expect("swap");
    store.create("after", None).expect("create");
    let _unknown = ask(socket, "GET", "/v1/rm/-rf", "x", Body::Empty);
    // The last of an answer is counted after its client has it.
    let last = [("operation", "unknown"), ("outcome", "not-found")];
    until("the last call is not counted", || {
        scrape(socket).sum("mica_requests_total", &last) == 1.0
    });
    [before, scrape(socket)]
}

#[test]
fn requests_of_every_door_are_counted() {
    let bench = bench("");
    let [_, read] = exercised(&bench);
    for (front, operation, outcome, count) in [
        ("rest", "create_layer", "ok", 2.0),
        ("rest", "create_layer", "already-exists", 1.0),
        ("rest", "apply_layer", "ok", 1.0),
        ("rest", "diff_layer", "ok", 1.0),
        ("rest", "mount_layer", "ok", 2.0),
        ("rest", "swap_driver", "ok", 1.0),
        ("docker", "GraphDriver.Init", "ok", 1.0),
        ("docker", "GraphDriver.Create", "ok", 1.0),
        ("docker", "GraphDriver.Get", "not-found", 1.0),
        ("containerd", "Snapshots.Prepare", "ok", 1.0),
        ("containerd", "Snapshots.Remove", "not-found", 1.0),
    ] {
        let labels = [
            ("front_end", front),
            ("operation", operation),
            ("outcome", outcome),
        ];
        let found = read.sum("mica_requests_total", &labels);
        assert_eq!(found, count, "{front} {operation} {outcome}");
        let all = read.sum("mica_requests_total", &labels[..2]);
        let timed = read.sum("mica_request_duration_seconds_count", &labels[..2]);
        assert_eq!(timed, all, "{operation}");
    }
    let names = ["a", "after", "none", "k", "rm", "-rf"];
    let mut values = read
        .samples
        .iter()
        .flat_map(|sample| sample.labels.values());
    let told = values.find(|value| names.contains(&value.as_str()));
    assert_eq!(told, None, "what clients say is told");
}

#[test]
fn operations_of_drivers_are_counted_by_build_and_door() {
    let bench = bench("");
    let [_, read] = exercised(&bench);
    for (front, operation, count) in [
        ("rest", "create", 2.0),
        ("rest", "apply", 1.0),
        ("rest", "diff", 1.0),
        ("rest", "mount", 1.0),
        ("docker", "create", 1.0),
        ("containerd", "create", 1.0),
    ] {
        let labels = [
            ("driver", "vfs"),
            ("front_end", front),
            ("operation", operation),
            ("outcome", "ok"),
        ];
        let found = read.sum("mica_driver_calls_total", &labels);
        assert_eq!(found, count, "{front} {operation}");
    }
    for generation in ["1", "2"] {
        let labels = [
            ("generation", generation),
            ("operation", "create"),
            ("front_end", "rest"),
        ];
        let found = read.sum("mica_driver_calls_total", &labels);
        assert_eq!(found, 1.0, "{generation}");
    }
    let driver = [("driver", "vfs")];
    for (name, value) in [
        ("mica_driver_swaps_total", 1.0),
        ("mica_driver_went_back_total", 0.0),
        ("mica_driver_faults_total", 0.0),
        ("mica_driver_quarantines", 0.0),
        ("mica_driver_generation", 2.0),
        // The same build again has nothing to show.
        ("mica_driver_baking", 0.0),
    ] {
        assert_eq!(read.sum(name, &driver), value, "{name}");
    }
    for name in [
        "mica_driver_host_calls_sum",
        "mica_driver_guest_memory_bytes_sum",
        "mica_driver_guest_memory_peak_bytes",
    ] {
        assert!(read.sum(name, &driver) > 0.0, "{name}");
    }
}

#[test]
fn stores_events_and_listeners_are_counted() {
    let bench = bench("");
    let [before, read] = exercised(&bench);
    let store = [("store", "default")];
    assert_eq!(read.sum("mica_store_layers", &store), 2.0);
    assert_eq!(read.sum("mica_store_mounts", &store), 1.0);
    assert_eq!(read.sum("mica_store_mount_references", &store), 2.0);
    let store = [("store", "containerd")];
    assert_eq!(read.sum("mica_store_snapshots", &store), 1.0);
    let events = |read: &Exposition| read.sum("mica_events_total", &[("kind", "layer.created")]);
    assert_eq!(events(&read) - events(&before), 4.0);
    assert!(read.sum("mica_filesystem_free_bytes", &[]) > 0.0);
    let listener = [("listener", "rest")];
    let own = read.sum("mica_listener_requests", &listener);
    assert_eq!(own, 1.0, "the one that asks");
}

#[test]
fn what_runs_is_listed_with_what_it_has_come_to() {
    let bench = setup::VFS_EXT4.start();
    let socket = &bench.daemon.client.socket;
    bench.store.create("slow", None).expect("create");
    let whole = archive(&format!("f x data={}", "y".repeat(100_000)));
    let target = "/v1/stores/default/layers/slow/diff";
    let headers = [(HEADER, "upload-1"), ("Transfer-Encoding", "chunked")];
    let mut stream = http::begin(socket, "PUT", target, &headers, Body::Empty).expect("connect");
    let (first, rest) = whole.split_at(2000);
    let mut send = |part: &[u8]| {
        write!(stream, "{:x}\r\n", part.len()).expect("write");
        stream.write_all(part).expect("write");
        stream.write_all(b"\r\n").expect("write");
    };
    send(first);
    let listed = || {
        let list = bench.daemon.client.get("/v1/operations").expect("a list");
        list["operations"].as_array().expect("operations").clone()
    };
    until("the upload is not at work", || {
        listed()
            .first()
            .is_some_and(|call| call["generation"].is_u64() && call["bytes"] == 2000)
    });
    let calls = listed();
    assert_eq!(calls.len(), 1, "the list itself is not listed: {calls:?}");
    for (field, value) in [
        ("request", "upload-1"),
        ("front_end", "rest"),
        ("operation", "apply_layer"),
        ("store", "default"),
        ("layer", "slow"),
        ("driver", "vfs"),
    ] {
        assert_eq!(calls[0][field], value, "{calls:?}");
    }
    let client = calls[0]["client"].as_str().expect("a client");
    assert_eq!(client, format!("root, process {}", std::process::id()));
    let shown = mica(socket, &["top", "--once"]).worked();
    assert!(
        shown.contains("upload-1") && shown.contains("apply_layer"),
        "{shown}"
    );
    let line = mica(socket, &["--output", "json", "top", "--once"]).worked();
    let told: Value = serde_json::from_str(line.trim_end()).expect("one document");
    assert_eq!(told["request"], "upload-1");
    send(rest);
    stream.write_all(b"0\r\n\r\n").expect("write");
    let answer = http::read_response(&mut BufReader::new(stream)).expect("an answer");
    assert_eq!((answer.status, id_of(&answer).as_str()), (200, "upload-1"));
    until("it is listed after its end", || listed().is_empty());
    assert_eq!(mica(socket, &["top", "--once"]).worked(), "nothing runs\n");
}

#[test]
fn a_client_that_breaks_off_is_counted_as_cancelled() {
    let bench = setup::VFS_EXT4.start();
    let socket = &bench.daemon.client.socket;
    bench.store.create("a", None).expect("create");
    let target = "/v1/stores/default/layers/a/diff";
    let headers = [("Content-Length", "1000000")];
    drop(http::begin(socket, "PUT", target, &headers, Body::Empty).expect("connect"));
    let labels = [("operation", "apply_layer")];
    until("it is not counted", || {
        scrape(socket).sum("mica_requests_total", &labels) == 1.0
    });
    let outcome = |outcome: &str| {
        let labels = [("operation", "apply_layer"), ("outcome", outcome)];
        scrape(socket).sum("mica_requests_total", &labels)
    };
    assert_eq!((outcome("ok"), outcome("cancelled")), (0.0, 1.0));
}

#[test]
fn a_slow_call_is_one_line_of_the_log() {
    let bench = bench("slow_call_seconds = 0.000001");
    let socket = &bench.daemon.client.socket;
    let layer = json!({"id": "a"});
    ask(
        socket,
        "POST",
        "/v1/stores/default/layers",
        "slow-1",
        Body::Json(&layer),
    );
    ask(socket, "GET", "/healthz", "quick-1", Body::Empty);
    until("it is not told", || {
        bench.daemon.log().contains("request=slow-1")
    });
    let log = bench.daemon.log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("slow-1")).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    for part in [
        "WARN",
        "a call was slow",
        r#"front_end="rest""#,
        r#"operation="create_layer""#,
        r#"driver="vfs""#,
        r#"store="default""#,
        r#"layer="a""#,
        "seconds=",
    ] {
        assert!(lines[0].contains(part), "`{part}`: {}", lines[0]);
    }
    assert!(
        !log.contains("quick-1"),
        "what does not reach the engine takes no time: {log}"
    );
    assert!(scrape(socket).sum("mica_requests_slow_total", &[]) >= 1.0);
    let quiet = setup::VFS_EXT4.start();
    quiet.store.create("a", None).expect("create");
    assert!(
        !quiet.daemon.log().contains("a call was slow"),
        "it is off unless asked for"
    );
}

#[test]
fn a_daemon_that_cannot_serve_a_store_lives_and_is_not_ready() {
    let bench = setup::VFS_EXT4.start();
    let client = bench.daemon.client.clone();
    let get = |target: &str| client.send("GET", target, Body::Empty);
    assert_eq!((get("/healthz").status, get("/readyz").status), (200, 200));
    client
        .create_store("sick", "vfs", &json!({}))
        .expect("make");
    let store = bench.lab.root().join("stores/sick");
    let bench = bench.restart(|daemon| {
        daemon.stop();
        for name in ["store.json", "store-copy.json"] {
            fs::write(store.join(name), "{").expect("damage");
        }
    });
    assert_eq!(get("/healthz").status, 200);
    let problem = client
        .call("GET", "/readyz", Body::Empty)
        .expect_err("it is not ready");
    problem.is(503, "not-ready", "`sick`");
    let waited = mica(&client.socket, &["status", "--wait", "0"]);
    waited.failed(8, "`sick`");
    let read = scrape(&client.socket);
    assert!(read.sum("mica_problems", &[]) >= 1.0);
    assert_eq!(read.sum("mica_store_ready", &[("store", "default")]), 1.0);
    drop(bench);
}

#[test]
fn the_command_line_waits_for_a_daemon() {
    let lab = Lab::on(FileSystem::Ext4);
    let settings = Settings::new(&lab.root(), &lab.path("run"), "vfs");
    let socket = lab.path("run").join("mica.sock");
    mica(&socket, &["status", "--wait", "0"]).failed(7, "mica.sock");
    let mut waiting = command::bare();
    waiting
        .arg("--socket")
        .arg(&socket)
        .args(["status", "--wait", "120"]);
    let mut waiting = waiting
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("start");
    assert_eq!(waiting.try_wait().expect("look"), None, "it waits");
    let _daemon = settings.start();
    let mut told = String::new();
    let mut output = waiting.stdout.take().expect("a pipe");
    output.read_to_string(&mut told).expect("read");
    assert!(waiting.wait().expect("wait").success());
    assert!(told.contains("uptime seconds"), "{told}");
}

#[test]
fn numbers_are_told_on_a_loopback_port_and_nothing_else_is() {
    // A port that was free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = free.local_addr().expect("an address");
    drop(free);
    let _bench = bench(&format!("[metrics]\nlisten = '{address}'"));
    let ask = |method: &str, target: &str, host: &str| {
        let mut stream = TcpStream::connect(address).expect("connect");
        write!(
            stream,
            "{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        )
        .expect("write");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("read");
        answer
    };
    let host = address.to_string();
    let answer = ask("GET", "/metrics", &host);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("\nmica_build_info{version="), "{answer}");
    for (method, target, host, status) in [
        ("GET", "/healthz", &*host, 200),
        ("GET", "/readyz", &host, 200),
        ("GET", "/v1/status", &host, 404),
        ("POST", "/v1/stores", &host, 404),
        ("POST", "/metrics", &host, 405),
        ("GET", "/metrics?x=1", &host, 400),
        ("GET", "/metrics", "evil.example", 403),
    ] {
        let answer = ask(method, target, host);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{target}: {answer}"
        );
    }
}

#[test]
fn a_port_that_others_reach_is_refused() {
    let lab = Lab::on(FileSystem::Tmpfs);
    let mut settings = Settings::new(&lab.root(), &lab.path("run"), "vfs");
    settings.configuration = Some("[metrics]\nlisten = '0.0.0.0:9464'".to_owned());
    let log = settings.try_start().expect_err("it does not start");
    for part in ["metrics.listen", "0.0.0.0:9464", "no loopback address"] {
        assert!(log.contains(part), "`{part}`: {log}");
    }
}

#[test]
fn dashboard_and_alerts_name_what_is_measured() {
    let bench = setup::VFS_EXT4.start();
    bench.store.create("a", None).expect("create");
    let read = scrape(&bench.daemon.client.socket);
    let folder = build::repository().join("examples/monitoring");
    for file in ["mica-dashboard.json", "mica-alerts.yaml"] {
        let text = fs::read_to_string(folder.join(file)).expect("read");
        let is_part = |one: char| one.is_ascii_alphanumeric() || one == '_';
        let words = text.split(|one: char| !is_part(one));
        let names: Vec<_> = words
            .filter(|word| word.starts_with("mica_") || word.starts_with("process_"))
            .collect();
        assert!(names.len() > 10, "{file}: {names:?}");
        for name in names {
            assert!(
                read.has(name),
                "{file} names `{name}`, which is not measured"
            );
        }
    }
    let dashboard = fs::read(folder.join("mica-dashboard.json")).expect("read");
    let dashboard: Value = serde_json::from_slice(&dashboard).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut ids: Vec<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), panels.len(), "ids of panels");
    for panel in panels {
        let targets = panel["targets"].as_array().into_iter().flatten();
        let has_query = targets.clone().all(|target| target["expr"].is_string());
        let is_row = panel["type"] == "row";
        assert!(is_row || (has_query && targets.count() > 0), "{panel}");
    }
}

#[test]
fn many_layers_are_measured_by_one_question() {
    let bench = setup::OVERLAY_EXT4.start();
    for (id, parent) in [("debian", None), ("python", Some("debian"))] {
        bench.store.create(id, parent).expect("create");
        bench
            .store
            .apply(id, &archive(&format!("f {id} fill=300000")))
            .expect("apply");
    }
    let client = &bench.daemon.client;
    let told = client.get("/v1/stores/default/usage?layer=python&layer=none&layer=debian");
    let told = told.expect("sizes")["layers"].clone();
    let [python, none, debian] = [0, 1, 2].map(|at| told[at].clone());
    assert_eq!(
        [&python["id"], &none["id"], &debian["id"]],
        ["python", "none", "debian"]
    );
    for (id, of_many) in [("python", &python), ("debian", &debian)] {
        let alone = client.get(&format!("/v1/stores/default/layers/{id}/usage"));
        assert_eq!(of_many["usage"], alone.expect("a size"), "{id}");
    }
    assert_eq!(none["problem"]["code"], "unknown-layer");
    assert!(none["usage"].is_null(), "{none}");
    let many = "&layer=debian".repeat(100);
    for (query, names) in [
        ("", "0 layers"),
        (&format!("?layer=debian{many}"), "101 layers"),
        ("?layer=debian&size=1", "`size`"),
    ] {
        let refused = client.get(&format!("/v1/stores/default/usage{query}"));
        refused.expect_err(query).is(400, "invalid-request", names);
    }
    for route in ["usage?layer=a", "processes"] {
        let refused = client.get(&format!("/v1/stores/none/{route}"));
        refused.expect_err(route).is(404, "unknown-store", "none");
    }
    let none = client.get("/v1/stores/default/processes").expect("a list");
    assert_eq!(none, json!({"processes": []}));
}
