//! Does a driver get what it asks for and an operator granted, and nothing else, and is everyone told?

use std::fs;
use std::path::PathBuf;

use mica_tests::archive::archive;
use mica_tests::build::{
    hello_driver, hostile_btrfs_driver, hostile_driver, hostile_version, with_manifest,
    with_section,
};
use mica_tests::client::Against;
use mica_tests::command::{Ended, mica, mica_alone};
use mica_tests::daemon::{Daemon, Settings};
use mica_tests::exposition::Exposition;
use mica_tests::http::Body;
use mica_tests::lab::{FileSystem, Lab};
use mica_tests::setup;
use serde::Deserialize;
use serde_json::{Value, json};

/// Exit codes as `mica --help` documents them.
mod exit {
    pub(crate) const FAILED: i32 = 1;
    pub(crate) const USAGE: i32 = 2;
    pub(crate) const INVALID: i32 = 6;
}

/// The label of the driver of the default store.
const VFS: &[(&str, &str)] = &[("driver", "vfs")];

/// A manifest of a driver that asks for nothing.
fn manifest(name: &str, change: &Value) -> Value {
    let mut document =
        json!({ "manifest": 1, "name": name, "version": "0.1.0", "contract": "1.0.0" });
    let fields = document.as_object_mut().expect("an object");
    for (field, value) in change.as_object().expect("an object") {
        fields.insert(field.clone(), value.clone());
    }
    document
}

/// A daemon, and a place for files.
struct Rig {
    daemon: Daemon,
    lab: Lab,
}

impl Rig {
    fn new(configuration: &str) -> Self {
        let lab = Lab::on(FileSystem::Machine);
        let mut settings = Settings::new(&lab.root(), &lab.path("run"), "vfs");
        settings.configuration = Some(configuration.to_owned());
        Self {
            daemon: settings.start(),
            lab,
        }
    }

    fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path: PathBuf = self.lab.path(name);
        fs::write(&path, bytes).expect("write");
        path.to_str().expect("text").to_owned()
    }

    fn mica(&self, arguments: &[&str]) -> Ended {
        mica(&self.daemon.client.socket, arguments)
    }

    fn explanation(&self, driver: &str) -> Value {
        let target = format!("/v1/drivers/{driver}/explanation");
        self.daemon.client.get(&target).expect("an explanation")
    }

    fn drivers(&self) -> Value {
        self.daemon.client.get("/v1/drivers").expect("drivers")
    }

    /// The details of the events of a kind.
    fn told(&self, kind: &str) -> Vec<String> {
        let arguments = [
            "--output",
            "json",
            "events",
            "--no-follow",
            "--since",
            "0",
            "--kind",
            kind,
        ];
        let text = self.mica(&arguments).worked();
        let lines = text.lines();
        lines
            .map(|line| {
                let event: Value = serde_json::from_str(line).expect("a document a line");
                event["detail"].as_str().unwrap_or_default().to_owned()
            })
            .collect()
    }

    /// A number of `/metrics`.
    fn number(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let answer = self.daemon.client.send("GET", "/metrics", Body::Empty);
        let text = String::from_utf8(answer.body).expect("text");
        let read = Exposition::read(&text).expect("numbers");
        read.sum(name, labels)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    source: String,
    manifest: Option<String>,
    change: Option<String>,
    size: Option<usize>,
    #[serde(default)]
    twice: bool,
    #[serde(default)]
    later: bool,
    names: String,
}

#[derive(Debug, Deserialize)]
struct Cases {
    case: Vec<Case>,
}

#[test]
fn a_manifest_that_cannot_be_taken_is_refused_and_nothing_is_loaded() {
    let cases: Cases = toml::from_str(include_str!("../cases/manifests.toml")).expect("cases");
    let rig = Rig::new("");
    let hello = hello_driver();
    let before = rig.drivers();
    for case in cases.case {
        println!("{}", case.source);
        let change = case.change.as_deref().unwrap_or("{}");
        let change = serde_json::from_str(change).expect("JSON");
        let section = match (&case.manifest, case.size) {
            (Some(text), _) => text.as_bytes().to_vec(),
            (None, Some(size)) => vec![b' '; size],
            (None, None) => manifest("hello", &change).to_string().into_bytes(),
        };
        let mut component = with_section(&hello, "mica:manifest", &section);
        if case.twice {
            component = with_section(&component, "mica:manifest", &section);
        }
        let refused = rig.daemon.client.load_driver(&component);
        let problem = refused.expect_err(&case.source);
        problem.is(422, "driver-rejected", &case.names);
        let file = rig.file("bad.wasm", &component);
        if !case.later {
            mica_alone(&["driver", "check", &file]).failed(exit::INVALID, &case.names);
            rig.mica(&["driver", "install", &file, "--yes"])
                .failed(exit::INVALID, &case.names);
        }
        assert_eq!(rig.drivers(), before, "{}", case.source);
    }
    assert_eq!(
        fs::read_dir(rig.lab.root().join("drivers"))
            .expect("list")
            .count(),
        0
    );
}

