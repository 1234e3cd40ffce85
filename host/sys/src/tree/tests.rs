use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::symlink;

use rustix::mount::{MountFlags, mount, mount_bind};

use super::clone::copy_node;
use super::*;
use crate::node::{self, Attributes, Kind, Timestamp};
use crate::testing::{Place, in_namespace, is_limited, name, refused};
use crate::xattr;

/// Levels of a tree whose path is several times longer than the kernel takes in one piece.
const DEEP: u64 = 400;
/// Bytes of the name of each level.
const LONG: usize = 200;
/// Fewer than a deep tree has levels, and more than a walk may need.
const DESCRIPTORS: u32 = 100;

/// Makes a deep tree with a file and a further directory on each level.
fn deep(dir: &OwnedFd) {
    let mut lowest = dir.try_clone().unwrap();
    for _ in 0..DEEP {
        node::create_regular(lowest.as_fd(), &name("file"), 0o600).unwrap();
        node::create_directory(lowest.as_fd(), &name("zz"), 0o700).unwrap();
        lowest = node::create_directory(lowest.as_fd(), &name([b'd'; LONG]), 0o700).unwrap();
    }
}

/// How many levels a deep tree has.
fn depth(dir: &OwnedFd) -> u64 {
    let mut lowest = dir.try_clone().unwrap();
    let mut levels = 0;
    while let Ok(below) = node::open_directory(lowest.as_fd(), &name([b'd'; LONG])) {
        assert!(node::stat(lowest.as_fd(), &name("file")).is_ok());
        assert!(node::stat(lowest.as_fd(), &name("zz")).is_ok());
        levels += 1;
        lowest = below;
    }
    levels
}

/// The nodes below a directory by path, as a copy must have them.
fn nodes(place: &Place, top: &str) -> BTreeMap<String, Attributes> {
    let mut found = BTreeMap::new();
    let mut pending = vec![String::new()];
    while let Some(way) = pending.pop() {
        let dir = place.open(&format!("{top}/{way}"));
        for entry in node::names(dir.as_fd()).unwrap() {
            let attributes = node::stat(dir.as_fd(), &name(&entry)).unwrap();
            let path = format!("{way}{}", String::from_utf8(entry.into()).unwrap());
            if attributes.kind == Kind::Directory {
                pending.push(format!("{path}/"));
            }
            found.insert(path, attributes);
        }
    }
    found
}

#[test]
fn a_tree_deeper_than_paths_and_descriptors_is_copied_measured_and_removed() {
    let test =
        "tree::tests::a_tree_deeper_than_paths_and_descriptors_is_copied_measured_and_removed";
    if !is_limited(test, DESCRIPTORS) {
        return;
    }
    let place = Place::new();
    let (dir, top, copy) = (place.open(""), place.make("top"), place.make("copy"));
    deep(&top);
    assert_eq!(
        clone_linked(top.as_fd(), copy.as_fd()).unwrap().nodes,
        3 * DEEP
    );
    assert_eq!(depth(&copy), DEEP);
    let measured = measure(copy.as_fd(), &|| true).unwrap();
    assert_eq!(measured.inodes, 3 * DEEP + 1);
    for entry in ["top", "copy"] {
        let removed = remove(dir.as_fd(), &name(entry)).unwrap();
        assert_eq!(removed, 3 * DEEP + 1, "{entry}");
    }
    assert!(node::names(dir.as_fd()).unwrap().is_empty());
}

#[test]
fn directories_of_thousands_of_entries_are_copied_and_removed_whole() {
    let place = Place::new();
    let (dir, top, copy) = (place.open(""), place.make("top"), place.make("copy"));
    // More directories than a removal remembers at a time.
    for number in 0..1200 {
        place.make(&format!("top/directory-{number}"));
        place.write(&format!("top/file-with-a-longer-name-{number}"), "");
    }
    assert_eq!(clone_linked(top.as_fd(), copy.as_fd()).unwrap().nodes, 2400);
    let (one, two) = (nodes(&place, "top"), nodes(&place, "copy"));
    assert!(one.keys().eq(two.keys()));
    assert_eq!(remove(dir.as_fd(), &name("top")).unwrap(), 2401);
    assert_eq!(remove(dir.as_fd(), &name("copy")).unwrap(), 2401);
}

