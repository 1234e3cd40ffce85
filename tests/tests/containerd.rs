//! containerd's snapshot service, beyond what containerd's own suite asks: wrong calls, keys and labels of all kinds,
//! lost clients, mounts and sizes.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use mica_tests::command;
use mica_tests::containerd::{Answer, Bench, Labels, Mount, Snapshotter, wire};
use mica_tests::http::{Body, percent};
use mica_tests::lab::{FileSystem, Lab, run};
use mica_tests::tree;
use prost_types::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tonic::Code;

/// A text, or many times the same.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Text {
    Plain(String),
    Repeated { repeat: String, times: usize },
}

impl Text {
    fn get(&self) -> String {
        match self {
            Self::Plain(text) => text.clone(),
            Self::Repeated { repeat, times } => repeat.repeat(*times),
        }
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::Plain(String::new())
    }
}

/// A call that must be refused.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    what: String,
    call: String,
    #[serde(default)]
    key: Text,
    #[serde(default)]
    parent: Text,
    #[serde(default)]
    name: Text,
    #[serde(default)]
    labels: Labels,
    /// How many more labels, and how many bytes each.
    #[serde(default)]
    big_labels: Option<(usize, usize)>,
    #[serde(default)]
    mask: Vec<String>,
    #[serde(default)]
    filters: Vec<String>,
    code: String,
    says: Vec<String>,
}

impl Case {
    fn labels(&self) -> Labels {
        let (count, bytes) = self.big_labels.unwrap_or_default();
        let big = (0..count).map(|number| (format!("label-{number}"), "v".repeat(bytes)));
        self.labels.clone().into_iter().chain(big).collect()
    }

    fn send(&self, client: &mut Snapshotter) -> Answer<()> {
        let (key, parent, labels) = (self.key.get(), self.parent.get(), self.labels());
        match self.call.as_str() {
            "prepare" => client.prepare(&key, &parent, &labels).map(drop),
            "view" => client.view(&key, &parent).map(drop),
            "mounts" => client.mounts(&key).map(drop),
            "commit" => client.commit(&self.name.get(), &key, &parent, &labels),
            "remove" => client.remove(&key),
            "stat" => client.stat(&key).map(drop),
            "usage" => client.usage(&key).map(drop),
            "list" => client.list(&self.filters).map(drop),
            "update" => {
                let info = wire::Info {
                    name: key,
                    parent,
                    labels,
                    ..wire::Info::default()
                };
                client.update(info, &self.mask).map(drop)
            }
            other => panic!("`{other}` is no call"),
        }
    }
}

fn none() -> Labels {
    Labels::new()
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect()
}

/// What the cases begin with.
fn furnish(client: &mut Snapshotter) {
    for (name, key, parent) in [("c0", "x", ""), ("c1", "x", "c0")] {
        client.prepare(key, parent, &none()).expect("prepare");
        client.commit(name, key, "", &none()).expect("commit");
    }
    client.prepare("a0", "", &none()).expect("prepare");
    client
        .prepare("a1", "c1", &labels(&[("kept", "1")]))
        .expect("prepare");
    client.view("v1", "c1").expect("view");
}

#[test]
fn wrong_calls_are_refused_by_name_and_change_nothing() {
    #[derive(Deserialize)]
    struct Cases {
        case: Vec<Case>,
    }
    let cases: Cases = toml::from_str(include_str!("../cases/snapshots.toml")).expect("cases");
    let bench = Bench::start(FileSystem::Ext4, "overlay");
    let mut client = bench.client();
    furnish(&mut client);
    let before = (client.lines(), bench.layers());
    let mut wrong = Vec::new();
    for case in &cases.case {
        let answer = case.send(&mut client);
        let (code, message) = answer.err().unwrap_or((Code::Ok, String::new()));
        let says = case.says.iter().all(|part| message.contains(part.as_str()));
        if format!("{code:?}") != case.code || !says || message.len() > 5000 {
            wrong.push(format!("{}: {code:?}: {message}", case.what));
        }
        // What a refused call has begun is gone before long.
        bench.settle();
        assert_eq!((client.lines(), bench.layers()), before, "{}", case.what);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases.case.len() > 40);
}

