use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::symlink;

use super::calls::{
    get_at, get_through_path, list_at, list_through_path, set_at, set_through_path,
};
use super::*;
use crate::node::{self, open_regular};
use crate::testing::{Place, name, refused};

/// A file, a directory, a link to the file and a pipe.
fn nodes(place: &Place) {
    place.write("file", "");
    place.make("directory");
    symlink("file", place.path("link")).unwrap();
    node::create_fifo(place.open("").as_fd(), &name("fifo"), 0o600).unwrap();
}

fn keys(list: &[Box<[u8]>]) -> Vec<&[u8]> {
    list.iter().map(AsRef::as_ref).collect()
}

#[test]
fn attributes_are_set_read_listed_and_removed_by_name() {
    let place = Place::new();
    nodes(&place);
    let dir = place.open("");
    let at = dir.as_fd();
    for (entry, key) in [
        ("file", &b"user.one"[..]),
        ("file", b"trusted.overlay.opaque"),
        ("directory", b"user.\xff bytes\n"),
        ("directory", b"trusted.x"),
        ("link", b"trusted.x"),
        ("fifo", b"trusted.x"),
    ] {
        let entry = name(entry);
        assert_eq!(get(at, &entry, key).unwrap(), None, "{entry}");
        assert_eq!(refused(remove(at, &entry, key)), libc::ENODATA);
        for value in [&b"first"[..], b"", b"\0\xff\0", &[7; 1500]] {
            set(at, &entry, key, value).unwrap();
            assert_eq!(get(at, &entry, key).unwrap().as_deref(), Some(value));
            assert_eq!(keys(&list(at, &entry).unwrap()), [key], "{entry}");
        }
        remove(at, &entry, key).unwrap();
        assert_eq!(get(at, &entry, key).unwrap(), None, "{entry}");
        assert!(list(at, &entry).unwrap().is_empty(), "{entry}");
    }
}

#[test]
fn attributes_are_set_read_listed_and_removed_by_descriptor() {
    let place = Place::new();
    nodes(&place);
    let dir = place.open("");
    for entry in ["file", "directory"] {
        let opened = place.open(entry);
        let fd = opened.as_fd();
        assert_eq!(get_fd(fd, b"user.x").unwrap(), None);
        assert_eq!(refused(remove_fd(fd, b"user.x")), libc::ENODATA);
        set_fd(fd, b"user.x", b"1").unwrap();
        set_fd(fd, b"trusted.x", b"2").unwrap();
        set_fd(fd, b"user.x", b"3").unwrap();
        assert_eq!(get_fd(fd, b"user.x").unwrap().as_deref(), Some(&b"3"[..]));
        let by_name = get(dir.as_fd(), &name(entry), b"user.x").unwrap();
        assert_eq!(by_name.as_deref(), Some(&b"3"[..]));
        let found = list_fd(fd).unwrap();
        assert_eq!(keys(&found), [&b"trusted.x"[..], b"user.x"]);
        remove_fd(fd, b"user.x").unwrap();
        assert_eq!(keys(&list_fd(fd).unwrap()), [b"trusted.x"]);
    }
}

#[test]
fn a_symbolic_link_has_its_own_attributes_and_its_target_keeps_its_own() {
    let place = Place::new();
    nodes(&place);
    let dir = place.open("");
    let (at, file, link) = (dir.as_fd(), name("file"), name("link"));
    set(at, &file, b"trusted.x", b"of the file").unwrap();
    set(at, &file, b"user.x", b"of the file").unwrap();
    assert!(list(at, &link).unwrap().is_empty());
    assert_eq!(get(at, &link, b"trusted.x").unwrap(), None);
    assert_eq!(get(at, &link, b"user.x").unwrap(), None);
    assert_eq!(refused(remove(at, &link, b"trusted.x")), libc::ENODATA);
    set(at, &link, b"trusted.x", b"of the link").unwrap();
    assert_eq!(keys(&list(at, &link).unwrap()), [b"trusted.x"]);
    for (entry, value) in [(&file, &b"of the file"[..]), (&link, b"of the link")] {
        let found = get(at, entry, b"trusted.x").unwrap();
        assert_eq!(found.as_deref(), Some(value));
    }
    remove(at, &link, b"trusted.x").unwrap();
    assert!(get(at, &file, b"trusted.x").unwrap().is_some());
    for special in [&link, &name("fifo")] {
        let user = set(at, special, b"user.x", b"1");
        assert_eq!(refused(user), libc::EPERM, "{special}");
    }
}

