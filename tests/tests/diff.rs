//! What a diff looks like to others: exact entries, other people's readers, and streams that break off.

use std::fs;
use std::io::{BufReader, Read as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use mica_tests::archive::archive;
use mica_tests::client::Against;
use mica_tests::dump::xattr_names;
use mica_tests::http::{self, Body};
use mica_tests::listing;
use mica_tests::setup::{self, Bench, Setup};
use mica_tests::tree;

const ALL: [Setup; 5] = [
    setup::OVERLAY_EXT4,
    setup::EROFS_EXT4,
    setup::VFS_EXT4,
    setup::BTRFS,
    setup::HELLO_EXT4,
];

/// A base layer and a layer `top` on it, made by scripts.
fn layers(bench: &Bench, base: &str, top: &str) {
    for (id, parent, script) in [("base", None, base), ("top", Some("base"), top)] {
        bench.store.create(id, parent).expect("create");
        tree::build(&bench.store.mount(id).expect("mount"), script);
        bench.store.unmount(id).expect("unmount");
    }
}

fn remove(bench: &Bench) {
    for id in ["top", "base"] {
        bench.store.remove(id).expect("remove");
    }
    bench.watch().check();
}

#[test]
fn entries_are_these() {
    for setup in ALL {
        let bench = setup.start();
        layers(
            &bench,
            "d d mode=750 own=1:2\nf d/gone data=1\nf d/kept data=2\nf moved data=3\nd emptied\nf emptied/f data=4",
            "- d/gone\nf d/new data=hello mode=4640 own=1000:100000\nh d/hard to=d/new\nl d/link to=/etc/passwd\n\
             p pipe mode=600\nc char rdev=1:3 mode=666\nb block rdev=254:7 own=0:6\ns socket\n- emptied/f\n- moved",
        );
        let lines = listing::lines(&bench.store.diff("top", Against::Parent).expect("diff"));
        let expected = "\
f .wh.moved 0 0:0 \"\"
b block 644 0:6 254:7
c char 666 0:0 1:3
d d/ 750 1:2
f d/.wh.gone 0 0:0 \"\"
h d/hard 4640 1000:100000 ->d/new
l d/link 777 0:0 ->/etc/passwd
f d/new 4640 1000:100000 \"hello\"
d emptied/ 755 0:0
f emptied/.wh.f 0 0:0 \"\"
p pipe 600 0:0
";
        let sorted = |text: &str| {
            let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        // Which name of a hard link holds the content is the writer's choice; that it is the first one is not.
        let other = expected
            .replace(
                "h d/hard 4640 1000:100000 ->d/new",
                "f d/hard 4640 1000:100000 \"hello\"",
            )
            .replace(
                "f d/new 4640 1000:100000 \"hello\"",
                "h d/new 4640 1000:100000 ->d/hard",
            );
        assert_eq!(sorted(&lines), sorted(&other), "{}:\n{lines}", setup.driver);
        remove(&bench);
    }
}

#[test]
fn parents_come_before_children_and_links_after_their_targets() {
    for setup in ALL {
        let bench = setup.start();
        layers(
            &bench,
            "d a\nd a-b",
            "f a/f data=1\nf a-b/f data=1\nf a.c data=1\nh zz to=a/f\nd z\nh z/h to=a/f",
        );
        let entries = listing::list(&bench.store.diff("top", Against::Parent).expect("diff"));
        let names: Vec<_> = entries.iter().map(|entry| entry.name.clone()).collect();
        for (at, entry) in entries.iter().enumerate() {
            let parent = entry.name.strip_suffix(b"/").unwrap_or(&entry.name);
            if let Some(slash) = parent.iter().rposition(|&byte| byte == b'/') {
                assert!(
                    names[..at].iter().any(|name| name[..] == parent[..=slash]),
                    "{}",
                    entry.line()
                );
            }
            if entry.flag == b'1' {
                assert!(
                    names[..at]
                        .iter()
                        .any(|name| Some(name) == entry.link.as_ref()),
                    "{}",
                    entry.line()
                );
            }
        }
        let paths: Vec<_> = names
            .iter()
            .map(|name| name.strip_suffix(b"/").unwrap_or(name).to_vec())
            .collect();
        assert!(
            paths.is_sorted(),
            "{}",
            listing::lines(&bench.store.diff("top", Against::Parent).expect("diff"))
        );
        remove(&bench);
    }
}

#[test]
fn nothing_in_a_diff_depends_on_when_and_who() {
    // FEATURES 6.2 no. 12 and 14: whiteouts had the time of the diff, PAX headers the number of the process.
    for setup in ALL {
        let mut bench = setup.start();
        layers(
            &bench,
            "f gone data=1",
            "- gone\nf f data=1 mtime=5.25\nf \\xff data=2\nf cap data=x x:user.b=2 x:user.a=1",
        );
        let first = bench.store.diff("top", Against::Parent).expect("diff");
        let text = String::from_utf8_lossy(&first).into_owned();
        assert!(
            !text.contains("PaxHeaders.") || text.contains("PaxHeaders.0"),
            "the number of a process"
        );
        let whiteout = listing::list(&first)
            .into_iter()
            .find(|entry| entry.name == b".wh.gone")
            .expect("a whiteout");
        assert_eq!((whiteout.seconds, whiteout.size), (0, 0));
        let cap = listing::list(&first)
            .into_iter()
            .find(|entry| entry.name == b"cap")
            .expect("an entry");
        let xattrs: Vec<_> = cap
            .pax
            .iter()
            .filter(|(key, _)| key.starts_with("SCHILY.xattr."))
            .collect();
        assert!(xattrs.len() == 2 && xattrs.is_sorted(), "{xattrs:?}");
        std::thread::sleep(std::time::Duration::from_millis(1100));
        bench = bench.restart(|daemon| assert!(daemon.stop().success()));
        assert!(
            bench.store.diff("top", Against::Parent).expect("diff") == first,
            "other bytes after a restart"
        );
        remove(&bench);
    }
}

#[test]
fn python_and_gnu_tar_read_the_same_entries() {
    let bench = setup::OVERLAY_EXT4.start();
    layers(
        &bench,
        "f gone data=1",
        "- gone\nd d mode=1777\nf d/f fill=5000 own=3000000:4000000000 mtime=77.123456789\nh d/h to=d/f\nl l to=d/f\np p\n\
         c c rdev=5:1\nf nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn data=long\n\
         f ümlaut data=1\nf big fill=100000 mtime=-3",
    );
    let diff = bench.store.diff("top", Against::Parent).expect("diff");
    let ours: Vec<String> = listing::list(&diff)
        .iter()
        .map(|entry| {
            String::from_utf8_lossy(&entry.name)
                .trim_end_matches('/')
                .to_owned()
                + &format!(" {}", entry.size)
        })
        .collect();
    let script = "import sys,tarfile\nfor m in tarfile.open(fileobj=sys.stdin.buffer,mode='r|'): print(m.name.rstrip('/'), m.size)";
    let python = piped(Command::new("python3").args(["-c", script]), &diff);
    assert_eq!(
        python.lines().collect::<Vec<_>>(),
        ours,
        "python3's tarfile"
    );
    let gnu = piped(
        Command::new("tar").args(["--list", "--quoting-style=literal"]),
        &diff,
    );
    let names: Vec<_> = gnu
        .lines()
        .map(|line| line.trim_end_matches('/').to_owned())
        .collect();
    let ours: Vec<_> = ours
        .iter()
        .map(|line| line.rsplit_once(' ').expect("a size").0.to_owned())
        .collect();
    assert_eq!(names, ours, "GNU tar");
    remove(&bench);
}

fn piped(command: &mut Command, input: &[u8]) -> String {
    let mut child = command
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start");
    let mut stdin = child.stdin.take().expect("a pipe");
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output().expect("wait")
    });
    assert!(output.status.success(), "{command:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn attributes_of_the_kernel_stay_at_home() {
    // ATTACKS 26: what overlayfs keeps in `trusted.overlay.*`, and what anyone plants there, is in no diff.
    for setup in [
        setup::OVERLAY_EXT4,
        setup::EROFS_EXT4,
        setup::VFS_EXT4,
        setup::BTRFS,
    ] {
        let bench = setup.start();
        layers(&bench, "d d\nf d/f data=1", "- d\nd d\nf d/g data=2");
        let rooms = fs::read_dir(bench.lab.home("default").join("layers"))
            .expect("layers")
            .flatten();
        for room in rooms.map(|entry| entry.path().join("d")) {
            plant(&room);
        }
        for against in [Against::Parent, Against::Nothing] {
            let diff = bench.store.diff("top", against).expect("diff");
            let lines = listing::lines(&diff);
            assert!(
                !lines.contains("trusted.") && !lines.contains("user.overlay."),
                "{lines}"
            );
        }
        bench.store.remove("top").expect("remove");
        bench.store.remove("base").expect("remove");
    }
}

/// Sets attributes of the kernel's on every directory.
fn plant(directory: &std::path::Path) {
    for name in [
        "trusted.overlay.origin",
        "trusted.planted",
        "user.overlay.opaque",
    ] {
        rustix::fs::lsetxattr(directory, name, b"x", rustix::fs::XattrFlags::empty()).ok();
    }
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) && entry.file_name() != "work" {
            plant(&entry.path());
        }
    }
}

