//! Is a request that is sent again done once, and is it told what came of one whose answer was lost?

use std::fs;
use std::io::{self, BufReader, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use mica_tests::archive::archive;
use mica_tests::client::Against;
use mica_tests::command::{bare, mica};
use mica_tests::http::{self, Body, Response};
use mica_tests::setup::{self, Bench};
use serde_json::{Value, json};

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not in time");
        sleep(Duration::from_millis(10));
    }
}

fn ask(bench: &Bench, method: &str, target: &str, key: &str, body: Body<'_>) -> Response {
    let headers = [("Idempotency-Key", key)];
    let socket = &bench.daemon.client.socket;
    http::send(socket, method, target, &headers, body).expect("an answer")
}

fn is_replayed(answer: &Response) -> bool {
    answer.header("idempotent-replayed") == Some("true")
}

#[track_caller]
fn refused(answer: &Response, status: u16, code: &str) {
    let told = answer.json();
    assert_eq!(
        (answer.status, &told["code"]),
        (status, &json!(code)),
        "{told}"
    );
}

const LAYERS: &str = "/v1/stores/default/layers";

#[test]
fn a_request_with_a_key_is_done_once() {
    let bench = setup::VFS_EXT4.start();
    let (a, b) = (json!({"id": "a"}), json!({"id": "b"}));
    let first = ask(&bench, "POST", LAYERS, "k", Body::Json(&a));
    let again = ask(&bench, "POST", LAYERS, "\"k\"", Body::Json(&a));
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!((is_replayed(&first), is_replayed(&again)), (false, true));
    for header in ["location", "etag", "content-type"] {
        assert_eq!(first.header(header), again.header(header));
    }
    assert_eq!(first.body, again.body);
    assert_ne!(first.header("x-request-id"), again.header("x-request-id"));
    refused(
        &ask(&bench, "POST", LAYERS, "k", Body::Json(&b)),
        422,
        "key-reused",
    );
    refused(
        &ask(
            &bench,
            "DELETE",
            &bench.store.target("a", ""),
            "k",
            Body::Empty,
        ),
        422,
        "key-reused",
    );
    refused(
        &ask(&bench, "POST", LAYERS, "other", Body::Json(&a)),
        409,
        "layer-exists",
    );
    // What came to nothing is done when it can be.
    bench.store.remove("a").expect("remove");
    assert_eq!(
        ask(&bench, "POST", LAYERS, "other", Body::Json(&a)).status,
        201
    );
    for _ in 0..2 {
        let removed = ask(
            &bench,
            "DELETE",
            &bench.store.target("a", ""),
            "gone",
            Body::Empty,
        );
        assert_eq!((removed.status, removed.body.len()), (204, 0));
    }
    for wrong in ["", "\"\"", "a b", &"x".repeat(129)] {
        refused(
            &ask(&bench, "POST", LAYERS, wrong, Body::Json(&b)),
            400,
            "invalid-request",
        );
    }
    assert!(bench.store.ids().is_empty());
}

#[test]
fn an_archive_with_a_key_is_applied_once_though_its_client_goes() {
    let bench = setup::EROFS_EXT4.start();
    bench.store.create("a", None).expect("create");
    let target = bench.store.target("a", "/diff");
    let socket = &bench.daemon.client.socket;
    let (one, other) = (archive("f one data=1"), archive("f other data=2"));
    let headers = [("Idempotency-Key", "apply")];
    let mut stream =
        http::begin(socket, "PUT", &target, &headers, Body::Bytes(&one)).expect("connect");
    let (begun, rest) = one.split_at(700);
    stream.write_all(begun).expect("send");
    until("it runs", || {
        let running = bench
            .daemon
            .client
            .get("/v1/operations?operation=apply_layer");
        running.expect("a list")["operations"][0]["bytes"] == 700
    });
    let answer = ask(&bench, "PUT", &target, "apply", Body::Bytes(&one));
    refused(&answer, 409, "request-running");
    assert_eq!(answer.header("retry-after"), Some("1"));
    stream.write_all(rest).expect("send");
    drop(stream);
    // Its client does not see the answer, and asks until there is one.
    let mut answer = None;
    until("the answer", || {
        let asked = ask(&bench, "PUT", &target, "apply", Body::Bytes(&one));
        let is_there = asked.status != 409;
        answer = Some(asked);
        is_there
    });
    let answer = answer.expect("an answer");
    assert!(answer.status == 200 && is_replayed(&answer), "{answer:?}");
    assert_eq!(answer.json()["entries"], 1);
    refused(
        &ask(&bench, "PUT", &target, "apply", Body::Bytes(&other)),
        422,
        "key-reused",
    );
    let files = mica(socket, &["layer", "ls", "a"]).worked();
    assert!(files.contains("one") && !files.contains("other"), "{files}");
}

