//! Whose fault it is: what archives, processes and clients do is never the driver's, and a driver that breaks is kept from
//! the layer and the store that it broke in before it is kept from others.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::thread::sleep;
use std::time::Duration;

use mica_tests::archive::archive;
use mica_tests::build::hostile_driver;
use mica_tests::client::{Against, Client, Store};
use mica_tests::command::mica;
use mica_tests::daemon::{Daemon, Settings};
use mica_tests::docker;
use mica_tests::http::{self, Body};
use mica_tests::lab::{FileSystem, Lab};
use mica_tests::listing;
use mica_tests::setup::{self, Bench};
use mica_tests::tree;
use rustix::fs::{XattrFlags, setxattr};
use serde_json::{Value, json};

/// How often a mistake is made: more than a driver's own faults would be borne.
const TIMES: usize = 4;

/// A daemon with a store of a driver that comes with it, and this configuration.
fn configured(file_system: FileSystem, driver: &str, configuration: &str) -> Bench {
    let lab = Lab::on(file_system);
    let mut settings = Settings::new(&lab.root(), &lab.path("run"), driver);
    settings.configuration = Some(configuration.to_owned());
    let daemon = settings.start();
    let store = daemon.client.default_store();
    Bench { daemon, store, lab }
}

/// No driver is to blame for anything, and another store of the driver goes on.
#[track_caller]
fn is_nobodys_fault(daemon: &Daemon, driver: &str) {
    let status = daemon.client.get("/v1/status").expect("status");
    assert_eq!(status["faults"], 0, "{status}");
    assert_eq!(status["problems"], json!([]), "{status}");
    let view = daemon.client.get(&format!("/v1/drivers/{driver}"));
    let view = view.expect("the driver");
    assert_eq!(
        (&view["quarantined"], &view["quarantines"]),
        (&Value::Null, &Value::Null)
    );
    let other = daemon.client.create_store("other", driver, &json!({}));
    let other = other.expect("another store");
    other.create("layer", None).expect("create");
    other
        .apply("layer", &archive("f file data=fine\n"))
        .expect("apply");
    other.remove("layer").expect("remove");
}

fn many_options() -> serde_json::Map<String, Value> {
    (0..60_000)
        .map(|number| (format!("o{number}"), json!("")))
        .collect()
}

#[test]
fn options_without_end_are_the_client_s() {
    let bench = setup::OVERLAY_EXT4.start();
    for _ in 0..TIMES {
        let request = json!({ "id": "layer", "storage_options": many_options() });
        let refused = bench.store.create_as(request).expect_err("too many");
        refused.is(400, "invalid-option", "limits.options");
        let long = json!({ "id": "layer", "storage_options": { "size": "x".repeat(100_000) } });
        let refused = bench.store.create_as(long).expect_err("too long");
        refused.is(400, "invalid-option", "limits.option_value_bytes");
        let refused = bench
            .daemon
            .client
            .create_store("many", "overlay", &many_options().into());
        refused
            .expect_err("too many")
            .is(400, "invalid-option", "limits.options");
    }
    is_nobodys_fault(&bench.daemon, "overlay");
}

#[test]
fn options_without_end_through_docker_s_socket_are_the_client_s() {
    let bench = docker::Bench::with(FileSystem::Ext4, "overlay");
    for _ in 0..TIMES {
        let request = json!({ "ID": "layer", "Parent": "", "StorageOpt": many_options() });
        let refused = bench.plugin.call("Create", &request).expect_err("too many");
        assert!(refused.contains("limits.options"), "{refused}");
        let request = json!({ "ID": "layer", "Parent": "", "MountLabel": "x".repeat(100_000) });
        bench.plugin.call("Create", &request).expect_err("no label");
        bench
            .plugin
            .create(&"x".repeat(10_000), "")
            .expect_err("no id");
    }
    bench.plugin.create("fine", "").expect("create");
    is_nobodys_fault(&bench.daemon, "overlay");
}

/// A connection with the head of an upload, and the first bytes of its body.
fn begin_upload(store: &Store, id: &str, bytes: &[u8], first: usize) -> UnixStream {
    let target = store.target(id, "/diff");
    let socket = &store.client.socket;
    let mut stream =
        http::begin(socket, "PUT", &target, &[], Body::Bytes(bytes)).expect("begin an upload");
    stream.write_all(&bytes[..first]).expect("send");
    stream
}

/// Longer than an operation may take of its own: see the configuration of those who use it.
const SLOW: Duration = Duration::from_secs(25);
/// What an operation may take of its own: far more than it needs here, however busy the machine is. One slow upload more
/// than the driver may run operations.
const LIMITS: &str =
    "[limits]\nlong_seconds = 20\ndriver_operations = 2\noperations = 3\nstreams = 5\n";

