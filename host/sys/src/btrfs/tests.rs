use std::cell::Cell;
use std::fs;
use std::os::fd::AsFd;
use std::process::Command;

use rustix::thread::set_thread_uid;

use super::*;
use crate::testing::{Place, in_namespace, name, refused};
use crate::tree::Measured;

/// Does something on a file system of its own.
fn on_btrfs(work: impl FnOnce(&Place) + Send) {
    in_namespace(|| {
        let place = Place::new();
        place.make("top");
        let image = fs::File::create(place.path("image")).unwrap();
        image.set_len(300 << 20).unwrap();
        for command in ["mkfs.btrfs -q image", "mount -o loop image top"] {
            let mut words = command.split(' ');
            let mut command = Command::new(words.next().unwrap());
            let output = command.args(words).current_dir(place.path("")).output();
            let output = output.expect("btrfs-progs and mount");
            assert!(output.status.success(), "{output:?}");
        }
        work(&place);
    });
}

#[test]
fn changes_are_measured_page_by_page_and_end_when_someone_says_so() {
    on_btrfs(|place| {
        let top = place.open("top");
        let base = create(top.as_fd(), &name("base"), 0o755).unwrap();
        // Names fill the pages: 3000 items of 200 bytes, and as many of 32 for the nodes.
        for number in 0..3000 {
            let path = format!("top/base/{number:0>200}");
            place.write(&path, "");
        }
        place.write("top/base/kept", vec![1; 5000]);
        crate::filesystem::sync(top.as_fd()).unwrap();
        let all = measure_changes(base.as_fd(), None, &|| true).unwrap();
        let expected = Measured {
            bytes: 8192,
            inodes: 3002,
        };
        assert_eq!(all, Some(expected));
        let asked = Cell::new(0);
        let thrice = || {
            asked.set(asked.get() + 1);
            asked.get() <= 3
        };
        let ended = measure_changes(base.as_fd(), None, &thrice).unwrap_err();
        assert_eq!(ended.kind(), std::io::ErrorKind::Interrupted);
        let ended = measure_changes(base.as_fd(), None, &|| false).unwrap_err();
        assert_eq!(ended.kind(), std::io::ErrorKind::Interrupted);

        let child = snapshot(base.as_fd(), top.as_fd(), &name("child")).unwrap();
        place.write("top/child/new", vec![1; 5000]);
        // Read only, which may set its time.
        fs::read(place.path("top/child/kept")).unwrap();
        crate::filesystem::sync(top.as_fd()).unwrap();
        asked.set(0);
        let count = || {
            asked.set(asked.get() + 1);
            true
        };
        let changed = measure_changes(child.as_fd(), Some(base.as_fd()), &count).unwrap();
        let expected = Measured {
            bytes: 8192,
            inodes: 1,
        };
        assert_eq!(changed, Some(expected));
        // What the base has is passed over: a page or two with what changed, and the last, empty ones.
        assert!(asked.get() < 10, "{}", asked.get());
    });
}

#[test]
fn only_subvolumes_have_changes_and_only_an_administrator_may_ask() {
    on_btrfs(|place| {
        let top = place.open("top");
        let made = create(top.as_fd(), &name("made"), 0o755).unwrap();
        let plain = place.make("top/plain");
        let all = measure_changes(plain.as_fd(), None, &|| true);
        assert_eq!(refused(all), libc::EINVAL);
        let with = measure_changes(made.as_fd(), Some(plain.as_fd()), &|| true);
        assert_eq!(refused(with), libc::EINVAL);
        let whole = measure_changes(made.as_fd(), None, &|| true).unwrap();
        assert_eq!(whole.map(|whole| whole.inodes), Some(1));
        std::thread::scope(|scope| {
            let ask = || {
                set_thread_uid(rustix::process::Uid::from_raw(1000)).unwrap();
                measure_changes(made.as_fd(), None, &|| true).unwrap()
            };
            assert_eq!(scope.spawn(ask).join().unwrap(), None);
        });
    });
}

/// A note of a snapshot, with the snapshot.
fn noted(
    base: &std::os::fd::OwnedFd,
    top: &std::os::fd::OwnedFd,
    to: &str,
) -> std::os::fd::OwnedFd {
    let child = snapshot(base.as_fd(), top.as_fd(), &name(to)).unwrap();
    mark(top.as_fd(), &name(to), child.as_fd(), Some(base.as_fd())).unwrap();
    child
}

