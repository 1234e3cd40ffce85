//! What becomes of archives: the attack corpus and the traps of other implementations as data (`host/cases`),
//! and what data cannot say.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::time::{Duration, Instant};

use mica_cases::{Archive, Expect};
use mica_tests::archive::{BLOCK, archive, entries};
use mica_tests::client::{Against, Answer, Client, Problem, sort};
use mica_tests::command::packed;
use mica_tests::dump::{Node, as_archived, nodes, print};
use mica_tests::history::seen;
use mica_tests::http::{self, Body};
use mica_tests::lab::FileSystem;
use mica_tests::listing;
use mica_tests::script::noise;
use mica_tests::setup::{self, Bench, Setup};
use mica_tests::tree;
use serde_json::Value;

#[test]
fn overlay_on_ext4_takes_and_refuses_archives() {
    corpus(&setup::OVERLAY_EXT4);
}

#[test]
fn erofs_on_ext4_takes_and_refuses_archives() {
    corpus(&setup::EROFS_EXT4);
}

#[test]
fn erofs_on_btrfs_takes_and_refuses_archives() {
    corpus(&setup::EROFS_BTRFS);
}

#[test]
fn vfs_on_ext4_takes_and_refuses_archives() {
    corpus(&setup::VFS_EXT4);
}

#[test]
fn vfs_on_btrfs_takes_and_refuses_archives() {
    corpus(&setup::VFS_BTRFS);
}

#[test]
fn btrfs_takes_and_refuses_archives() {
    corpus(&setup::BTRFS);
}

#[test]
fn hello_on_ext4_takes_and_refuses_archives() {
    corpus(&setup::HELLO_EXT4);
}

fn corpus(setup: &Setup) {
    let cases = mica_cases::archives();
    let wanted = std::env::var("CASE").unwrap_or_default();
    let bench = setup.start();
    let mut failed = Vec::new();
    for case in cases.iter().filter(|case| case.name.contains(&wanted)) {
        let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&bench, case)));
        if run.is_err() {
            println!("^ {} ({})", case.name, case.source);
            failed.push(&case.name);
            clear(&bench);
        }
    }
    assert!(
        failed.is_empty(),
        "{}: {} failed: {failed:?} (CASE=name runs one)",
        setup.driver,
        failed.len()
    );
}

fn clear(bench: &Bench) {
    for id in bench.store.ids() {
        while bench.store.unmount(&id).is_ok() {}
    }
    while bench
        .store
        .ids()
        .iter()
        .any(|id| bench.store.remove(id).is_ok())
    {}
}

/// A layer to apply archives to, with what it looks like.
struct Target<'a> {
    bench: &'a Bench,
    before: String,
}

impl<'a> Target<'a> {
    /// Layer `target` on a base layer made of a script.
    fn new(bench: &'a Bench, base: Option<&str>) -> Self {
        let store = &bench.store;
        if let Some(script) = base {
            store.create("base", None).expect("create the base");
            tree::build(&store.mount("base").expect("mount the base"), script);
            store.unmount("base").expect("unmount the base");
        }
        store
            .create("target", base.map(|_| "base"))
            .expect("create the target");
        let path = store.view("target").expect("view");
        let nodes = as_archived(&nodes(&path));
        store.unmount("target").expect("unmount");
        Self {
            bench,
            before: print(&nodes),
        }
    }

    fn apply(&self, archive: &[u8]) -> Answer<Value> {
        self.bench.store.apply("target", archive)
    }

    /// Checks that an archive is refused and that nothing else happened.
    #[track_caller]
    fn refuses(&self, archive: &[u8], code: &str, names: &str) -> Box<Problem> {
        let watch = self.bench.watch();
        let problem = self.apply(archive).expect_err("it must be refused");
        problem.is(if code == "no-space" { 507 } else { 422 }, code, names);
        watch.check();
        assert_eq!(
            seen(&self.bench.store, "target"),
            self.before,
            "the layer is not as it was"
        );
        problem
    }