#[test]
fn clients_that_are_slow_take_their_own_time_and_no_one_s_place() {
    let bench = configured(FileSystem::Ext4, "overlay", LIMITS);
    let (store, bytes) = (
        &bench.store,
        archive("f file fill=3000000\nf last data=end\n"),
    );
    for id in ["a", "b", "c", "d", "large"] {
        store.create(id, None).expect("create");
    }
    store
        .apply("large", &archive("f file fill=30000000\n"))
        .expect("apply");
    let uploads: Vec<_> = ["a", "b", "c", "d"]
        .into_iter()
        .enumerate()
        .map(|(number, id)| {
            (
                id,
                700 + number,
                begin_upload(store, id, &bytes, 700 + number),
            )
        })
        .collect();
    let target = store.target("large", "/diff?parent=");
    let download = http::begin(&store.client.socket, "GET", &target, &[], Body::Empty);
    let mut download = BufReader::new(download.expect("begin a download"));
    let mut head = [0; 1000];
    download.read_exact(&mut head).expect("the first bytes");
    // All five wait for their clients. Everything else goes on at once.
    store.create("meanwhile", None).expect("create");
    store.view("meanwhile").expect("mount");
    store.unmount("meanwhile").expect("unmount");
    store.remove("meanwhile").expect("remove");
    sleep(SLOW);
    for (id, sent, mut upload) in uploads {
        upload.write_all(&bytes[sent..]).expect("send the rest");
        let answer = http::read_response(&mut BufReader::new(upload)).expect("an answer");
        assert_eq!(answer.status, 200, "{id}: {answer:?}");
        let diff = store.diff(id, Against::Parent).expect("diff");
        assert!(listing::lines(&diff).contains("last"), "{id} is not whole");
    }
    let mut rest = Vec::new();
    download.read_to_end(&mut rest).expect("the rest");
    assert!(rest.len() > 30_000_000, "{} bytes", rest.len());
    assert!(rest.ends_with(b"\r\n0\r\n\r\n"), "the archive broke off");
    is_nobodys_fault(&bench.daemon, "overlay");
}

#[test]
fn a_client_that_stands_still_is_told_of_its_own_stream() {
    let configuration = "[limits]\nstream_idle_seconds = 1\n";
    let bench = configured(FileSystem::Ext4, "vfs", configuration);
    bench.store.create("layer", None).expect("create");
    let bytes = archive("f file fill=300000\n");
    for _ in 0..TIMES {
        let upload = begin_upload(&bench.store, "layer", &bytes, 700);
        let answer = http::read_response(&mut BufReader::new(upload)).expect("an answer");
        let problem = answer.json();
        assert_eq!(
            (answer.status, &problem["code"]),
            (400, &json!("body-broke-off"))
        );
        let detail = problem["detail"].as_str().expect("a detail");
        assert!(
            detail.contains("nothing of the body came for 1 s"),
            "{problem}"
        );
    }
    is_nobodys_fault(&bench.daemon, "vfs");
}

#[test]
fn a_node_with_megabytes_of_attributes_is_named_and_no_driver_s_fault() {
    for setup in [
        setup::OVERLAY_XFS,
        setup::EROFS_XFS,
        setup::VFS_XFS,
        setup::BTRFS,
    ] {
        let bench = setup.start();
        let store = &bench.store;
        store.create("layer", None).expect("create");
        let top = store.mount("layer").expect("mount");
        tree::build(&top, "d a\nf a/heavy data=1\nf fine data=2 x:user.a=1\n");
        // As many as their names fit into the kernel's list.
        for number in 0..2300 {
            let name = format!("user.attribute-{number:04}");
            setxattr(top.join("a/heavy"), name, &[b'v'; 2000], XattrFlags::CREATE).expect("set");
        }
        store.unmount("layer").expect("unmount");
        for _ in 0..TIMES {
            let refused = store.diff("layer", Against::Parent).expect_err("too much");
            refused.is(422, "limit-reached", "heavy");
            assert!(refused.detail.contains("`xattr_bytes`"), "{refused:?}");
        }
        is_nobodys_fault(&bench.daemon, setup.driver);
    }
}

#[test]
fn attributes_of_nearly_a_mebibyte_go_through_an_archive_and_back() {
    let bench = setup::VFS_XFS.start();
    let store = &bench.store;
    for id in ["layer", "copy"] {
        store.create(id, None).expect("create");
    }
    let top = store.mount("layer").expect("mount");
    tree::build(&top, "f heavy data=1\n");
    for number in 0..470 {
        let name = format!("user.attribute-{number:04}");
        setxattr(top.join("heavy"), name, &[b'v'; 2000], XattrFlags::CREATE).expect("set");
    }
    store.unmount("layer").expect("unmount");
    let diff = store.diff("layer", Against::Nothing).expect("diff");
    store
        .apply("copy", &diff)
        .expect("records of nearly a mebibyte");
    assert_eq!(store.diff("copy", Against::Nothing).expect("diff"), diff);
}