#[test]
fn what_was_touched_since_a_snapshot_is_told_by_its_names_and_nothing_else_is_read() {
    on_btrfs(|place| {
        let top = place.open("top");
        let base = create(top.as_fd(), &name("base"), 0o755).unwrap();
        for directory in ["one", "two", "three"] {
            place.make(&format!("top/base/{directory}"));
            for number in 0..1000 {
                place.write(&format!("top/base/{directory}/{number:0>200}"), "");
            }
        }
        crate::filesystem::sync(top.as_fd()).unwrap();
        let child = noted(&base, &top, "child");
        let asked = Cell::new(0);
        let told = || {
            asked.set(0);
            let count = || {
                asked.set(asked.get() + 1);
                true
            };
            let found = since(
                top.as_fd(),
                &name("child"),
                child.as_fd(),
                base.as_fd(),
                &count,
            );
            let names = found.unwrap().unwrap().names.unwrap();
            let names = names.into_values().flatten();
            names
                .map(|name| String::from_utf8(name).unwrap())
                .collect::<Vec<_>>()
        };
        assert!(told().is_empty());
        place.write("top/child/two/new", "1");
        place.write(&format!("top/base/one/{:0>200}", 7), "in the original");
        assert_eq!(told(), ["one", "two", &format!("{:0>200}", 7), "new"]);
        let grown = fs::File::options()
            .append(true)
            .open(place.path("top/child/two/new"));
        std::io::Write::write_all(&mut grown.unwrap(), b"2").unwrap();
        fs::File::options()
            .write(true)
            .open(place.path(&format!("top/child/three/{:0>200}", 5)))
            .map(|mut file| std::io::Write::write_all(&mut file, b"not on the device yet").unwrap())
            .unwrap();
        let names = [7, 5].map(|number| format!("{number:0>200}"));
        assert_eq!(told(), ["one", "three", "two", &names[0], "new", &names[1]]);
        // A few pages of what was written since, and the names of one directory in both.
        assert!(asked.get() < 60, "{}", asked.get());
    });
}

#[test]
fn what_cannot_be_told_is_not() {
    on_btrfs(|place| {
        let top = place.open("top");
        let base = create(top.as_fd(), &name("base"), 0o755).unwrap();
        place.make("top/base/d");
        place.write("top/base/d/f", "1");
        let tell = |child: &str, original: &std::os::fd::OwnedFd| {
            let opened = place.open(&format!("top/{child}"));
            let told = since(
                top.as_fd(),
                &name(child),
                opened.as_fd(),
                original.as_fd(),
                &|| true,
            );
            told.unwrap().map(|told| told.names.is_some())
        };
        let plain = snapshot(base.as_fd(), top.as_fd(), &name("plain")).unwrap();
        assert_eq!(tell("plain", &base), None, "nothing is noted");
        mark(top.as_fd(), &name("plain"), plain.as_fd(), None).unwrap();
        assert_eq!(tell("plain", &base), None, "it is noted as made of nothing");
        noted(&base, &top, "child");
        assert_eq!(tell("child", &base), Some(true));
        assert_eq!(tell("child", &plain), None, "it was made of another");
        fs::rename(place.path("top/child/d"), place.path("top/child/e")).unwrap();
        assert_eq!(tell("child", &base), Some(false), "a directory was moved");
        let nested = noted(&base, &top, "nested");
        create(nested.as_fd(), &name("inner"), 0o755).unwrap();
        assert_eq!(
            tell("nested", &base),
            Some(false),
            "there is a subvolume within"
        );
        let ended = since(
            top.as_fd(),
            &name("child"),
            plain.as_fd(),
            base.as_fd(),
            &|| false,
        );
        assert_eq!(ended.unwrap_err().kind(), std::io::ErrorKind::Interrupted);
    });
}

#[test]
fn a_lost_subvolume_is_found_by_its_note() {
    on_btrfs(|place| {
        let top = place.open("top");
        let room = place.make("top/room");
        let tree = create(room.as_fd(), &name("tree"), 0o755).unwrap();
        mark(room.as_fd(), &name("tree"), tree.as_fd(), None).unwrap();
        let lost = || {
            find_lost(room.as_fd())
                .unwrap()
                .map(|lost| lost.to_string())
        };
        assert_eq!(lost(), None);
        let kept = snapshot(tree.as_fd(), top.as_fd(), &name("kept")).unwrap();
        destroy(room.as_fd(), &name("tree")).unwrap();
        assert_eq!(lost().unwrap(), "its subvolume `tree` is missing");
        create(room.as_fd(), &name("tree"), 0o755).unwrap();
        assert!(lost().unwrap().contains("another subvolume"));
        destroy(room.as_fd(), &name("tree")).unwrap();
        place.make("top/room/tree");
        assert!(lost().unwrap().contains("a directory without it"));
        fs::remove_dir(place.path("top/room/tree")).unwrap();
        // A snapshot of a snapshot is as good, as long as that is there.
        snapshot(kept.as_fd(), room.as_fd(), &name("tree")).unwrap();
        assert_eq!(lost(), None);
        destroy(top.as_fd(), &name("kept")).unwrap();
        unmark(room.as_fd(), &name("tree")).unwrap();
        assert_eq!(lost(), None);
    });
}
