//! The content of a real containerd, read and written by Mica: blobs that are unpacked, and archives of committed layers.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mica_tests::archive::archive;
use mica_tests::command::packed;
use mica_tests::containerd::{Bench, Labels, Mount, Snapshotter};
use mica_tests::containerd_daemon::{Containerd, Interface};
use mica_tests::differ::{Blob, Differ, TAR};
use mica_tests::image::digest;
use mica_tests::lab::{FileSystem, Lab};
use tonic::Code;

const NAMESPACE: &str = "k8s.io";
const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

struct Peer {
    snapshots: Snapshotter,
    differ: Differ,
    containerd: Containerd,
    bench: Bench,
}

/// Two sides of a difference.
type Sides = [Vec<Mount>; 2];

fn borrowed(sides: &Sides) -> [&[Mount]; 2] {
    [&sides[0], &sides[1]]
}

impl Peer {
    /// Starts Mica with these lines about containerd, in which `{}` is its directory, and containerd.
    fn start(driver: &str, lines: &str) -> Self {
        let lab = Lab::on(FileSystem::Ext4);
        let directory = lab.path("containerd");
        let mut settings = Bench::settings(&lab, driver);
        let log = ["--log".to_owned(), "mica=debug,info".to_owned()];
        settings.arguments.extend(log);
        let lines = lines.replace("{}", &directory.to_string_lossy());
        settings.configuration = Some(format!("[containerd]\n{lines}\n"));
        let bench = Bench::of(lab, &settings);
        Self {
            snapshots: bench.client(),
            differ: Differ::new(&bench.socket),
            containerd: Containerd::start(&bench, Interface::Apart),
            bench,
        }
    }

    fn prepare(&mut self, number: usize, parent: &str) -> (String, Vec<Mount>) {
        let key = format!("{NAMESPACE}/{number}/extract-{number} sha256:{number}");
        let mounts = self.snapshots.prepare(&key, parent, &Labels::new());
        (key, mounts.expect("prepare"))
    }

    fn commit(&mut self, key: &str, number: usize) -> String {
        let name = format!("{NAMESPACE}/{number}/sha256:{number}");
        let committed = self.snapshots.commit(&name, key, "", &Labels::new());
        committed.expect("commit");
        name
    }

    /// A committed layer of an archive.
    fn layer(&mut self, number: usize, parent: &str, plain: &[u8]) -> String {
        let bytes = packed("gzip", plain).expect("gzip");
        let blob = self.containerd.put(NAMESPACE, GZIP, &bytes);
        let (key, mounts) = self.prepare(number, parent);
        let applied = self.differ.apply(&blob, &mounts).expect("apply");
        assert_eq!(applied.0, digest(plain));
        self.commit(&key, number)
    }

    /// Views of a layer and what is below it, as containerd makes them.
    fn sides(&mut self, below: &str, layer: &str) -> Sides {
        let mut view = |side: &str, of: &str| {
            let key = format!("{NAMESPACE}/{side}/{of}-view");
            let _ = self.snapshots.remove(&key);
            self.snapshots.view(&key, of).expect("view")
        };
        [view("left", below), view("right", layer)]
    }

    /// The names of all content, or of all leases.
    fn list(&self, what: &str) -> String {
        self.containerd.ctr(NAMESPACE, &[what, "ls", "--quiet"])
    }
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = Command::new("gzip")
        .arg("-dc")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start gzip");
    let mut input = gzip.stdin.take().expect("its input");
    std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(bytes).expect("write"));
        gzip.wait_with_output().expect("read").stdout
    })
}

const ADDRESS: &str = "address = \"{}/containerd.sock\"";

const SCRIPTS: [&str; 2] = [
    "d a mode=755\nf a/file data=1 mtime=5\nf gone data=2\nf large fill=3000000",
    "f .wh.gone\nd a\nf a/new data=3\nl link to=a",
];

#[test]
fn a_committed_layer_is_written_as_the_archive_that_it_came_as() {
    let mut peer = Peer::start("erofs", ADDRESS);
    let plain = SCRIPTS.map(archive);
    let base = peer.layer(1, "", &plain[0]);
    let top = peer.layer(2, &base, &plain[1]);
    let labels = Labels::from([("mine".to_owned(), "kept".to_owned())]);
    for (below, layer, plain) in [("", &base, &plain[0]), (&base, &top, &plain[1])] {
        let sides = peer.sides(below, layer);
        for (asked, written) in [("", GZIP), (GZIP, GZIP), (TAR, TAR)] {
            let blob = peer.differ.write_diff(borrowed(&sides), asked, &labels);
            let blob = blob.expect("diff");
            assert_eq!(blob.media_type, written);
            // Content that is no image's yet is not taken from its maker.
            peer.containerd.collect_garbage();
            let bytes = peer.containerd.get(NAMESPACE, &blob);
            let unpacked = match written {
                TAR => bytes,
                _ => gunzip(&bytes),
            };
            assert_eq!(unpacked, *plain, "{layer} as `{asked}`");
            let told = peer.containerd.ctr(NAMESPACE, &["content", "ls"]);
            let line = told.lines().find(|line| line.starts_with(&blob.digest));
            let line = line.expect("it is listed");
            let uncompressed = format!("containerd.io/uncompressed={}", digest(plain));
            assert!(line.contains(&uncompressed), "{line}");
            assert!(line.contains("mine=kept"), "{line}");
        }
    }
    // For the walking differ: an active one, the sides exchanged, a layer against another than its parent, other types.
    let right = peer.sides(&base, &top);
    let (key, active) = peer.prepare(3, &top);
    let grand = [peer.sides("", &base)[0].clone(), right[1].clone()];
    let before = (peer.list("content"), peer.list("leases"));
    for (what, sides, media_type) in [
        ("an active one", [right[1].clone(), active], GZIP),
        ("exchanged", [right[1].clone(), right[0].clone()], GZIP),
        ("against another", grand, GZIP),
        ("nothing", [Vec::new(), Vec::new()], GZIP),
        ("zstd", right.clone(), &format!("{TAR}+zstd")),
    ] {
        let refused = peer
            .differ
            .write_diff(borrowed(&sides), media_type, &labels);
        let (code, text) = refused.expect_err(what);
        assert_eq!(code, Code::Unimplemented, "{what}: {text}");
    }
    assert_eq!((peer.list("content"), peer.list("leases")), before);
    peer.snapshots.remove(&key).expect("remove");
    peer.containerd.stop();
}

