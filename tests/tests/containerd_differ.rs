//! Layers that containerd has unpacked by Mica: its diff service, for every driver.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::Duration;

use mica_tests::archive::{archive, entries};
use mica_tests::command::packed;
use mica_tests::containerd::{Bench, Labels, Mount, Snapshotter};
use mica_tests::differ::{Blob, Content, Differ, TAR, unpacking};
use mica_tests::dump;
use mica_tests::image::digest;
use mica_tests::lab::FileSystem;
use tonic::Code;

const DRIVERS: [(FileSystem, &str); 4] = [
    (FileSystem::Ext4, "overlay"),
    (FileSystem::Ext4, "erofs"),
    (FileSystem::Btrfs, "btrfs"),
    (FileSystem::Xfs, "vfs"),
];

/// Layers as archives, and what the last of them shows.
const LAYERS: [&str; 3] = [
    "d a mode=755 mtime=1000\nf a/old data=1\nf gone data=2\nd opaque mode=750\nf opaque/old data=3\nf kept data=4 own=12:34 x:user.note=1",
    "f .wh.gone\nd opaque mode=711 mtime=5\nf opaque/.wh..wh..opq\nf opaque/new data=5\nd deep\nf deep/.wh.nothing",
    "f gone data=6 mode=4755\nh linked to=gone\nd a mode=700\nf a/.wh.old\nl link to=/etc\np pipe mode=600\nc device rdev=1:3",
];

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

    /// Prepares a snapshot for content.
    fn extract(&mut self, number: usize, parent: &str, late: bool) -> (String, Vec<Mount>) {
        let key = format!("k8s.io/{number}/extract-{number}-x sha256:{number}");
        let mut labels = Labels::new();
        if late {
            let name = "containerd.io/snapshot/parent-chain-id".to_owned();
            labels.insert(name, "sha256:0".to_owned());
        }
        let mounts = self.snapshots.prepare(&key, parent, &labels);
        (key, mounts.expect("prepare"))
    }

    fn commit(&mut self, key: &str, name: &str, parent: &str) {
        let none = Labels::new();
        let committed = self.snapshots.commit(name, key, parent, &none);
        committed.expect("commit");
    }

    /// What a committed snapshot shows.
    fn seen(&mut self, name: &str) -> String {
        let mounts = self.snapshots.view("look", name).expect("view");
        let at = self.bench.lab.scratch("seen");
        let mount = &mounts[0];
        let kind = match mount.r#type.as_str() {
            "bind" => vec!["--bind".to_owned()],
            other => vec![
                "-t".into(),
                other.into(),
                "-o".into(),
                mount.options.join(","),
            ],
        };
        let mounted = Command::new("mount")
            .args(kind)
            .arg(&mount.source)
            .arg(&at)
            .status();
        assert!(mounted.expect("start mount").success());
        let seen = dump::print(&dump::as_layered(&dump::nodes(&at)));
        let unmounted = Command::new("umount").arg(&at).status();
        assert!(unmounted.expect("start umount").success());
        fs::remove_dir(&at).expect("remove");
        self.snapshots.remove("look").expect("remove");
        seen
    }

    fn unpack(&mut self, blob: &Blob, number: usize, parent: &str) -> String {
        let (key, mounts) = self.extract(number, parent, false);
        self.differ.apply(blob, &mounts).expect("apply");
        let name = format!("k8s.io/{number}/sha256:{number}");
        self.commit(&key, &name, "");
        name
    }
}

/// The layers of the image, each compressed in another way.
fn blobs(content: &Content) -> Vec<(Blob, Vec<u8>)> {
    let types = ["", "+gzip", "+zstd"];
    let pack = |(script, kind): (&&str, &&str)| {
        let plain = archive(script);
        let bytes = match *kind {
            "" => plain.clone(),
            kind => packed(&kind[1..], &plain).expect("the program"),
        };
        (content.put(&format!("{TAR}{kind}"), &bytes), plain)
    };
    LAYERS.iter().zip(&types).map(pack).collect()
}