#[test]
fn a_wide_directory_above_a_deep_one_is_read_on_where_it_was_left() {
    let place = Place::new();
    let (dir, top, copy) = (place.open(""), place.make("top"), place.make("copy"));
    // Each way down is longer than the levels that stay open, so the top is closed again and again.
    let below = "d/".repeat(trail::OPEN_LEVELS + 3);
    for number in 0..30 {
        place.make(&format!("top/directory-{number}/{below}"));
        place.write(&format!("top/file-{number}"), "");
    }
    let expected = 30 * (trail::OPEN_LEVELS as u64 + 5);
    assert_eq!(
        clone_linked(top.as_fd(), copy.as_fd()).unwrap().nodes,
        expected
    );
    assert!(nodes(&place, "top").keys().eq(nodes(&place, "copy").keys()));
    assert_eq!(remove(dir.as_fd(), &name("copy")).unwrap(), expected + 1);
    assert_eq!(remove(dir.as_fd(), &name("top")).unwrap(), expected + 1);
}

#[test]
fn removal_takes_links_and_specials_and_nothing_behind_them() {
    let place = Place::new();
    let dir = place.open("");
    place.make("outside/deeper");
    place.write("outside/file", "stays");
    let top = place.make("top");
    for (link, target) in [
        ("directory", "../outside"),
        ("absolute", "/"),
        ("file", "../outside/file"),
        ("dangling", "nothing"),
        ("up", ".."),
        ("self", "."),
    ] {
        symlink(target, place.path("top").join(link)).unwrap();
    }
    fs::hard_link(place.path("outside/file"), place.path("top/hard")).unwrap();
    node::create_fifo(top.as_fd(), &name("fifo"), 0).unwrap();
    node::create_socket(top.as_fd(), &name("socket"), 0).unwrap();
    node::create_whiteout(top.as_fd(), &name("whiteout")).unwrap();
    node::create_directory(top.as_fd(), &name("closed"), 0).unwrap();
    node::create_regular(top.as_fd(), &name(b"\xff\n"), 0).unwrap();
    assert_eq!(remove(dir.as_fd(), &name("top")).unwrap(), 13);
    assert_eq!(fs::read(place.path("outside/file")).unwrap(), b"stays");
    assert!(place.path("outside/deeper").is_dir());
    symlink("outside", place.path("link")).unwrap();
    assert_eq!(remove(dir.as_fd(), &name("link")).unwrap(), 1);
    node::create_fifo(dir.as_fd(), &name("fifo"), 0).unwrap();
    assert_eq!(remove(dir.as_fd(), &name("fifo")).unwrap(), 1);
    assert_eq!(fs::read(place.path("outside/file")).unwrap(), b"stays");
    let missing = remove(dir.as_fd(), &name("missing"));
    assert_eq!(refused(missing), libc::ENOENT);
}

#[test]
fn removal_stops_at_what_is_mounted_and_harms_nothing_in_it() {
    in_namespace(|| {
        for (entry, error) in [
            ("top/tmpfs", libc::EXDEV),
            ("top/a/b/bound", libc::EXDEV),
            ("top/a/file", libc::EBUSY),
            ("top", libc::EXDEV),
        ] {
            let place = Place::new();
            let dir = place.open("");
            place.make("outside/deeper");
            place.write("outside/file", "stays");
            if entry == "top/a/file" {
                place.make("top/a");
                place.write(entry, "below");
                mount_bind(place.path("outside/file"), place.path(entry)).unwrap();
            } else {
                place.make(entry);
                mount_bind(place.path("outside"), place.path(entry)).unwrap();
            }
            for _ in 0..2 {
                let outcome = remove(dir.as_fd(), &name("top"));
                assert_eq!(refused(outcome), error, "{entry}");
            }
            assert_eq!(fs::read(place.path("outside/file")).unwrap(), b"stays");
            assert!(place.path("outside/deeper").is_dir());
            rustix::mount::unmount(place.path(entry), rustix::mount::UnmountFlags::empty())
                .unwrap();
            remove(dir.as_fd(), &name("top")).unwrap();
            assert_eq!(node::names(dir.as_fd()).unwrap().len(), 1, "{entry}");
        }
    });
}

