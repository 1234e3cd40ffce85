//! Layers that are unpacked all at once and get their parents when they are committed, as containerd does since 2.2 with
//! a snapshotter that announces `rebase`; and owners that are mapped, as with `remap-ids`.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use mica_tests::containerd::{Bench, Labels, Mount, Snapshotter};
use mica_tests::lab::FileSystem;
use mica_tests::{dump, tree};
use tonic::Code;

/// An image of four layers, in the form of upper directories.
const LAYERS: [&str; 4] = [
    "d a mode=0755 mtime=1000.5\nf a/old data=1\nf gone data=2\nd opaque mode=0750\nf opaque/old data=3\nf kept data=4 own=12:34",
    "c gone rdev=0:0\nd opaque mode=0711 x:trusted.overlay.opaque=y\nf opaque/new data=5",
    "f gone data=6 mode=4755\nh linked to=gone\nd a mode=0700\nc a/old rdev=0:0",
    "l link to=/etc\np pipe mode=0600\nc device rdev=1:3\nd deep\nd deep/er\nf deep/er/file data=7",
];

fn none() -> Labels {
    Labels::new()
}

fn option<'a>(mount: &'a Mount, name: &str) -> Option<&'a str> {
    let mut options = mount.options.iter();
    options.find_map(|option| option.strip_prefix(name)?.strip_prefix('='))
}

/// Says that content comes before its parent.
fn chained(number: usize) -> Labels {
    let name = "containerd.io/snapshot/parent-chain-id".to_owned();
    Labels::from([(name, format!("sha256:{number}"))])
}

/// Where a layer is unpacked to: the one directory that a mount can be changed in.
fn target(mounts: &[Mount]) -> PathBuf {
    let [mount] = mounts else {
        panic!("not one mount: {mounts:?}")
    };
    PathBuf::from(option(mount, "upperdir").unwrap_or(&mount.source))
}

/// Shows a committed snapshot as its containers see it.
fn seen(bench: &Bench, client: &mut Snapshotter, name: &str) -> Vec<dump::Node> {
    let mounts = client.prepare("look", name, &none()).expect("prepare");
    let at = bench.lab.scratch("seen");
    let mount = &mounts[0];
    let status = Command::new("mount")
        .args([
            "-t",
            &mount.r#type,
            "-o",
            &mount.options.join(","),
            &mount.source,
        ])
        .arg(&at)
        .status();
    assert!(status.expect("start mount").success());
    let nodes = dump::as_layered(&dump::nodes(&at));
    let status = Command::new("umount").arg(&at).status();
    assert!(status.expect("start umount").success());
    fs::remove_dir(&at).expect("remove");
    client.remove("look").expect("remove");
    nodes
}

/// Unpacks one layer after another, each on the one before.
fn in_turn(client: &mut Snapshotter) {
    let mut parent = String::new();
    for (number, script) in LAYERS.iter().enumerate() {
        let (key, name) = (format!("turn/x{number}"), format!("turn/{number}"));
        let mounts = client.prepare(&key, &parent, &chained(number));
        tree::build(&target(&mounts.expect("prepare")), script);
        client.commit(&name, &key, "", &none()).expect("commit");
        parent = name;
    }
}

