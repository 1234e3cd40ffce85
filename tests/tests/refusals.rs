//! Bad input gets a clear error that names the object, with a stable code and exit code, and leaves nothing behind.

use mica_tests::client::{Problem, sort};
use mica_tests::command::{mica, mica_alone};
use mica_tests::daemon::Settings;
use mica_tests::http::{Body, percent};
use mica_tests::lab::{FileSystem, Lab};
use mica_tests::setup::{self, Bench};
use serde::Deserialize;
use serde_json::json;

/// Exit codes as `mica --help` documents them.
mod exit {
    pub(crate) const USAGE: i32 = 2;
    pub(crate) const NOT_FOUND: i32 = 3;
    pub(crate) const INVALID: i32 = 6;
    pub(crate) const UNREACHABLE: i32 = 7;
}

/// A request that must be refused, and the command that asks for the same.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    source: String,
    request: String,
    body: Option<String>,
    status: u16,
    code: String,
    names: String,
    command: Option<Vec<String>>,
    exit: Option<i32>,
}

#[derive(Debug, Deserialize)]
struct Cases {
    case: Vec<Case>,
}

const LAYERS: &str = "/v1/stores/default/layers";

fn bench() -> Bench {
    let bench = setup::OVERLAY_EXT4.start();
    bench.store.create("base", None).expect("create");
    bench.store.create("kid", Some("base")).expect("create");
    bench.store.create("mounted", None).expect("create");
    bench.store.mount("mounted").expect("mount");
    bench
}

#[test]
fn unknown_and_conflicting_things_are_refused_by_name() {
    let cases: Cases = toml::from_str(include_str!("../cases/refusals.toml")).expect("cases");
    let bench = bench();
    let watch = bench.watch();
    for case in cases.case {
        println!("{} ({})", case.request, case.source);
        let (method, target) = case.request.split_once(' ').expect("a method and a target");
        let client = &bench.daemon.client;
        let answer = match &case.body {
            Some(body) => client.raw_json(method, target, body.as_bytes()),
            None => client.call(method, target, Body::Empty),
        };
        let problem = answer.expect_err("it must be refused");
        problem.is(case.status, &case.code, &case.names);
        if let (Some(command), Some(exit)) = (&case.command, case.exit) {
            let arguments: Vec<_> = command.iter().map(String::as_str).collect();
            refused_on_the_command_line(&bench, &arguments, exit, &case);
        }
        watch.check();
    }
}

fn refused_on_the_command_line(bench: &Bench, arguments: &[&str], exit: i32, case: &Case) {
    let ended = mica(&bench.daemon.client.socket, arguments);
    println!("mica {arguments:?}: {}", ended.stderr);
    ended.failed(exit, &case.names);
    let json = mica(
        &bench.daemon.client.socket,
        &[&["--output", "json"], arguments].concat(),
    );
    let problem: Problem =
        serde_json::from_str(&json.stderr).expect("a problem document on standard error");
    assert_eq!(
        (problem.code.as_str(), json.code),
        (case.code.as_str(), exit)
    );
}

fn refused_by_other_calls(bench: &Bench, id: &str) {
    let calls = "GET , DELETE , POST /mount, POST /unmount, GET /diff, GET /changes, GET /size";
    for (method, rest) in calls.split(", ").filter_map(|call| call.split_once(' ')) {
        let target = bench.store.target(id, rest);
        let response = bench.daemon.client.send(method, &target, Body::Empty);
        assert!(
            (400..500).contains(&response.status),
            "{method} {target}: {response:?}"
        );
        sort(response).expect_err("a problem");
    }
}

/// Ids that no layer may have, as the JSON text of a string.
const BAD_IDS: &[&str] = &[
    "",
    ".",
    "..",
    "../x",
    "a/b",
    "/abs",
    "a/",
    "/",
    "nul\0byte",
    "line\nbreak",
    "tab\tbed",
    "\u{1b}[31m",
    "\u{7f}",
    "\u{85}",
];