#[test]
fn an_answer_is_kept_for_as_long_as_the_configuration_says() {
    let lab = mica_tests::lab::Lab::on(mica_tests::lab::FileSystem::Tmpfs);
    let mut settings = setup::VFS_TMPFS.settings(&lab);
    settings.configuration = Some("[api]\nidempotency_keys = 1\n".to_owned());
    let daemon = settings.start();
    let store = daemon.client.default_store();
    let bench = Bench { daemon, store, lab };
    let [a, b] = ["a", "b"].map(|id| json!({ "id": id }));
    assert_eq!(ask(&bench, "POST", LAYERS, "a", Body::Json(&a)).status, 201);
    assert!(is_replayed(&ask(
        &bench,
        "POST",
        LAYERS,
        "a",
        Body::Json(&a)
    )));
    assert_eq!(ask(&bench, "POST", LAYERS, "b", Body::Json(&b)).status, 201);
    refused(
        &ask(&bench, "POST", LAYERS, "a", Body::Json(&a)),
        409,
        "layer-exists",
    );
}

#[test]
fn an_operation_is_asked_for_and_cancelled_by_the_id_of_its_request() {
    let bench = setup::VFS_EXT4.start();
    bench.store.create("a", None).expect("create");
    let socket = &bench.daemon.client.socket;
    let client = &bench.daemon.client;
    let bytes = archive("f a fill=100000");
    let headers = [("x-request-id", "mine")];
    let target = bench.store.target("a", "/diff");
    let mut stream =
        http::begin(socket, "PUT", &target, &headers, Body::Bytes(&bytes)).expect("connect");
    stream.write_all(&bytes[..50_000]).expect("send");
    let inspect = || client.get("/v1/operations/mine");
    until("its bytes are counted", || {
        inspect().is_ok_and(|told| told["bytes"] == 50_000 && told["state"] == "running")
    });
    let listed = client
        .get("/v1/operations?operation=apply_layer&limit=1")
        .expect("a list");
    assert_eq!(listed["operations"][0]["request"], "mine", "{listed}");
    let asked = client.send("DELETE", "/v1/operations/mine", Body::Empty);
    assert_eq!(
        (asked.status, &asked.json()["cancelled"]),
        (202, &json!(true))
    );
    let answer = http::read_response(&mut BufReader::new(stream)).expect("an answer");
    refused(&answer, 503, "cancelled");
    let told = inspect().expect("it is known");
    assert_eq!(
        (&told["state"], &told["problem"]["code"]),
        (&json!("failed"), &json!("cancelled"))
    );
    assert_eq!(bench.store.size("a", Against::Parent).expect("a size"), 0);
    // What has ended stays as it is, with what its client was answered.
    let made = http::send(
        socket,
        "POST",
        LAYERS,
        &[("x-request-id", "made")],
        Body::Json(&json!({"id": "b"})),
    );
    let made = made.expect("an answer").json();
    let asked = client.send("DELETE", "/v1/operations/made", Body::Empty);
    assert_eq!((asked.status, &asked.json()["result"]), (200, &made));
    let shown = mica(socket, &["operation", "inspect", "made"]).worked();
    assert!(
        shown.contains("done") && shown.contains("create"),
        "{shown}"
    );
    mica(socket, &["operation", "cancel", "none"]).failed(3, "none");
}