/// Begins all layers, fills them from the last to the first, and commits them in their order.
fn at_once(client: &mut Snapshotter) {
    let mut targets = Vec::new();
    for number in 0..LAYERS.len() {
        let labels = if number == 0 { none() } else { chained(number) };
        let key = format!("once/x{number}");
        let mounts = client.prepare(&key, "", &labels).expect("prepare");
        if number > 0 {
            // As in a recording of containerd 2.4 with its own overlayfs.
            let upper = option(&mounts[0], "upperdir").expect("an upper");
            assert_eq!(mounts[0].r#type, "overlay");
            assert_eq!(
                mounts[0].options,
                ["rw".to_owned(), format!("upperdir={upper}")]
            );
            assert_eq!(client.mounts(&key).expect("mounts"), mounts);
        }
        targets.push(target(&mounts));
    }
    for (target, script) in targets.iter().zip(LAYERS).rev() {
        tree::build(target, script);
    }
    for number in 0..LAYERS.len() {
        let (key, name) = (format!("once/x{number}"), format!("once/{number}"));
        let parent = number.checked_sub(1).map(|below| format!("once/{below}"));
        client
            .commit(&name, &key, parent.as_deref().unwrap_or(""), &none())
            .expect("commit");
        let info = client.stat(&name).expect("stat");
        assert_eq!(info.parent, parent.unwrap_or_default());
    }
}

#[test]
fn layers_that_are_unpacked_at_once_are_what_they_are_in_turn() {
    let mut bench = Bench::start(FileSystem::Ext4, "overlay");
    let mut client = bench.client();
    in_turn(&mut client);
    at_once(&mut client);
    for again in [false, true] {
        for number in 0..LAYERS.len() {
            let [turn, once] = ["turn", "once"].map(|way| format!("{way}/{number}"));
            assert_eq!(
                dump::print(&seen(&bench, &mut client, &once)),
                dump::print(&seen(&bench, &mut client, &turn)),
                "{number}"
            );
            let usage = client.usage(&once).expect("usage");
            assert_eq!(usage, client.usage(&turn).expect("usage"), "{number}");
        }
        if !again {
            drop(client);
            bench = bench.restart(|daemon| daemon.kill());
            client = bench.client();
        }
    }
    // A layer belongs to its parent now, and goes before it.
    assert_eq!(
        client.remove("once/2").expect_err("it has a child").0,
        Code::FailedPrecondition
    );
    for way in ["turn", "once"] {
        for number in (0..LAYERS.len()).rev() {
            client.remove(&format!("{way}/{number}")).expect("remove");
        }
    }
    client.clean_up().expect("clean up");
    bench.assert_empty();
}

#[test]
fn a_top_that_nobody_changed_is_its_parents() {
    let bench = Bench::start(FileSystem::Ext4, "overlay");
    let mut client = bench.client();
    let base = target(&client.prepare("x", "", &none()).expect("prepare"));
    tree::build(&base, "m . mode=1711 own=7:8");
    client.commit("base", "x", "", &none()).expect("commit");
    for (key, script, expected) in [
        ("same", "f file data=1", (0o1711, 7, 8)),
        ("other", "m . mode=0700", (0o700, 0, 0)),
    ] {
        let made = client.prepare(key, "", &chained(1)).expect("prepare");
        tree::build(&target(&made), script);
        let name = format!("{key}/done");
        client.commit(&name, key, "base", &none()).expect("commit");
        let mounts = client.view(key, &name).expect("view");
        let lowers = option(&mounts[0], "lowerdir").expect("lowers");
        let top = fs::metadata(lowers.split(':').next().expect("one")).expect("stat");
        assert_eq!(
            (top.mode() & 0o7777, top.uid(), top.gid()),
            expected,
            "{key}"
        );
    }
}

#[track_caller]
fn is_refused(file_system: FileSystem, driver: &str) {
    let bench = Bench::start(file_system, driver);
    let mut client = bench.client();
    for (name, parent) in [("c0", ""), ("c1", "c0")] {
        client.prepare("x", parent, &none()).expect("prepare");
        client.commit(name, "x", parent, &none()).expect("commit");
    }
    client.prepare("a", "", &none()).expect("prepare");
    bench.settle();
    let before = (client.lines(), bench.layers());
    for round in 0..2 {
        let refused = client.prepare("k", "", &chained(1));
        let (code, text) = refused.expect_err("it stacks no directories");
        assert_eq!(code, Code::InvalidArgument, "{round}");
        for part in ["`k`", &format!("`{driver}`"), "`rebase`"] {
            assert!(text.contains(part), "{text}");
        }
        let refused = client.commit("new", "a", "c1", &none());
        let (code, text) = refused.expect_err("it stacks no directories");
        assert_eq!((code, text.contains("`a`")), (Code::InvalidArgument, true));
        bench.settle();
        assert_eq!((client.lines(), bench.layers()), before);
    }
    client.commit("new", "a", "", &none()).expect("it is whole");
}

/// containerd 2.2.0 unpacks layers all at once and does not say at `Prepare` that a parent comes (containerd#13030; the label
/// came with #13070). It is given one directory, in which a whiteout deletes what is not there, and nothing of it stays.
#[test]
fn content_whose_whiteouts_were_not_kept_gets_no_parent() {
    let bench = Bench::start(FileSystem::Ext4, "overlay");
    let mut client = bench.client();
    let base = target(&client.prepare("x", "", &none()).expect("prepare"));
    tree::build(&base, "f secret data=s");
    client.commit("base", "x", "", &none()).expect("commit");
    let reference = Labels::from([("containerd.io/snapshot.ref".into(), "sha256:1".into())]);
    for (key, labels) in [("plain", none()), ("extract 2.2.0", reference)] {
        let mounts = client.prepare(key, "", &labels).expect("prepare");
        assert_eq!(mounts[0].r#type, "bind", "{key}");
        tree::build(&target(&mounts), "f other data=o");
        bench.settle();
        let before = (client.lines(), bench.layers());
        let refused = client.commit("done", key, "base", &none());
        let (code, text) = refused.expect_err("the deletion would be lost");
        assert_eq!(code, Code::FailedPrecondition, "{text}");
        let label = "`containerd.io/snapshot/parent-chain-id`";
        for part in [&format!("`{key}`"), label, "`rebase`"] {
            assert!(text.contains(part), "{text}");
        }
        bench.settle();
        assert_eq!((client.lines(), bench.layers()), before, "{key}");
        // Without a parent there is nothing that it could have deleted.
        client.commit("done", key, "", &none()).expect("commit");
        client.remove("done").expect("remove");
    }
    // A wrong parent is told first, as before.
    for key in ["y", "z"] {
        client.prepare(key, "", &none()).expect("prepare");
    }
    for (parent, code) in [("ghost", Code::NotFound), ("z", Code::InvalidArgument)] {
        let refused = client.commit("done", "y", parent, &none());
        assert_eq!(refused.expect_err(parent).0, code, "{parent}");
    }
}

/// A driver that copies has no upper directories: whiteouts would be files in it.
#[test]
fn a_driver_that_copies_refuses() {
    is_refused(FileSystem::Xfs, "vfs");
}

#[test]
fn a_driver_that_clones_refuses() {
    is_refused(FileSystem::Btrfs, "btrfs");
}

/// Ends the daemon at its first call of `call` after it is traced, before the call is made.
fn kill_at(bench: &Bench, call: &str, act: impl FnOnce()) {
    let mut tracer = Command::new("strace")
        .args(["--quiet=all", "-f", "-o", "/dev/null", "-p"])
        .arg(bench.daemon.pid().to_string())
        .args(["-e", &format!("inject={call}:signal=KILL:when=1")])
        .spawn()
        .expect("start strace");
    while !bench.daemon.is_traced() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    act();
    assert!(tracer.wait().is_ok());
}

#[test]
fn a_kill_between_the_new_parent_and_the_commit_leaves_it_without_one() {
    let mut bench = Bench::start(FileSystem::Ext4, "overlay");
    let mut client = bench.client();
    client.prepare("x", "", &none()).expect("prepare");
    client.commit("base", "x", "", &none()).expect("commit");
    let made = client.prepare("late", "", &chained(1)).expect("prepare");
    tree::build(&target(&made), "f file data=1");
    let parent_of_layer = |bench: &Bench, key: &str| {
        let get = |what: String| {
            bench
                .daemon
                .client
                .get(&format!("/v1/stores/containerd/{what}"))
        };
        let snapshot = get(format!("snapshots/{key}")).expect("a snapshot");
        let layer = snapshot["layer"].as_str().expect("a layer").to_owned();
        get(format!("layers/{layer}")).expect("a layer")["parent"].clone()
    };
    // The files get to the device after the layer has its parent and before the row says so.
    kill_at(&bench, "syncfs", || {
        client
            .commit("done", "late", "base", &none())
            .expect_err("it is killed");
    });
    bench = bench.restart(|daemon| daemon.wait());
    assert!(parent_of_layer(&bench, "late").is_null());
    let mut client = bench.client();
    assert_eq!(client.mounts("late").expect("mounts"), made);
    assert_eq!(client.stat("late").expect("stat").parent, "");
    assert_eq!(client.stat("done").expect_err("none").0, Code::NotFound);
    client
        .commit("done", "late", "base", &none())
        .expect("commit");
    bench = bench.restart(|daemon| {
        daemon.stop();
    });
    assert!(parent_of_layer(&bench, "done").is_string());
    let mut client = bench.client();
    let shown = seen(&bench, &mut client, "done");
    assert!(dump::print(&shown).contains("file"));
}

#[test]
fn a_mapping_is_in_every_mount_and_the_top_is_its_roots() {
    let mut bench = Bench::start(FileSystem::Ext4, "overlay");
    let mut client = bench.client();
    for (name, parent) in [("c0", ""), ("c1", "c0")] {
        client.prepare("x", parent, &none()).expect("prepare");
        client.commit(name, "x", parent, &none()).expect("commit");
    }
    let maps = ["0:100000:65536", "0:200000:1000,1000:1000:1"];
    let labels = Labels::from([
        ("containerd.io/snapshot/uidmapping".into(), maps[0].into()),
        ("containerd.io/snapshot/gidmapping".into(), maps[1].into()),
    ]);
    let asked = [format!("uidmap={}", maps[0]), format!("gidmap={}", maps[1])];
    let owner = |path: &Path| {
        let found = fs::metadata(path).expect("stat");
        (found.uid(), found.gid())
    };
    let mounts = client.prepare("mapped", "c1", &labels).expect("prepare");
    assert_eq!(mounts[0].options[..2], asked);
    let upper = target(&mounts);
    assert_eq!(owner(&upper), (100_000, 200_000));
    // A container may give its root away: that is not undone when the mounts are asked for again.
    std::os::unix::fs::chown(&upper, Some(5), Some(6)).expect("chown");
    drop(client);
    bench = bench.restart(|daemon| daemon.kill());
    let mut client = bench.client();
    assert_eq!(client.mounts("mapped").expect("mounts"), mounts);
    assert_eq!(owner(&upper), (5, 6));
    // A mount of one directory is mapped as a whole, so that the directory keeps its owner.
    let mounts = client.prepare("alone", "", &labels).expect("prepare");
    assert_eq!(mounts[0].options[..2], asked);
    assert_eq!(mounts[0].options[2..], ["rw", "rbind"]);
    assert_eq!(owner(Path::new(&mounts[0].source)), (0, 0));
    // What is committed has owners of its own, and those that mount it may map it otherwise.
    client
        .commit("done", "mapped", "c1", &none())
        .expect("commit");
    let mounts = client.prepare("plain", "done", &none()).expect("prepare");
    assert_eq!(option(&mounts[0], "uidmap"), None);
}