#[test]
fn no_control_attribute_comes_from_an_archive() {
    for setup in ALL {
        let bench = setup.start();
        bench.store.create("base", None).expect("create");
        bench.store.create("top", Some("base")).expect("create");
        let text = "d sub x:trusted.overlay.opaque=y x:trusted.overlay.redirect=/x x:trusted.x=1 x:user.fine=1\nf f x:trusted.y=2";
        let report = bench.store.apply("top", &archive(text)).expect("apply");
        assert_eq!(report["xattrs_skipped"], 4, "{report}");
        let rooms = fs::read_dir(bench.lab.home(&bench.store.name).join("layers"))
            .expect("layers")
            .flatten();
        for room in rooms {
            check_attributes(&room.path());
        }
        remove(&bench);
    }
}

fn check_attributes(path: &std::path::Path) {
    for name in xattr_names(path) {
        let name = String::from_utf8_lossy(&name).into_owned();
        let planted =
            ["trusted.x", "trusted.y", "trusted.overlay.redirect"].contains(&name.as_str());
        let opaque = name == "trusted.overlay.opaque" && path.ends_with("sub");
        assert!(!planted && !opaque, "{name} on {}", path.display());
    }
    if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir()) {
        for entry in fs::read_dir(path).expect("list").flatten() {
            check_attributes(&entry.path());
        }
    }
}