/// `mica` as it runs, with its standard input open.
fn begin(bench: &Bench, arguments: &[&str]) -> Child {
    let mut command = bare();
    command
        .arg("--socket")
        .arg(&bench.daemon.client.socket)
        .args(arguments);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command.stderr(Stdio::piped()).spawn().expect("start mica")
}

fn signal(name: &str, pid: u32) {
    let sent = Command::new("kill").args([name, &pid.to_string()]).status();
    assert!(sent.expect("kill").success());
}

/// The exit code, and what was said.
fn end(child: Child) -> (i32, String) {
    let output = child.wait_with_output().expect("wait for mica");
    let told = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&told).into_owned(),
    )
}

#[test]
fn an_interrupted_command_says_what_is_there() {
    let bench = setup::VFS_EXT4.start();
    bench.store.create("a", None).expect("create");
    let changes = |id: &str| bench.store.changes(id, Against::Parent).expect("changes");
    let bytes = archive("f a fill=100000");
    let mut apply = begin(&bench, &["layer", "apply", "a"]);
    let mut input = apply.stdin.take().expect("a pipe");
    input.write_all(&bytes[..50_000]).expect("send");
    let client = &bench.daemon.client;
    until("it runs", || {
        let running = client
            .get("/v1/operations?operation=apply_layer")
            .expect("a list");
        running["operations"][0]["bytes"].as_u64() >= Some(1)
    });
    signal("-INT", apply.id());
    let (code, told) = end(apply);
    assert!(
        code == 8 && told.contains("nothing was applied to layer `a`"),
        "{code}: {told}"
    );
    drop(input);
    assert_eq!(changes("a"), "");
    // Whenever the signal comes, what is said is what is there.
    for round in 0..6 {
        let id = format!("late-{round}");
        bench.store.create(&id, None).expect("create");
        signal("-STOP", bench.daemon.pid());
        let mut apply = begin(&bench, &["layer", "apply", &id]);
        let mut input = apply.stdin.take().expect("a pipe");
        input.write_all(&bytes).expect("send");
        drop(input);
        sleep(Duration::from_millis(50 * round));
        signal("-INT", apply.id());
        signal("-CONT", bench.daemon.pid());
        let (code, told) = end(apply);
        if code == 8 && told.contains("not known") {
            // The daemon was asked for the operation before it had read the request, which may run now.
            continue;
        }
        let files = changes(&id);
        match code {
            0 => assert!(!files.is_empty(), "{told}"),
            8 => assert!(files.is_empty(), "{told}: {files}"),
            // The signal came before anything was begun.
            _ => assert!(code == -1 && files.is_empty(), "{code}: {told}"),
        }
    }
}

#[test]
fn an_interrupted_copy_leaves_nothing() {
    let bench = setup::VFS_EXT4.start();
    let client = &bench.daemon.client;
    bench.store.create("big", None).expect("create");
    let root = bench.store.mount("big").expect("mount");
    fs::write(root.join("file"), vec![7_u8; 96 << 20]).expect("write");
    bench.store.unmount("big").expect("unmount");
    client
        .create_store("to", "vfs", &json!({}))
        .expect("a store");
    let copy = begin(&bench, &["layer", "copy", "big", "--to", "to"]);
    until("the copy is begun", || {
        client.get("/v1/stores/to/layers/big").is_ok()
    });
    signal("-INT", copy.id());
    let (code, told) = end(copy);
    assert!(
        code == 8 && told.contains("removed again: big"),
        "{code}: {told}"
    );
    assert!(client.store("to").ids().is_empty());
    let file = bench.lab.path("image.tar");
    let text = file.to_str().expect("text");
    let export = begin(&bench, &["layer", "export", "big", "-o", text]);
    until("the export is begun", || {
        let running = client
            .get("/v1/operations?operation=diff_layer")
            .expect("a list");
        running["operations"][0]["bytes"].as_u64() >= Some(1)
    });
    signal("-INT", export.id());
    let (code, told) = end(export);
    assert!(code == 8 && told.contains("interrupted"), "{code}: {told}");
    let beside = fs::read_dir(Path::new(text).parent().expect("a directory")).expect("list");
    let names: Vec<_> = beside.flatten().map(|entry| entry.file_name()).collect();
    assert!(
        !names
            .iter()
            .any(|name| name.to_string_lossy().starts_with("image.tar")),
        "{names:?}"
    );
}