#[test]
fn what_a_driver_asks_for_is_shown_approved_and_kept() {
    let rig = Rig::new("");
    let asks = json!({ "capabilities": { "btrfs": "snapshots instead of copies" } });
    let asking = with_manifest(&hostile_btrfs_driver(), &manifest("hostile", &asks));
    let file = rig.file("asking.wasm", &asking);
    let shown = rig.mica(&["driver", "install", &file]);
    assert_eq!(shown.code, exit::USAGE, "{}", shown.stderr);
    for told in ["snapshots instead of copies", "btrfs", "--yes", "signature"] {
        assert!(shown.stderr.contains(told), "{told}: {}", shown.stderr);
    }
    assert!(!rig.drivers().to_string().contains("hostile"));
    let refused = rig
        .daemon
        .client
        .load_driver(&asking)
        .expect_err("it asks for btrfs");
    refused.is(422, "driver-rejected", "--grant btrfs");
    assert!(rig.told("driver.denied")[0].contains("btrfs"));
    assert_eq!(rig.number("mica_refused_loads_total", &[]), 1.0);

    rig.mica(&["driver", "install", &file, "--grant", "btrfs"])
        .worked();
    let told = rig.explanation("hostile");
    assert_eq!(told["approved"], json!(["btrfs"]), "{told}");
    assert_eq!(
        told["manifest"]["capabilities"]["btrfs"],
        "snapshots instead of copies"
    );
    let text = rig.mica(&["driver", "explain", "hostile"]).worked();
    assert!(text.contains("snapshots instead of copies"), "{text}");
    let Rig { daemon, lab } = rig;
    let settings = daemon.settings.clone();
    daemon.stop();
    let rig = Rig {
        daemon: settings.start(),
        lab,
    };
    let told = rig.explanation("hostile");
    assert_eq!(told["approved"], json!(["btrfs"]), "{told}");
}

#[test]
fn what_is_approved_of_a_file_of_the_drivers_directory_is_kept() {
    let lab = Lab::on(FileSystem::Machine);
    let directory = lab.scratch("drivers");
    let file = directory.join("hostile.wasm");
    fs::write(&file, hostile_driver("hostile", "")).expect("write");
    let mut settings = Settings::new(&lab.root(), &lab.path("run"), "vfs");
    let directory = directory.to_str().expect("text");
    settings.arguments = vec!["--drivers-dir".to_owned(), directory.to_owned()];
    let mut rig = Rig {
        daemon: settings.start(),
        lab,
    };
    fs::write(&file, hostile_btrfs_driver()).expect("write");
    rig.mica(&["driver", "swap", "hostile"])
        .failed(exit::INVALID, "btrfs");
    rig.mica(&["driver", "swap", "hostile", "--grant", "btrfs"])
        .worked();
    let before = rig.explanation("hostile");
    assert_eq!(before["follows_shipped"], true, "{before}");
    rig.daemon.stop();
    rig.daemon = settings.start();
    let told = rig.explanation("hostile");
    assert_eq!(told["driver"]["digest"], before["driver"]["digest"]);
    assert_eq!(told["approved"], json!(["btrfs"]), "{told}");
}