/// FEATURES 6.2 no. 24; ATTACKS 49.
#[test]
fn bad_ids_are_refused_by_every_call() {
    let bench = bench();
    let watch = bench.watch();
    let long = "n".repeat(256);
    let longer = "n".repeat(4096);
    for id in BAD_IDS
        .iter()
        .copied()
        .chain([long.as_str(), longer.as_str()])
    {
        let problem = bench.store.create(id, None).expect_err(id);
        problem.is(400, "invalid-id", "");
        assert!(problem.remedy.is_some(), "{problem:?}");
        assert!(
            problem.detail.len() < 1024 && !problem.detail.contains(char::is_control),
            "{problem:?}"
        );
        let problem = bench.store.create("child", Some(id)).expect_err(id);
        assert_eq!(problem.status, 400, "parent {id:?}: {problem:?}");
        refused_by_other_calls(&bench, id);
        let ended = mica(
            &bench.daemon.client.socket,
            &["layer", "create", "--", &id.replace('\0', "\u{1}")],
        );
        assert_eq!(ended.code, exit::INVALID, "{id:?}: {}", ended.stderr);
        watch.check();
    }
    for encoded in [
        "%FF",
        "a%FFb",
        "%C3%28",
        "%00",
        "%2E%2E",
        "%2F",
        "..%2F..%2Fvictim",
    ] {
        let response = bench
            .daemon
            .client
            .send("GET", &format!("{LAYERS}/{encoded}"), Body::Empty);
        sort(response)
            .expect_err("a problem")
            .is(400, "invalid-id", "");
    }
    watch.check();
}

/// FEATURES 6.2 no. 27; ATTACKS 51: a comma or colon was once an option of the mount.
#[test]
fn odd_ids_that_are_right_work() {
    let bench = setup::OVERLAY_EXT4.start();
    let long = "n".repeat(255);
    let odd = [
        "-x",
        "--help",
        "l",
        "tmp",
        "staging",
        "x-init",
        "x-removing",
        "a,lowerdir=b",
        "a:b",
        "a\\b",
        "with space",
        "ünï",
        "Case",
        "case",
        "%2e",
        "a?b#c",
        "...",
        ".hidden",
        "caf\u{e9}",
        "cafe\u{301}",
        "*",
        "null",
        "1",
        long.as_str(),
    ];
    let watch = bench.watch();
    for id in odd {
        bench
            .store
            .create(id, None)
            .unwrap_or_else(|problem| panic!("{id:?}: {problem:?}"));
    }
    let mut sorted: Vec<_> = odd.to_vec();
    sorted.sort_unstable();
    assert_eq!(bench.store.ids(), sorted, "listed in byte order");
    for id in odd {
        let child = format!("{}-child", &id[..id.len().min(200)]);
        bench
            .store
            .create(&child, Some(id))
            .unwrap_or_else(|problem| panic!("{id:?}: {problem:?}"));
        let path = bench
            .store
            .mount(&child)
            .unwrap_or_else(|problem| panic!("{id:?}: {problem:?}"));
        std::fs::write(path.join("f"), id).expect("write");
        assert_eq!(bench.store.unmount(&child).expect("unmount"), 0);
        assert_eq!(bench.store.inspect(id).expect("inspect")["id"], id);
        bench.store.remove(&child).expect("remove the child");
        bench.store.remove(id).expect("remove");
    }
    watch.check();
}

#[test]
fn wrong_requests_say_what_is_wrong() {
    let bench = bench();
    let watch = bench.watch();
    let cases = [
        (json!({"id": "x", "parnet": "base"}), "parnet"),
        (json!({"id": "x", "kind": "other"}), "other"),
        (json!({"id": 7}), ""),
        (json!({"parent": "base"}), "id"),
        (json!([1, 2]), ""),
        (
            json!({"id": "x", "storage_options": {"bogus": "1"}}),
            "bogus",
        ),
        (
            json!({"id": "x", "mount_label": "system_u:object_r:a\",lowerdir=/etc"}),
            "",
        ),
        (json!({"id": "x", "mount_label": "a\nb"}), ""),
    ];
    for (body, names) in cases {
        let problem = bench
            .daemon
            .client
            .json("POST", LAYERS, &body)
            .expect_err("a wrong request");
        assert!(matches!(problem.status, 400 | 422), "{body}: {problem:?}");
        assert!(problem.detail.contains(names), "{body}: {problem:?}");
        watch.check();
    }
    watch.check();
}