#[test]
fn removal_follows_no_link_that_takes_a_directory_s_place_meanwhile() {
    let place = Place::new();
    let dir = place.open("");
    place.make("outside");
    for number in 0..100 {
        place.write(&format!("outside/{number}"), "stays");
    }
    let victim = place.make("victim");
    symlink(place.path("outside"), place.path("link")).unwrap();
    let run = || {
        while node::stat(dir.as_fd(), &name("end")).is_err() {
            // Either may be gone at the moment.
            let _exchanged = rustix::fs::renameat_with(
                &victim,
                c"room",
                &dir,
                c"link",
                rustix::fs::RenameFlags::EXCHANGE,
            );
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(run);
        for _ in 0..1000 {
            let room = place.path("victim/room");
            // What stands in the place may be the link by now.
            if fs::create_dir(&room).is_ok() {
                let _raced = fs::write(room.join("mine"), "");
            }
            let _removed = remove(victim.as_fd(), &name("room"));
            if node::stat(dir.as_fd(), &name("link")).is_err() {
                symlink(place.path("outside"), place.path("link")).unwrap();
            }
            let _removed = remove(dir.as_fd(), &name("link"));
            let _there = symlink(place.path("outside"), place.path("link"));
        }
        place.make("end");
    });
    let stayed = fs::read_dir(place.path("outside")).unwrap().count();
    assert!(stayed >= 100, "{stayed}");
}

/// A tree with one node of each kind, owners, times and attributes.
fn furnished(place: &Place) -> OwnedFd {
    let top = place.make("from");
    place.make("from/plain/inner");
    place.make("from/closed");
    place.write("from/plain/file", "content");
    fs::hard_link(
        place.path("from/plain/file"),
        place.path("from/plain/inner/again"),
    )
    .unwrap();
    symlink("../../outside", place.path("from/plain/link")).unwrap();
    let plain = place.open("from/plain");
    let at = plain.as_fd();
    node::create_fifo(at, &name("fifo"), 0o604).unwrap();
    node::create_socket(at, &name("socket"), 0o640).unwrap();
    node::create_whiteout(at, &name("whiteout")).unwrap();
    node::create_device(at, &name("null"), Kind::CharacterDevice, 1, 3, 0o666).unwrap();
    node::create_device(at, &name("disk"), Kind::BlockDevice, 8, 300, 0o660).unwrap();
    for (number, entry) in ["file", "link", "fifo", "whiteout", "null"]
        .into_iter()
        .enumerate()
    {
        let number = u32::try_from(number).unwrap();
        xattr::set(at, &name(entry), b"trusted.kept", entry.as_bytes()).unwrap();
        node::set_owner(at, &name(entry), 1000 + number, 2000 + number).unwrap();
    }
    node::set_mode(at, &name("file"), 0o4751).unwrap();
    for (directory, mode, owner) in [
        ("plain/inner", 0o1777, 7),
        ("closed", 0, 8),
        ("plain", 0o2750, 9),
        ("", 0o6711, 10),
    ] {
        let opened = place.open(&format!("from/{directory}"));
        xattr::set_fd(opened.as_fd(), b"user.kept", directory.as_bytes()).unwrap();
        xattr::set_fd(opened.as_fd(), b"trusted.overlay.opaque", b"y").unwrap();
        node::set_owner_fd(opened.as_fd(), owner, owner + 1).unwrap();
        node::set_mode_fd(opened.as_fd(), mode).unwrap();
        let modified = Timestamp {
            seconds: -5,
            nanoseconds: owner,
        };
        node::set_modified_fd(opened.as_fd(), modified).unwrap();
    }
    top
}

/// What a copied directory has of its original.
fn kept(found: &Attributes) -> (Kind, u32, u32, u32, Timestamp) {
    (found.kind, found.mode, found.uid, found.gid, found.modified)
}

