//! Does a store that gets another name keep all else, and has it one of both names whatever happens?

use mica_tests::archive::archive;
use mica_tests::client::Store;
use mica_tests::command::mica;
use mica_tests::fault::{end, inject, strace_is_there};
use mica_tests::history::seen;
use mica_tests::http::Body;
use mica_tests::setup::{self, Bench, Setup};
use serde_json::json;

const ALL: [Setup; 4] = [
    setup::OVERLAY_EXT4,
    setup::EROFS_EXT4,
    setup::VFS_EXT4,
    setup::BTRFS,
];

fn fill(store: &Store) -> String {
    store.create("base", None).expect("create");
    let content = archive("d etc mode=755\nf etc/motd mode=644 data=hello\nl link to=etc");
    store.apply("base", &content).expect("apply");
    store.create("kid", Some("base")).expect("create");
    seen(store, "base")
}

#[test]
fn a_renamed_store_has_its_layers_before_and_after_a_restart() {
    for setup in ALL {
        let bench = setup.start();
        let content = fill(&bench.store);
        let socket = bench.daemon.client.socket.clone();
        let told = mica(&socket, &["store", "rename", "default", "images"]).worked();
        assert_eq!(told, "images\n");
        let images = bench.daemon.client.store("images");
        assert_eq!(
            (images.ids(), seen(&images, "base")),
            (vec!["base".to_owned(), "kid".to_owned()], content.clone())
        );
        mica(&socket, &["layer", "ls"]).failed(3, "default");
        images.create("new", Some("kid")).expect("create");
        let Bench { daemon, lab, .. } = bench;
        let settings = daemon.settings.clone();
        assert!(daemon.stop().success());
        assert!(lab.home("images").is_dir() && !lab.home("default").exists());
        let daemon = settings.start();
        let images = daemon.client.store("images");
        assert_eq!(images.ids(), ["base", "kid", "new"]);
        assert_eq!(seen(&images, "base"), content);
        let status = daemon.client.get("/v1/status").expect("a status");
        assert_eq!(status["problems"], json!([]), "{status:#}");
    }
}

#[test]
fn a_store_in_use_keeps_its_name() {
    let bench = setup::OVERLAY_EXT4.start();
    fill(&bench.store);
    let rest = &bench.daemon.client;
    let rename = |to: &str| rest.json("POST", "/v1/stores/default/rename", &json!({ "name": to }));
    bench.store.mount("kid").expect("mount");
    rename("other")
        .expect_err("it is mounted")
        .is(409, "busy", "default");
    bench.store.unmount("kid").expect("unmount");
    rest.create_store("other", "vfs", &json!({}))
        .expect("another");
    rename("other")
        .expect_err("it is taken")
        .is(409, "store-exists", "other");
    // What was refused has closed nothing.
    bench.store.mount("kid").expect("mount");
    bench.store.unmount("kid").expect("unmount");
    let answer = rest.call(
        "POST",
        "/v1/stores/default/rename",
        Body::Json(&json!({"name": "third"})),
    );
    let answer = answer.expect("a new name");
    // Nothing of the name before is left in the run directory, so that another store may have it at once.
    for kind in ["m", "state"] {
        let left = bench.lab.path("run").join(kind).join("default");
        assert!(!left.exists(), "{left:?}");
    }
    assert_eq!(answer.header("location"), Some("/v1/stores/third"));
    let renamed = rest.store("third");
    renamed.mount("kid").expect("mount");
    renamed.unmount("kid").expect("unmount");
    // What runs on the way of the name that is gone is told that it is gone.
    bench
        .store
        .create("x", None)
        .expect_err("no such store")
        .is(404, "unknown-store", "default");
}

#[test]
fn a_store_whose_daemon_dies_meanwhile_has_one_of_both_names() {
    if !strace_is_there() {
        return;
    }
    let Bench {
        mut daemon,
        lab,
        store,
    } = setup::OVERLAY_EXT4.start();
    let content = fill(&store);
    let mut names = ["default", "images"];
    for calls in [
        "renameat2",
        "fsync",
        "rmdir,unlinkat",
        "openat2,openat",
        "pwrite64",
    ] {
        for when in [1, 2] {
            let settings = daemon.settings.clone();
            let tracer = inject(&daemon, calls, "signal=SIGKILL", when);
            let [from, to] = names;
            let request = json!({ "name": to });
            let target = format!("/v1/stores/{from}/rename");
            // It may have died before or after it, or not at all.
            let _answer = daemon
                .client
                .try_send("POST", &target, Body::Json(&request));
            daemon.kill();
            end(tracer);
            let there: Vec<_> = names
                .into_iter()
                .filter(|name| lab.home(name).is_dir())
                .collect();
            assert_eq!(there.len(), 1, "{calls} {when}: {there:?}");
            daemon = settings.start();
            if there == [to] {
                names.reverse();
            }
            let store = daemon.client.store(names[0]);
            assert_eq!(
                (store.ids().len(), seen(&store, "base")),
                (2, content.clone()),
                "{calls} {when}"
            );
        }
    }
    let places = std::fs::read_dir(lab.path("run").join("m")).expect("list");
    let places: Vec<_> = places
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(places, [names[0]], "the name before has a place still");
}
