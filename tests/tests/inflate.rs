//! Large archives that are compressed by zstd: decompressed by a process that can do nothing else, and that never outlives
//! whoever wants the archive.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufReader, Write as _};
use std::os::unix::net::UnixStream;

use mica_tests::archive::archive;
use mica_tests::client::sort;
use mica_tests::command::packed;
use mica_tests::daemon::Daemon;
use mica_tests::history::seen;
use mica_tests::http::{self, Body};
use mica_tests::lab::Lab;
use mica_tests::setup::{self, Bench};
use mica_tests::watch::until;

/// Two files that do not compress, and one that does, in an archive by zstd; its frames have checksums.
fn large() -> (Vec<u8>, Vec<u8>) {
    let plain = archive("f one fill=700000\nf text data=abc repeat=500000\nf two fill=700000");
    let packed = packed("zstd", &plain).expect("zstd is installed");
    assert!(packed.len() > 1 << 20, "it is large when it is compressed");
    (plain, packed)
}

/// A daemon with a layer.
fn bench() -> (Bench, String) {
    let bench = setup::OVERLAY_EXT4.start();
    bench.store.create("target", None).expect("create");
    bench
        .store
        .apply("target", &archive("f kept data=1"))
        .expect("apply");
    let before = seen(&bench.store, "target");
    (bench, before)
}

fn status(process: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{process}/status")).ok()
}

/// Sends a part of an archive, and waits until the process that decompresses is confined. Gives back the request and the
/// process.
fn begun(bench: &Bench, archive: &[u8], part: usize) -> (UnixStream, u32) {
    let path = bench.store.target("target", "/diff");
    let socket = &bench.daemon.client.socket;
    let request = http::begin(socket, "PUT", &path, &[], Body::Bytes(archive));
    let mut request = request.expect("connect");
    request.write_all(&archive[..part]).expect("send a part");
    let mut found = 0;
    until("no process is started", || {
        found = bench.daemon.children().first().copied().unwrap_or_default();
        // The last thing that it gives away.
        status(found).is_some_and(|status| status.contains("Seccomp:\t2"))
    });
    (request, found)
}

#[track_caller]
fn ends(daemon: &Daemon) {
    until("the process is left", || daemon.children().is_empty());
}

#[test]
fn the_process_can_do_nothing_but_compute_and_the_archive_is_whole() {
    let (bench, _) = bench();
    let (plain, packed) = large();
    let (mut request, process) = begun(&bench, &packed, packed.len() - 1000);
    let at = |what: &str| format!("/proc/{process}/{what}");
    let status = status(process).expect("it runs");
    for line in [
        "CapPrm:\t0000000000000000",
        "CapEff:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Threads:\t1",
    ] {
        assert!(status.contains(line), "{line}: {status}");
    }
    let limits = fs::read_to_string(at("limits")).expect("limits");
    for name in ["Max open files", "Max core file size", "Max file size"] {
        let line = limits.lines().find(|line| line.starts_with(name));
        let words = line.expect("a limit")[name.len()..].split_whitespace();
        assert!(words.take(2).eq(["0", "0"]), "{limits}");
    }
    let memory = limits
        .lines()
        .find(|line| line.starts_with("Max address space"));
    assert!(!memory.expect("a limit").contains("unlimited"), "{limits}");
    let mounts = fs::read_to_string(at("mountinfo")).expect("mounts");
    assert!(
        mounts.lines().count() == 1 && mounts.contains(" / ro,"),
        "{mounts}"
    );
    assert_eq!(fs::read_dir(at("root")).expect("its root").count(), 0);
    let open: BTreeSet<_> = fs::read_dir(at("fd"))
        .expect("its descriptors")
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .collect();
    assert!(
        open.len() == 3
            && open
                .iter()
                .all(|open| open.to_string_lossy().starts_with("pipe:")),
        "{open:?}"
    );
    request
        .write_all(&packed[packed.len() - 1000..])
        .expect("send the rest");
    let answer = http::read_response(&mut BufReader::new(request)).expect("an answer");
    sort(answer).expect("it is applied");
    ends(&bench.daemon);
    bench.store.create("plain", None).expect("create");
    let kept = archive("f kept data=1");
    for archive in [&kept, &plain] {
        bench.store.apply("plain", archive).expect("apply");
    }
    let trees = ["target", "plain"].map(|layer| seen(&bench.store, layer));
    assert_eq!(trees[0], trees[1], "what was compressed is what was not");
}