/// A driver that unpacks keeps no archive, and what its files make is not what came.
#[test]
fn layers_that_are_not_kept_as_archives_are_left_to_the_walking_differ() {
    let mut peer = Peer::start("overlay", ADDRESS);
    let base = peer.layer(1, "", &archive(SCRIPTS[0]));
    let sides = peer.sides("", &base);
    let before = (peer.list("content"), peer.list("leases"));
    let refused = peer
        .differ
        .write_diff(borrowed(&sides), GZIP, &Labels::new());
    let (code, text) = refused.expect_err("diff");
    assert_eq!(code, Code::Unimplemented, "{text}");
    assert_eq!((peer.list("content"), peer.list("leases")), before);
    peer.containerd.stop();
}

#[test]
fn a_client_that_goes_leaves_no_content() {
    let mut peer = Peer::start("erofs", ADDRESS);
    let base = peer.layer(1, "", &archive("f large fill=60000000"));
    let sides = peer.sides("", &base);
    let before = peer.list("content");
    for patience in [20, 100] {
        peer.differ
            .begin_diff(borrowed(&sides), Duration::from_millis(patience));
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let active = peer.containerd.ctr(NAMESPACE, &["content", "active"]);
        let leases = peer.list("leases");
        if active.lines().count() <= 1 && leases.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "{active}{leases}");
    }
    assert_eq!(peer.list("content"), before);
    peer.containerd.stop();
}

/// Unpacks a good blob, and refuses one that is not there and one that is not what was told.
#[track_caller]
fn unpacks(lines: &str, told: Option<&str>) {
    let mut peer = Peer::start("overlay", lines);
    let plain = archive(SCRIPTS[0]);
    let blob = peer.containerd.put(NAMESPACE, TAR, &plain);
    let (key, mounts) = peer.prepare(1, "");
    let missing = Blob {
        digest: digest(b"missing"),
        ..blob.clone()
    };
    let larger = Blob {
        size: blob.size + 1,
        ..blob.clone()
    };
    for bad in [missing, larger] {
        let (code, text) = peer.differ.apply(&bad, &mounts).expect_err("a bad blob");
        let misleading = [Code::Unimplemented, Code::NotFound, Code::AlreadyExists];
        assert!(!misleading.contains(&code), "{code:?}: {text}");
        for told in [&*bad.digest, "extract-1 sha256:1"] {
            assert!(text.contains(told), "{told}: {text}");
        }
    }
    let applied = peer.differ.apply(&blob, &mounts).expect("apply");
    assert_eq!(applied, (digest(&plain), blob.size));
    assert_eq!(
        std::fs::metadata(Path::new(&mounts[0].source).join("large"))
            .map(|file| file.len())
            .ok(),
        Some(3_000_000)
    );
    peer.commit(&key, 1);
    let log = peer.bench.daemon.log();
    let was_asked = log.contains("read a blob from containerd");
    assert_eq!(was_asked, told.is_some(), "{lines}");
    if let Some(told) = told {
        assert!(log.contains(told), "{log}");
    }
    peer.containerd.stop();
}

#[test]
fn where_content_lies_is_asked_of_containerd() {
    unpacks(ADDRESS, None);
}

#[test]
fn blobs_that_are_no_files_are_read_from_containerd_s_content_service() {
    let elsewhere = format!("{ADDRESS}\ncontent_root = \"{{}}/no/such\"");
    unpacks(&elsewhere, Some("no/such"));
}

#[test]
fn a_containerd_that_does_not_answer_is_told_with_the_setting() {
    let mut peer = Peer::start("erofs", "address = \"{}/elsewhere.sock\"");
    let (_, mounts) = peer.prepare(1, "");
    let blob = peer.containerd.put(NAMESPACE, TAR, &archive(SCRIPTS[0]));
    let (code, text) = peer.differ.apply(&blob, &mounts).expect_err("apply");
    assert_eq!(code, Code::Unavailable, "{text}");
    for told in ["elsewhere.sock", "containerd.address"] {
        assert!(text.contains(told), "{text}");
    }
    peer.containerd.stop();
}