fn holders(bench: &Bench, id: &str) -> Vec<Value> {
    let mount = bench.daemon.client.get(&bench.store.target(id, "/mount"));
    let mount = mount.expect("it is mounted");
    mount["holders"].as_array().expect("holders").clone()
}

fn give_back(bench: &Bench, id: &str, request: &Value) -> Value {
    let target = bench.store.target(id, "/unmount");
    bench
        .daemon
        .client
        .json("POST", &target, request)
        .expect("unmount")
}

#[test]
fn a_mount_with_a_name_is_taken_and_given_back_once() {
    let bench = setup::OVERLAY_EXT4.start();
    bench.store.create("a", None).expect("create");
    let named = json!({"reference": "build 7"});
    let first = bench.store.mount_as("a", &named).expect("mount");
    let again = bench.store.mount_as("a", &named).expect("mount again");
    assert_eq!(first, again);
    assert_eq!(again["references"], 1);
    let held = holders(&bench, "a");
    assert_eq!(held.len(), 1);
    assert_eq!(
        (&held[0]["reference"], &held[0]["uid"]),
        (&json!("build 7"), &json!(0))
    );
    assert_eq!(held[0]["pid"], std::process::id());
    // Somebody else's reference has no name, and is the only one that is given back without one.
    bench.store.mount("a").expect("mount");
    assert_eq!(bench.store.unmount("a").expect("unmount"), 1);
    let refused = bench.store.unmount("a").expect_err("it is not clear whose");
    refused.is(409, "held-by-name", "build 7");
    for _ in 0..2 {
        assert_eq!(
            give_back(&bench, "a", &json!({"reference": "other"}))["references"],
            1
        );
    }
    let bench = bench.restart(mica_tests::daemon::Daemon::kill);
    assert_eq!(holders(&bench, "a"), held);
    let shown = mica(&bench.daemon.client.socket, &["layer", "mounts"]).worked();
    assert!(shown.contains("build 7"), "{shown}");
    for _ in 0..2 {
        assert_eq!(give_back(&bench, "a", &named)["references"], 0);
    }
    for name in ["x", "y"] {
        bench
            .store
            .mount_as("a", &json!({"reference": name}))
            .expect("mount");
    }
    bench.store.mount("a").expect("mount");
    for _ in 0..2 {
        mica(
            &bench.daemon.client.socket,
            &["layer", "umount", "a", "--all"],
        )
        .worked();
    }
    let mounts = bench
        .daemon
        .client
        .get("/v1/stores/default/mounts")
        .expect("a list");
    assert_eq!(mounts["mounts"], json!([]));
    bench.store.remove("a").expect("remove");
}

#[test]
fn a_reference_that_makes_no_sense_is_refused() {
    let bench = setup::OVERLAY_EXT4.start();
    bench.store.create("a", None).expect("create");
    for wrong in [
        json!({"reference": ""}),
        json!({"reference": "a\n"}),
        json!({"while_pid": 1}),
        json!({"reference": "a", "while_pid": 4_000_000_000_u32}),
    ] {
        let refused = bench.store.mount_as("a", &wrong).expect_err("it is wrong");
        assert_eq!(refused.status, 400, "{wrong}");
    }
    let target = bench.store.target("a", "/unmount");
    let both = json!({"reference": "a", "all": true});
    let refused = bench.daemon.client.json("POST", &target, &both);
    refused
        .expect_err("two things")
        .is(400, "invalid-option", "`all`");
    bench.store.remove("a").expect("remove");
}