    fn done(self) {
        let store = &self.bench.store;
        store.remove("target").expect("remove the target");
        if store.ids().iter().any(|id| id == "base") {
            store.remove("base").expect("remove the base");
        }
        assert!(store.ids().is_empty());
    }
}

fn run(bench: &Bench, case: &Archive) {
    let target = Target::new(bench, case.base.as_deref());
    let bytes = archive(&case.archive);
    let names = case.names.as_deref().unwrap_or("");
    match case.expect {
        Expect::Refused => {
            target.refuses(
                &bytes,
                case.code.as_deref().unwrap_or("invalid-archive"),
                names,
            );
        }
        Expect::Safe => {
            let watch = bench.watch();
            if let Err(problem) = target.apply(&bytes) {
                problem.is(422, "invalid-archive", "");
                assert_eq!(
                    seen(&bench.store, "target"),
                    target.before,
                    "the layer is not as it was"
                );
            } else {
                assert_no_secret(bench);
            }
            watch.check();
        }
        Expect::Tree => {
            let watch = bench.watch();
            let report = target
                .apply(&bytes)
                .unwrap_or_else(|problem| panic!("refused: {problem:?}"));
            let expected = expected(bench, case);
            assert_eq!(timeless(&bench.store, "target"), expected);
            assert_eq!(
                report["xattrs_skipped"],
                case.skipped.unwrap_or(0),
                "{report}"
            );
            watch.check();
        }
    }
    if let Some(script) = &case.base {
        let model = bench.lab.scratch("base-model");
        tree::build(&model, script);
        let (base, model_nodes) = (
            seen(&bench.store, "base"),
            print(&as_archived(&nodes(&model))),
        );
        std::fs::remove_dir_all(&model).expect("remove the model");
        assert_eq!(base, model_nodes, "the layer below changed");
    }
    target.done();
}

/// A tree made by the case's scripts, times aside.
fn expected(bench: &Bench, case: &Archive) -> String {
    let model = bench.lab.scratch("expected");
    tree::build(&model, case.base.as_deref().unwrap_or(""));
    tree::build(
        &model,
        case.tree
            .as_deref()
            .expect("`tree` of a case that must work"),
    );
    let expected = without_times(&nodes(&model));
    std::fs::remove_dir_all(&model).expect("remove the model");
    expected
}

fn timeless(store: &mica_tests::client::Store, id: &str) -> String {
    let path = store.view(id).expect("view");
    let seen = without_times(&nodes(&path));
    store.unmount(id).expect("unmount");
    seen
}

fn without_times(nodes: &[Node]) -> String {
    let timeless = nodes.iter().cloned().map(|mut node| {
        node.modified = (0, 0);
        node
    });
    print(&timeless.collect::<Vec<_>>())
}

/// Nothing of the tree beside the home is in the layer: the original's `testBreakout`.
fn assert_no_secret(bench: &Bench) {
    let diff = bench.store.diff("target", Against::Nothing).expect("diff");
    let found = diff.windows(14).any(|window| window == b"canary-content");
    assert!(
        !found,
        "the layer holds the secret:\n{}",
        listing::lines(&diff)
    );
}

/// Some of everything.
const RICH: &str = "d dir mode=750 own=1:2 mtime=1000.5
    f dir/file data=hello own=1000:1000 mtime=1000.123456789
    f dir/big fill=3000
    h dir/hard to=dir/file
    l dir/link to=file
    p pipe mode=600
    c null rdev=1:3
    f .wh.gone
    f dir/xattr data=x x:user.a=b
    f last data=end";

/// An archive with some of everything, made by hand.
fn rich_archive() -> Vec<u8> {
    archive(RICH)
}

/// Where one of its entries ends.
fn ends_of_entries() -> BTreeSet<usize> {
    let mut end = 0;
    let lengths = RICH.lines().map(|line| entries(line).len());
    lengths
        .map(|length| {
            end += length;
            end
        })
        .collect()
}