#[test]
fn a_linked_copy_shares_all_but_directories_and_nodes_of_several_names_and_those_are_alike() {
    let place = Place::new();
    let from = furnished(&place);
    let to = place.make("to");
    let before = nodes(&place, "from");
    let top_before = node::stat_fd(from.as_fd()).unwrap();
    let made = clone_linked(from.as_fd(), to.as_fd()).unwrap().nodes;
    assert_eq!(made, before.len() as u64);
    let (after, copied) = (nodes(&place, "from"), nodes(&place, "to"));
    assert!(before.keys().eq(copied.keys()), "{copied:?}");
    for (path, original) in &after {
        let copy = &copied[path];
        if original.kind == Kind::Directory {
            assert_ne!(copy.inode, original.inode, "{path}");
            assert_eq!(original, &before[path], "{path} is only read");
        } else if ["plain/file", "plain/inner/again"].contains(&path.as_str()) {
            // One node with two names, and so is its copy.
            assert_eq!(original, &before[path], "{path} is only read");
            assert_ne!(copy.inode, original.inode, "{path}");
            assert_eq!((copy.inode, copy.links), (copied["plain/file"].inode, 2));
        } else {
            assert_eq!(copy, original, "{path} is the same node");
            assert_eq!(copy.links, before[path].links * 2, "{path}");
        }
        assert_eq!(kept(copy), kept(original), "{path}");
    }
    let top = node::stat_fd(to.as_fd()).unwrap();
    assert_eq!(kept(&top), kept(&top_before));
    for directory in ["", "plain", "plain/inner", "closed"] {
        let opened = place.open(&format!("to/{directory}"));
        let value = xattr::get_fd(opened.as_fd(), b"user.kept").unwrap();
        assert_eq!(value.as_deref(), Some(directory.as_bytes()));
        let opaque = xattr::get_fd(opened.as_fd(), b"trusted.overlay.opaque").unwrap();
        assert_eq!(opaque.as_deref(), Some(&b"y"[..]), "{directory}");
        assert_eq!(xattr::list_fd(opened.as_fd()).unwrap().len(), 2);
    }
}

/// Changes all that can be changed of a node without opening it.
fn deface(dir: &OwnedFd, entry: &str) {
    let (at, entry) = (dir.as_fd(), name(entry));
    node::set_owner(at, &entry, 4242, 4343).unwrap();
    xattr::set(at, &entry, b"trusted.kept", b"defaced").unwrap();
    xattr::set(at, &entry, b"trusted.added", b"defaced").unwrap();
    if node::stat(at, &entry).unwrap().kind != Kind::Symlink {
        node::set_mode(at, &entry, 0o4777).unwrap();
    }
    let modified = Timestamp {
        seconds: 77,
        nanoseconds: 7,
    };
    node::set_modified(at, &entry, modified).unwrap();
}

/// What a change of a node changes: all that [`nodes`] tells but the number of names, and the extended attributes.
fn state(place: &Place, top: &str) -> Vec<String> {
    let lines = nodes(place, top).into_iter().map(|(path, found)| {
        let (above, entry) = path.rsplit_once('/').unwrap_or(("", &path));
        let dir = place.open(&format!("{top}/{above}"));
        let (dir, entry) = (dir.as_fd(), name(entry));
        let keys = xattr::list(dir, &entry).unwrap();
        let xattrs = keys.iter().map(|key| xattr::get(dir, &entry, key).unwrap());
        let xattrs: Vec<_> = keys.iter().zip(xattrs).collect();
        format!(
            "{path}: {:?} {} {} {xattrs:?}",
            kept(&found),
            found.size,
            found.inode
        )
    });
    lines.collect()
}

#[test]
fn what_a_copy_shares_becomes_its_own_before_it_is_changed() {
    let place = Place::new();
    let from = furnished(&place);
    let to = place.make("to");
    let before = state(&place, "from");
    let shared = clone_linked(from.as_fd(), to.as_fd()).unwrap().shared;
    let shared = shared.expect("not a btrfs");
    let plain = place.open("to/plain");
    for entry in ["file", "link", "fifo", "socket", "whiteout", "null", "disk"] {
        let content = fs::read(place.path("to/plain/file")).unwrap();
        shared
            .own(plain.as_fd(), &name(entry), Seen::Plainly)
            .unwrap();
        assert_eq!(content, fs::read(place.path("to/plain/file")).unwrap());
        let (copy, modified) = (
            node::stat(plain.as_fd(), &name(entry)).unwrap(),
            kept(&node::stat_fd(plain.as_fd()).unwrap()),
        );
        let original = node::stat(place.open("from/plain").as_fd(), &name(entry)).unwrap();
        assert_eq!(kept(&copy), kept(&original), "{entry}");
        assert_ne!(copy.inode, original.inode, "{entry}");
        assert_eq!(
            modified,
            kept(&node::stat_fd(place.open("from/plain").as_fd()).unwrap())
        );
        deface(&plain, entry);
        assert_eq!(state(&place, "from"), before, "{entry}");
    }
    // The two names of one node are names of one node still.
    let again = node::stat(place.open("to/plain/inner").as_fd(), &name("again")).unwrap();
    let file = node::stat(plain.as_fd(), &name("file")).unwrap();
    assert_eq!((file.inode, file.links), (again.inode, 2));
    assert_eq!(
        nodes(&place, "to").len(),
        before.len(),
        "nothing is left over"
    );
}