/// A process that lives until its input ends.
fn process() -> Child {
    let started = Command::new("cat").stdin(Stdio::piped()).spawn();
    started.expect("start a process")
}

#[test]
fn a_reference_ends_with_its_process() {
    let mut bench = setup::OVERLAY_EXT4.start();
    bench.store.create("a", None).expect("create");
    let mount = |bench: &Bench, name: &str, process: &Child| {
        let request = json!({"reference": name, "while_pid": process.id()});
        bench.store.mount_as("a", &request).expect("mount")
    };
    let [mut one, mut two, mut three] = [(); 3].map(|()| process());
    let path = mount(&bench, "one", &one)["path"]
        .as_str()
        .expect("a path")
        .to_owned();
    mount(&bench, "two", &two);
    mount(&bench, "three", &three);
    one.kill().expect("kill");
    one.wait().expect("wait");
    until("the first has gone", || holders(&bench, "a").len() == 2);
    // A daemon that is started anew goes on with them, and misses none that ended meanwhile.
    let settings = bench.daemon.settings.clone();
    bench.daemon.kill();
    two.kill().expect("kill");
    two.wait().expect("wait");
    let checked = mica_tests::command::mica_alone(&[
        "check",
        "--root",
        settings.root.to_str().expect("text"),
        "--run-dir",
        settings.run.to_str().expect("text"),
    ]);
    assert!(
        checked.text().contains("holder-ended"),
        "{}",
        checked.text()
    );
    bench.daemon = settings.start();
    let held = holders(&bench, "a");
    assert_eq!((held.len(), &held[0]["reference"]), (1, &json!("three")));
    // A mount in use stays attached, and is nobody's.
    let open = fs::File::create(Path::new(&path).join("open")).expect("a file in the mount");
    three.kill().expect("kill");
    three.wait().expect("wait");
    let layer = || bench.store.inspect("a").expect("inspect");
    until("the last has gone", || layer()["mounts"] == 0);
    drop(open);
    bench.store.remove("a").expect("remove");
    assert!(!Path::new(&path).exists());
}

/// A list, the key of its entries, and which it has in pages of one.
const LISTS: [(&str, &str, &str, &str); 11] = [
    ("/v1/stores?limit=1", "stores", "name", "default s1 s2 t1"),
    ("/v1/stores?limit=1&prefix=s", "stores", "name", "s1 s2"),
    ("/v1/stores?limit=1&driver=none", "stores", "name", ""),
    ("/v1/stores?limit=1&state=unavailable", "stores", "name", ""),
    (
        "/v1/drivers?limit=1",
        "drivers",
        "name",
        "btrfs erofs overlay vfs",
    ),
    ("/v1/drivers?limit=1&prefix=o", "drivers", "name", "overlay"),
    ("/v1/drivers?limit=1&state=used", "drivers", "name", "vfs"),
    (
        "/v1/stores/default/layers?limit=1&prefix=a",
        "layers",
        "id",
        "a1 a2 a3",
    ),
    (
        "/v1/stores/default/layers?limit=1&state=unmounted",
        "layers",
        "id",
        "",
    ),
    (
        "/v1/stores/default/mounts?limit=1&prefix=a",
        "mounts",
        "layer",
        "a1 a2 a3",
    ),
    (
        "/v1/stores/default/mounts?limit=1&state=ended",
        "mounts",
        "layer",
        "",
    ),
];

/// The keys of all entries of a list, page by page.
fn keys(bench: &Bench, target: &str, list: &str, key: &str) -> String {
    let mut found = Vec::new();
    let mut after = String::new();
    loop {
        let page = bench.daemon.client.get(&format!("{target}{after}"));
        let page = page.expect("a page");
        let entries = page[list].as_array().expect("a list");
        let keys = entries.iter().map(|entry| entry[key].as_str());
        found.extend(keys.map(|key| key.expect("a key").to_owned()));
        let Some(next) = page["next"].as_str() else {
            return found.join(" ");
        };
        assert_eq!(entries.len(), 1, "{page}");
        after = format!("&after={next}");
    }
}