/// An end between two entries is an end, see `an_end_needs_no_block_of_zeros`; any other is refused.
#[test]
fn an_archive_truncated_anywhere_is_refused_or_whole() {
    let ends = ends_of_entries();
    for setup in [setup::OVERLAY_EXT4, setup::EROFS_EXT4, setup::VFS_EXT4] {
        let bench = setup.start();
        let target = Target::new(&bench, Some("f gone data=1\nf kept data=2"));
        let whole = rich_archive();
        let end_of_entries = whole.len() - 2 * BLOCK;
        let cuts = (0..end_of_entries)
            .step_by(BLOCK)
            .flat_map(|at| [at, at + 1, at + 511]);
        for cut in cuts.filter(|&cut| cut > 0 && !ends.contains(&cut)) {
            let watch = bench.watch();
            match target.apply(&whole[..cut]) {
                Err(problem) => {
                    problem.is(422, "invalid-archive", "");
                    assert_eq!(seen(&bench.store, "target"), target.before, "cut at {cut}");
                }
                Ok(report) => panic!("cut at {cut} of {} bytes was taken: {report}", whole.len()),
            }
            watch.check();
        }
        target.apply(&whole).expect("the whole archive");
        target.done();
    }
}

/// Blocks of zeros end an archive, and so does its end where an entry could begin: GNU tar, Go and libarchive agree, and
/// many writers leave the blocks out (claircore#683). A body that was cut off is told by its own framing.
#[test]
fn an_end_needs_no_block_of_zeros() {
    let bench = setup::OVERLAY_EXT4.start();
    let whole = rich_archive();
    for end in ends_of_entries() {
        let part = &whole[..end];
        let mut taken = None;
        for zeros in [2, 0, 1, 21] {
            let target = Target::new(&bench, None);
            let archive = [part, &vec![0; zeros * BLOCK]].concat();
            target
                .apply(&archive)
                .unwrap_or_else(|problem| panic!("{zeros} blocks at {end}: {problem:?}"));
            let seen = seen(&bench.store, "target");
            assert_eq!(*taken.get_or_insert(seen.clone()), seen, "{zeros} at {end}");
            target.done();
        }
    }
}

#[test]
fn junk_is_refused_at_once() {
    let bench = setup::VFS_EXT4.start();
    let target = Target::new(&bench, Some("f kept data=1"));
    let magics: [&[u8]; 6] = [
        b"",
        &[0x1f, 0x8b, 8, 0],
        &[0x28, 0xb5, 0x2f, 0xfd],
        b"BZh9",
        &[0xfd, b'7', b'z', b'X', b'Z', 0],
        b"\0asm",
    ];
    // FEATURES 6.2 no. 23: the original failed on streams of under 10 bytes in its own way.
    let short: [&[u8]; 4] = [b"x", b"short", &[0; 511], &[0x1f, 0x8b]];
    let started = Instant::now();
    for magic in magics {
        let junk = [magic, &noise(magic, 100_000)].concat();
        target.refuses(&junk, "invalid-archive", "");
    }
    for junk in short {
        target.refuses(junk, "invalid-archive", "");
    }
    assert!(
        started.elapsed() < Duration::from_secs(30),
        "{:?} for ten pieces of junk",
        started.elapsed()
    );
    target.done();
}

#[test]
fn data_after_the_end_is_not_looked_at() {
    let bench = setup::OVERLAY_EXT4.start();
    let target = Target::new(&bench, None);
    let bytes = [archive("f f data=1"), noise(b"tail", 50_000)].concat();
    target
        .apply(&bytes)
        .expect("what comes after the end does not matter");
    assert!(seen(&bench.store, "target").contains("/f f 0644"));
    target.done();
}