#[test]
fn layers_are_unpacked_by_every_driver() {
    let mut trees = Vec::new();
    for (file_system, driver) in DRIVERS {
        let mut peer = Peer::start(file_system, driver);
        let mut parent = String::new();
        for (number, (blob, plain)) in blobs(&peer.content).iter().enumerate() {
            let (key, mounts) = peer.extract(number, &parent, false);
            let applied = peer.differ.apply(blob, &mounts).expect("apply");
            let size = plain.len().try_into().expect("a size");
            assert_eq!(applied, (digest(plain), size), "{driver}: {number}");
            // The place is the one that was told.
            assert_eq!(peer.snapshots.mounts(&key).expect("mounts"), mounts);
            let name = format!("sha256:{number}");
            peer.commit(&key, &name, "");
            parent = name;
        }
        let seen = peer.seen(&parent);
        for line in ["opaque/new", "linked", "device", "user.note"] {
            assert!(seen.contains(line), "{driver}: {line}: {seen}");
        }
        for gone in ["a/old", "opaque/old", "nothing", ".wh."] {
            assert!(!seen.contains(gone), "{driver}: {gone}: {seen}");
        }
        trees.push(seen);
        assert_eq!(peer.bench.settle(), LAYERS.len());
    }
    assert!(trees.iter().all(|tree| *tree == trees[0]), "{trees:#?}");
}

/// containerd unpacks all layers at once, in any order, and commits them in order.
#[test]
fn layers_that_come_before_their_parents_keep_what_they_delete() {
    let mut peer = Peer::start(FileSystem::Ext4, "overlay");
    let blobs = blobs(&peer.content);
    let mut parent = String::new();
    for (number, (blob, _)) in blobs.iter().enumerate() {
        parent = peer.unpack(blob, number, &parent);
    }
    let expected = peer.seen(&parent);
    let mut keys = Vec::new();
    for (number, (blob, _)) in blobs.iter().enumerate().rev() {
        let (key, mounts) = peer.extract(10 + number, "", true);
        peer.differ.apply(blob, &mounts).expect("apply");
        keys.insert(0, key);
    }
    let mut parent = String::new();
    for (number, key) in keys.iter().enumerate() {
        let name = format!("late/{number}");
        peer.commit(key, &name, &parent);
        parent = name;
    }
    assert_eq!(peer.seen(&parent), expected);
    // A whiteout before and after what takes its name.
    for script in [
        "f .wh.opaque\nd opaque\nf opaque/own data=1",
        "d opaque\nf opaque/own data=1\nf .wh.opaque",
        "f opaque/.wh..wh..opq\nd opaque mode=700\nf opaque/own data=1",
        "f opaque/.wh.old\nd opaque mode=700 x:user.note=1\nf opaque/own data=1",
    ] {
        let blob = peer.content.put(TAR, &archive(script));
        let (key, mounts) = peer.extract(20, "", true);
        peer.differ.apply(&blob, &mounts).expect("apply");
        peer.commit(&key, "over", "late/0");
        let seen = peer.seen("over");
        assert!(
            seen.contains("opaque/own") && !seen.contains("opaque/old"),
            "{seen}"
        );
        peer.snapshots.remove("over").expect("remove");
    }
}

