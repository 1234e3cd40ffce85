//! How often does a layer make the disk wait, and is on it what was acknowledged?

use std::fs;
use std::path::PathBuf;

use mica_tests::archive::archive;
use mica_tests::client::Against;
use mica_tests::containerd::{Bench, Labels, Mount, Snapshotter};
use mica_tests::differ::{Blob, Content, Differ, TAR, unpacking};
use mica_tests::fault::{Recording, strace_is_there};
use mica_tests::lab::{FileSystem, Lab, run};
use mica_tests::setup;

/// Every call that waits for a device.
const WAITS: &str = "fsync,fdatasync,syncfs,sync,sync_file_range,msync";

/// What the daemon waits for while `act` runs.
fn waits(daemon: &mica_tests::daemon::Daemon, lab: &Lab, act: impl FnOnce()) -> Vec<String> {
    let recording = Recording::begin(daemon, WAITS, &lab.path("trace"));
    act();
    recording.end()
}

/// A layer of a few small files; no two have the same content.
fn small(number: usize) -> Vec<u8> {
    let files: String = (0..30)
        .map(|file| format!("f d{number}/f{file} data={number}.{file}\n"))
        .collect();
    archive(&format!("d d{number}\n{files}"))
}

/// A containerd that unpacks by Mica.
struct Peer {
    snapshots: Snapshotter,
    differ: Differ,
    content: Content,
    bench: Bench,
}

impl Peer {
    fn start(file_system: FileSystem, driver: &str) -> Self {
        let (bench, content) = unpacking(file_system, driver, "");
        Self {
            snapshots: bench.client(),
            differ: Differ::new(&bench.socket),
            content,
            bench,
        }
    }

    fn key(number: usize) -> String {
        format!("k8s.io/{number}/extract-{number}-x sha256:{number}")
    }

    fn blob(&self, number: usize) -> Blob {
        self.content.put(TAR, &small(number))
    }

    fn prepare(&mut self, number: usize, parent: &str) -> Vec<Mount> {
        let made = self
            .snapshots
            .prepare(&Self::key(number), parent, &Labels::new());
        made.expect("prepare")
    }

    fn commit(&mut self, number: usize) -> String {
        let name = format!("n{number}");
        let none = Labels::new();
        let committed = self.snapshots.commit(&name, &Self::key(number), "", &none);
        committed.expect("commit");
        name
    }

    fn unpack(&mut self, number: usize, parent: &str) -> String {
        let blob = self.blob(number);
        let mounts = self.prepare(number, parent);
        self.differ.apply(&blob, &mounts).expect("apply");
        self.commit(number)
    }
}

/// Plays Prepare, Apply and Commit of a small layer, each of which waits so often.
#[track_caller]
fn each_waits(file_system: FileSystem, driver: &str, wanted: [usize; 3]) {
    if !strace_is_there() {
        return;
    }
    let mut peer = Peer::start(file_system, driver);
    // What a store does once is done.
    let base = peer.unpack(0, "");
    let below = peer.unpack(1, &base);
    let blob = peer.blob(2);
    let recorded = |peer: &Peer, step: &str| {
        let path = peer.bench.lab.path(step);
        Recording::begin(&peer.bench.daemon, WAITS, &path)
    };
    let recording = recorded(&peer, "prepare");
    let mounts = peer.prepare(2, &below);
    let prepare = recording.end();
    let recording = recorded(&peer, "apply");
    peer.differ.apply(&blob, &mounts).expect("apply");
    let apply = recording.end();
    let recording = recorded(&peer, "commit");
    peer.commit(2);
    let commit = recording.end();
    let waits = [prepare, apply, commit];
    let counts = waits.each_ref().map(Vec::len);
    println!("{driver}: {waits:#?}");
    assert_eq!(counts, wanted, "{driver}: {waits:#?}");
}

#[test]
fn a_small_layer_of_erofs_waits_three_times() {
    each_waits(FileSystem::Ext4, "erofs", [0, 2, 1]);
}

#[test]
fn a_small_layer_of_overlay_waits_four_times() {
    each_waits(FileSystem::Ext4, "overlay", [0, 2, 2]);
}

#[test]
fn a_small_layer_of_btrfs_waits_four_times() {
    each_waits(FileSystem::Btrfs, "btrfs", [0, 2, 2]);
}

#[test]
fn a_small_layer_over_rest_waits_four_times() {
    if !strace_is_there() {
        return;
    }
    for setup in [setup::EROFS_EXT4, setup::OVERLAY_EXT4] {
        let bench = setup.start();
        let store = &bench.store;
        store.create("base", None).expect("create");
        store.apply("base", &small(0)).expect("apply");
        let create = waits(&bench.daemon, &bench.lab, || {
            store.create("l", Some("base")).expect("create");
        });
        let apply = waits(&bench.daemon, &bench.lab, || {
            store.apply("l", &small(1)).expect("apply");
        });
        println!("{}: {create:#?} {apply:#?}", setup.driver);
        let counts = [create.len(), apply.len()];
        assert_eq!(counts, [2, 2], "{}: {create:#?} {apply:#?}", setup.driver);
    }
}