#[test]
fn a_tree_that_changes_gives_a_whole_archive_or_a_broken_stream() {
    // ATTACKS 66; FEATURES 6.2 no. 13 and 30: a file that vanished ended the walk; a truncated archive once looked like a whole one.
    for setup in [
        setup::OVERLAY_EXT4,
        setup::EROFS_EXT4,
        setup::VFS_EXT4,
        setup::BTRFS,
    ] {
        let bench = setup.start();
        layers(
            &bench,
            "d d\nf d/f data=1",
            "f big fill=3000000\nf other fill=2000000\nd e",
        );
        let path = bench.store.mount("top").expect("mount");
        let (over, mut whole, mut broken) = (AtomicBool::new(false), 0, 0);
        std::thread::scope(|scope| {
            let (over, path) = (&over, &path);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    churn(path);
                }
            });
            let _end = End(over);
            for _ in 0..25 {
                let target = bench.store.target("top", "/diff");
                // A stream that breaks before its head was sent is a connection that ends.
                let Ok(response) = bench.daemon.client.try_send("GET", &target, Body::Empty) else {
                    broken += 1;
                    continue;
                };
                if response.status == 200 && response.complete {
                    listing::list(&response.body);
                    assert!(
                        !response
                            .body
                            .windows(14)
                            .any(|window| window == b"canary-content"),
                        "the canary is in the diff"
                    );
                    whole += 1;
                } else {
                    broken += 1;
                }
            }
        });
        println!("{}: {whole} whole, {broken} broken", setup.driver);
        bench.store.unmount("top").expect("unmount");
        bench
            .store
            .diff("top", Against::Parent)
            .expect("a quiet tree has a diff");
        remove(&bench);
    }
}

/// Tells the other thread that it is over, also when a check fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn churn(path: &std::path::Path) {
    let secret = "/proc/self/root/etc/hostname";
    let big = path.join("big");
    fs::write(&big, vec![b'x'; 3_000_000]).ok();
    fs::File::options()
        .write(true)
        .open(&big)
        .and_then(|file| file.set_len(10))
        .ok();
    fs::remove_file(path.join("other")).ok();
    std::os::unix::fs::symlink(secret, path.join("other")).ok();
    fs::remove_file(path.join("other")).ok();
    fs::write(path.join("other"), vec![b'y'; 2_000_000]).ok();
    fs::rename(path.join("e"), path.join("d2")).ok();
    fs::rename(path.join("d2"), path.join("e")).ok();
    Command::new("mkfifo")
        .arg(path.join("e/pipe"))
        .stderr(Stdio::null())
        .status()
        .ok();
    fs::remove_file(path.join("e/pipe")).ok();
}