/// Mounts that are not those of a snapshot that is being unpacked.
fn others(peer: &mut Peer, base: &str, mounts: &[Mount]) -> Vec<(&'static str, Vec<Mount>)> {
    let changed = |change: fn(&mut Mount)| {
        let mut mounts = mounts.to_vec();
        change(&mut mounts[0]);
        mounts
    };
    let elsewhere = peer.bench.lab.scratch("elsewhere");
    let bind = Mount {
        r#type: "bind".into(),
        source: elsewhere.to_str().expect("text").into(),
        target: String::new(),
        options: vec!["rw".into(), "rbind".into()],
    };
    let none = Labels::new();
    let container = peer.snapshots.prepare("k8s.io/3/container", base, &none);
    let view = peer.snapshots.view("k8s.io/4/extract-view", base);
    let no_upper = |mount: &mut Mount| {
        let options = &mut mount.options;
        options.retain(|option| !option.starts_with("upper"));
    };
    vec![
        ("nothing", Vec::new()),
        ("a directory elsewhere", vec![bind]),
        ("a container's snapshot", container.expect("prepare")),
        ("a view", view.expect("view")),
        (
            "another option",
            changed(|mount| mount.options.push("ro".into())),
        ),
        (
            "another target",
            changed(|mount| mount.target = "etc".into()),
        ),
        ("no upper directory", changed(no_upper)),
    ]
}

/// What is not to be unpacked here is left to the next differ, at once and untouched.
#[test]
fn what_is_not_this_store_s_is_left_to_others() {
    let mut peer = Peer::start(FileSystem::Ext4, "overlay");
    let blob = peer.content.put(TAR, &archive("f planted data=1"));
    let base = peer.unpack(&blob, 1, "");
    let (key, mounts) = peer.extract(2, &base, false);
    for (what, mounts) in others(&mut peer, &base, &mounts) {
        let (code, text) = peer.differ.apply(&blob, &mounts).expect_err(what);
        assert_eq!(code, Code::Unimplemented, "{what}: {text}");
    }
    let typed = |media_type: &str| Blob {
        media_type: media_type.into(),
        ..blob.clone()
    };
    let sha512 = Blob {
        digest: "sha512:00".into(),
        ..blob.clone()
    };
    let encrypted = "application/vnd.oci.image.layer.v1.tar+encrypted";
    for other in [typed(encrypted), typed("text/plain"), typed(""), sha512] {
        let (code, text) = peer
            .differ
            .apply(&other, &mounts)
            .expect_err("another kind");
        assert_eq!(code, Code::Unimplemented, "{other:?}: {text}");
    }
    let (code, _) = peer.differ.diff(&mounts, &mounts).expect_err("diff");
    assert_eq!(code, Code::Unimplemented);
    let elsewhere = peer.bench.lab.scratch("elsewhere");
    assert_eq!(fs::read_dir(elsewhere).expect("list").count(), 0);
    // It was left as it was, and can still be unpacked into.
    peer.differ.apply(&blob, &mounts).expect("apply");
    peer.commit(&key, "sha256:2", "");
}

/// What is wrong with a blob, the blob, and what the error says of it.
type Bad = (&'static str, Blob, &'static str);

fn bad_blobs(content: &Content, good: &[u8]) -> Vec<Bad> {
    let packed = packed("gzip", &archive("f file fill=3000000")).expect("gzip");
    let put = |bytes: &[u8]| content.put(TAR, bytes);
    let cut = &entries("f file fill=3000000")[..5000];
    let sized = |size| Blob { size, ..put(good) };
    let named = |name: &[u8]| Blob {
        digest: digest(name),
        ..put(good)
    };
    let (other, link) = (named(b"other"), named(b"link"));
    fs::write(content.path(&other), good).expect("write");
    symlink("/etc/passwd", content.path(&link)).expect("link");
    vec![
        (
            "a gzip that is cut",
            put(&packed[..packed.len() / 2]),
            "gzip",
        ),
        (
            "no archive",
            put(&b"junk ".repeat(1000)),
            "not a tar header",
        ),
        ("an archive that is cut", put(cut), "ends"),
        ("a size that is larger", sized(1 << 20), "were told"),
        ("a size that is smaller", sized(5), "bytes told"),
        (
            "a blob that is not there",
            named(b"missing"),
            "content_root",
        ),
        ("another digest", other, "has the digest"),
        ("a symbolic link", link, "content_root"),
    ]
}

