//! Is a damaged layer that containerd has unpacked here made again of the blob that containerd still keeps?

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use mica_tests::archive::archive;
use mica_tests::client::Store;
use mica_tests::command::{Ended, mica, packed};
use mica_tests::containerd::{Bench, Labels, Mount, Snapshotter};
use mica_tests::differ::{Blob, Content, Differ, TAR, unpacking};
use mica_tests::lab::FileSystem;
use mica_tests::watch::until;
use serde_json::Value;

const BASE: &str =
    "d dir mode=750\nf dir/file fill=70000 mtime=1700000000\nf gone data=1\nl link to=dir/file";
const UPPER: &str =
    "f .wh.gone\nd dir mode=711\nf dir/victim fill=70000\nf set data=x mode=4755 own=12:34";

struct Peer {
    snapshots: Snapshotter,
    differ: Differ,
    content: Content,
    store: Store,
    bench: Bench,
}

impl Peer {
    fn start(file_system: FileSystem, driver: &str, more: &str) -> Self {
        let (bench, content) = unpacking(file_system, driver, more);
        Self {
            snapshots: bench.client(),
            differ: Differ::new(&bench.socket),
            store: bench.daemon.client.store("containerd"),
            content,
            bench,
        }
    }

    fn blob(&self, script: &str, packing: &str) -> Blob {
        let bytes = packed(packing, &archive(script)).expect("the program");
        self.content.put(&format!("{TAR}+{packing}"), &bytes)
    }

    /// Unpacks a blob as containerd does. `late` is for a layer whose parent is known only when it is committed.
    fn unpack(&mut self, blob: &Blob, name: &str, parent: &str, late: bool) -> String {
        let key = format!("k8s.io/1/extract-{name} sha256:0");
        let mut labels = Labels::new();
        let mut first = parent;
        if late {
            let label = "containerd.io/snapshot/parent-chain-id".to_owned();
            labels.insert(label, "sha256:0".to_owned());
            first = "";
        }
        let mounts: Vec<Mount> = self
            .snapshots
            .prepare(&key, first, &labels)
            .expect("prepare");
        self.differ.apply(blob, &mounts).expect("apply");
        let parent = if late { parent } else { "" };
        let name = format!("k8s.io/1/{name}");
        let none = Labels::new();
        self.snapshots
            .commit(&name, &key, parent, &none)
            .expect("commit");
        name
    }

    /// The layer of a snapshot.
    fn layer(&self, key: &str) -> String {
        let list = self
            .bench
            .daemon
            .client
            .get("/v1/stores/containerd/snapshots");
        let list = list.expect("a list");
        let all = list["snapshots"].as_array().expect("a list");
        let found = all.iter().find(|snapshot| snapshot["key"] == key);
        let layer = found.expect("the snapshot")["layer"].as_str();
        layer.expect("a layer").to_owned()
    }

    fn verdict(&self, layer: &str) -> String {
        let target = self.store.target(layer, "/verify");
        let view = self.store.client.json("POST", &target, &Value::Null);
        let view = view.expect("verify");
        view["verdict"].as_str().expect("a verdict").to_owned()
    }

    fn repair(&self, layer: &str) -> Ended {
        let arguments = ["--store", "containerd", "layer", "repair", layer];
        mica(&self.store.client.socket, &arguments)
    }

    /// A file of a layer that has content: the one of the name, or the archive of a sealed layer.
    fn victim(&self, layer: &str) -> PathBuf {
        let number = self.store.inspect(layer).expect("inspect")["number"].to_string();
        let room = self.bench.home("layers").join(number).join("d");
        let sealed = room.join("sealed/layer.tar");
        match sealed.exists() {
            true => sealed,
            false => find(&room, "victim").expect("the file"),
        }
    }
}