#[test]
fn every_list_has_pages_and_filters() {
    let bench = setup::VFS_EXT4.start();
    let client = &bench.daemon.client;
    for store in ["s1", "s2", "t1"] {
        let made = client.create_store(store, "vfs", &json!({}));
        made.expect("a store");
    }
    for id in ["a1", "a2", "a3", "b1"] {
        bench.store.create(id, None).expect("create");
        bench.store.view(id).expect("mount");
    }
    for (target, list, key, expected) in LISTS {
        assert_eq!(keys(&bench, target, list, key), expected, "{target}");
    }
    for list in [
        "stores",
        "drivers",
        "stores/default/layers",
        "stores/default/mounts",
    ] {
        let refused = client.get(&format!("/v1/{list}?state=odd"));
        let refused = refused.expect_err("no such state");
        refused.is(400, "invalid-request", "odd");
    }
}

#[test]
fn many_layers_are_looked_up_at_once() {
    let bench = setup::VFS_EXT4.start();
    for id in ["a1", "b1"] {
        bench.store.create(id, None).expect("create");
    }
    let look_up = |ids: Value| {
        let target = format!("{LAYERS}:lookup");
        let asked = json!({ "ids": ids });
        bench.daemon.client.json("POST", &target, &asked)
    };
    let found = look_up(json!(["b1", "none", "a1"])).expect("a look-up");
    let layers = found["layers"].as_array().expect("layers").iter();
    let ids: Vec<_> = layers.map(|layer| layer["id"].clone()).collect();
    assert_eq!(
        (json!(ids), &found["unknown"]),
        (json!(["b1", "a1"]), &json!(["none"]))
    );
    let wrong = look_up(json!(["a/b"])).expect_err("no id");
    wrong.is(400, "invalid-id", "a/b");
}

/// Stands between a client and the daemon: the answer of the first request is lost, and then `then` is done.
fn lose_first(bench: &Bench, then: impl FnOnce() + Send + 'static) -> std::path::PathBuf {
    let daemon = bench.daemon.client.socket.clone();
    let between = daemon.with_extension("between");
    let listener = UnixListener::bind(&between).expect("listen");
    spawn(move || {
        let (client, _) = listener.accept().expect("a client");
        let to = UnixStream::connect(&daemon).expect("the daemon");
        let (mut from, mut onward) = (client.try_clone().expect("it"), to.try_clone().expect("it"));
        spawn(move || io::copy(&mut from, &mut onward));
        let head = http::read_head(&mut BufReader::new(to.try_clone().expect("it")));
        assert_eq!(head.expect("it is done").status, 200);
        to.shutdown(Shutdown::Both).expect("cut");
        then();
        client.shutdown(Shutdown::Both).expect("cut");
        for client in listener.incoming() {
            let client = client.expect("a client");
            let to = UnixStream::connect(&daemon).expect("the daemon");
            let (mut from, mut onward) =
                (client.try_clone().expect("it"), to.try_clone().expect("it"));
            spawn(move || io::copy(&mut from, &mut onward));
            spawn(move || {
                let (mut to, mut client) = (to, client);
                let _copied = io::copy(&mut to, &mut client);
                let _cut = client.shutdown(Shutdown::Both);
            });
        }
    });
    between
}

#[test]
fn a_lost_answer_is_asked_for_again_at_the_same_daemon() {
    let bench = setup::VFS_EXT4.start();
    bench.store.create("a", None).expect("create");
    // A daemon is known again if it has run for longer than the request.
    sleep(Duration::from_secs(1));
    let between = lose_first(&bench, || ());
    mica(&between, &["layer", "mount", "a"]).worked();
    assert_eq!(bench.store.inspect("a").expect("inspect")["mounts"], 1);
}