#[test]
fn what_is_no_json_is_refused() {
    let bench = bench();
    let watch = bench.watch();
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    for body in [
        "",
        "{",
        "{\"id\": \"x\"",
        "\u{0}",
        "{\"id\": \"x\", \"id\": \"y\"}",
        "{\"id\": 1e999}",
        &deep,
    ] {
        let problem = bench
            .daemon
            .client
            .raw_json("POST", LAYERS, body.as_bytes())
            .expect_err("no JSON");
        assert_eq!(problem.status, 400, "{body:.40}: {problem:?}");
    }
    let problem = bench
        .daemon
        .client
        .raw_json("POST", LAYERS, b"{\"id\": \"\xff\"}")
        .expect_err("no UTF-8");
    assert_eq!(problem.status, 400, "{problem:?}");
    let large = format!("{{\"id\": \"{}\"}}", "x".repeat(2 << 20));
    let problem = bench
        .daemon
        .client
        .raw_json("POST", LAYERS, large.as_bytes())
        .expect_err("too large");
    assert!(matches!(problem.status, 400 | 413), "{problem:?}");
    watch.check();
}

#[test]
fn unknown_paths_methods_and_queries_are_problems() {
    let bench = bench();
    let cases = [
        ("GET", "/", 404),
        ("GET", "/v1/nothing", 404),
        ("GET", "/v2/status", 404),
        ("POST", "/v1/status", 405),
        ("PATCH", "/v1/stores/default", 405),
        ("GET", "/v1/stores/default/layers?limit=x", 400),
        ("GET", "/v1/stores/default/layers?bogus=1", 400),
        ("GET", "/v1/stores/..%2f..%2fetc/layers", 404),
    ];
    for (method, path, status) in cases {
        let problem = bench
            .daemon
            .client
            .call(method, path, Body::Empty)
            .expect_err(path);
        assert!(
            problem.status == status || (status == 404 && problem.status == 400),
            "{method} {path}: {problem:?}"
        );
    }
}

#[test]
fn a_query_key_that_is_not_known_is_refused_by_every_operation() {
    let bench = bench();
    bench.store.create("kept", None).expect("create");
    let client = &bench.daemon.client;
    let document = client.get("/v1/openapi.json").expect("the document");
    let mut operations = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        let target = path
            .replace("{store}", "default")
            .replace("{id}", "kept")
            .replace("{driver}", "vfs")
            .replace("{key}", "kept");
        for method in item.as_object().expect("methods").keys() {
            operations += 1;
            for query in ["dry_run=true", "access=read-only", "store=default", "", "="] {
                let known = &item[method]["parameters"];
                let is_known = |key: &str| {
                    known
                        .as_array()
                        .into_iter()
                        .flatten()
                        .any(|parameter| parameter["in"] == "query" && parameter["name"] == key)
                };
                let key = query.split('=').next().unwrap_or_default();
                if query.is_empty() || is_known(key) {
                    continue;
                }
                let target = format!("{target}?{query}");
                let method = method.to_uppercase();
                let problem = client
                    .call(&method, &target, Body::Empty)
                    .expect_err(&target);
                assert_eq!(
                    (problem.status, problem.code.as_str()),
                    (400, "invalid-request"),
                    "{method} {target}: {problem:?}"
                );
                assert!(problem.detail.contains(&format!("`{key}`")), "{problem:?}");
            }
        }
    }
    assert!(operations > 20, "{operations} operations");
    bench.store.inspect("kept").expect("nothing was done");
    bench.watch().check();
}

