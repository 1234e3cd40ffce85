//! Docker's plugin protocol as a black box: what dockerd depends on, and what bad input comes to.

use std::io::{BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use mica_tests::docker::{Bench, Plugin, sort};
use mica_tests::http::{self, Body};
use mica_tests::lab::FileSystem;
use mica_tests::tree;
use serde_json::{Value, json};

/// Every call about one layer.
const LAYER_CALLS: &[&str] = &[
    "Create",
    "CreateReadWrite",
    "Remove",
    "Get",
    "Put",
    "Exists",
    "GetMetadata",
    "Diff",
    "Changes",
    "DiffSize",
];
/// Every call about the whole but `Init`, `Capabilities`, which need no store.
const STORE_CALLS: &[&str] = &["Status", "Cleanup"];

/// A daemon with a base layer, a layer on it, and one that is mounted.
fn bench() -> Bench {
    let bench = Bench::with(FileSystem::Ext4, "overlay");
    bench.plugin.create("base", "").expect("create");
    let root = bench.plugin.get("base").expect("get");
    tree::build(&root, "d etc\nf etc/file data=old\nf etc/gone data=x");
    bench.plugin.about("Put", "base").expect("put");
    bench.plugin.create("kid", "base").expect("create");
    bench.plugin.create("mounted", "base").expect("create");
    bench.plugin.get("mounted").expect("get");
    bench
}

/// What there is: layers with their references, and mounts. What operations left staged goes in the background.
fn state(bench: &Bench) -> String {
    let layers = bench.daemon.client.get("/v1/stores/docker/layers");
    let layers = layers.map_or_else(|problem| problem.code, |layers| layers.to_string());
    let staging = bench.lab.home("docker").join("staging");
    let staged = || std::fs::read_dir(&staging).map_or(0, Iterator::count);
    wait("something stays staged", || staged() == 0);
    format!("{layers}\n{}", bench.lab.mount_table())
}

/// Waits for what must come to be.
#[track_caller]
fn wait(otherwise: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < deadline, "{otherwise}");
        std::thread::yield_now();
    }
}

/// Checks that a call is refused with a text that names something, and has changed nothing.
#[track_caller]
fn refused(
    bench: &Bench,
    what: &str,
    answer: impl FnOnce(&Plugin) -> Result<Value, String>,
    names: &str,
) {
    let before = state(bench);
    let text = answer(&bench.plugin).expect_err(what);
    assert!(
        text.contains(names),
        "{what}: `{names}` is not named: {text}"
    );
    assert!(!text.contains(char::is_control), "{what}: {text:?}");
    assert_eq!(state(bench), before, "{what}");
}

#[test]
fn calls_before_init_say_that_init_comes_first() {
    let bench = Bench::start(FileSystem::Machine);
    let answer = sort(bench.plugin.raw("Plugin.Activate", Body::Empty)).expect("activate");
    assert_eq!(answer.json(), json!({ "Implements": ["GraphDriver"] }));
    let answer = bench.plugin.call("Capabilities", &json!({}));
    assert_eq!(
        answer,
        Ok(json!({ "Capabilities": { "ReproducesExactDiffs": false } }))
    );
    for call in LAYER_CALLS {
        refused(
            &bench,
            call,
            |plugin| plugin.about(call, "a"),
            "/GraphDriver.Init",
        );
    }
    for call in STORE_CALLS {
        refused(
            &bench,
            call,
            |plugin| plugin.call(call, &json!({})),
            "/GraphDriver.Init",
        );
    }
    let apply = |plugin: &Plugin| plugin.apply("a", "", &[0; 1024]).map(Value::from);
    refused(&bench, "ApplyDiff", apply, "/GraphDriver.Init");
}