#[test]
fn bytes_flipped_anywhere_leave_all_or_nothing() {
    let bench = setup::VFS_EXT4.start();
    let whole = rich_archive();
    for number in 0..120_u32 {
        let target = Target::new(&bench, Some("f gone data=1"));
        let random = noise(&number.to_le_bytes(), 8);
        let at = usize::from(u16::from_le_bytes([random[0], random[1]])) % whole.len();
        let mut bytes = whole.clone();
        bytes[at] ^= random[2] | 1;
        let watch = bench.watch();
        if let Err(problem) = target.apply(&bytes) {
            problem.is(422, "invalid-archive", "");
            assert_eq!(
                seen(&bench.store, "target"),
                target.before,
                "byte {at} of seed {number}"
            );
        }
        watch.check();
        target.done();
    }
}

#[test]
fn compressed_archives_are_recognised() {
    let bench = setup::OVERLAY_EXT4.start();
    let plain = rich_archive();
    for (name, program) in [("gzip", "gzip"), ("zstd", "zstd")] {
        let Some(packed) = packed(program, &plain) else {
            assert!(
                std::env::var_os("CI").is_none(),
                "{program} is not installed"
            );
            println!("skipped {program}: it is not installed");
            continue;
        };
        for extra in [&[][..], &[("Content-Encoding", name)][..]] {
            let target = Target::new(&bench, None);
            let answer = put(
                &bench.daemon.client,
                &bench.store.target("target", "/diff"),
                extra,
                &packed,
            );
            answer.unwrap_or_else(|problem| panic!("{name} {extra:?}: {problem:?}"));
            let tree = seen(&bench.store, "target");
            target.done();
            let target = Target::new(&bench, None);
            target.apply(&plain).expect("the plain archive");
            assert_eq!(tree, seen(&bench.store, "target"), "{name} {extra:?}");
            target.done();
        }
        let target = Target::new(&bench, None);
        target.refuses(&packed[..packed.len() / 2], "invalid-archive", "");
        target.done();
    }
}

#[test]
fn an_encoding_that_no_one_knows_is_refused() {
    let bench = setup::VFS_EXT4.start();
    let target = Target::new(&bench, None);
    let extra = [("Content-Encoding", "br")];
    let problem = put(
        &bench.daemon.client,
        &bench.store.target("target", "/diff"),
        &extra,
        &rich_archive(),
    );
    let problem = problem.expect_err("an unknown encoding");
    assert!(
        matches!(problem.status, 400 | 415 | 422) && problem.detail.contains("br"),
        "{problem:?}"
    );
    assert_eq!(seen(&bench.store, "target"), target.before);
    target.done();
}

fn put(client: &Client, target: &str, extra: &[(&str, &str)], body: &[u8]) -> Answer<Value> {
    let response =
        http::send(&client.socket, "PUT", target, extra, Body::Bytes(body)).expect("an answer");
    sort(response).map(|response| response.json())
}

/// ATTACKS 35.
#[test]
fn a_bomb_of_zeros_does_not_fill_the_memory() {
    let bench = setup::OVERLAY_EXT4.start();
    let before = bench.daemon.resident_kib();
    let Some(packed) = packed("gzip", &archive("f zeros data=\\x00 repeat=300000000")) else {
        return;
    };
    let target = Target::new(&bench, None);
    let report = put(
        &bench.daemon.client,
        &bench.store.target("target", "/diff"),
        &[],
        &packed,
    )
    .expect("300 MB of zeros");
    assert_eq!(report["size_bytes"], 300_000_000);
    let grown = bench.daemon.resident_kib().saturating_sub(before);
    assert!(grown < 100_000, "the daemon grew by {grown} KiB");
    target.done();
}

/// FEATURES 6.2 no. 26: the original left a directory for temporary files within the layer.
#[test]
fn a_client_that_goes_away_leaves_nothing() {
    let bench = setup::OVERLAY_EXT4.start();
    let target = Target::new(&bench, Some("f kept data=1"));
    let watch = bench.watch();
    let bytes = rich_archive();
    for length in [0, 100, BLOCK, 5 * BLOCK, bytes.len() - 3 * BLOCK] {
        let path = bench.store.target("target", "/diff");
        let body = Body::Bytes(&bytes);
        let mut stream =
            http::begin(&bench.daemon.client.socket, "PUT", &path, &[], body).expect("connect");
        stream.write_all(&bytes[..length]).expect("write");
        drop(stream);
    }
    watch.check();
    assert_eq!(seen(&bench.store, "target"), target.before);
    target.apply(&bytes).expect("the layer is free again");
    target.done();
}