#[test]
fn a_daemon_that_was_started_anew_gets_no_request_twice() {
    let mut bench = setup::VFS_EXT4.start();
    bench.store.create("a", None).expect("create");
    bench.store.mount("a").expect("mount");
    bench.store.mount("a").expect("mount");
    let settings = bench.daemon.settings.clone();
    let pid = bench.daemon.pid();
    let (told, started) = std::sync::mpsc::channel();
    let between = lose_first(&bench, move || {
        signal("-KILL", pid);
        until("it ends", || {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        });
        told.send(settings.start()).expect("tell");
    });
    mica(&between, &["layer", "umount", "a"]).failed(1, "may have been done");
    let old = std::mem::replace(&mut bench.daemon, started.recv().expect("a daemon"));
    old.wait();
    assert_eq!(bench.store.inspect("a").expect("inspect")["mounts"], 1);
    // Whoever knows the start of the first is not served by the second.
    let headers = [("Idempotency-Key", "k"), ("Mica-Start", "another")];
    let target = bench.store.target("a", "/mount");
    let socket = &bench.daemon.client.socket;
    let refuse = http::send(socket, "POST", &target, &headers, Body::Empty).expect("an answer");
    refused(&refuse, 412, "daemon-started-anew");
    let start = refuse.header("mica-start").expect("a start").to_owned();
    let headers = [("Idempotency-Key", "k"), ("Mica-Start", &*start)];
    let taken = http::send(socket, "POST", &target, &headers, Body::Empty).expect("an answer");
    assert_eq!(taken.status, 200);
}

#[test]
fn a_client_that_went_keeps_its_share_until_its_request_is_done() {
    let lab = mica_tests::lab::Lab::on(mica_tests::lab::FileSystem::Tmpfs);
    let mut settings = setup::VFS_TMPFS.settings(&lab);
    settings.configuration = Some("[api]\nclient_calls = 1\n".to_owned());
    let daemon = settings.start();
    let store = daemon.client.default_store();
    let bench = Bench { daemon, store, lab };
    // The share of the last request before is given back after its answer.
    sleep(Duration::from_millis(200));
    let socket = &bench.daemon.client.socket;
    let headers = [("Idempotency-Key", "swap"), ("x-request-id", "swap")];
    let target = "/v1/drivers/vfs/swap?shadow=600s";
    let stream = http::begin(socket, "POST", target, &headers, Body::Empty).expect("connect");
    let inspect = || mica(socket, &["operation", "inspect", "swap"]);
    until("it runs", || inspect().text().contains("running"));
    drop(stream);
    sleep(Duration::from_millis(200));
    let client = &bench.daemon.client;
    let refused = client.get("/v1/status").expect_err("its share is taken");
    refused.is(503, "too-many-requests", "client_calls");
    assert!(inspect().text().contains("running"), "it ended");
    mica(socket, &["operation", "cancel", "swap"]).worked();
    until("it ends", || client.get("/v1/status").is_ok());
    let told = inspect().worked();
    assert!(told.contains("swap") && told.contains("failed"), "{told}");
}

#[test]
fn a_signal_ends_a_swap() {
    let bench = setup::VFS_EXT4.start();
    let swap = begin(&bench, &["driver", "swap", "vfs", "--shadow", "600s"]);
    let running = || {
        let list = bench
            .daemon
            .client
            .get("/v1/operations?operation=swap_driver");
        list.expect("a list")["operations"][0].clone()
    };
    until("it runs", || {
        let request = running()["request"].as_str().map(str::to_owned);
        let target = request.map(|id| format!("/v1/operations/{id}"));
        target.is_some_and(|target| bench.daemon.client.get(&target).is_ok())
    });
    signal("-INT", swap.id());
    let (code, told) = end(swap);
    assert!(code == 8 && told.contains("interrupted"), "{code}: {told}");
    until("it is gone", || running().is_null());
}