/// What no `Init` may ask for.
const BAD_INITS: &[(&str, &str)] = &[
    ("{}", "Home"),
    (r#"{"Home":7}"#, "integer `7`"),
    (r#"{"Home":"/h","Opts":["mica.driver=aufs"]}"#, "`aufs`"),
    (
        r#"{"Home":"/h","Opts":["mica.driver=overlay","colour=blue"]}"#,
        "`colour`",
    ),
    (r#"{"Home":"/h","Opts":["no-pair"]}"#, "`no-pair`"),
    (r#"{"Home":"/h","Opts":["a\nb"]}"#, "a"),
    (
        r#"{"Home":"/h","UIDMaps":[{"container_id":0,"host_id":1,"size":2}]}"#,
        "UIDMaps",
    ),
    (
        r#"{"Home":"/h","GIDMaps":[{"container_id":0,"host_id":1,"size":2}]}"#,
        "GIDMaps",
    ),
];

fn parse(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn init_binds_once_and_a_restart_remembers_it() {
    let bench = Bench::start(FileSystem::Ext4);
    for (request, names) in BAD_INITS {
        let init = |plugin: &Plugin| plugin.call("Init", &parse(request));
        refused(&bench, request, init, names);
    }
    let plugin = &bench.plugin;
    plugin.init("/h", &["mica.driver=vfs"]).expect("init");
    plugin.create("kept", "").expect("create");
    let bench = bench.restart(mica_tests::daemon::Daemon::kill);
    let plugin = &bench.plugin;
    let there = Ok(json!({ "Exists": true }));
    assert_eq!(plugin.about("Exists", "kept"), there);
    for (home, options, names) in [
        ("/other", &["mica.driver=vfs"][..], ["/h", "/other"]),
        ("/h", &["mica.driver=overlay"], ["`vfs`", "`overlay`"]),
        ("/h", &["mica.driver=vfs", "size=1"], ["``", "`size=1`"]),
    ] {
        for name in names {
            refused(&bench, home, |plugin| plugin.init(home, options), name);
        }
    }
    plugin
        .init("/h", &["mica.driver=vfs"])
        .expect("the same again");
    plugin.init("/h", &[]).expect("whatever driver it has");
    assert_eq!(plugin.about("Exists", "kept"), there);
    let told = plugin.call("Status", &json!({})).expect("status");
    assert_eq!(told["Status"][0], json!(["Mica Driver", "vfs"]));
    let view = bench.daemon.client.get("/v1/stores/docker");
    assert_eq!(view.expect("the store")["client"], "docker /h");
}

/// Calls that are refused in the bench's state, and what the text must name.
const REFUSALS: &[(&str, &str, &str)] = &[
    ("Create", r#"{"ID":"kid"}"#, "`kid`"),
    (
        "CreateReadWrite",
        r#"{"ID":"new","Parent":"none"}"#,
        "`none`",
    ),
    ("Get", r#"{"ID":"none"}"#, "`none`"),
    ("Put", r#"{"ID":"none"}"#, "`none`"),
    ("Put", r#"{"ID":"kid"}"#, "`kid`"),
    ("GetMetadata", r#"{"ID":"none"}"#, "`none`"),
    ("Diff", r#"{"ID":"none","Parent":"base"}"#, "`none`"),
    ("Diff", r#"{"ID":"kid","Parent":"none"}"#, "`none`"),
    ("Changes", r#"{"ID":"none"}"#, "`none`"),
    ("DiffSize", r#"{"ID":"kid","Parent":"none"}"#, "`none`"),
    ("Remove", r#"{"ID":"base"}"#, "`base`"),
    ("Remove", r#"{"ID":"mounted"}"#, "`mounted`"),
    (
        "Create",
        r#"{"ID":"new","MountLabel":"a,b\"c\nd"}"#,
        "label",
    ),
    ("Get", r#"{"ID":"kid","MountLabel":"a,b\"c\nd"}"#, "label"),
    (
        "Create",
        r#"{"ID":"new","StorageOpt":{"a,b\"c\nd":"x"}}"#,
        "a,b",
    ),
    (
        "Create",
        r#"{"ID":"new","StorageOpt":{"size":"1\n2"}}"#,
        "size",
    ),
    ("Create", r#"{"ID":"new","StorageOpt":["size"]}"#, "object"),
    ("Get", r#"{"ID":["kid"]}"#, "string"),
];

#[test]
fn what_is_not_there_or_in_the_way_is_refused_by_name() {
    let bench = bench();
    for (call, request, names) in REFUSALS {
        let what = format!("{call} {request}");
        refused(
            &bench,
            &what,
            |plugin| plugin.call(call, &parse(request)),
            names,
        );
    }
    for (id, names) in [
        ("none", "`none`"),
        ("base", "`base`"),
        ("mounted", "`mounted`"),
    ] {
        let apply = |plugin: &Plugin| plugin.apply(id, "", &[0; 1024]).map(Value::from);
        refused(&bench, id, apply, names);
    }
    let before = state(&bench);
    let removed = bench.plugin.about("Remove", "none");
    assert_eq!(removed, Ok(json!({})), "as moby answers");
    let exists = bench.plugin.about("Exists", "none");
    assert_eq!(exists, Ok(json!({ "Exists": false })));
    assert_eq!(state(&bench), before);
}

#[test]
fn an_id_of_a_forbidden_form_is_refused_by_every_call() {
    let bench = bench();
    let long = "x".repeat(256);
    for id in [
        "", ".", "..", "../base", "a/b", "/", "a\0b", "a\nb", "\u{85}", &long,
    ] {
        for call in LAYER_CALLS {
            refused(&bench, call, |plugin| plugin.about(call, id), "not allowed");
        }
        let parents = LAYER_CALLS.iter().filter(|_| !id.is_empty());
        for call in parents.filter(|call| ["Create", "Diff", "Changes", "DiffSize"].contains(call))
        {
            let request = json!({ "ID": "new", "Parent": id });
            refused(
                &bench,
                call,
                |plugin| plugin.call(call, &request),
                "not allowed",
            );
        }
        let apply = |plugin: &Plugin| plugin.apply(id, "", &[0; 1024]).map(Value::from);
        refused(&bench, "ApplyDiff", apply, "not allowed");
    }
}

#[test]
fn what_is_no_request_is_refused_in_the_protocols_form() {
    let bench = bench();
    let calls = LAYER_CALLS.iter().chain(STORE_CALLS).chain(&["Init"]);
    for call in calls {
        let target = format!("GraphDriver.{call}");
        for (body, names) in [
            (Body::Bytes(b"not json"), "line 1"),
            (Body::Bytes(b"\"text\""), "invalid type"),
            (
                Body::Bytes(b"{\"ID\":\"\xff\",\"Home\":\"\xff\"}"),
                "unicode",
            ),
            (Body::Bytes(&[b'['; 4000]), "invalid type"),
            (Body::Chunked(&[b' '; 2 << 20], 64 << 10), "larger than"),
        ] {
            let answer =
                |plugin: &Plugin| sort(plugin.raw(&target, body)).map(|answer| answer.json());
            refused(&bench, call, answer, names);
        }
        // A gigabyte is refused before it comes.
        let length = [("Content-Length", "1073741824")];
        let socket = &bench.plugin.socket;
        let stream = http::begin(socket, "POST", &format!("/{target}"), &length, Body::Empty);
        let answer = http::read_response(&mut BufReader::new(stream.expect("connect")));
        assert!(
            sort(answer.expect("an answer"))
                .unwrap_err()
                .contains("larger than")
        );
    }
    for (method, target, status) in [
        ("POST", "/GraphDriver.Nothing", 404),
        ("POST", "/v1/status", 404),
        ("GET", "/GraphDriver.Status", 405),
    ] {
        let answer = http::send(&bench.plugin.socket, method, target, &[], Body::Empty);
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.json()["Err"].is_string(), "{answer:?}");
    }
}

/// Go does not repeat a request on a connection that is closed just as it is sent, and keeps connections for good.
#[test]
fn a_connection_of_dockerds_may_be_idle_for_longer_than_others() {
    let bench = Bench::configured(FileSystem::Machine, Some("[api]\nheader_seconds = 1"));
    let mut dockers = UnixStream::connect(&bench.plugin.socket).expect("connect");
    let mut another = UnixStream::connect(&bench.daemon.client.socket).expect("connect");
    let closed = another.read_to_end(&mut Vec::new());
    closed.expect("an idle connection of REST is closed");
    let request = "POST /Plugin.Activate HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    dockers.write_all(request.as_bytes()).expect("send");
    let answer = http::read_response(&mut BufReader::new(dockers));
    assert_eq!(answer.expect("an answer").status, 200);
}

#[test]
fn references_are_counted_and_given_back() {
    let bench = bench();
    let plugin = &bench.plugin;
    let first = plugin.get("kid").expect("get");
    assert_eq!(plugin.get("kid"), Ok(first.clone()), "one mount for all");
    plugin.about("Put", "kid").expect("put");
    tree::build(&first, "f etc/new data=new");
    plugin.about("Put", "kid").expect("put");
    assert!(
        !first.join("etc").exists(),
        "it is unmounted with the last reference"
    );
    refused(
        &bench,
        "a Put too many",
        |plugin| plugin.about("Put", "kid"),
        "`kid`",
    );
    // A child of a layer that is mounted, as BuildKit makes it.
    plugin.get("kid").expect("get");
    plugin
        .call(
            "CreateReadWrite",
            &json!({ "ID": "kid-init", "Parent": "kid" }),
        )
        .expect("create");
    let child = plugin.get("kid-init").expect("get");
    assert_eq!(
        std::fs::read_to_string(child.join("etc/new")).expect("a file"),
        "new"
    );
    for id in ["kid-init", "kid", "mounted"] {
        plugin.about("Put", id).expect("put");
    }
    for id in ["kid-init", "kid", "mounted", "base"] {
        plugin.about("Remove", id).expect("remove");
    }
    assert_eq!(
        bench
            .daemon
            .client
            .get("/v1/stores/docker")
            .expect("the store")["layers"],
        0
    );
}

#[test]
fn mounts_outlive_mica_and_references_end_with_their_dockerd() {
    let bench = bench();
    let root = bench.plugin.get("kid").expect("get");
    bench.plugin.get("kid").expect("get");
    tree::build(&root, "f etc/new data=new");
    let mounts = bench.lab.mount_table();
    let bench = bench.restart(mica_tests::daemon::Daemon::kill);
    assert_eq!(
        bench.lab.mount_table(),
        mounts,
        "a restart of Mica moves no mount"
    );
    assert_eq!(bench.plugin.get("kid"), Ok(root.clone()));
    // A dockerd that was killed held three references; the next one knows of none, but its containers may still run.
    bench
        .plugin
        .init("/docker/mica", &["mica.driver=overlay"])
        .expect("init");
    assert_eq!(
        bench.lab.mount_table(),
        mounts,
        "a restart of dockerd moves no mount either"
    );
    assert_eq!(bench.plugin.get("kid"), Ok(root.clone()));
    bench.plugin.about("Put", "kid").expect("put");
    assert!(root.join("etc").exists(), "its container may still run");
    bench
        .plugin
        .about("Put", "kid")
        .expect("put, though this dockerd did not get");
    assert!(!root.join("etc").exists());
    refused(
        &bench,
        "a Put too many",
        |plugin| plugin.about("Put", "kid"),
        "`kid`",
    );
    bench
        .plugin
        .about("Remove", "mounted")
        .expect("no one holds the mount");
    bench.plugin.get("kid").expect("get");
    bench.plugin.call("Cleanup", &json!({})).expect("cleanup");
    assert_eq!(
        bench
            .daemon
            .client
            .get("/v1/stores/docker")
            .expect("the store")["mounts"],
        0
    );
}

#[test]
fn a_mount_that_is_in_use_goes_with_its_layer_afterwards() {
    let bench = bench();
    let root = bench.plugin.get("kid").expect("get");
    let held = std::fs::File::open(root.join("etc/file")).expect("a file");
    let text = bench.plugin.about("Put", "kid").unwrap_err();
    assert!(text.contains("`kid`") && text.contains("in use"), "{text}");
    let text = bench.plugin.about("Remove", "kid").unwrap_err();
    assert!(text.contains("`kid`") && text.contains("in use"), "{text}");
    drop(held);
    bench.plugin.about("Remove", "kid").expect("remove");
    assert!(!root.exists());
}

/// An archive whose deletions have no time: as with moby, theirs is that of the apply, not of the entry.
fn without_times_of_whiteouts(mut archive: Vec<u8>) -> Vec<u8> {
    let mut at = 0;
    while archive.get(at).is_some_and(|first| *first != 0) {
        let header = &mut archive[at..at + 512];
        let text = |field: &[u8]| {
            String::from_utf8_lossy(field)
                .trim_end_matches('\0')
                .to_owned()
        };
        let size = u64::from_str_radix(text(&header[124..135]).trim(), 8).expect("a size");
        let name = text(&header[..100]);
        if name
            .rsplit('/')
            .next()
            .is_some_and(|last| last.starts_with(".wh."))
        {
            // The time, and the checksum that it changes.
            header[136..156].fill(0);
        }
        at += 512
            + usize::try_from(size)
                .expect("a small file")
                .next_multiple_of(512);
    }
    archive
}

#[test]
fn differences_come_in_dockers_shapes() {
    let bench = bench();
    let root = bench.plugin.get("kid").expect("get");
    tree::build(
        &root,
        "f etc/file data=changed\n- etc/gone\nd new\nf new/file fill=1000",
    );
    let request = json!({ "ID": "kid", "Parent": "base" });
    let changes = bench.plugin.call("Changes", &request).expect("changes");
    let expected = json!({ "Changes": [
        { "Path": "/etc", "Kind": 0 },
        { "Path": "/etc/file", "Kind": 0 },
        { "Path": "/etc/gone", "Kind": 2 },
        { "Path": "/new", "Kind": 1 },
        { "Path": "/new/file", "Kind": 1 },
    ] });
    assert_eq!(changes, expected);
    assert_eq!(
        bench.plugin.call("DiffSize", &request),
        Ok(json!({ "Size": 1007 }))
    );
    let none = json!({ "ID": "mounted", "Parent": "base" });
    assert_eq!(bench.plugin.call("Changes", &none), Ok(json!({})));
    bench.plugin.about("Put", "kid").expect("put");
    let archive = bench.plugin.diff("kid", "base").expect("diff");
    bench.plugin.create("twice", "base").expect("create");
    for _ in 0..2 {
        assert_eq!(bench.plugin.apply("twice", "base", &archive), Ok(1007));
        let again = bench.plugin.diff("twice", "base").expect("diff");
        assert_eq!(
            without_times_of_whiteouts(again),
            without_times_of_whiteouts(archive.clone())
        );
    }
    let told = bench.plugin.about("GetMetadata", "kid").expect("metadata");
    for key in ["LowerDir", "UpperDir", "WorkDir"] {
        let path = told["Metadata"][key].as_str().expect("a directory");
        assert!(std::path::Path::new(path).is_dir(), "{told}");
    }
}

#[test]
fn a_broken_archive_leaves_the_layer_as_it_was() {
    let bench = bench();
    let archive = bench.plugin.diff("base", "").expect("diff");
    for (what, bytes, names) in [
        ("cut off within a header", &archive[..700], "archive"),
        ("no archive", &[b'x'; 2048][..], "tar header"),
    ] {
        let apply = |plugin: &Plugin| plugin.apply("kid", "base", bytes).map(Value::from);
        refused(&bench, what, apply, names);
    }
    assert_eq!(
        bench
            .plugin
            .call("Changes", &json!({ "ID": "kid", "Parent": "base" })),
        Ok(json!({}))
    );
}

/// Waits until nothing runs any more.
fn quiet(bench: &Bench) {
    let running = || bench.daemon.client.get("/v1/status").expect("status")["running"] != 0;
    wait("an operation goes on without its client", || !running());
}

#[test]
fn an_archive_waits_for_its_reader_and_breaks_off_when_a_file_does() {
    let bench = bench();
    let root = bench.plugin.get("kid").expect("get");
    tree::build(&root, "f large fill=50000000");
    let body = json!({ "ID": "kid", "Parent": "base" });
    let socket = &bench.plugin.socket;
    let extra = [("Content-Length", &*body.to_string().len().to_string())];
    let begun = http::begin(socket, "POST", "/GraphDriver.Diff", &extra, Body::Empty);
    let mut stream = begun.expect("connect");
    stream.write_all(body.to_string().as_bytes()).expect("send");
    stream.read_exact(&mut [0; 1]).expect("the beginning");
    // Nobody reads, so most of the file is still to come.
    let file = std::fs::File::options()
        .write(true)
        .open(root.join("large"));
    file.and_then(|file| file.set_len(0)).expect("truncate");
    let mut rest = Vec::new();
    let ended = stream.read_to_end(&mut rest);
    let whole = ended.is_ok() && rest.ends_with(b"0\r\n\r\n");
    assert!(!whole, "a short archive looks whole");
    assert!(
        rest.len() < 40_000_000,
        "{} bytes were read ahead",
        rest.len()
    );
    quiet(&bench);
    bench.plugin.about("Put", "kid").expect("put");
    bench
        .plugin
        .about("Remove", "kid")
        .expect("no lock is left");
}

#[test]
fn a_client_that_goes_away_in_a_stream_leaves_no_lock_and_no_mount() {
    let bench = bench();
    let root = bench.plugin.get("kid").expect("get");
    tree::build(&root, "f large fill=50000000");
    bench.plugin.about("Put", "kid").expect("put");
    let before = state(&bench);
    let request = json!({ "ID": "kid", "Parent": "base" });
    for _ in 0..3 {
        let body = request.to_string();
        let length = [("Content-Length", body.len().to_string())];
        let length = length
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        let begun = http::begin(
            &bench.plugin.socket,
            "POST",
            "/GraphDriver.Diff",
            &length,
            Body::Empty,
        );
        let mut stream = begun.expect("connect");
        stream.write_all(body.as_bytes()).expect("send");
        stream.read_exact(&mut [0; 100_000]).expect("the beginning");
        drop(stream);
        quiet(&bench);
    }
    for _ in 0..3 {
        let target = "/GraphDriver.ApplyDiff?id=kid&parent=base";
        let chunked = Body::Chunked(&[], 1);
        let mut stream =
            http::begin(&bench.plugin.socket, "POST", target, &[], chunked).expect("connect");
        let archive = bench.plugin.diff("base", "").expect("diff");
        write!(stream, "{:x}\r\n", archive.len()).expect("send");
        stream.write_all(&archive[..600]).expect("send");
        drop(stream);
        quiet(&bench);
    }
    assert_eq!(state(&bench), before);
    bench
        .plugin
        .about("Remove", "kid")
        .expect("no lock is left");
}