fn find(top: &Path, name: &str) -> Option<PathBuf> {
    fs::read_dir(top)
        .expect("list")
        .flatten()
        .find_map(|entry| {
            let path = entry.path();
            match entry.file_type().expect("a type").is_dir() {
                true => find(&path, name),
                false => path.ends_with(name).then_some(path),
            }
        })
}

fn flip(path: &Path) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path);
    let file = file.expect("open");
    let mut byte = [0];
    file.read_exact_at(&mut byte, 40_000).expect("read");
    file.write_all_at(&[byte[0] ^ 1], 40_000).expect("write");
}

#[test]
fn the_blob_makes_a_layer_what_it_was_whatever_the_driver_and_the_compression() {
    for (file_system, driver, packing, late) in [
        (FileSystem::Ext4, "overlay", "gzip", false),
        (FileSystem::Ext4, "overlay", "zstd", true),
        (FileSystem::Ext4, "erofs", "zstd", false),
        (FileSystem::Btrfs, "btrfs", "gzip", false),
        (FileSystem::Xfs, "vfs", "gzip", false),
    ] {
        let mut peer = Peer::start(file_system, driver, "");
        let [base, upper] = [BASE, UPPER].map(|script| peer.blob(script, packing));
        let base = peer.unpack(&base, "base", "", false);
        let name = peer.unpack(&upper, "upper", &base, late);
        let layer = peer.layer(&name);
        assert_eq!(peer.verdict(&layer), "taken", "{driver}");
        flip(&peer.victim(&layer));
        assert_eq!(peer.verdict(&layer), "damaged", "{driver}");
        // A blob that is damaged as well, or gone, changes nothing.
        let blob = peer.content.path(&upper);
        let whole = fs::read(&blob).expect("read");
        let mut damaged = whole.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        fs::write(&blob, damaged).expect("write");
        peer.repair(&layer).failed(6, "sha256:");
        fs::remove_file(&blob).expect("remove");
        peer.repair(&layer).failed(5, &upper.digest);
        assert_eq!(peer.verdict(&layer), "damaged", "{driver}");
        fs::write(&blob, whole).expect("write");
        let told = peer.repair(&layer).worked();
        assert!(told.contains(&upper.digest), "{driver}: {told}");
        assert_eq!(peer.verdict(&layer), "whole", "{driver}");
        peer.bench.settle();
    }
}

#[test]
fn a_layer_is_mended_in_the_background_if_that_is_asked_for() {
    let mut peer = Peer::start(FileSystem::Ext4, "overlay", "[scrub]\nrepair = true\n");
    let blob = peer.blob(UPPER, "gzip");
    let name = peer.unpack(&blob, "upper", "", false);
    let layer = peer.layer(&name);
    assert_eq!(peer.verdict(&layer), "taken");
    let used = peer
        .snapshots
        .prepare("k8s.io/2/box", &name, &Labels::new());
    used.expect("prepare");
    flip(&peer.victim(&layer));
    let socket = peer.store.client.socket.clone();
    let scrub = || mica(&socket, &["scrub", "containerd", "--wait"]);
    // Somebody may have it mounted, so it stays until nobody has.
    assert_eq!(scrub().code, 9);
    assert_eq!(peer.verdict(&layer), "damaged");
    peer.snapshots.remove("k8s.io/2/box").expect("remove");
    scrub().worked();
    assert_eq!(peer.verdict(&layer), "whole");
    let log = peer.bench.daemon.log();
    assert!(log.contains("a damaged layer was made again"), "{log}");
    let arguments = ["events", "--since", "0", "--no-follow"];
    let events = mica(&socket, &arguments).worked();
    assert!(events.contains("layer.repaired"), "{events}");
    until("it is not counted", || {
        let answer = mica_tests::http::send(
            &socket,
            "GET",
            "/metrics",
            &[],
            mica_tests::http::Body::Empty,
        );
        let text = String::from_utf8(answer.expect("an answer").body).expect("text");
        text.contains("\nmica_scrub_layers_repaired_total 1")
    });
}