#[test]
fn keys_and_labels_are_data() {
    let bench = Bench::start(FileSystem::Ext4, "overlay");
    let mut client = bench.client();
    let long = "k".repeat(30_000);
    let keys = [
        "/",
        "..",
        "../../../etc/passwd",
        "a\0b",
        "line\nbreak",
        "\u{1b}[2J",
        "ünï ©",
        "a\u{202e}b",
        "%2F",
        "default/1/x y",
        &long,
    ];
    let odd = labels(&[
        ("containerd.io/snapshot.ref", "sha256:ab"),
        ("containerd.io/snapshot/cri.image-ref", "example/x"),
        ("containerd.io/gc.root", "now"),
        ("a.b/c=d,e\"f", "\0\n\u{1b}"),
        ("empty", ""),
    ]);
    for key in keys {
        client
            .prepare(key, "", &odd)
            .unwrap_or_else(|error| panic!("{key:?}: {error:?}"));
        let info = client.stat(key).expect("stat");
        assert_eq!(info.name, key);
        // A label without a value is none, as in containerd's own store.
        assert_eq!(
            (info.labels.len(), info.labels.contains_key("empty")),
            (4, false)
        );
        let mounts = client.mounts(key).expect("mounts");
        assert!(Path::new(&mounts[0].source).starts_with(bench.home("layers")));
        let target = percent(key.as_bytes());
        let told = bench
            .daemon
            .client
            .get(&format!("/v1/stores/containerd/snapshots/{target}"));
        assert_eq!(told.expect("REST has it")["key"], key);
    }
    let filter = "labels.\"a.b/c=d,e\\\"f\"~=/^.+$/,name==\"a\\x62\"".replace("a\\x62", "%2F");
    let found = client.list(&[filter]).expect("list");
    assert_eq!(
        found.concat().len(),
        0,
        "the value has line breaks, and `.` matches none"
    );
    let found = client.list(&["name==\"%2F\",labels.\"containerd.io/gc.root\"==now".into()]);
    assert_eq!(found.expect("list").concat().len(), 1);
    for key in keys {
        client.remove(key).expect("remove");
    }
    client.clean_up().expect("clean up");
    bench.assert_empty();
}

#[test]
fn labels_change_by_mask_and_times_of_clients_are_not_believed() {
    let bench = Bench::start(FileSystem::Ext4, "overlay");
    let mut client = bench.client();
    furnish(&mut client);
    let year_one = Some(Timestamp {
        seconds: -62_135_596_800,
        nanos: 0,
    });
    let made = client.stat("a1").expect("stat");
    let mut change = |pairs: &[(&str, &str)], mask: &[&str]| {
        let info = wire::Info {
            name: "a1".into(),
            parent: "another".into(),
            kind: wire::Kind::Committed.into(),
            created_at: year_one,
            updated_at: year_one,
            labels: labels(pairs),
        };
        let mask: Vec<_> = mask.iter().map(|path| (*path).to_owned()).collect();
        let answered = client.update(info, &mask).expect("update");
        let found = client.stat("a1").expect("stat");
        assert_eq!(answered, found);
        assert_eq!(
            (found.kind, &found.parent, found.created_at),
            (made.kind, &made.parent, made.created_at)
        );
        let seconds = |info: &wire::Info| info.updated_at.expect("a time").seconds;
        assert!(seconds(&found) >= seconds(&made));
        found.labels
    };
    let dotted = "containerd.io/snapshot/a.b";
    let path = format!("labels.{dotted}");
    assert_eq!(
        change(&[(dotted, "1"), ("not", "asked")], &[&path]),
        labels(&[(dotted, "1"), ("kept", "1")])
    );
    assert_eq!(change(&[], &[&path]), labels(&[("kept", "1")]));
    assert_eq!(change(&[("z", "2")], &["labels"]), labels(&[("z", "2")]));
    assert_eq!(change(&[("y", "3"), ("e", "")], &[]), labels(&[("y", "3")]));
    // A commit takes nothing over.
    client
        .commit("c2", "a1", "c1", &labels(&[("new", "1")]))
        .expect("commit");
    assert_eq!(
        client.stat("c2").expect("stat").labels,
        labels(&[("new", "1")])
    );
    assert_eq!(
        client.stat("a1").expect_err("the key is free").0,
        Code::NotFound
    );
}

