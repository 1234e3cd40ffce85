//! Is it told what keeps each layer, and is nothing removed that something keeps?

use mica_tests::command::{Ended, mica};
use mica_tests::containerd::{self, Labels};
use mica_tests::docker;
use mica_tests::http::Body;
use mica_tests::lab::FileSystem;
use mica_tests::setup::{self, Bench};
use serde_json::{Value, json};

/// `base` with its child `kid`, which is mounted by a name; `lone` with its child `leaf`, which nothing keeps.
fn bench() -> Bench {
    let bench = setup::OVERLAY_EXT4.start();
    for (id, parent) in [
        ("base", None),
        ("kid", Some("base")),
        ("lone", None),
        ("leaf", Some("lone")),
    ] {
        bench.store.create(id, parent).expect("create");
    }
    let held = json!({"reference": "build-7"});
    bench.store.mount_as("kid", &held).expect("mount");
    bench
}

fn gc(bench: &Bench, arguments: &[&str]) -> Ended {
    mica(&bench.daemon.client.socket, &[&["gc"], arguments].concat())
}

fn document(bench: &Bench, arguments: &[&str]) -> Value {
    let told = gc(bench, &[&["--json"], arguments].concat()).worked();
    serde_json::from_str(&told).expect("a document")
}

/// Ids of a list of documents.
fn ids(list: &Value) -> Vec<&str> {
    let entries = list.as_array().expect("a list").iter();
    entries
        .map(|entry| entry["id"].as_str().expect("an id"))
        .collect()
}

#[test]
fn what_keeps_a_layer_is_told() {
    let bench = bench();
    let watch = bench.watch();
    let told = document(&bench, &[]);
    let of = |id: &str| {
        let layers = told["layers"].as_array().expect("layers").iter();
        layers
            .clone()
            .find(|layer| layer["id"] == id)
            .expect("the layer")
    };
    assert_eq!(ids(&told["layers"]), ["base", "kid", "leaf", "lone"]);
    let kid = of("kid");
    assert_eq!(
        (&kid["store"], &kid["is_free"]),
        (&json!("default"), &json!(false))
    );
    assert_eq!(kid["held_by"][0]["by"], "mount");
    assert_eq!(kid["held_by"][0]["holders"][0]["reference"], "build-7");
    assert_eq!(
        of("base")["held_by"],
        json!([{"by": "layers", "object": "kid", "count": 1}])
    );
    assert!(of("base")["bytes"].is_null() && of("leaf")["bytes"].as_u64() > Some(0));
    assert_eq!(
        (&of("leaf")["held_by"], &of("lone")["is_free"]),
        (&json!([]), &json!(true))
    );
    let free = document(&bench, &["--dry-run"]);
    assert_eq!(ids(&free["layers"]), ["leaf", "lone"]);
    let table = gc(&bench, &["--explain"]);
    let text = table.worked();
    let line = |id: &str| {
        let mut lines = text.lines();
        lines
            .find(|line| line.split_whitespace().nth(1) == Some(id))
            .expect("a line")
    };
    assert!(line("kid").ends_with(": build-7"), "{text}");
    assert!(line("leaf").ends_with("nothing"), "{text}");
    assert!(line("lone").ends_with("nothing but layer leaf"), "{text}");
    assert!(
        table.stderr.contains("nothing keeps 2 of 4 layers"),
        "{}",
        table.stderr
    );
    let explained = mica(&bench.daemon.client.socket, &["explain", "kid"]).worked();
    assert!(
        explained.contains("kept by mount ") && explained.contains("build-7"),
        "{explained}"
    );
    watch.check();
}