#[test]
fn what_is_imported_and_not_asked_for_is_refused_and_what_is_asked_for_in_vain_is_told() {
    let lab = Lab::on(FileSystem::Machine);
    let write = |name: &str, bytes: &[u8]| {
        let path = lab.path(name);
        fs::write(&path, bytes).expect("write");
        path.to_str().expect("text").to_owned()
    };
    let silent = with_manifest(&hostile_btrfs_driver(), &manifest("hostile", &json!({})));
    let silent = write("silent.wasm", &silent);
    let checked = mica_alone(&["driver", "check", "--grant", "btrfs", &silent]);
    assert_eq!(checked.code, exit::INVALID, "{}", checked.stderr);
    assert!(
        checked.stderr.contains("does not ask for"),
        "{}",
        checked.stderr
    );
    let vain = json!({ "capabilities": { "images": "for later" } });
    let vain = with_manifest(&hello_driver(), &manifest("hello", &vain));
    let vain = write("vain.wasm", &vain);
    let text = mica_alone(&["driver", "check", &vain]).worked();
    assert!(
        text.contains("warning") && text.contains("images"),
        "{text}"
    );
    // One that lies beside a component that has none.
    let bare = write("bare.wasm", &hello_driver());
    let toml =
        "manifest = 1\nname = 'hello'\nversion = '0.1.0'\ncontract = '1.0.0'\nlicence = 'MIT'\n";
    mica_alone(&["driver", "manifest", "show", &bare]).failed(exit::FAILED, "no manifest");
    let beside = write("bare.wasm.manifest.toml", toml.as_bytes());
    let text = mica_alone(&["driver", "check", &bare]).worked();
    assert!(text.contains("MIT"), "{text}");
    let (made, manifest) = (write("made.wasm", b"before"), beside);
    mica_alone(&["driver", "manifest", "add", &bare, &manifest, "-o", &made]).worked();
    let text = mica_alone(&["driver", "manifest", "show", &made]).worked();
    assert!(text.contains("MIT"), "{text}");
    fs::write(&manifest, "manifest = 1\nname = 'hello'\ncolour = 'red'\n").expect("write");
    let kept = fs::read(&made).expect("read");
    mica_alone(&["driver", "manifest", "add", &bare, &manifest, "-o", &made])
        .failed(exit::FAILED, "colour");
    assert_eq!(fs::read(&made).expect("read"), kept);
}

#[test]
fn a_build_that_asks_for_more_or_is_older_waits_for_someone_to_agree() {
    let rig = Rig::new("");
    let build = |component: Vec<u8>, change: Value| {
        with_manifest(&component, &manifest("hostile", &change))
    };
    let least = json!({ "mounts": ["bind"], "limits": { "handles": 512 },
        "state": { "writes": 2, "reads": [1, 2] } });
    let first = build(hostile_driver("hostile", ""), least.clone());
    rig.daemon.client.load_driver(&first).expect("load");
    let digest = rig.explanation("hostile")["driver"]["digest"].clone();

    let more = build(
        hostile_driver("hostile", ""),
        json!({ "state": { "writes": 2, "reads": [2] } }),
    );
    let file = rig.file("more.wasm", &more);
    let text = rig.mica(&["driver", "diff", "hostile", &file]).worked();
    for told in ["mounts=overlay", "limits.handles", "asks for more"] {
        assert!(text.contains(told), "{told}: {text}");
    }
    let swap = |component: &[u8], query: &str| {
        let client = &rig.daemon.client;
        client.swap_driver_as("hostile", Some(component), query)
    };
    let refused = swap(&more, "").expect_err("it asks for more");
    refused.is(422, "driver-rejected", "mounts=overlay");
    refused.is(422, "driver-rejected", "--grant limits.handles");
    let refused = swap(&more, "?grants=mounts%3Doverlay").expect_err("it asks for more");
    refused.is(422, "driver-rejected", "limits.handles");
    swap(&more, "?grants=network")
        .expect_err("nothing")
        .is(400, "invalid-request", "network");
    assert_eq!(rig.explanation("hostile")["driver"]["digest"], digest);
    swap(&more, "?grants=asked").expect("it is approved");

    // No store has layers of it, so what they would have in them does not count; the version does.
    let newer = json!({ "version": "0.2.0", "state": { "writes": 3, "reads": [3] } });
    let newer = build(hostile_version("0.2.0"), newer);
    swap(&newer, "").expect("a newer one");
    let refused = swap(&more, "").expect_err("a step back");
    refused.is(422, "driver-rejected", "0.1.0");
    let file = rig.file("older.wasm", &more);
    let refused = rig.mica(&["driver", "install", &file, "--yes"]);
    assert_eq!(refused.code, exit::INVALID, "{}", refused.stderr);
    assert!(refused.stderr.contains("step back"), "{}", refused.stderr);
    rig.mica(&["driver", "install", &file, "--yes", "--force"])
        .worked();

    // Now layers may have what it wrote.
    let client = &rig.daemon.client;
    client
        .create_store("held", "hostile", &json!({}))
        .expect("a store");
    let refused = swap(&newer, "").expect_err("it cannot read what is there");
    refused.is(422, "driver-rejected", "reads 3");
    swap(&newer, "?force=true").expect("forced");
}