#[test]
fn a_further_name_in_a_copy_is_one_of_the_copy_s_own_node() {
    let place = Place::new();
    let (from, to) = (place.make("from"), place.make("to"));
    place.write("from/file", "content");
    let before = state(&place, "from");
    let shared = clone_linked(from.as_fd(), to.as_fd())
        .unwrap()
        .shared
        .expect("not a btrfs");
    let (one, two) = (name("file"), name("two"));
    shared
        .own_for_link(to.as_fd(), &one, Seen::Plainly)
        .unwrap();
    node::link(to.as_fd(), &one, to.as_fd(), &two).unwrap();
    shared.own(to.as_fd(), &two, Seen::Plainly).unwrap();
    deface(&to, "two");
    let found = nodes(&place, "to");
    assert_eq!(found["file"], found["two"], "one node with two names");
    assert_eq!(state(&place, "from"), before);
}

#[test]
fn what_a_copy_shares_becomes_its_own_through_an_overlay_too() {
    in_namespace(|| {
        let place = Place::new();
        let (upper, to) = (place.make("from/upper"), place.make("to"));
        for directory in ["from/work", "lower", "view"] {
            place.make(directory);
        }
        place.write("lower/both", "below");
        fs::hard_link(place.path("lower/both"), place.path("lower/below")).unwrap();
        for entry in ["one", "both"] {
            place.write(&format!("from/upper/{entry}"), entry);
        }
        fs::hard_link(place.path("from/upper/one"), place.path("from/upper/two")).unwrap();
        let before = (state(&place, "from"), state(&place, "lower"));
        drop(upper);
        let from = place.open("from");
        let shared = clone_linked(from.as_fd(), to.as_fd())
            .unwrap()
            .shared
            .expect("not a btrfs");
        let options = format!(
            "lowerdir={},upperdir={},workdir={},index=off,xino=off,metacopy=off",
            place.path("lower").display(),
            place.path("to/upper").display(),
            place.path("to/work").display()
        );
        let options = std::ffi::CString::new(options).unwrap();
        mount(
            "overlay",
            place.path("view"),
            "overlay",
            MountFlags::empty(),
            Some(&*options),
        )
        .unwrap();
        let view = place.open("view");
        for entry in ["one", "both", "below"] {
            shared
                .own(view.as_fd(), &name(entry), Seen::ThroughOverlay)
                .unwrap();
            deface(&view, entry);
        }
        shared
            .own_for_link(view.as_fd(), &name("both"), Seen::ThroughOverlay)
            .unwrap();
        node::link(view.as_fd(), &name("both"), view.as_fd(), &name("third")).unwrap();
        shared
            .own(view.as_fd(), &name("third"), Seen::ThroughOverlay)
            .unwrap();
        deface(&view, "third");
        assert_eq!((state(&place, "from"), state(&place, "lower")), before);
        let found = nodes(&place, "to/upper");
        assert_eq!(found["one"].inode, found["two"].inode, "still one node");
        assert_eq!(found["both"].inode, found["third"].inode, "one node now");
        assert_eq!(found.len(), 5, "nothing is left over: {found:?}");
    });
}

#[test]
fn a_copy_onto_another_file_system_makes_every_node_anew_with_all_that_it_has() {
    let (place, elsewhere) = (Place::new(), Place::elsewhere());
    let from = furnished(&place);
    let to = elsewhere.make("to");
    clone_linked(from.as_fd(), to.as_fd()).unwrap();
    let (originals, copied) = (nodes(&place, "from"), nodes(&elsewhere, "to"));
    assert!(originals.keys().eq(copied.keys()));
    for (path, original) in &originals {
        let copy = &copied[path];
        assert_eq!(kept(copy), kept(original), "{path}");
        assert_eq!(
            (copy.major, copy.minor),
            (original.major, original.minor),
            "{path}"
        );
        if original.kind != Kind::Directory {
            assert_eq!(
                (copy.size, copy.links),
                (original.size, original.links),
                "{path}"
            );
        }
    }
    let plain = elsewhere.open("to/plain");
    for entry in ["file", "link", "fifo", "whiteout", "null"] {
        let value = xattr::get(plain.as_fd(), &name(entry), b"trusted.kept").unwrap();
        assert_eq!(value.as_deref(), Some(entry.as_bytes()));
    }
    assert_eq!(
        fs::read(elsewhere.path("to/plain/file")).unwrap(),
        b"content"
    );
    let target = fs::read_link(elsewhere.path("to/plain/link")).unwrap();
    assert_eq!(target.as_os_str(), "../../outside");
}