#[test]
fn the_process_ends_with_its_client_and_the_layer_is_as_it_was() {
    let (bench, before) = bench();
    let (_, packed) = large();
    let watch = bench.watch();
    let (request, _) = begun(&bench, &packed, packed.len() - 1000);
    drop(request);
    ends(&bench.daemon);
    watch.check();
    assert_eq!(seen(&bench.store, "target"), before);
}

#[test]
fn the_process_ends_with_the_daemon() {
    let (bench, _) = bench();
    let (_, packed) = large();
    let (_request, process) = begun(&bench, &packed, packed.len() - 1000);
    bench.daemon.kill();
    until("it outlives the daemon", || {
        status(process).is_none_or(|status| status.contains("State:\tZ"))
    });
}

#[test]
fn a_process_that_is_killed_is_an_error_and_the_layer_is_as_it_was() {
    let (bench, before) = bench();
    let (_, packed) = large();
    let watch = bench.watch();
    let (request, process) = begun(&bench, &packed, packed.len() - 1000);
    let process = i32::try_from(process).expect("a process");
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(process),
        nix::sys::signal::Signal::SIGKILL,
    )
    .expect("kill");
    let answer = http::read_response(&mut BufReader::new(request)).expect("an answer");
    let problem = sort(answer).expect_err("it is not whole");
    problem.is(500, "io", "target");
    assert!(
        problem
            .detail
            .contains("zstd: the decoder ended by signal 9"),
        "{problem:?}"
    );
    watch.check();
    assert_eq!(seen(&bench.store, "target"), before);
}

#[test]
fn what_is_damaged_cut_or_followed_by_something_else_is_refused() {
    let (bench, before) = bench();
    let (_, packed) = large();
    let watch = bench.watch();
    let mut damaged = packed.clone();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    let skipped = [
        &[0x50, 0x2a, 0x4d, 0x18, 0xff, 0xff, 0xff, 0x7f][..],
        &packed,
    ]
    .concat();
    // A window of 2 GiB.
    let window = [
        &packed[..],
        &[0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 1, 0, 0],
    ]
    .concat();
    for (name, bytes, told) in [
        ("the checksum", &damaged, "checksum"),
        ("cut", &packed[..packed.len() / 2].to_vec(), "ends within"),
        ("followed", &[&packed[..], b"junk"].concat(), "zstd"),
        ("skipped frames that end too early", &skipped, "ends within"),
        ("a window", &window, "too much memory"),
    ] {
        let problem = bench.store.apply("target", bytes);
        let problem = problem.expect_err(name);
        problem.is(422, "invalid-archive", "target");
        assert!(problem.detail.contains(told), "{name}: {problem:?}");
    }
    ends(&bench.daemon);
    watch.check();
    assert_eq!(seen(&bench.store, "target"), before);
}

#[test]
fn a_large_bomb_ends_at_the_limit() {
    let lab = Lab::on(setup::OVERLAY_EXT4.file_system);
    let mut settings = setup::OVERLAY_EXT4.settings(&lab);
    settings.configuration = Some("[api]\nexpansion = 100\n".to_owned());
    let daemon = settings.start();
    let store = daemon.client.default_store();
    store.create("target", None).expect("create");
    let bytes = archive("f noise fill=700000\nf zeros data=\\x00 repeat=300000000");
    let packed = packed("zstd", &bytes).expect("zstd is installed");
    let problem = store.apply("target", &packed).expect_err("a bomb");
    problem.is(422, "invalid-archive", "target");
    assert!(problem.detail.contains("api.expansion"), "{problem:?}");
    ends(&daemon);
}
