use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount, mount_bind};

use super::attributes::set_mode_pinned;
use super::*;
use crate::mount::{Access, bind};
use crate::testing::{Place, in_namespace, name, refused};
use crate::{Name, content, xattr};

/// A directory with one node of each kind, named after it, and links to some of them.
fn zoo(place: &Place) -> OwnedFd {
    let dir = place.open("");
    place.make("directory");
    place.write("regular", "content");
    let at = dir.as_fd();
    create_fifo(at, &name("fifo"), 0o600).unwrap();
    create_socket(at, &name("socket"), 0o600).unwrap();
    create_whiteout(at, &name("whiteout")).unwrap();
    // As /dev/null and a memory disk: opened, they would say so by their numbers only.
    create_device(at, &name("character"), Kind::CharacterDevice, 1, 3, 0o600).unwrap();
    create_device(at, &name("block"), Kind::BlockDevice, 1, 0, 0o600).unwrap();
    for (link, target) in [
        ("to-directory", "directory"),
        ("to-regular", "regular"),
        ("to-fifo", "fifo"),
        ("dangling", "nothing"),
        ("loop", "loop"),
        ("to-root", "/"),
        ("up", ".."),
        ("magic", "/proc/self/cwd"),
    ] {
        symlink(target, place.path(link)).unwrap();
    }
    dir
}

const LINKS: [&str; 8] = [
    "to-directory",
    "to-regular",
    "to-fifo",
    "dangling",
    "loop",
    "to-root",
    "up",
    "magic",
];

const SPECIALS: [&str; 5] = ["fifo", "socket", "whiteout", "character", "block"];

