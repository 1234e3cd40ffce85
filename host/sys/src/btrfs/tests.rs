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