#[test]
fn a_bad_blob_changes_nothing_and_is_named() {
    /// Codes by which containerd would ask another differ, or take something for a fact about its snapshots.
    const MISLEADING: [Code; 4] = [
        Code::Unimplemented,
        Code::NotFound,
        Code::AlreadyExists,
        Code::Unknown,
    ];
    for (file_system, driver) in DRIVERS {
        let mut peer = Peer::start(file_system, driver);
        let good = archive("f good data=1");
        let (key, mounts) = peer.extract(1, "", false);
        for (what, blob, told) in bad_blobs(&peer.content, &good) {
            let (code, text) = peer.differ.apply(&blob, &mounts).expect_err(what);
            assert!(
                !MISLEADING.contains(&code),
                "{driver}: {what}: {code:?}: {text}"
            );
            for told in [told, &blob.digest, "extract-1-x"] {
                assert!(text.contains(told), "{driver}: {what}: {told}: {text}");
            }
        }
        let blob = peer.content.put(TAR, &good);
        peer.differ.apply(&blob, &mounts).expect("apply");
        peer.commit(&key, "done", "");
        let seen = peer.seen("done");
        assert!(seen.contains("good") && !seen.contains("file"), "{seen}");
        assert_eq!(peer.bench.settle(), 1);
        is_nobodys_fault(&peer, driver);
    }
}

fn is_nobodys_fault(peer: &Peer, driver: &str) {
    let view = peer
        .bench
        .daemon
        .client
        .get(&format!("/v1/drivers/{driver}"));
    let view = view.expect("the driver");
    assert_eq!(view["faults"], 0, "{view}");
}

/// A pull that is aborted resets the call, and removes the snapshot while the driver may still be at it.
#[test]
fn a_client_that_goes_leaves_nothing() {
    for (file_system, driver) in DRIVERS {
        let mut peer = Peer::start(file_system, driver);
        let many: String = (0..8_000).map(|n| format!("f f{n} data={n}\n")).collect();
        let blob = peer.content.put(TAR, &archive(&many));
        let (key, mounts) = peer.extract(1, "", false);
        peer.differ
            .begin_apply(&blob, &mounts, Duration::from_millis(30));
        peer.snapshots.remove(&key).expect("remove");
        peer.snapshots.clean_up().expect("clean up");
        peer.bench.assert_empty();
        is_nobodys_fault(&peer, driver);
    }
}

/// Killed at any moment, a snapshot has all of the layer or nothing of it, and its place is the one that was told.
#[test]
fn a_killed_daemon_leaves_a_snapshot_whole_or_as_it_was() {
    let many: String = (0..3000).map(|n| format!("f f{n} data={n}\n")).collect();
    let mut peer = Peer::start(FileSystem::Ext4, "overlay");
    let blob = peer.content.put(TAR, &archive(&many));
    let (key, mounts) = peer.extract(1, "", false);
    for round in 0..8_u64 {
        let Peer {
            mut differ,
            bench,
            content,
            ..
        } = peer;
        let bench = std::thread::scope(|scope| {
            let (blob, mounts) = (&blob, &mounts);
            scope.spawn(move || differ.apply(blob, mounts).ok());
            std::thread::sleep(Duration::from_millis(40 * round));
            bench.restart(|daemon| daemon.kill())
        });
        let told = bench.client().mounts(&key).expect("mounts");
        assert_eq!(told, mounts);
        let count = fs::read_dir(&mounts[0].source).expect("list").count();
        assert!(count == 0 || count == 3000, "{count} of 3000 files");
        peer = Peer {
            snapshots: bench.client(),
            differ: Differ::new(&bench.socket),
            content,
            bench,
        };
    }
    peer.differ.apply(&blob, &mounts).expect("apply");
    assert_eq!(fs::read_dir(&mounts[0].source).expect("list").count(), 3000);
    peer.snapshots.remove(&key).expect("remove");
    peer.bench.assert_empty();
}