#[test]
fn bad_names_and_options_of_stores_are_refused() {
    let bench = bench();
    let watch = bench.watch();
    for name in ["", ".", "..", "a/b", "../x", "UPPER\u{0}", &"n".repeat(300)] {
        let problem = bench
            .daemon
            .client
            .create_store(name, "vfs", &json!({}))
            .expect_err(name);
        assert!(
            (400..500).contains(&problem.status),
            "{name:?}: {problem:?}"
        );
    }
    for options in [
        json!({"bogus": "1"}),
        json!({"vfs.bogus": "1"}),
        json!({"overlay.size": "10G"}),
    ] {
        let problem = bench
            .daemon
            .client
            .create_store("other", "vfs", &options)
            .expect_err("an unknown option");
        assert_eq!(problem.status, 400, "{options}: {problem:?}");
        let key = options
            .as_object()
            .expect("an object")
            .keys()
            .next()
            .expect("a key");
        assert!(problem.detail.contains(key.as_str()), "{problem:?}");
    }
    let stores = bench.daemon.client.get("/v1/stores").expect("stores");
    assert_eq!(
        stores.to_string().matches("\"name\":\"").count(),
        1,
        "{stores}"
    );
    watch.check();
    bench
        .daemon
        .client
        .create_store("other", "vfs", &json!({}))
        .expect("the same name, rightly asked for");
    bench
        .daemon
        .client
        .call("DELETE", "/v1/stores/other", Body::Empty)
        .expect("an empty store goes");
}

#[test]
fn a_chain_that_is_too_deep_is_refused() {
    let lab = Lab::on(FileSystem::Ext4);
    let mut settings = setup::OVERLAY_EXT4.settings(&lab);
    settings.configuration = Some("[drivers.overlay]\nmax_depth = 4\n".to_owned());
    let daemon = settings.start();
    let store = daemon.client.default_store();
    let bench = Bench { daemon, store, lab };
    let ids: Vec<String> = (0..8).map(|number| format!("l{number}")).collect();
    let mut parent = None;
    let refused = ids.iter().find_map(|id| {
        let created = bench.store.create(id, parent);
        parent = Some(id.as_str());
        created.err().map(|problem| (id, problem))
    });
    let (id, problem) = refused.expect("a limit");
    problem.is(422, "too-deep", id);
    assert!(["l4", "l5"].contains(&id.as_str()), "refused at {id}");
    assert!(
        problem.detail.contains('4') || problem.remedy.is_some_and(|remedy| remedy.contains('4'))
    );
    bench.watch().check();
}

#[test]
fn a_second_daemon_on_the_same_root_is_refused() {
    let bench = bench();
    let watch = bench.watch();
    let second = Settings::new(&bench.lab.root(), &bench.lab.path("run2"), "");
    let log = second.try_start().expect_err("the root is taken");
    assert!(
        log.contains(&bench.lab.root().display().to_string()),
        "{log}"
    );
    assert!(
        log.contains("try: ") || log.contains("another"),
        "no remedy: {log}"
    );
    let same_socket = Settings::new(&bench.lab.path("fs/other-root"), &bench.lab.path("run"), "")
        .command()
        .output();
    let output = same_socket.expect("run the daemon");
    assert!(!output.status.success(), "two daemons on one socket");
    watch.check();
}

#[test]
fn a_wrong_configuration_is_refused_by_name() {
    let lab = Lab::on(FileSystem::Machine);
    let cases = [
        ("bogus_key = 1\n", "bogus_key"),
        ("[limits]\nbogus_limit = 1\n", "bogus_limit"),
        ("[drivers.vfs]\nbogus = 1\n", "bogus"),
        ("[drivers.vfs]\ngrants = [\"everything\"]\n", "everything"),
        ("durability = \"sometimes\"\n", "sometimes"),
        ("root = [1\n", "line 1"),
    ];
    for (text, names) in cases {
        let mut settings = Settings::new(&lab.root(), &lab.path("run"), "vfs");
        settings.configuration = Some(text.to_owned());
        let log = settings.try_start().expect_err(text);
        assert!(log.contains(names), "{text}: {log}");
    }
    let log = Settings::new(&lab.root(), &lab.path("run"), "nodriver")
        .try_start()
        .expect_err("no such driver");
    assert!(log.contains("nodriver"), "{log}");
    let mut settings = Settings::new(&lab.root(), &lab.path("run"), "vfs");
    settings.arguments = vec!["--tcp".into(), "0.0.0.0:0".into()];
    let log = settings.try_start().expect_err("not loopback");
    assert!(log.contains("loopback") || log.contains("0.0.0.0"), "{log}");
}