/// FEATURES 6.2 no. 25: a copy of a parent that failed left half a layer.
#[test]
fn a_full_disk_fails_a_copy_cleanly() {
    let setup = Setup {
        file_system: FileSystem::SmallExt4,
        ..setup::VFS_EXT4
    };
    let bench = setup.start();
    bench.store.create("base", None).expect("create");
    bench
        .store
        .apply("base", &archive("f big fill=12582912"))
        .expect("half of the disk");
    let watch = bench.watch();
    bench
        .store
        .create("copy", Some("base"))
        .expect_err("no room")
        .is(507, "no-space", "copy");
    watch.check();
    bench.store.remove("base").expect("remove");
    bench
        .store
        .create("copy", None)
        .expect("there is room again");
    bench.store.remove("copy").expect("remove");
}

#[test]
fn a_full_disk_fails_cleanly_and_removal_works() {
    for driver in ["overlay", "erofs", "vfs"] {
        let setup = Setup {
            driver,
            file_system: FileSystem::SmallExt4,
            ..setup::VFS_EXT4
        };
        let bench = setup.start();
        let target = Target::new(&bench, Some("f kept fill=100000"));
        let much: String = (0..40)
            .map(|number| format!("f big{number} fill=1048576\n"))
            .collect();
        let problem = target.refuses(&archive(&much), "no-space", "");
        assert!(problem.remedy.is_some(), "{problem:?}");
        // With the disk filled to the last block by someone else, removal still works.
        let ballast = bench.lab.path("fs/ballast");
        let mut file = std::fs::File::create(&ballast).expect("make a file");
        while file.write_all(&[1; 4096]).is_ok() {}
        drop(file);
        if bench.store.create("one-more", None).is_ok() {
            bench.store.remove("one-more").expect("remove");
        }
        target.done();
        std::fs::remove_file(ballast).expect("remove the ballast");
        bench.store.create("after", None).expect("create");
        bench
            .store
            .apply("after", &archive("f f data=1"))
            .expect("apply");
        bench.store.remove("after").expect("remove");
        bench.watch().check();
    }
}

/// ATTACKS 43.
#[test]
fn deep_and_wide_trees_are_taken_and_removable() {
    let bench = setup::VFS_EXT4.start();
    // What fits into PATH_MAX, what only handles reach, and too much.
    for (depth, fits) in [(2048, true), (5000, true), (33_000, false)] {
        let target = Target::new(&bench, None);
        let deep = format!("f {}/f data=x", vec!["d"; depth - 1].join("/"));
        match target.apply(&archive(&deep)) {
            Ok(_) => assert!(fits, "{depth}"),
            Err(problem) => {
                assert!(!fits, "{depth}: {problem:?}");
                problem.is(422, "invalid-archive", "65536 bytes");
                assert_eq!(seen(&bench.store, "target"), target.before);
            }
        }
        bench.watch().check();
        target.done();
    }
    let target = Target::new(&bench, None);
    let wide: String = (0..20_000)
        .map(|number| format!("f f{number} data=x\n"))
        .collect();
    let report = target.apply(&archive(&wide)).expect("20,000 files");
    assert_eq!(report["entries"], 20_000);
    let diff = bench.store.diff("target", Against::Parent).expect("diff");
    assert!(listing::list(&diff).len() >= 20_000);
    target.done();
    bench.watch().check();
}