#[test]
fn a_reader_that_goes_away_leaves_nothing() {
    let bench = setup::VFS_EXT4.start();
    layers(&bench, "d d", "f big fill=30000000");
    let watch = bench.watch();
    for length in [0_usize, 10, 1000, 1_000_000] {
        let target = bench.store.target("top", "/diff");
        let stream = http::begin(
            &bench.daemon.client.socket,
            "GET",
            &target,
            &[],
            Body::Empty,
        )
        .expect("connect");
        BufReader::new(stream)
            .read_exact(&mut vec![0; length])
            .expect("some bytes");
    }
    watch.check();
    bench.store.mount("top").expect("the layer is free");
    bench.store.unmount("top").expect("unmount");
    remove(&bench);
}

#[test]
fn a_slow_reader_does_not_hold_others_up() {
    let bench = setup::OVERLAY_EXT4.start();
    layers(&bench, "d d", "f big fill=30000000");
    let target = bench.store.target("top", "/diff");
    let stream = http::begin(
        &bench.daemon.client.socket,
        "GET",
        &target,
        &[],
        Body::Empty,
    )
    .expect("connect");
    let mut slow = BufReader::new(stream);
    slow.read_exact(&mut [0; 100]).expect("some bytes");
    let started = std::time::Instant::now();
    bench.store.create("other", None).expect("create");
    assert_eq!(
        bench
            .store
            .changes("top", Against::Parent)
            .expect("changes"),
        "A /big\n"
    );
    bench.store.remove("other").expect("remove");
    assert!(
        started.elapsed() < std::time::Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    let busy = bench.store.remove("top").expect_err("it is being read");
    assert_eq!(busy.status, 409, "{busy:?}");
    drop(slow);
    let gone = std::time::Instant::now();
    while bench.store.remove("top").is_err() {
        assert!(
            gone.elapsed() < std::time::Duration::from_secs(10),
            "still busy"
        );
    }
    bench.store.remove("base").expect("remove");
}

#[test]
fn sizes_are_those_of_the_original() {
    // ChangesSize: added and modified files, each inode once (FEATURES 6.2 no. 10); a link counts its target.
    for setup in ALL {
        let bench = setup.start();
        layers(
            &bench,
            "f unchanged fill=5000\nf changed fill=100\nf gone fill=70\nd d",
            "f changed fill=200\nf new fill=3000\nh hard to=new\nl link to=12345\n- gone\np pipe\nf empty",
        );
        assert_eq!(
            bench.store.size("top", Against::Parent).expect("size"),
            200 + 3000 + 5,
            "{}",
            setup.driver
        );
        assert_eq!(
            bench.store.size("base", Against::Parent).expect("size"),
            5000 + 100 + 70
        );
        assert_eq!(
            bench.store.size("top", Against::Nothing).expect("size"),
            5000 + 200 + 3000 + 5
        );
        remove(&bench);
    }
}

#[test]
fn memory_stays_flat_while_a_large_layer_streams() {
    let bench = setup::OVERLAY_EXT4.start();
    bench.store.create("top", None).expect("create");
    let path = bench.store.mount("top").expect("mount");
    let file = fs::File::create(path.join("sparse")).expect("create");
    file.set_len(1 << 30).expect("grow");
    drop(file);
    bench.store.unmount("top").expect("unmount");
    let before = bench.daemon.resident_kib();
    let target = bench.store.target("top", "/diff");
    let stream = http::begin(
        &bench.daemon.client.socket,
        "GET",
        &target,
        &[],
        Body::Empty,
    )
    .expect("connect");
    let mut reader = BufReader::with_capacity(1 << 20, stream);
    let (mut buffer, mut read, mut most) = (vec![0; 1 << 20], 0_usize, 0);
    while let Ok(count @ 1..) = reader.read(&mut buffer) {
        read += count;
        if read % (64 << 20) < count {
            most = most.max(bench.daemon.resident_kib());
        }
    }
    assert!(read > 1 << 30, "{read} bytes");
    assert!(most < before + 60_000, "from {before} to {most} KiB");
    bench.store.remove("top").expect("remove");
}