#[test]
fn keys_that_are_none_are_refused_before_the_kernel_could_cut_them() {
    let place = Place::new();
    nodes(&place);
    let (dir, opened) = (place.open(""), place.open("file"));
    let (at, fd, file) = (dir.as_fd(), opened.as_fd(), name("file"));
    set(at, &file, b"user.x", b"stays").unwrap();
    for key in [&b""[..], b"user.x\0y", b"\0"] {
        let outcomes = [
            get(at, &file, key).map(drop),
            get_fd(fd, key).map(drop),
            set(at, &file, key, b"1"),
            set_fd(fd, key, b"1"),
            remove(at, &file, key),
            remove_fd(fd, key),
        ];
        for outcome in outcomes {
            assert_eq!(refused(outcome), libc::EINVAL, "{key:?}");
        }
    }
    let long = [b"user.", &[b'x'; 300][..]].concat();
    assert_eq!(refused(set(at, &file, &long, b"1")), libc::ERANGE);
    assert_eq!(refused(get(at, &file, &long)), libc::ERANGE);
    let no_space = set(at, &file, b"nothing.x", b"1");
    assert_eq!(refused(no_space), libc::EOPNOTSUPP);
    let found = get(at, &file, b"user.x").unwrap();
    assert_eq!(found.as_deref(), Some(&b"stays"[..]));
}

#[test]
fn values_and_lists_of_up_to_64_kibibytes_are_read_whole() {
    // tmpfs keeps as much as the kernel takes; most file systems keep less.
    let place = Place::elsewhere();
    place.write("file", "");
    let (dir, opened) = (place.open(""), place.open("file"));
    let (at, fd, file) = (dir.as_fd(), opened.as_fd(), name("file"));
    for length in [511, 512, 513, 65_535, 65_536] {
        let value = vec![b'v'; length];
        set(at, &file, b"trusted.large", &value).unwrap();
        let found = get(at, &file, b"trusted.large").unwrap();
        assert!(found.is_some_and(|found| found == value), "{length}");
        let found = get_fd(fd, b"trusted.large").unwrap();
        assert!(found.is_some_and(|found| found == value), "{length}");
    }
    let too_large = set(at, &file, b"trusted.large", &vec![0; 65_537]);
    assert_eq!(refused(too_large), libc::E2BIG);
    remove(at, &file, b"trusted.large").unwrap();
    let mut expected = Vec::new();
    for number in 0..200 {
        let key = format!("trusted.{number}-{}", "x".repeat(200));
        set(at, &file, key.as_bytes(), b"").unwrap();
        expected.push(key.into_bytes());
    }
    expected.sort();
    assert_eq!(keys(&list(at, &file).unwrap()), expected);
    assert_eq!(keys(&list_fd(fd).unwrap()), expected);
}

#[test]
fn a_file_system_without_attributes_has_empty_lists() {
    let process = std::fs::File::open("/proc/self").unwrap();
    let at = process.as_fd();
    let entry = name("status");
    let file = open_regular(at, &entry).unwrap();
    assert!(list(at, &entry).unwrap().is_empty());
    assert!(list_fd(file.as_fd()).unwrap().is_empty());
    assert_eq!(get(at, &entry, b"user.x").unwrap(), None);
    assert_eq!(get_fd(file.as_fd(), b"trusted.x").unwrap(), None);
    let kept = set(at, &entry, b"trusted.x", b"1");
    assert_eq!(refused(kept), libc::EOPNOTSUPP);
}

#[test]
fn a_missing_node_is_no_missing_attribute() {
    let place = Place::new();
    let dir = place.open("");
    let (at, missing) = (dir.as_fd(), name("missing"));
    assert_eq!(refused(list(at, &missing)), libc::ENOENT);
    assert_eq!(refused(get(at, &missing, b"user.x")), libc::ENOENT);
    assert_eq!(refused(set(at, &missing, b"user.x", b"")), libc::ENOENT);
    assert_eq!(refused(remove(at, &missing, b"user.x")), libc::ENOENT);
}

type Get = fn(BorrowedFd<'_>, &Name, &std::ffi::CStr, &mut [u8]) -> io::Result<usize>;
type Set = fn(BorrowedFd<'_>, &Name, &std::ffi::CStr, &[u8]) -> io::Result<()>;
type List = fn(BorrowedFd<'_>, &Name, &mut [u8]) -> io::Result<usize>;

#[test]
fn the_old_and_the_new_calls_do_the_same() {
    let mut ways: Vec<(Set, Get, List)> =
        vec![(set_through_path, get_through_path, list_through_path)];
    if has_at_calls() {
        ways.push((set_at, get_at, list_at));
    }
    for (set_one, get_one, list_one) in ways {
        let place = Place::new();
        nodes(&place);
        let dir = place.open("");
        let at = dir.as_fd();
        for entry in ["file", "directory", "link", "fifo"] {
            let entry = name(entry);
            let mut buffer = [0; 64];
            let absent = get_one(at, &entry, c"trusted.x", &mut buffer);
            assert_eq!(refused(absent), libc::ENODATA, "{entry}");
            set_one(at, &entry, c"trusted.x", b"value").unwrap();
            let length = get_one(at, &entry, c"trusted.x", &mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"value", "{entry}");
            let length = list_one(at, &entry, &mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"trusted.x\0", "{entry}");
            let small = get_one(at, &entry, c"trusted.x", &mut [0; 2]);
            assert_eq!(refused(small), libc::ERANGE, "{entry}");
            remove(at, &entry, b"trusted.x").unwrap();
        }
    }
}