#[test]
fn what_is_not_granted_is_refused_told_and_counted() {
    let rig = Rig::new("[drivers.vfs]\ndevice_nodes = false\nxattrs = ['security.capability']\n");
    let store = rig.daemon.client.default_store();
    store.create("plain", None).expect("create");
    store.apply("plain", &archive("f f data=1")).expect("apply");
    store.create("devices", None).expect("create");
    let refused = store.apply("devices", &archive("c null rdev=1:3"));
    let problem = refused.expect_err("a device");
    problem.is(409, "not-granted", "[drivers.vfs]`: device_nodes = true");
    assert_eq!(rig.number("mica_driver_denials_total", VFS), 1.0);
    let told = rig.told("driver.denied");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("device_nodes = true"), "{told:?}");
    let denials = &rig.explanation("vfs")["denials"];
    assert_eq!(denials[0]["what"], "device_nodes=true", "{denials}");
    assert_eq!(denials[0]["allowed"], false, "{denials}");
    assert_eq!(
        store.changes("devices", Against::Parent).expect("changes"),
        ""
    );
}

#[test]
fn an_audited_driver_does_what_it_is_not_granted_and_everyone_is_told() {
    let rig = Rig::new(
        "[drivers.vfs]\ndevice_nodes = false\naudit = true\n[drivers.hostile]\naudit = true\n",
    );
    let store = rig.daemon.client.default_store();
    for layer in ["a", "b"] {
        store.create(layer, None).expect("create");
        store
            .apply(layer, &archive("c null rdev=1:3"))
            .expect("audited");
    }
    assert_eq!(rig.number("mica_driver_denials_total", VFS), 2.0);
    let told = rig.told("driver.denied");
    assert_eq!(told.len(), 1, "the first alone: {told:?}");
    assert!(
        told[0].starts_with("audited: ") && told[0].contains("device_nodes = true"),
        "{told:?}"
    );
    let excess = hostile_btrfs_driver();
    rig.daemon.client.load_driver(&excess).expect("audited");
    let told = rig.told("driver.denied");
    assert!(
        told.last().expect("an event").contains("`btrfs`"),
        "{told:?}"
    );
    // An attribute that steers the kernel is set by no one, audited or not: that is no grant.
    assert_eq!(rig.explanation("vfs")["audited"], true);
}

#[test]
fn a_file_of_grants_counts_where_the_configuration_is_silent_and_is_read_at_each_load() {
    let lab = Lab::on(FileSystem::Machine);
    let grants = lab.path("grants.toml");
    let mut settings = Settings::new(&lab.root(), &lab.path("run"), "vfs");
    settings.configuration = Some(format!(
        "[drivers]\ngrants_file = {grants:?}\nrequire_manifest = true\n"
    ));
    fs::write(&grants, "").expect("write");
    let rig = Rig {
        daemon: settings.start(),
        lab,
    };
    let client = &rig.daemon.client;
    let bare = client
        .load_driver(&hello_driver())
        .expect_err("no manifest");
    bare.is(422, "driver-rejected", "require_manifest");
    let asks = json!({ "capabilities": { "btrfs": "snapshots" } });
    let asking = with_manifest(&hostile_btrfs_driver(), &manifest("hostile", &asks));
    client
        .load_driver(&asking)
        .expect_err("not granted")
        .is(422, "driver-rejected", "btrfs");
    fs::write(&grants, "[[driver]]\nname = 'hostile'\ncolour = 'red'\n").expect("write");
    client
        .load_driver(&asking)
        .expect_err("wrong")
        .is(400, "invalid-option", "colour");
    let all = "['directory', 'streams', 'mounts', 'home', 'filesystem', 'log', 'config', 'btrfs']";
    fs::write(
        &grants,
        format!("[[driver]]\nname = 'hostile'\ngrants = {all}\n"),
    )
    .expect("write");
    client.load_driver(&asking).expect("granted");
    assert_eq!(rig.explanation("hostile")["granted_by"], "grants-file");
}

#[test]
fn the_drivers_that_ship_say_what_they_ask_for() {
    let rig = setup::VFS_EXT4.start();
    for (driver, asks) in [
        ("btrfs", "btrfs"),
        ("erofs", "images"),
        ("overlay", ""),
        ("vfs", ""),
    ] {
        let told = rig
            .daemon
            .client
            .get(&format!("/v1/drivers/{driver}/explanation"));
        let told = told.expect("an explanation");
        assert_eq!(told["manifest"]["name"], driver, "{told}");
        assert_eq!(
            told["manifest"]["version"], told["driver"]["version"],
            "{told}"
        );
        let capabilities = told["manifest"]["capabilities"]
            .as_object()
            .expect("an object");
        let names: Vec<&str> = capabilities.keys().map(String::as_str).collect();
        let expected: Vec<&str> = [asks].into_iter().filter(|one| !one.is_empty()).collect();
        assert_eq!(names, expected);
    }
}