#[test]
fn a_file_with_as_many_names_as_the_file_system_allows_is_copied_with_its_content() {
    let place = Place::new();
    let (from, to) = (place.make("from"), place.make("to"));
    place.make("names");
    place.write("from/file", "content");
    let names = place.open("names");
    let mut count: u64 = 1;
    while count < 70_000 {
        let further = crate::Name::from_number(count);
        match node::link(from.as_fd(), &name("file"), names.as_fd(), &further) {
            Err(error) if error.raw_os_error() == Some(libc::EMLINK) => break,
            linked => linked.unwrap(),
        }
        count += 1;
    }
    clone_linked(from.as_fd(), to.as_fd()).unwrap();
    assert_eq!(fs::read(place.path("to/file")).unwrap(), b"content");
    let links = node::stat(to.as_fd(), &name("file")).unwrap().links;
    // ext4 and btrfs allow fewer names than were tried, xfs and tmpfs more.
    let expected = if count < 70_000 { 1 } else { count + 1 };
    assert_eq!(u64::from(links), expected);
}

#[test]
fn a_copy_into_itself_or_onto_what_is_there_or_across_a_mount_is_refused() {
    let place = Place::new();
    let from = furnished(&place);
    let inside = place.make("from/closed/inside");
    let itself = place.open("from");
    for to in [&itself, &inside] {
        let outcome = clone_linked(from.as_fd(), to.as_fd());
        assert_eq!(refused(outcome), libc::EINVAL);
    }
    for (taken, content) in [("to/plain", None), ("other/plain/file", Some("mine"))] {
        let place = Place::new();
        let from = furnished(&place);
        let to = match content {
            None => {
                place.make("to");
                symlink("../from/closed", place.path(taken)).unwrap();
                place.open("to")
            }
            Some(content) => {
                place.make("other/plain");
                place.write(taken, content);
                place.open("other")
            }
        };
        let outcome = clone_linked(from.as_fd(), to.as_fd());
        assert_eq!(refused(outcome), libc::EEXIST, "{taken}");
        assert!(
            node::names(place.open("from/closed").as_fd())
                .unwrap()
                .is_empty()
        );
    }
    in_namespace(|| {
        let to = place.make("to");
        let flags = MountFlags::empty();
        mount("none", place.path("from/plain/inner"), "tmpfs", flags, None).unwrap();
        let outcome = clone_linked(place.open("from").as_fd(), to.as_fd());
        assert_eq!(refused(outcome), libc::EXDEV);
    });
}

#[test]
fn a_single_node_is_copied_and_never_a_directory() {
    let place = Place::new();
    let dir = place.make("from");
    place.make("from/directory");
    let to = place.make("to");
    let copied = copy_node(dir.as_fd(), &name("directory"), to.as_fd(), &name("new"));
    assert_eq!(refused(copied), libc::EISDIR);
    place.write("from/file", "content");
    place.write("to/file", "mine");
    let copied = copy_node(dir.as_fd(), &name("file"), to.as_fd(), &name("file"));
    assert_eq!(refused(copied), libc::EEXIST);
    assert_eq!(fs::read(place.path("to/file")).unwrap(), b"mine");
}

#[test]
fn measuring_follows_no_link_and_stops_at_a_mount() {
    in_namespace(|| {
        let place = Place::new();
        let top = place.make("top");
        place.make("outside");
        place.write("outside/large", vec![1; 1 << 20]);
        symlink("../outside", place.path("top/link")).unwrap();
        let measured = measure(top.as_fd(), &|| true).unwrap();
        assert_eq!(measured.inodes, 2);
        assert!(measured.bytes < 1 << 20, "{measured:?}");
        place.make("top/mounted");
        mount_bind(place.path("outside"), place.path("top/mounted")).unwrap();
        let outcome = measure(top.as_fd(), &|| true);
        assert_eq!(refused(outcome), libc::EXDEV);
    });
}