#[test]
fn pseudo_links_without_end_are_the_archive_s() {
    let bench = setup::VFS_TMPFS.start();
    let store = &bench.store;
    for id in ["fine", "many"] {
        store.create(id, None).expect("create");
    }
    let script = |count: usize, width: usize| {
        let mut lines = String::new();
        for number in 0..count {
            lines.push_str(&format!("f .wh..wh.plnk/{number:0width$}\n"));
        }
        lines
    };
    let mut good = script(3000, 9);
    (0..3000)
        .for_each(|number| good.push_str(&format!("h l{number} to=.wh..wh.plnk/{number:09}\n")));
    store.apply("fine", &archive(&good)).expect("apply");
    let names = listing::list(&store.diff("fine", Against::Nothing).expect("diff"));
    assert_eq!(
        names
            .iter()
            .filter(|entry| entry.name.starts_with(b"l"))
            .count(),
        3000
    );
    let refused = store.apply("many", &archive(&script(70_000, 250)));
    refused
        .expect_err("too many")
        .is(422, "invalid-archive", ".wh..wh.plnk");
    is_nobodys_fault(&bench.daemon, "vfs");
}

#[test]
fn a_layer_that_fills_the_guest_s_memory_is_no_driver_s_fault() {
    // Every level of a walk keeps a page of entries.
    let bench = configured(
        FileSystem::Tmpfs,
        "vfs",
        "[limits]\nmemory_bytes = 8388608\n",
    );
    let store = &bench.store;
    store.create("layer", None).expect("create");
    let mut at = store.mount("layer").expect("mount");
    for _ in 0..40 {
        for number in 0..700 {
            fs::write(at.join(format!("{number:0200}")), "").expect("write");
        }
        // Where it is met last but one, so that the page is kept while the walk goes on below.
        at = at.join("0");
        fs::create_dir(&at).expect("make a directory");
    }
    store.unmount("layer").expect("unmount");
    for _ in 0..TIMES {
        let refused = store
            .diff("layer", Against::Nothing)
            .expect_err("too deep for its memory");
        refused.is(422, "limit-reached", "memory_bytes");
    }
    is_nobodys_fault(&bench.daemon, "vfs");
}

/// A daemon with the hostile driver, and stores of it.
fn hostile(stores: &[&str]) -> (Bench, Vec<Store>) {
    let lab = Lab::on(FileSystem::Machine);
    let daemon = Settings::new(&lab.root(), &lab.path("run"), "vfs").start();
    let component = hostile_driver("hostile", "");
    daemon.client.load_driver(&component).expect("load");
    let make = |name: &&str| daemon.client.create_store(name, "hostile", &json!({}));
    let stores = stores.iter().map(make).collect::<Result<_, _>>();
    let stores = stores.expect("stores");
    let store = daemon.client.default_store();
    (Bench { daemon, store, lab }, stores)
}

/// Lets the driver break in an operation on this layer; the code of the answer.
fn break_in(store: &Store, id: &str) -> String {
    store.mount(id).expect_err("it traps").code
}

fn quarantines(client: &Client) -> Value {
    let view = client.get("/v1/drivers/hostile").expect("the driver");
    let all = view["quarantines"].as_array().cloned().unwrap_or_default();
    let parts = all.iter().map(|one| json!([one["store"], one["layer"]]));
    Value::Array(parts.collect())
}