type Open = fn(BorrowedFd<'_>, &Name) -> io::Result<OwnedFd>;

#[test]
fn only_a_directory_is_opened_as_one_and_no_open_blocks() {
    let place = Place::new();
    let dir = zoo(&place);
    let open = |entry: &str| open_directory(dir.as_fd(), &name(entry));
    let opened = open("directory").unwrap();
    assert_eq!(stat_fd(opened.as_fd()).unwrap().kind, Kind::Directory);
    for link in LINKS {
        assert_eq!(refused(open(link)), libc::ELOOP, "{link}");
    }
    for other in SPECIALS.into_iter().chain(["regular"]) {
        assert_eq!(refused(open(other)), libc::ENOTDIR, "{other}");
    }
    assert_eq!(refused(open("missing")), libc::ENOENT);
}

#[test]
fn only_a_regular_file_is_opened_as_one_and_no_open_blocks() {
    let place = Place::new();
    only_a_regular_file_is_opened(zoo(&place).as_fd(), open_regular);
}

#[test]
fn where_no_device_can_be_opened_the_same_is_opened_and_refused() {
    in_namespace(|| {
        let place = Place::new();
        let mount = bind(zoo(&place).as_fd(), Access::ReadWrite).unwrap();
        mount.forbid_devices().unwrap();
        let root = mount.root().unwrap();
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let opened = rustix::fs::openat(&root, c"character", flags, Mode::empty());
        assert_eq!(opened.unwrap_err(), Errno::ACCESS);
        only_a_regular_file_is_opened(root.as_fd(), open_regular_at_once);
    });
}

fn only_a_regular_file_is_opened(dir: BorrowedFd<'_>, open: Open) {
    let open = |entry: &str| open(dir, &name(entry));
    let opened = open("regular").unwrap();
    let mut buffer = [0; 16];
    let read = content::read_at(opened.as_fd(), &mut buffer, 0).unwrap();
    assert_eq!(&buffer[..read], b"content");
    let written = content::write_all_at(opened.as_fd(), b"x", 0);
    assert_eq!(refused(written), libc::EBADF, "it is open for reading only");
    for link in LINKS {
        assert_eq!(refused(open(link)), libc::ELOOP, "{link}");
    }
    for special in SPECIALS {
        assert_eq!(refused(open(special)), libc::EINVAL, "{special}");
    }
    assert_eq!(refused(open("directory")), libc::EISDIR);
    assert_eq!(refused(open("missing")), libc::ENOENT);
}

#[test]
fn no_open_crosses_a_mount() {
    in_namespace(|| {
        let place = Place::new();
        let dir = place.make("top");
        place.make("top/tmpfs");
        place.make("top/bound");
        place.make("other");
        place.write("other/file", "x");
        place.write("top/file", "x");
        let flags = MountFlags::empty();
        mount("none", place.path("top/tmpfs"), "tmpfs", flags, None).unwrap();
        mount_bind(place.path("other"), place.path("top/bound")).unwrap();
        mount_bind(place.path("other/file"), place.path("top/file")).unwrap();
        let cases: [(Open, &str); 4] = [
            (open_directory, "tmpfs"),
            (open_directory, "bound"),
            (open_regular, "file"),
            (open_regular_at_once, "file"),
        ];
        for (open, entry) in cases {
            let crossed = open(dir.as_fd(), &name(entry));
            assert_eq!(refused(crossed), libc::EXDEV, "{entry}");
        }
    });
}

#[test]
fn a_directory_that_is_exchanged_for_a_link_all_the_time_never_leads_outside() {
    let place = Place::new();
    let dir = place.make("top");
    let outside = place.make("outside");
    place.make("top/room");
    symlink(place.path("outside"), place.path("top/link")).unwrap();
    let outside = stat_fd(outside.as_fd()).unwrap().inode;
    let exchange = || {
        for _ in 0..20_000 {
            rustix::fs::renameat_with(
                &dir,
                c"room",
                &dir,
                c"link",
                rustix::fs::RenameFlags::EXCHANGE,
            )
            .unwrap();
        }
    };
    let (mut opened, mut refusals) = (0, 0);
    std::thread::scope(|scope| {
        let exchanging = scope.spawn(exchange);
        while !exchanging.is_finished() || opened + refusals == 0 {
            match open_directory(dir.as_fd(), &name("room")) {
                Ok(found) => {
                    assert_ne!(stat_fd(found.as_fd()).unwrap().inode, outside);
                    opened += 1;
                }
                Err(error) => {
                    let number = error.raw_os_error().unwrap();
                    assert!([libc::ELOOP, libc::EAGAIN].contains(&number), "{error}");
                    refusals += 1;
                }
            }
        }
    });
}

#[test]
fn each_kind_is_told_by_name_with_its_own_attributes() {
    let place = Place::new();
    let dir = zoo(&place);
    for (entry, kind, mode, device) in [
        ("directory", Kind::Directory, 0o755, (0, 0)),
        ("regular", Kind::Regular, 0o644, (0, 0)),
        ("fifo", Kind::Fifo, 0o600, (0, 0)),
        ("socket", Kind::Socket, 0o600, (0, 0)),
        ("whiteout", Kind::CharacterDevice, 0, (0, 0)),
        ("character", Kind::CharacterDevice, 0o600, (1, 3)),
        ("block", Kind::BlockDevice, 0o600, (1, 0)),
        ("to-directory", Kind::Symlink, 0o777, (0, 0)),
        ("dangling", Kind::Symlink, 0o777, (0, 0)),
    ] {
        if matches!(entry, "directory" | "regular") {
            fs::set_permissions(place.path(entry), fs::Permissions::from_mode(mode)).unwrap();
        }
        let found = stat(dir.as_fd(), &name(entry)).unwrap();
        let expected = fs::symlink_metadata(place.path(entry)).unwrap();
        assert_eq!(found.kind, kind, "{entry}");
        assert_eq!(found.mode, mode, "{entry}");
        assert_eq!((found.major, found.minor), device, "{entry}");
        assert_eq!(found.inode, expected.ino(), "{entry}");
        assert_eq!(found.device, expected.dev(), "{entry}");
        assert_eq!(found.size, expected.size(), "{entry}");
        assert_eq!(found.blocks_512, expected.blocks(), "{entry}");
        assert_eq!(u64::from(found.links), expected.nlink(), "{entry}");
        assert_eq!(found.modified.seconds, expected.mtime(), "{entry}");
        assert_eq!(found.changed.seconds, expected.ctime(), "{entry}");
    }
    let missing = stat(dir.as_fd(), &name("missing"));
    assert_eq!(refused(missing), libc::ENOENT);
}

#[test]
fn owners_are_set_on_the_node_itself() {
    let place = Place::new();
    let dir = zoo(&place);
    let at = dir.as_fd();
    let owner = |entry: &str| {
        let found = stat(at, &name(entry)).unwrap();
        (found.uid, found.gid)
    };
    for entry in SPECIALS
        .into_iter()
        .chain(LINKS)
        .chain(["regular", "directory"])
    {
        set_owner(at, &name(entry), 1000, 2000).unwrap();
        assert_eq!(owner(entry), (1000, 2000), "{entry}");
    }
    set_owner(at, &name("to-regular"), 5, 6).unwrap();
    assert_eq!(owner("regular"), (1000, 2000), "the link was not followed");
    let opened = open_regular(at, &name("regular")).unwrap();
    set_owner_fd(opened.as_fd(), 4_294_967_294, 7).unwrap();
    assert_eq!(owner("regular"), (4_294_967_294, 7));
    // To the kernel these mean "leave it alone".
    for (uid, gid) in [(u32::MAX, 1), (1, u32::MAX)] {
        let by_name = set_owner(at, &name("regular"), uid, gid);
        assert_eq!(refused(by_name), libc::EINVAL);
        let by_descriptor = set_owner_fd(opened.as_fd(), uid, gid);
        assert_eq!(refused(by_descriptor), libc::EINVAL);
    }
    assert_eq!(owner("regular"), (4_294_967_294, 7));
}

#[test]
fn an_owner_that_is_right_is_left_and_set_id_bits_go_all_the_same() {
    let place = Place::new();
    let dir = zoo(&place);
    let opened = open_regular(dir.as_fd(), &name("regular")).unwrap();
    let told = || stat_fd(opened.as_fd()).unwrap();
    settle_owner(opened.as_fd(), 5, 6).unwrap();
    let before = told();
    assert_eq!((before.uid, before.gid), (5, 6));
    settle_owner(opened.as_fd(), 5, 6).unwrap();
    assert_eq!(told(), before, "not even its time of change is another");
    set_mode_fd(opened.as_fd(), 0o6755).unwrap();
    settle_owner(opened.as_fd(), 5, 6).unwrap();
    assert_eq!((told().mode, told().uid), (0o755, 5));
    for (uid, gid) in [(u32::MAX, 6), (5, u32::MAX)] {
        let unset = settle_owner(opened.as_fd(), uid, gid);
        assert_eq!(refused(unset), libc::EINVAL);
    }
}

#[test]
fn modes_are_set_on_anything_but_links_in_the_new_and_in_the_old_way() {
    let place = Place::new();
    let dir = zoo(&place);
    let at = dir.as_fd();
    let mode = |entry: &str| stat(at, &name(entry)).unwrap().mode;
    let ways: [WithMode; 2] = [set_mode, set_mode_pinned];
    for set in ways {
        for entry in SPECIALS.into_iter().chain(["regular", "directory"]) {
            for wanted in [0, 0o7777, 0o4711, 0o1777, 0o640] {
                set(at, &name(entry), wanted).unwrap();
                assert_eq!(mode(entry), wanted, "{entry}");
            }
        }
        for link in LINKS {
            let followed = set(at, &name(link), 0o777);
            assert_eq!(refused(followed), libc::EOPNOTSUPP, "{link}");
        }
        assert_eq!(mode("regular"), 0o640, "the link was not followed");
        let missing = set(at, &name("missing"), 0o600);
        assert_eq!(refused(missing), libc::ENOENT);
    }
    let opened = open_directory(at, &name("directory")).unwrap();
    set_mode_fd(opened.as_fd(), 0o17_2750).unwrap();
    assert_eq!(mode("directory"), 0o2750, "only permission bits count");
}

#[test]
fn times_of_any_sign_are_set_on_the_node_itself() {
    let place = Place::new();
    let dir = zoo(&place);
    let at = dir.as_fd();
    let time = |seconds, nanoseconds| Timestamp {
        seconds,
        nanoseconds,
    };
    let modified = |entry: &str| stat(at, &name(entry)).unwrap().modified;
    for entry in SPECIALS
        .into_iter()
        .chain(LINKS)
        .chain(["regular", "directory"])
    {
        for wanted in [time(0, 0), time(-1, 999_999_999), time(4_000_000_000, 1)] {
            set_modified(at, &name(entry), wanted).unwrap();
            assert_eq!(modified(entry), wanted, "{entry}");
        }
    }
    set_modified(at, &name("to-regular"), time(7, 7)).unwrap();
    assert_eq!(modified("regular"), time(4_000_000_000, 1));
    let opened = open_regular(at, &name("regular")).unwrap();
    set_modified_fd(opened.as_fd(), time(8, 8)).unwrap();
    assert_eq!(modified("regular"), time(8, 8));
    // The kernel takes the last two for "now" and "omit".
    for nanoseconds in [1_000_000_000, u32::MAX, 0x3fff_ffff, 0x3fff_fffe] {
        let by_name = set_modified(at, &name("regular"), time(9, nanoseconds));
        assert_eq!(refused(by_name), libc::EINVAL);
        let by_descriptor = set_modified_fd(opened.as_fd(), time(9, nanoseconds));
        assert_eq!(refused(by_descriptor), libc::EINVAL);
    }
    assert_eq!(modified("regular"), time(8, 8));
}

type WithMode = fn(BorrowedFd<'_>, &Name, u32) -> io::Result<()>;

const CREATES: [(WithMode, Kind); 6] = [
    (
        |at, entry, mode| create_directory(at, entry, mode).map(drop),
        Kind::Directory,
    ),
    (
        |at, entry, mode| create_regular(at, entry, mode).map(drop),
        Kind::Regular,
    ),
    (create_fifo, Kind::Fifo),
    (create_socket, Kind::Socket),
    (
        |at, entry, mode| create_device(at, entry, Kind::BlockDevice, 0xfff, 0xf_ffff, mode),
        Kind::BlockDevice,
    ),
    (
        |at, entry, mode| create_device(at, entry, Kind::CharacterDevice, 259, 70_000, mode),
        Kind::CharacterDevice,
    ),
];

#[test]
fn what_is_made_has_exactly_its_mode_whatever_the_umask_and_the_directory() {
    // A thread of its own, because a umask belongs to all threads that share it.
    in_namespace(|| {
        let place = Place::new();
        let dir = place.make("inherits");
        set_mode_fd(dir.as_fd(), 0o2775).unwrap();
        set_owner_fd(dir.as_fd(), 0, 77).unwrap();
        for umask in [0, 0o077, 0o777] {
            rustix::process::umask(Mode::from_raw_mode(umask));
            for (create, kind) in CREATES {
                for mode in [0, 0o644, 0o755, 0o7777, 0o1700] {
                    let entry = name(format!("{kind:?}-{umask:o}-{mode:o}"));
                    create(dir.as_fd(), &entry, mode).unwrap();
                    let made = stat(dir.as_fd(), &entry).unwrap();
                    assert_eq!((made.kind, made.mode), (kind, mode), "{entry}");
                }
            }
            let whiteout = name(format!("whiteout-{umask:o}"));
            create_whiteout(dir.as_fd(), &whiteout).unwrap();
            let made = stat(dir.as_fd(), &whiteout).unwrap();
            assert_eq!(made.kind, Kind::CharacterDevice);
            assert_eq!((made.major, made.minor, made.mode), (0, 0, 0));
        }
    });
}

#[test]
fn a_device_keeps_its_numbers_or_is_refused() {
    let place = Place::new();
    let dir = place.open("");
    let make = |entry: &str, kind, major, minor| {
        create_device(dir.as_fd(), &name(entry), kind, major, minor, 0o600)
    };
    for (major, minor) in [(0, 0), (8, 255), (8, 256), (256, 0), (0xfff, 0xf_ffff)] {
        let entry = format!("{major}-{minor}");
        make(&entry, Kind::BlockDevice, major, minor).unwrap();
        let made = stat(dir.as_fd(), &name(&entry)).unwrap();
        assert_eq!((made.major, made.minor), (major, minor));
    }
    for (major, minor) in [(0x1000, 0), (0, 0x10_0000), (u32::MAX, u32::MAX)] {
        let large = make("large", Kind::CharacterDevice, major, minor);
        assert_eq!(refused(large), libc::EINVAL, "{major}:{minor}");
    }
    for kind in [
        Kind::Regular,
        Kind::Directory,
        Kind::Symlink,
        Kind::Fifo,
        Kind::Socket,
    ] {
        assert_eq!(refused(make("none", kind, 1, 1)), libc::EINVAL, "{kind:?}");
    }
    assert_eq!(
        names(dir.as_fd()).unwrap().len(),
        5,
        "nothing else was made"
    );
}

#[test]
fn a_link_s_target_is_data_of_1_to_4095_bytes() {
    let place = Place::new();
    let dir = place.open("");
    let at = dir.as_fd();
    let long = [b'x'; 4096];
    for (index, target) in [
        &b"/"[..],
        b"../../..",
        b"/proc/self/cwd",
        b"\xff\n ",
        b"missing/",
        &long[..300],
        &long[..4095],
    ]
    .into_iter()
    .enumerate()
    {
        let entry = Name::from_number(index as u64);
        create_symlink(at, &entry, target).unwrap();
        assert_eq!(read_link(at, &entry).unwrap(), target);
        assert_eq!(stat(at, &entry).unwrap().size, target.len() as u64);
    }
    for (target, error) in [
        (&b""[..], libc::ENOENT),
        (&long[..], libc::ENAMETOOLONG),
        (b"a\0b", libc::EINVAL),
    ] {
        assert_eq!(refused(create_symlink(at, &name("no"), target)), error);
    }
    place.write("file", "");
    assert_eq!(refused(read_link(at, &name("file"))), libc::EINVAL);
    assert_eq!(refused(read_link(at, &name("no"))), libc::ENOENT);
}

#[test]
fn nothing_that_is_there_is_ever_replaced() {
    let place = Place::new();
    let dir = zoo(&place);
    let at = dir.as_fd();
    place.write("source", "source");
    let before = names(at).unwrap();
    for entry in SPECIALS
        .into_iter()
        .chain(LINKS)
        .chain(["regular", "directory"])
    {
        let taken = name(entry);
        let identity = stat(at, &taken).unwrap();
        for (create, kind) in CREATES {
            let made = create(at, &taken, 0o600);
            assert_eq!(refused(made), libc::EEXIST, "{kind:?} over {entry}");
        }
        for replaced in [
            create_symlink(at, &taken, b"elsewhere"),
            create_whiteout(at, &taken),
            link(at, &name("source"), at, &taken),
            rename(at, &name("source"), at, &taken),
        ] {
            assert_eq!(refused(replaced), libc::EEXIST, "{entry}");
        }
        assert_eq!(
            stat(at, &taken).unwrap(),
            identity,
            "{entry} stays as it is"
        );
    }
    assert_eq!(names(at).unwrap(), before);
    assert_eq!(fs::read(place.path("regular")).unwrap(), b"content");
    assert_eq!(stat(at, &name("source")).unwrap().links, 1);
}

#[test]
fn a_link_is_a_further_name_of_the_node_itself() {
    let place = Place::new();
    let dir = zoo(&place);
    let other = place.make("other");
    for entry in SPECIALS.into_iter().chain(LINKS).chain(["regular"]) {
        link(dir.as_fd(), &name(entry), other.as_fd(), &name(entry)).unwrap();
        let (one, two) = (
            stat(dir.as_fd(), &name(entry)).unwrap(),
            stat(other.as_fd(), &name(entry)).unwrap(),
        );
        assert_eq!(one, two, "{entry}");
        assert_eq!(one.links, 2, "{entry}");
    }
    let (from, to) = (dir.as_fd(), other.as_fd());
    let directory = link(from, &name("directory"), to, &name("directory"));
    assert_eq!(refused(directory), libc::EPERM);
    let missing = link(from, &name("missing"), to, &name("missing"));
    assert_eq!(refused(missing), libc::ENOENT);
}

#[test]
fn a_rename_moves_the_node_itself() {
    let place = Place::new();
    let dir = zoo(&place);
    let other = place.make("other");
    let (from, to) = (dir.as_fd(), other.as_fd());
    for entry in SPECIALS
        .into_iter()
        .chain(LINKS)
        .chain(["regular", "directory"])
    {
        let before = stat(from, &name(entry)).unwrap().inode;
        rename(from, &name(entry), to, &name("moved")).unwrap();
        assert_eq!(stat(to, &name("moved")).unwrap().inode, before, "{entry}");
        assert_eq!(refused(stat(from, &name(entry))), libc::ENOENT, "{entry}");
        rename(to, &name("moved"), from, &name(entry)).unwrap();
    }
    let into_itself = rename(from, &name("other"), to, &name("inner"));
    assert_eq!(refused(into_itself), libc::EINVAL);
}

#[test]
fn neither_links_nor_renames_cross_file_systems() {
    let (place, elsewhere) = (Place::new(), Place::elsewhere());
    let (dir, other) = (zoo(&place), elsewhere.open(""));
    let (from, to, entry) = (dir.as_fd(), other.as_fd(), name("regular"));
    assert_eq!(refused(link(from, &entry, to, &entry)), libc::EXDEV);
    assert_eq!(refused(rename(from, &entry, to, &entry)), libc::EXDEV);
    assert!(names(to).unwrap().is_empty());
}

#[test]
fn removal_takes_a_name_of_the_right_kind_and_nothing_behind_it() {
    let place = Place::new();
    let dir = zoo(&place);
    let at = dir.as_fd();
    assert_eq!(refused(remove_file(at, &name("directory"))), libc::EISDIR);
    for entry in SPECIALS.into_iter().chain(LINKS).chain(["regular"]) {
        let as_directory = remove_directory(at, &name(entry));
        assert_eq!(refused(as_directory), libc::ENOTDIR, "{entry}");
    }
    place.write("directory/file", "x");
    let full = remove_directory(at, &name("directory"));
    assert_eq!(refused(full), libc::ENOTEMPTY);
    for link in LINKS {
        remove_file(at, &name(link)).unwrap();
    }
    assert_eq!(fs::read(place.path("regular")).unwrap(), b"content");
    assert_eq!(fs::read(place.path("directory/file")).unwrap(), b"x");
    for entry in SPECIALS.into_iter().chain(["regular"]) {
        remove_file(at, &name(entry)).unwrap();
    }
    fs::remove_file(place.path("directory/file")).unwrap();
    remove_directory(at, &name("directory")).unwrap();
    assert!(names(at).unwrap().is_empty());
    assert_eq!(refused(remove_file(at, &name("regular"))), libc::ENOENT);
}

#[test]
fn names_come_in_byte_order_of_any_bytes_and_number_without_moving_the_descriptor() {
    let place = Place::new();
    let dir = place.open("");
    let mut expected: Vec<Box<[u8]>> = (0..3000_u64)
        .map(|number| Box::from(format!("file-with-a-longer-name-{number}").as_bytes()))
        .collect();
    for odd in [&b"\xff\xfe"[..], b"...", b"a\nb", b" ", &[b'x'; 255]] {
        expected.push(Box::from(odd));
    }
    for entry in &expected {
        create_regular(dir.as_fd(), &name(entry), 0o600).unwrap();
    }
    expected.sort();
    for _ in 0..2 {
        assert_eq!(names(dir.as_fd()).unwrap(), expected);
    }
    place.write("file", "");
    assert_eq!(refused(names(place.open("file").as_fd())), libc::ENOTDIR);
}

#[test]
fn runs_of_names_are_the_names_whatever_their_size() {
    let place = Place::new();
    let dir = place.open("");
    for number in 0..500_u64 {
        let long = "n".repeat(usize::try_from(number % 40).unwrap());
        create_regular(
            dir.as_fd(),
            &name(format!("{number}{long}").as_bytes()),
            0o600,
        )
        .unwrap();
    }
    let all = names(dir.as_fd()).unwrap();
    for most in [0, 1, 100, 1000, 5000, 1 << 20] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let run = names_after(dir.as_fd(), after.as_deref(), most).unwrap();
            assert!(
                run.bytes <= most || run.names.len() == 1,
                "{} of {most}",
                run.bytes
            );
            found.extend(run.names);
            after = found.last().cloned();
            if !run.has_more {
                break;
            }
        }
        assert_eq!(found, all, "{most}");
    }
}

#[test]
fn a_new_node_inherits_no_access_list() {
    let place = Place::new();
    let dir = place.open("");
    // user::rwx, user:1000:rwx, group::rwx, mask::rwx, other::r-x
    let entries: [(u16, u16, u32); 5] = [
        (1, 7, u32::MAX),
        (2, 7, 1000),
        (4, 7, u32::MAX),
        (16, 7, u32::MAX),
        (32, 5, u32::MAX),
    ];
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        list.extend(tag.to_le_bytes());
        list.extend(rights.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    xattr::set_fd(dir.as_fd(), b"system.posix_acl_default", &list).unwrap();
    create_directory(dir.as_fd(), &name(b"d"), 0o700).unwrap();
    create_regular(dir.as_fd(), &name(b"f"), 0o640).unwrap();
    create_fifo(dir.as_fd(), &name(b"p"), 0o600).unwrap();
    for (at, mode) in [("d", 0o700), ("f", 0o640), ("p", 0o600)] {
        let at = name(at.as_bytes());
        assert_eq!(stat(dir.as_fd(), &at).unwrap().mode, mode);
        let attributes = xattr::list(dir.as_fd(), &at).unwrap();
        assert!(attributes.is_empty(), "{attributes:?}");
    }
}