#[test]
fn clients_that_go_away_in_a_list_of_many_cost_nothing() {
    let bench = Bench::start(FileSystem::Ext4, "overlay");
    let mut client = bench.client();
    client.prepare("x", "", &none()).expect("prepare");
    client.commit("base", "x", "", &none()).expect("commit");
    let long = labels(&[("long", &"v".repeat(4000))]);
    for number in 0..600 {
        client
            .view(&format!("view-{number}"), "base")
            .expect("view");
        let info = wire::Info {
            name: format!("view-{number}"),
            labels: long.clone(),
            ..wire::Info::default()
        };
        client.update(info, &[]).expect("update");
    }
    assert_eq!(
        bench.layers().len(),
        1,
        "a view of a snapshot needs no layer"
    );
    let open = || {
        fs::read_dir(format!("/proc/{}/fd", bench.daemon.pid()))
            .expect("descriptors")
            .count()
    };
    let before = open();
    for _ in 0..50 {
        let mut gone = bench.client();
        let pages = gone.begin_list(&[], 1).expect("a page");
        assert!(!pages[0].is_empty() && pages[0].len() <= 100);
    }
    let pages = client.list(&[]).expect("list");
    let names: BTreeSet<_> = pages
        .iter()
        .flatten()
        .map(|info| info.name.clone())
        .collect();
    assert_eq!((names.len(), pages.concat().len()), (601, 601));
    let deadline = Instant::now() + Duration::from_secs(20);
    while open() > before {
        assert!(
            Instant::now() < deadline,
            "{before} descriptors were open, {} are",
            open()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn of_two_containerds_that_ask_for_one_key_one_gets_it() {
    let bench = Bench::start(FileSystem::Ext4, "overlay");
    let (won, lost) = (Mutex::new(0), Mutex::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = bench.client();
                for number in 0..25 {
                    let (key, name) = (format!("key-{number}"), format!("name-{number}"));
                    match client.prepare(&key, "", &none()) {
                        Ok(_) => *won.lock().expect("a count") += 1,
                        Err((Code::AlreadyExists, _)) => *lost.lock().expect("a count") += 1,
                        Err(error) => panic!("{error:?}"),
                    }
                    match client.commit(&name, &key, "", &none()) {
                        Ok(()) | Err((Code::AlreadyExists | Code::NotFound, _)) => {}
                        Err(error) => panic!("{error:?}"),
                    }
                }
            });
        }
    });
    let (won, lost) = (
        won.into_inner().expect("won"),
        lost.into_inner().expect("lost"),
    );
    assert_eq!(won + lost, 100);
    let mut client = bench.client();
    let lines = client.lines();
    let committed = lines
        .iter()
        .filter(|line| line.starts_with("COMMITTED"))
        .count();
    // A key is free after its commit, so a slow client may have made it once more.
    assert_eq!((committed, lines.len()), (25, won));
    assert_eq!(bench.settle(), won);
    let mut second = Bench::settings(&bench.lab, "overlay");
    second.run = bench.lab.path("second");
    let second = second.try_start();
    assert!(
        second
            .expect_err("one daemon at a time")
            .contains("in use by another")
    );
}

/// The bytes and inodes of a tree, counted as containerd's own snapshotters do.
fn disk_usage(top: &Path) -> (i64, i64) {
    let (bytes, inodes) = tree::disk_usage(top);
    let number = |number: u64| i64::try_from(number).expect("a number");
    (number(bytes), number(inodes))
}