#[test]
fn a_driver_that_breaks_is_kept_from_the_layer_then_from_the_store_and_from_all_last() {
    let (bench, stores) = hostile(&["one", "two", "three", "four"]);
    let client = &bench.daemon.client;
    for store in &stores {
        for id in ["get-trap-1", "get-trap-2", "fine"] {
            store.create(id, None).expect("create");
        }
    }
    let [one, two, three, four] = stores.as_slice() else {
        panic!("four stores");
    };
    assert_eq!(break_in(one, "get-trap-1"), "driver-failed");
    assert_eq!(break_in(one, "get-trap-1"), "driver-failed");
    assert_eq!(break_in(one, "get-trap-1"), "quarantined");
    one.mount("get-trap-1")
        .expect_err("it is kept from this layer")
        .is(503, "quarantined", "for layer `get-trap-1` of store `one`");
    assert_eq!(quarantines(client), json!([["one", "get-trap-1"]]));
    one.view("fine").expect("another layer of the store");
    one.unmount("fine").expect("unmount");
    assert_eq!(break_in(one, "get-trap-2"), "driver-failed");
    one.view("fine").expect_err("it is kept from the store").is(
        503,
        "quarantined",
        "for store `one`",
    );
    two.view("fine").expect("another store");
    two.unmount("fine").expect("unmount");
    let status = client.get("/v1/status").expect("status").to_string();
    assert!(
        status.contains("driver `hostile` is quarantined for store `one`"),
        "{status}"
    );
    assert_eq!(break_in(two, "get-trap-1"), "driver-failed");
    four.view("fine").expect("faults in two stores");
    four.unmount("fine").expect("unmount");
    assert_eq!(break_in(three, "get-trap-1"), "driver-failed");
    let refused = four.view("fine").expect_err("faults in three stores");
    assert!(!refused.detail.contains("for store"), "{refused:?}");
    assert_eq!(refused.code, "quarantined");
    // Other drivers do not mind, and what is known of layers is still told.
    bench.store.create("layer", None).expect("create");
    four.inspect("fine").expect("inspect");
}

/// Three stores of the hostile driver, each with two layers that it breaks in.
fn breaking() -> (Bench, Vec<Store>) {
    let (bench, stores) = hostile(&["one", "two", "three"]);
    for store in &stores {
        store.create("get-trap", None).expect("create");
        store.create("get-trap-too", None).expect("create");
    }
    (bench, stores)
}

#[test]
fn a_quarantine_stands_in_the_lists_and_ends_by_the_command_line() {
    let (bench, stores) = breaking();
    let (client, socket) = (&bench.daemon.client, &bench.daemon.client.socket);
    break_in(&stores[0], "get-trap");
    break_in(&stores[0], "get-trap");
    break_in(&stores[0], "get-trap-too");
    assert_eq!(
        quarantines(client),
        json!([["one", "get-trap"], ["one", null]])
    );
    let listed = mica(socket, &["driver", "ls"]).worked();
    assert!(
        listed.contains("layer get-trap of store one, store one"),
        "{listed}"
    );
    let inspected = mica(socket, &["driver", "inspect", "hostile"]).worked();
    assert!(
        inspected.contains("3 faults within 10 minutes"),
        "{inspected}"
    );
    let release = |rest: &[&str]| {
        let arguments = [&["driver", "release", "hostile"][..], rest].concat();
        mica(socket, &arguments).worked()
    };
    assert_eq!(
        release(&["--store", "two"]),
        "hostile: nothing was quarantined\n"
    );
    let told = release(&["--store", "one", "--layer", "get-trap"]);
    assert_eq!(told, "hostile: released for layer get-trap of store one\n");
    assert_eq!(quarantines(client), json!([["one", null]]));
    assert_eq!(
        release(&["--store", "one"]),
        "hostile: released for store one\n"
    );
    assert_eq!(quarantines(client), json!([]));
    assert_eq!(
        break_in(&stores[0], "get-trap"),
        "driver-failed",
        "it is called again"
    );
    mica(socket, &["driver", "release", "hostile", "--layer", "a"]).failed(2, "--store");
}

#[test]
fn a_quarantine_for_all_ends_by_rest_and_is_an_event() {
    let (bench, stores) = breaking();
    let client = &bench.daemon.client;
    for store in &stores {
        break_in(store, "get-trap");
    }
    assert_eq!(quarantines(client), json!([[null, null]]));
    let events = http::begin(&client.socket, "GET", "/v1/events", &[], Body::Empty);
    let mut events = BufReader::new(events.expect("listen"));
    http::read_head(&mut events).expect("an answer");
    let answer = client.json("POST", "/v1/drivers/hostile/release", &Value::Null);
    let answer = answer.expect("release");
    assert_eq!(
        answer["released"].as_array().map(Vec::len),
        Some(1),
        "{answer}"
    );
    let mut lines = events.lines().map(|line| line.expect("an event"));
    let told = lines.find(|line| line.starts_with("data:"));
    let told = told.expect("an event");
    assert!(
        told.contains("driver.released") && told.contains("hostile"),
        "{told}"
    );
    assert_eq!(
        break_in(&stores[1], "get-trap"),
        "driver-failed",
        "it is called again"
    );
    for (target, status, code) in [
        ("/v1/drivers/nobody/release", 404, "unknown-driver"),
        ("/v1/drivers/hostile/release?layer=a", 400, "invalid-option"),
        (
            "/v1/drivers/hostile/release?stoer=a",
            400,
            "invalid-request",
        ),
    ] {
        let refused = client.json("POST", target, &Value::Null).expect_err(target);
        assert_eq!(
            (refused.status, refused.code.as_str()),
            (status, code),
            "{refused:?}"
        );
    }
}