#[test]
fn what_gnu_tar_writes_is_read() {
    let bench = setup::OVERLAY_EXT4.start();
    let source = bench.lab.scratch("source");
    tree::build(
        &source,
        "d d mode=2755 own=5:6\nf d/f fill=70000 mtime=5.5 x:user.a=b\nh d/h to=d/f\nl l to=/d/f\np p\nc c rdev=1:3\n\
         f nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn\nf \\xff",
    );
    let expected = print(&as_archived(&nodes(&source)));
    for format in ["pax", "gnu"] {
        let mut command = std::process::Command::new("tar");
        command
            .args([
                "--create",
                "--numeric-owner",
                "--format",
                format,
                "--directory",
            ])
            .arg(&source);
        command.args(if format == "pax" {
            &["--xattrs", "."][..]
        } else {
            &["."]
        });
        let output = command.output().expect("run tar");
        let target = Target::new(&bench, None);
        target
            .apply(&output.stdout)
            .unwrap_or_else(|problem| panic!("{format}: {problem:?}"));
        let tree = seen(&bench.store, "target");
        if format == "pax" {
            assert_eq!(tree, expected);
        } else {
            assert_eq!(tree.lines().count(), expected.lines().count());
        }
        target.done();
    }
}

#[test]
fn an_archive_may_come_in_pieces_of_any_size() {
    let bench = setup::OVERLAY_EXT4.start();
    let bytes = [entries("f big fill=200000\nf f data=1"), archive("d d")].concat();
    let mut seen_first = None;
    for size in [1000, 511, 65536, 300_000] {
        let target = Target::new(&bench, None);
        let path = bench.store.target("target", "/diff");
        let answer = bench
            .daemon
            .client
            .call("PUT", &path, Body::Chunked(&bytes, size));
        answer.unwrap_or_else(|problem| panic!("chunks of {size}: {problem:?}"));
        let tree = timeless(&bench.store, "target");
        assert_eq!(
            *seen_first.get_or_insert_with(|| tree.clone()),
            tree,
            "chunks of {size}"
        );
        target.done();
    }
    assert!(target_is_plain(&seen_first.expect("a tree")));
}

fn target_is_plain(tree: &str) -> bool {
    tree.lines().count() == 4 && tree.contains("/big f 0644 0:0 0.000000000 200000:")
}

#[test]
fn applying_to_a_mounted_layer_or_a_parent_is_refused() {
    let bench = setup::OVERLAY_EXT4.start();
    let target = Target::new(&bench, Some("f f data=1"));
    let problem = bench
        .store
        .apply("base", &rich_archive())
        .expect_err("it has a child");
    assert_eq!(problem.status, 409, "{problem:?}");
    bench.store.mount("target").expect("mount");
    let problem = target.apply(&rich_archive()).expect_err("it is mounted");
    problem.is(409, "mounted", "target");
    bench.store.unmount("target").expect("unmount");
    target.done();
}

#[test]
fn the_root_entry_of_a_whole_layer_is_no_surprise() {
    let bench = setup::VFS_EXT4.start();
    bench.store.create("l", None).expect("create");
    bench
        .store
        .apply("l", &archive("f f data=1"))
        .expect("apply");
    let lines = listing::lines(&bench.store.diff("l", Against::Nothing).expect("diff"));
    assert!(
        lines.lines().all(|line| !line.contains(" / ")),
        "an entry with the name `/`: {lines}"
    );
    bench.store.remove("l").expect("remove");
}

/// FEATURES 1.8: the size is the sum of what the headers give, of AUFS's own entries and of those that are replaced too.
#[test]
fn the_size_is_the_sum_of_all_headers() {
    let bench = setup::OVERLAY_EXT4.start();
    let target = Target::new(&bench, Some("f gone data=1\nd d"));
    let script = "d .wh..wh.plnk\nf .wh..wh.plnk/1.2 fill=100\nf .wh..wh.aufs fill=7\nf .wh.gone\nf f fill=2000\n\
        f f fill=30\nl l to=f\nh h to=f\nd d";
    let report = target.apply(&archive(script)).expect("apply");
    assert_eq!(report["size_bytes"], 100 + 7 + 2000 + 30);
    assert_eq!(report["entries"], 9);
    target.done();
}