/// The archive of a snapshot's layer.
fn archive_of(bench: &Bench, name: &str) -> Vec<u8> {
    let client = &bench.daemon.client;
    let snapshot = client.get(&format!("/v1/stores/containerd/snapshots/{name}"));
    let snapshot = snapshot.expect("a snapshot");
    let layer = snapshot["layer"].as_str().expect("a layer");
    let store = client.store("containerd");
    store.diff(layer, Against::Parent).expect("diff")
}

/// What a power cut leaves, and what of it was acknowledged.
struct Cut {
    image: PathBuf,
    /// The number of the layer that was being made, and how many calls of Prepare, Apply and Commit were answered.
    number: usize,
    answered: usize,
}

/// Unpacks layers, of which each is built on the one before, and cuts the power after each answer.
fn cuts_while_unpacking(peer: &mut Peer) -> Vec<Cut> {
    let mut cuts = Vec::new();
    for number in 1..3 {
        let mut cut = |peer: &Peer, answered: usize| {
            let image = peer.bench.lab.cut(&format!("cut-{number}-{answered}"));
            cuts.push(Cut {
                image,
                number,
                answered,
            });
        };
        let blob = peer.blob(number);
        let mounts = peer.prepare(number, &format!("n{}", number - 1));
        if number == 2 {
            // A journal that somebody else has written: names without content.
            let other = fs::File::create(peer.bench.lab.path("fs/other")).expect("create");
            other.sync_all().expect("sync");
        }
        cut(peer, 1);
        peer.differ.apply(&blob, &mounts).expect("apply");
        cut(peer, 2);
        peer.commit(number);
        cut(peer, 3);
    }
    cuts
}

impl Cut {
    /// Checks what a daemon finds on it. One that was only prepared is there or not: it goes, as containerd has it go.
    fn check(&self, bench: &Bench, wanted: &[Vec<u8>]) {
        let status = bench.daemon.client.get("/v1/status").expect("status");
        let image = self.image.display();
        assert_eq!(status["problems"], serde_json::json!([]), "{image}");
        let mut snapshots = bench.client();
        let key = Peer::key(self.number);
        let is_there = snapshots.stat(&key).is_ok();
        match self.answered {
            1 if is_there => snapshots.remove(&key).expect("remove"),
            1 => {}
            2 => {
                assert!(is_there, "{image}");
                let name = format!("n{}", self.number);
                let committed = snapshots.commit(&name, &key, "", &Labels::new());
                committed.expect("commit");
            }
            _ => assert!(!is_there, "{image}"),
        }
        let there = self.number + usize::from(self.answered > 1);
        for (number, wanted) in wanted.iter().enumerate().take(there) {
            let found = archive_of(bench, &format!("n{number}"));
            assert!(found == *wanted, "{image}: n{number} is another one");
        }
        // Of what nobody waited for, nothing is left.
        assert_eq!(bench.settle(), there, "{image}");
    }
}

/// An unpacked layer is on the device once Apply was answered, and a committed one once Commit was. One that was only prepared may be
/// gone: then nothing of it is left, and nobody is told of damage.
fn acknowledged_is_on_the_device(file_system: FileSystem, driver: &str, options: &str) {
    let mut peer = Peer::start(file_system, driver);
    let at = peer.bench.lab.path("fs");
    let at = at.to_str().expect("text").to_owned();
    if !options.is_empty() {
        // Nothing gets to the device because time passes.
        run(&["mount", "-o", &format!("remount,{options}"), &at]);
    }
    peer.unpack(0, "");
    let cuts = cuts_while_unpacking(&mut peer);
    let archive = |number| archive_of(&peer.bench, &format!("n{number}"));
    let wanted: Vec<_> = (0..3).map(archive).collect();
    let mut bench = peer.bench;
    for cut in cuts {
        let image = cut.image.to_str().expect("text");
        bench = bench.restart_on(|daemon, lab| {
            daemon.kill();
            lab.detach_images();
            run(&["umount", &at]);
            run(&["mount", "-o", "loop", image, &at]);
        });
        cut.check(&bench, &wanted);
    }
}

#[test]
fn what_was_unpacked_survives_a_power_cut_on_ext4_with_erofs() {
    acknowledged_is_on_the_device(FileSystem::Ext4, "erofs", "commit=300");
}

#[test]
fn what_was_unpacked_survives_a_power_cut_on_xfs_with_overlay() {
    acknowledged_is_on_the_device(FileSystem::Xfs, "overlay", "");
}

#[test]
fn what_was_unpacked_survives_a_power_cut_on_btrfs() {
    acknowledged_is_on_the_device(FileSystem::Btrfs, "btrfs", "commit=300");
}