#[test]
fn a_driver_says_what_it_lacks() {
    // Overlay refuses to be its own backing file system: no upper on an overlay or on a file system without types.
    let lab = Lab::on(FileSystem::Tmpfs);
    for name in ["lower", "upper", "work", "merged"] {
        std::fs::create_dir(lab.path(&format!("fs/{name}"))).expect("make a directory");
    }
    let merged = lab.path("fs/merged");
    let at = |name: &str| lab.path(&format!("fs/{name}")).display().to_string();
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        at("lower"),
        at("upper"),
        at("work")
    );
    mica_tests::lab::run(&[
        "mount",
        "-t",
        "overlay",
        "-o",
        &options,
        "overlay",
        &at("merged"),
    ]);
    let log = match Settings::new(&merged.join("root"), &lab.path("run"), "overlay").try_start() {
        Ok(_) => panic!("overlay on overlay"),
        Err(log) => log,
    };
    assert!(
        [
            "incompatible-fs",
            "prerequisites",
            "not-supported",
            "overlay"
        ]
        .iter()
        .any(|word| log.contains(word)),
        "{log}"
    );
    // Without a wish the daemon takes the next driver that can.
    let daemon = Settings::new(&merged.join("root2"), &lab.path("run2"), "").start();
    let view = daemon.client.get("/v1/stores/default").expect("a store");
    assert_eq!(view["driver"], "vfs", "{view}");
    daemon.stop();
}

#[test]
fn a_broken_layer_is_not_mounted() {
    let bench = setup::OVERLAY_EXT4.start();
    bench.store.create("whole", None).expect("create");
    bench.store.create("broken", None).expect("create");
    // Someone took the content of the newest layer away.
    let layers = bench.lab.home("default").join("layers");
    let newest = std::fs::read_dir(&layers)
        .expect("layers")
        .flatten()
        .map(|entry| entry.path());
    let number = |path: &std::path::PathBuf| path.file_name()?.to_str()?.parse::<u64>().ok();
    let newest = newest.max_by_key(number).expect("a layer");
    std::fs::remove_dir_all(newest.join("d")).expect("remove the room");
    let table = bench.lab.mount_table();
    let problem = bench
        .store
        .mount("broken")
        .expect_err("there is nothing to mount");
    assert!(
        problem.status >= 400 && problem.detail.contains("broken"),
        "{problem:?}"
    );
    assert_eq!(bench.lab.mount_table(), table);
    bench.store.mount("whole").expect("the others are whole");
    bench.store.unmount("whole").expect("unmount");
    bench
        .store
        .remove("broken")
        .expect("what is broken can be removed");
    bench.watch().check();
}

#[test]
fn the_command_line_says_how_it_is_used() {
    for arguments in [
        &["layer"][..],
        &["bogus"],
        &["layer", "create"],
        &["--output", "xml", "status"],
        &["serve", "--bogus"],
    ] {
        let ended = mica_alone(arguments);
        assert_eq!(ended.code, exit::USAGE, "{arguments:?}: {}", ended.stderr);
        assert!(
            ended.stdout.is_empty() && !ended.stderr.is_empty(),
            "{arguments:?}"
        );
    }
    let ended = mica(std::path::Path::new("/nonexistent/mica.sock"), &["status"]);
    ended.failed(exit::UNREACHABLE, "/nonexistent/mica.sock");
    assert!(ended.stderr.contains("try: "), "{}", ended.stderr);
}

#[test]
fn archives_on_the_command_line_are_refused_the_same_way() {
    let bench = bench();
    let socket = &bench.daemon.client.socket;
    let watch = bench.watch();
    let junk =
        mica_tests::command::mica_with_input(socket, &["layer", "apply", "kid", "-"], &[7; 5000]);
    junk.failed(exit::INVALID, "kid");
    let missing = mica(socket, &["layer", "apply", "kid", "/nonexistent.tar"]);
    assert_ne!(missing.code, 0);
    assert!(
        missing.stderr.contains("/nonexistent.tar"),
        "{}",
        missing.stderr
    );
    let unknown = mica(socket, &["layer", "diff", "ghost"]);
    unknown.failed(exit::NOT_FOUND, "ghost");
    let child = mica(socket, &["layer", "rm", "base", "ghost"]);
    assert_ne!(child.code, 0);
    watch.check();
    assert_eq!(percent(b".."), "%2E%2E");
}