#[test]
fn only_what_nothing_keeps_is_removed_and_only_when_it_is_said() {
    let bench = bench();
    let watch = bench.watch();
    gc(&bench, &["--layers", "default"]).failed(2, "--yes");
    gc(&bench, &["--layers", "default", "--yes", "--dry-run"]).failed(2, "--dry-run");
    gc(
        &bench,
        &["--layers", "default", "--yes", "--older-than", "1w"],
    )
    .failed(2, "1w");
    gc(&bench, &["--older-than", "1d"]).failed(2, "--layers");
    gc(&bench, &["--layers", "nowhere", "--yes"]).failed(3, "nowhere");
    let young = document(
        &bench,
        &["--layers", "default", "--yes", "--older-than", "1d"],
    );
    assert_eq!(
        (ids(&young["removed"]), &young["bytes"]),
        (vec![], &json!(0))
    );
    let told = document(&bench, &["--layers", "default", "--dry-run"]);
    assert_eq!(ids(&told["removed"]), ["leaf", "lone"]);
    assert_eq!(told["is_dry_run"], true);
    watch.check();
    let quiet = gc(&bench, &["--layers", "default", "--yes", "--quiet"]);
    assert_eq!(quiet.worked(), "leaf\nlone\n");
    assert!(quiet.stderr.contains("came free"), "{}", quiet.stderr);
    assert_eq!(bench.store.ids(), ["base", "kid"]);
    let given_back = json!({"reference": "build-7"});
    let target = bench.store.target("kid", "/unmount");
    bench
        .daemon
        .client
        .json("POST", &target, &given_back)
        .expect("unmount");
    gc(&bench, &["--layers", "default", "--yes"]).worked();
    assert_eq!(bench.store.ids(), Vec::<String>::new());
}

#[test]
fn layers_of_docker_are_told_and_never_removed() {
    let bench = docker::Bench::with(FileSystem::Ext4, "overlay");
    bench.plugin.create("base", "").expect("create");
    let refuse = |client: &mica_tests::client::Client| {
        let target = "/v1/stores/docker/collect";
        let problem = client
            .call("POST", target, Body::Empty)
            .expect_err("a refusal");
        problem.is(409, "store-served", "docker");
        let holds = client.get("/v1/stores/docker/holds").expect("holds");
        let hold = &holds["layers"][0]["held_by"][0];
        assert_eq!(hold["by"], "client", "{holds}");
        assert!(
            hold["object"]
                .as_str()
                .is_some_and(|by| by.starts_with("docker")),
            "{holds}"
        );
        let renamed = client.json(
            "POST",
            "/v1/stores/docker/rename",
            &json!({"name": "other"}),
        );
        renamed
            .expect_err("a refusal")
            .is(409, "store-served", "docker");
    };
    refuse(&bench.daemon.client);
    // Whom it is for is known before dockerd asks for anything, also of a store that someone else made.
    let bench = docker::Bench::start(FileSystem::Ext4);
    let client = &bench.daemon.client;
    let store = client
        .create_store("docker", "overlay", &json!({}))
        .expect("a store");
    store.create("base", None).expect("create");
    refuse(client);
}

#[test]
fn snapshots_are_told_with_their_labels() {
    let bench = containerd::Bench::start(FileSystem::Ext4, "overlay");
    let mut client = bench.client();
    let labels = Labels::from([("containerd.io/gc.root".to_owned(), "1".to_owned())]);
    client.prepare("box", "", &labels).expect("prepare");
    client.commit("image", "box", "", &labels).expect("commit");
    client.view("look", "image").expect("view");
    let rest = &bench.daemon.client;
    let holds = rest
        .get("/v1/stores/containerd/holds?sizes=true")
        .expect("holds");
    let layer = &holds["layers"][0];
    assert_eq!(
        (&layer["is_free"], &layer["bytes"]),
        (&json!(false), &Value::Null)
    );
    let keys: Vec<_> = layer["held_by"].as_array().expect("holds").iter().collect();
    assert_eq!(
        (&keys[0]["by"], &keys[0]["object"]),
        (&json!("client"), &json!("containerd"))
    );
    assert_eq!(
        (&keys[1]["object"], &keys[1]["kind"]),
        (&json!("image"), &json!("committed"))
    );
    assert_eq!(keys[1]["labels"], json!({"containerd.io/gc.root": "1"}));
    assert_eq!(
        (&keys[2]["object"], &keys[2]["parent"]),
        (&json!("look"), &json!("image"))
    );
    let collected = rest.call("POST", "/v1/stores/containerd/collect", Body::Empty);
    collected
        .expect_err("a refusal")
        .is(409, "store-served", "containerd");
    let text = mica(&rest.socket, &["gc", "--store", "containerd"]).worked();
    assert!(
        text.contains("committed snapshot image (containerd.io/gc.root=1)"),
        "{text}"
    );
}
