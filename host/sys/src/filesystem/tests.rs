use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::symlink;

use super::*;
use crate::node;
use crate::testing::{Place, name, refused};

fn magic(path: &str) -> u32 {
    magic_of_path(Path::new(path)).unwrap()
}

#[test]
fn type_and_room_of_a_file_system_are_told_by_a_descriptor() {
    let place = Place::elsewhere();
    let dir = place.open("");
    let before = statfs(dir.as_fd()).unwrap();
    assert_eq!(name_of(before.magic), Some("tmpfs"));
    assert!(before.free_bytes <= before.total_bytes, "{before:?}");
    assert!(before.free_inodes <= before.total_inodes, "{before:?}");
    place.write("file", vec![1; 3 << 20]);
    let file = statfs(place.open("file").as_fd()).unwrap();
    assert_eq!(file.magic, before.magic, "a file tells the same");
    assert_eq!(file.total_bytes, before.total_bytes);
    let process = File::open("/proc/self").unwrap();
    let process = statfs(process.as_fd()).unwrap();
    assert_eq!((process.magic, process.total_bytes), (0x9fa0, 0));
    assert_eq!(name_of(process.magic), None);
}

#[test]
fn the_parent_s_type_is_told_for_a_path_that_is_not_there_yet() {
    let tmpfs = 0x0102_1994;
    let proc = 0x9fa0;
    for (path, expected) in [
        ("/dev/shm", tmpfs),
        ("/dev/shm/", tmpfs),
        ("/dev/shm/mica-is-not-there", tmpfs),
        ("/proc", proc),
        ("/proc/self", proc),
        ("/proc/mica-is-not-there", proc),
    ] {
        assert_eq!(magic(path), expected, "{path}");
    }
    // Relative ones mean the working directory, also without any parent in the text.
    for relative in ["mica-is-not-there", ""] {
        assert_eq!(magic(relative), magic("."));
    }
    let place = Place::elsewhere();
    symlink("/proc", place.path("link")).unwrap();
    symlink("nothing", place.path("dangling")).unwrap();
    place.write("file", "");
    let of = |entry: &str| magic_of_path(&place.path(entry));
    assert_eq!(of("link").unwrap(), proc, "the original's call follows");
    assert_eq!(of("dangling").unwrap(), tmpfs);
    assert_eq!(refused(of("missing/missing")), libc::ENOENT);
    assert_eq!(refused(of("file/below")), libc::ENOTDIR);
}

#[test]
fn a_magic_number_keeps_its_32_bits_whatever_the_sign() {
    for (word, expected) in [
        (0x9123_683e_i64, 0x9123_683e),
        (0x9123_683e - (1 << 32), 0x9123_683e),
        (-1, u32::MAX),
        (0xef53, 0xef53),
        (0, 0),
    ] {
        assert_eq!(magic_bits(word), expected);
    }
}

#[test]
fn a_lock_belongs_to_one_open_file_until_all_that_share_it_are_closed() {
    let place = Place::new();
    place.write("lock", "");
    let (first, second) = (place.open("lock"), place.open("lock"));
    let lock = |fd: &OwnedFd| try_lock_exclusive(fd.as_fd()).unwrap();
    assert!(lock(&first));
    assert!(lock(&first), "who has it may ask again");
    assert!(!lock(&second));
    let shared = first.try_clone().unwrap();
    drop(first);
    assert!(!lock(&second), "a duplicate keeps it");
    drop(shared);
    assert!(lock(&second));
    let directory = place.open("");
    assert!(lock(&directory), "directories have locks, too");
}

#[test]
fn files_directories_and_file_systems_are_written_out() {
    let place = Place::new();
    place.write("file", "x");
    for entry in ["", "file"] {
        let opened = place.open(entry);
        sync_file(opened.as_fd()).unwrap();
    }
    let elsewhere = Place::elsewhere();
    sync(elsewhere.open("").as_fd()).unwrap();
    let path_only = rustix::fs::open(
        place.path("file"),
        rustix::fs::OFlags::PATH,
        rustix::fs::Mode::empty(),
    )
    .unwrap();
    assert_eq!(refused(sync_file(path_only.as_fd())), libc::EBADF);
}

type Probe = fn(BorrowedFd<'_>) -> io::Result<Support>;

const PROBES: [(&str, Probe); 4] = [
    ("d_type", probe_d_type),
    ("reflink", probe_reflink),
    ("overlay", probe_overlay),
    ("native diff", probe_native_diff),
];

#[test]
fn a_probe_answers_and_leaves_nothing_behind() {
    for place in [Place::new(), Place::elsewhere()] {
        let dir = place.open("");
        for (what, probe) in PROBES {
            let answer = probe(dir.as_fd()).unwrap();
            if matches!(what, "d_type" | "overlay" | "native diff") {
                assert_eq!(answer, Support::Available, "{what}");
            }
            assert!(node::names(dir.as_fd()).unwrap().is_empty(), "{what}");
        }
    }
    let tmpfs = Place::elsewhere();
    let Support::Missing(why) = probe_reflink(tmpfs.open("").as_fd()).unwrap() else {
        panic!("tmpfs shares no blocks");
    };
    assert!(why.contains("; use btrfs"), "the remedy is named: {why}");
}

#[test]
fn a_probe_that_could_not_be_tried_is_an_error_and_no_answer() {
    let process = File::open("/proc/self").unwrap();
    for (what, probe) in PROBES {
        let outcome = probe(process.as_fd());
        assert_eq!(refused(outcome), libc::ENOENT, "{what}");
    }
}

#[test]
fn an_overlay_that_cannot_lie_on_an_overlay_is_missing_with_the_kernel_s_words_and_a_remedy() {
    let place = Place::new();
    let layers = ["a", "b", "upper", "work"].map(|layer| place.make(layer));
    let [a, b, upper, work] = &layers;
    let mounted = crate::mount::overlay(&crate::mount::Overlay {
        lowers: &[a.as_fd(), b.as_fd()],
        upper_and_work: Some((upper.as_fd(), work.as_fd())),
        label: None,
        read_only: false,
    })
    .unwrap();
    let root = mounted.root().unwrap();
    assert_eq!(
        name_of(statfs(root.as_fd()).unwrap().magic),
        Some("overlayfs")
    );
    for probe in [probe_overlay, probe_native_diff] {
        let Support::Missing(why) = probe(root.as_fd()).unwrap() else {
            panic!("an overlay is no upper");
        };
        assert!(why.contains("; use ext4"), "{why}");
    }
    assert!(node::names(root.as_fd()).unwrap().is_empty());
}

#[test]
fn a_scratch_directory_is_named_by_its_prefix_and_goes_with_all_that_is_in_it() {
    let place = Place::new();
    let dir = place.open("");
    let scratch = scratch::Scratch::create(dir.as_fd()).unwrap();
    let again = scratch::Scratch::create(dir.as_fd()).unwrap();
    node::create_directory(scratch.dir(), &name("directory"), 0).unwrap();
    let found = node::names(dir.as_fd()).unwrap();
    assert_eq!(found.len(), 2);
    for entry in found {
        assert!(entry.starts_with(SCRATCH_PREFIX.as_bytes()));
        let made = node::stat(dir.as_fd(), &name(&entry)).unwrap();
        assert_eq!(made.mode, 0o700);
    }
    drop((scratch, again));
    assert!(fs::read_dir(place.path("")).unwrap().next().is_none());
}