fn option<'a>(mount: &'a Mount, name: &str) -> Option<&'a str> {
    let mut options = mount.options.iter();
    options.find_map(|option| option.strip_prefix(name)?.strip_prefix('='))
}

#[test]
fn mounts_and_sizes_are_as_containerds_own() {
    let bench = Bench::start(FileSystem::Ext4, "overlay");
    let mut client = bench.client();
    let mounts = client.prepare("x", "", &none()).expect("prepare");
    assert_eq!((mounts.len(), mounts[0].r#type.as_str()), (1, "bind"));
    assert_eq!(mounts[0].options, ["rw", "rbind"]);
    let upper = Path::new(&mounts[0].source).to_owned();
    assert_eq!(
        fs::metadata(&upper).expect("the top").mode() & 0o7777,
        0o755
    );
    fs::create_dir(upper.join("dir")).expect("make");
    fs::write(upper.join("dir/file"), vec![1; 100_000]).expect("write");
    fs::hard_link(upper.join("dir/file"), upper.join("hard")).expect("link");
    std::os::unix::fs::symlink("/etc", upper.join("link")).expect("link");
    assert_eq!(client.usage("x").expect("usage"), disk_usage(&upper));
    let measured = disk_usage(&upper);
    client.commit("c0", "x", "", &none()).expect("commit");
    fs::write(upper.join("late"), "x").expect("write");
    assert_eq!(
        client.usage("c0").expect("usage"),
        measured,
        "as it was at the commit"
    );
    fs::remove_file(upper.join("late")).expect("remove");

    let mounts = client.prepare("y", "c0", &none()).expect("prepare");
    let overlay = &mounts[0];
    assert_eq!(
        (overlay.r#type.as_str(), overlay.source.as_str()),
        ("overlay", "overlay")
    );
    let names: Vec<_> = overlay
        .options
        .iter()
        .map(|option| option.split('=').next().expect("a name"))
        .collect();
    assert_eq!(names, ["index", "workdir", "upperdir", "lowerdir"]);
    assert_eq!(option(overlay, "lowerdir"), upper.to_str());
    let second = option(overlay, "upperdir").expect("an upper").to_owned();
    assert_eq!(client.mounts("y").expect("mounts"), mounts);
    client.commit("c1", "y", "c0", &none()).expect("commit");

    let view = client.view("v0", "c0").expect("view");
    assert_eq!(
        (view[0].r#type.as_str(), view[0].source.as_str()),
        ("bind", upper.to_str().expect("text"))
    );
    assert_eq!(view[0].options, ["ro", "rbind"]);
    let view = client.view("v1", "c1").expect("view");
    let lowers = format!("lowerdir={second}:{}", upper.display());
    assert_eq!(view[0].options, ["index=off".to_owned(), lowers]);
    let view = client.view("v", "").expect("view");
    assert_eq!(
        (view[0].r#type.as_str(), &view[0].options[..]),
        ("bind", &["ro".to_owned(), "rbind".to_owned()][..])
    );
    assert_eq!(client.usage("v1").expect("usage"), (0, 0));
}

#[test]
fn sizes_that_are_not_known_at_a_commit_are_told_later() {
    let lab = Lab::on(FileSystem::Btrfs);
    let mut settings = Bench::settings(&lab, "btrfs");
    settings.configuration = Some("durability = 'none'\n".into());
    let bench = Bench {
        daemon: settings.start(),
        socket: lab.path("run/containerd.sock"),
        lab,
    };
    let mut client = bench.client();
    let mounts = client.prepare("x", "", &none()).expect("prepare");
    let file = Path::new(&mounts[0].source).join("file");
    fs::write(file, vec![1; 100_000]).expect("write");
    client.commit("c0", "x", "", &none()).expect("commit");
    let (bytes, inodes) = client.usage("c0").expect("usage");
    assert!(bytes <= 102_400 && (1..=2).contains(&inodes));
    run(&["sync", "-f", bench.lab.root().to_str().expect("text")]);
    assert_eq!(client.usage("c0").expect("usage"), (102_400, 2));
}

#[test]
fn a_long_chain_gets_short_names_that_go_with_its_layers() {
    let bench = Bench::start(FileSystem::Ext4, "overlay");
    let mut client = bench.client();
    let mut parent = String::new();
    for number in 0..60 {
        let (key, name) = (format!("a{number}"), format!("c{number}"));
        client.prepare(&key, &parent, &none()).expect("prepare");
        client
            .commit(&name, &key, &parent, &none())
            .expect("commit");
        parent = name;
    }
    let mounts = client.prepare("top", &parent, &none()).expect("prepare");
    let lowers: Vec<_> = option(&mounts[0], "lowerdir")
        .expect("lowers")
        .split(':')
        .collect();
    assert_eq!(lowers.len(), 60);
    for lower in &lowers {
        let path = Path::new(lower);
        assert_eq!(path.parent(), Some(bench.home("l").as_path()));
        assert!(path.file_name().expect("a name").len() <= 3, "{lower}");
        assert!(
            fs::canonicalize(path)
                .expect("it leads somewhere")
                .ends_with("d/upper")
        );
    }
    let restarted = bench.restart(|daemon| daemon.kill());
    let mut client = restarted.client();
    assert_eq!(
        client.mounts("top").expect("mounts"),
        mounts,
        "names outlive the daemon"
    );
    client.remove("top").expect("remove");
    for number in (0..60).rev() {
        client.remove(&format!("c{number}")).expect("remove");
    }
    client.clean_up().expect("clean up");
    restarted.assert_empty();
}

#[test]
fn content_is_shared_between_namespaces_only_when_asked_for() {
    let lab = Lab::on(FileSystem::Ext4);
    let reference = "containerd.io/snapshot.ref";
    let of = |digest: &str| labels(&[(reference, digest)]);
    let unpack = |client: &mut Snapshotter, namespace: &str| {
        client.prepare(&format!("{namespace}/x"), "", &of("sha256:a"))?;
        client.commit(
            &format!("{namespace}/a"),
            &format!("{namespace}/x"),
            "",
            &of("sha256:a"),
        )?;
        client.prepare(
            &format!("{namespace}/y"),
            &format!("{namespace}/a"),
            &of("sha256:b"),
        )?;
        client.commit(
            &format!("{namespace}/b"),
            &format!("{namespace}/y"),
            "",
            &of("sha256:b"),
        )
    };
    let mut settings = Bench::settings(&lab, "overlay");
    let daemon = settings.start();
    let mut client = Snapshotter::new(&lab.path("run/containerd.sock"));
    unpack(&mut client, "one").expect("unpack");
    unpack(&mut client, "two").expect("unpack once more");
    drop(client);
    daemon.stop();
    settings.configuration = Some("[containerd]\nshare_content = true\n".into());
    let _daemon = settings.start();
    let mut client = Snapshotter::new(&lab.path("run/containerd.sock"));
    let (code, text) = unpack(&mut client, "three").expect_err("it is there");
    assert_eq!(
        (code, text.contains("`one/a`")),
        (Code::AlreadyExists, true),
        "{text}"
    );
    // What containerd asks next, and then builds on.
    let filter = format!("labels.\"{reference}\"==sha256:a,parent==\"\"");
    let found = client.list(&[filter]).expect("list").concat();
    assert_eq!(found[0].name, "one/a");
    let (code, text) = client
        .prepare("three/y", "one/a", &of("sha256:b"))
        .expect_err("it is there");
    assert_eq!(
        (code, text.contains("`one/b`")),
        (Code::AlreadyExists, true),
        "{text}"
    );
    client
        .prepare("three/z", "one/b", &of("sha256:b"))
        .expect("the same digest on another parent is other content");
}

#[test]
fn no_one_else_changes_the_layers_of_snapshots() {
    let bench = Bench::start(FileSystem::Ext4, "overlay");
    let mut client = bench.client();
    furnish(&mut client);
    let rest = &bench.daemon.client;
    let layer = rest.get("/v1/stores/containerd/snapshots/a1").expect("it")["layer"]
        .as_str()
        .expect("a layer")
        .to_owned();
    let before = (client.lines(), bench.layers());
    let store = rest.store("containerd");
    let refusals = [
        store.create("mine", None).expect_err("create"),
        store.remove(&layer).expect_err("remove"),
        store
            .apply(&layer, &mica_tests::archive::archive("f x data=x"))
            .expect_err("apply"),
        rest.call("DELETE", "/v1/stores/containerd", Body::Empty)
            .map(drop)
            .expect_err("remove the store"),
    ];
    for problem in refusals {
        assert_eq!(problem.code, "holds-snapshots", "{problem:?}");
        assert!(problem.detail.contains("`containerd`"));
    }
    assert_eq!((client.lines(), bench.layers()), before);
    let missing = rest
        .get("/v1/stores/default/snapshots")
        .expect_err("no snapshots");
    assert_eq!(missing.code, "no-snapshots");
}

#[test]
fn a_store_with_layers_of_its_own_is_not_taken() {
    let lab = Lab::on(FileSystem::Ext4);
    let mut settings = Bench::settings(&lab, "overlay");
    settings.arguments.clear();
    let daemon = settings.start();
    daemon
        .client
        .default_store()
        .create("precious", None)
        .expect("create");
    daemon.stop();
    let mut settings = Bench::settings(&lab, "overlay");
    settings.configuration = Some("[containerd]\nstore = \"default\"\n".into());
    let log = settings.try_start().expect_err("it must not start");
    assert!(
        log.contains("store `default` has 1 layers that are no snapshots"),
        "{log}"
    );
    assert!(log.contains("containerd.store"), "{log}");
    settings.arguments.clear();
    settings.configuration = None;
    let daemon = settings.start();
    daemon
        .client
        .default_store()
        .inspect("precious")
        .expect("it is still there");
}

#[test]
fn the_command_line_shows_what_containerd_holds() {
    let bench = Bench::start(FileSystem::Ext4, "overlay");
    furnish(&mut bench.client());
    let socket = bench.lab.path("run/mica.sock");
    let mica = |arguments: &[&str]| command::mica(&socket, arguments);
    let document = |arguments: &[&str]| -> Value {
        let all = [&["--output", "json", "snapshot"], arguments].concat();
        serde_json::from_str(&mica(&all).worked()).expect("a document")
    };
    let table = mica(&["snapshot", "ls"]).worked();
    let lines: Vec<_> = table.lines().collect();
    assert!(
        lines[0].starts_with("KEY") && lines[0].contains("INODES"),
        "{table}"
    );
    assert_eq!(lines.len(), 6, "{table}");
    assert!(lines[2].starts_with("a1") && lines[2].contains("active"));
    let listed = document(&["ls"]);
    assert_eq!(listed["snapshots"].as_array().map(Vec::len), Some(5));
    let inspected = mica(&["snapshot", "inspect", "a1"]).worked();
    assert!(inspected.contains("\nlabels\n  kept  1"), "{inspected}");
    let usage = document(&["usage", "c1"]);
    assert_eq!(usage, json!({ "bytes": 4096, "inodes": 1 }));
    let missing = "there is no snapshot `no/such` in store `containerd`";
    mica(&["snapshot", "inspect", "no/such"]).failed(3, missing);
    let rest = &bench.daemon.client;
    let page = rest.get("/v1/stores/containerd/snapshots?limit=2&after=a0");
    let page = page.expect("a page");
    assert_eq!(
        (&page["snapshots"][0]["key"], &page["next"]),
        (&json!("a1"), &json!("c0"))
    );
}
