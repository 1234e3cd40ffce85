use std::fs::{self, File, OpenOptions};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};

use super::*;
use crate::testing::{Place, refused};

const MIB: u64 = 1 << 20;

fn create(place: &Place, name: &str) -> File {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(true);
    options.open(place.path(name)).unwrap()
}

/// A file of so many bytes with some data at some places.
fn sparse(place: &Place, length: u64, data: &[(u64, usize)]) -> File {
    let file = create(place, "from");
    file.set_len(length).unwrap();
    for (index, (offset, count)) in data.iter().enumerate() {
        let byte = u8::try_from(index + 1).unwrap();
        file.write_all_at(&vec![byte; *count], *offset).unwrap();
    }
    // Blocks are counted once they have a place.
    file.sync_all().unwrap();
    file
}

#[test]
fn a_copy_has_the_same_bytes_on_the_same_and_on_another_file_system() {
    for target in [Place::new(), Place::elsewhere()] {
        for length in [0, 1, 4095, 4096, 4097, 300_000, 3_000_001] {
            let place = Place::new();
            let content: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
            place.write("from", &content);
            let from = File::open(place.path("from")).unwrap();
            let to = create(&target, "to");
            copy(from.as_fd(), to.as_fd()).unwrap();
            assert!(fs::read(target.path("to")).unwrap() == content, "{length}");
        }
    }
}

#[test]
fn holes_stay_holes() {
    let cases: [(u64, &[(u64, usize)]); 5] = [
        (64 * MIB, &[]),
        (64 * MIB, &[(0, 4096)]),
        (64 * MIB, &[(32 * MIB, 4096)]),
        (64 * MIB + 5, &[(64 * MIB, 5)]),
        (64 * MIB, &[(0, 5000), (20 * MIB, 70_000), (63 * MIB, 1)]),
    ];
    for target in [Place::new(), Place::elsewhere()] {
        for (length, data) in cases {
            let place = Place::new();
            let from = sparse(&place, length, data);
            let to = create(&target, "to");
            copy(from.as_fd(), to.as_fd()).unwrap();
            to.sync_all().unwrap();
            let copied = to.metadata().unwrap();
            assert_eq!(copied.size(), length);
            assert!(copied.blocks() * 512 < MIB, "{data:?}: {copied:?}");
            let content = fs::read(target.path("to")).unwrap();
            assert!(content == fs::read(place.path("from")).unwrap(), "{data:?}");
        }
    }
}

#[test]
fn holes_stay_holes_where_room_beyond_the_end_hides_them() {
    let place = Place::new();
    let from = sparse(&place, 16 * MIB, &[(8 * MIB, 4096)]);
    preallocate_beyond(&from, 16 * MIB, 32 * MIB);
    let to = create(&place, "to");
    copy(from.as_fd(), to.as_fd()).unwrap();
    to.sync_all().unwrap();
    let copied = to.metadata().unwrap();
    assert_eq!(copied.size(), 16 * MIB);
    assert!(copied.blocks() * 512 < MIB, "{copied:?}");
}

/// Reserves blocks behind the end of a file, as a log writer does.
fn preallocate_beyond(file: &File, offset: u64, length: u64) {
    fallocate(file, FallocateFlags::KEEP_SIZE, offset, length).unwrap();
    assert!(file.metadata().unwrap().blocks() * 512 >= length);
}

#[test]
fn what_the_target_held_is_gone() {
    let place = Place::new();
    for content in ["", "short"] {
        place.write("from", content);
        let from = File::open(place.path("from")).unwrap();
        let to = create(&place, "to");
        to.write_all_at(&[b'x'; 10_000], 0).unwrap();
        copy(from.as_fd(), to.as_fd()).unwrap();
        assert_eq!(fs::read_to_string(place.path("to")).unwrap(), content);
    }
}

#[test]
fn a_file_copied_onto_itself_is_refused_and_keeps_its_content() {
    let place = Place::new();
    place.write("file", "content");
    fs::hard_link(place.path("file"), place.path("again")).unwrap();
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true);
    let (one, two) = (
        options.open(place.path("file")).unwrap(),
        options.open(place.path("again")).unwrap(),
    );
    assert_eq!(refused(copy(one.as_fd(), two.as_fd())), libc::EINVAL);
    assert_eq!(refused(copy(one.as_fd(), one.as_fd())), libc::EINVAL);
    assert_eq!(fs::read_to_string(place.path("file")).unwrap(), "content");
}

#[test]
fn a_copy_needs_a_readable_and_a_writable_descriptor_and_does_not_mind_offsets() {
    let place = Place::new();
    place.write("from", "content");
    let from = File::open(place.path("from")).unwrap();
    let to = create(&place, "to");
    let read_only: OwnedFd = place.open("to");
    assert_eq!(refused(copy(from.as_fd(), read_only.as_fd())), libc::EBADF);
    seek(&from, SeekFrom::Start(5)).unwrap();
    seek(&to, SeekFrom::Start(9)).unwrap();
    copy(from.as_fd(), to.as_fd()).unwrap();
    assert_eq!(fs::read_to_string(place.path("to")).unwrap(), "content");
}

#[test]
fn bytes_are_read_at_any_offset_and_fewer_only_near_the_end() {
    let place = Place::new();
    place.write("file", "0123456789");
    let file = place.open("file");
    for (offset, length, expected) in [
        (0, 4, "0123"),
        (3, 4, "3456"),
        (8, 4, "89"),
        (10, 4, ""),
        (1 << 40, 4, ""),
        (5, 0, ""),
        (0, 10, "0123456789"),
    ] {
        let mut buffer = vec![b'?'; length];
        let read = read_at(file.as_fd(), &mut buffer, offset).unwrap();
        assert_eq!(&buffer[..read], expected.as_bytes());
        assert!(buffer[read..].iter().all(|byte| *byte == b'?'));
    }
    let beyond = read_at(file.as_fd(), &mut [0; 4], u64::MAX);
    assert_eq!(refused(beyond), libc::EINVAL);
    let directory = read_at(place.open("").as_fd(), &mut [0; 4], 0);
    assert_eq!(refused(directory), libc::EISDIR);
}

#[test]
fn bytes_are_written_at_any_offset_and_leave_holes_before_them() {
    let place = Place::new();
    let file = create(&place, "file");
    let fd = file.as_fd();
    write_all_at(fd, b"end", 10).unwrap();
    write_all_at(fd, b"start", 0).unwrap();
    write_all_at(fd, b"", 100).unwrap();
    write_all_at(fd, b"N", 11).unwrap();
    let content = fs::read(place.path("file")).unwrap();
    assert_eq!(content, b"start\0\0\0\0\0eNd");
    let large = vec![7; 5_000_000];
    write_all_at(fd, &large, 13).unwrap();
    assert!(fs::read(place.path("file")).unwrap()[13..] == large);
    let beyond = write_all_at(fd, b"x", u64::MAX);
    assert_eq!(refused(beyond), libc::EINVAL);
    let read_only = place.open("file");
    assert_eq!(
        refused(write_all_at(read_only.as_fd(), b"x", 0)),
        libc::EBADF
    );
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    assert_eq!(refused(write_all_at(full.as_fd(), b"x", 0)), libc::ENOSPC);
}

#[test]
fn a_length_cuts_or_adds_a_hole() {
    let place = Place::new();
    let file = create(&place, "file");
    write_all_at(file.as_fd(), b"content", 0).unwrap();
    set_length(file.as_fd(), 3).unwrap();
    set_length(file.as_fd(), 5).unwrap();
    assert_eq!(fs::read(place.path("file")).unwrap(), b"con\0\0");
    set_length(file.as_fd(), 1 << 30).unwrap();
    let found = file.metadata().unwrap();
    assert_eq!(found.size(), 1 << 30);
    assert!(found.blocks() * 512 < MIB, "{found:?}");
}

#[test]
fn reserved_room_changes_no_length_and_too_much_of_it_is_an_error() {
    let place = Place::new();
    let file = create(&place, "file");
    preallocate(file.as_fd(), 0).unwrap();
    assert_eq!(file.metadata().unwrap().blocks(), 0);
    preallocate(file.as_fd(), 3 * MIB).unwrap();
    let found = file.metadata().unwrap();
    assert_eq!(found.size(), 0);
    assert!(found.blocks() * 512 >= 3 * MIB, "{found:?}");
    for length in [i64::MAX.unsigned_abs(), 1 << 63, u64::MAX] {
        let outcome = preallocate(file.as_fd(), length);
        assert_eq!(refused(outcome), libc::EFBIG, "{length}");
    }
}

#[test]
fn contents_are_the_same_byte_by_byte_holes_included() {
    for place in [Place::new(), Place::elsewhere()] {
        for length in [0_usize, 1, 4096, 131_072, 131_073, 700_001] {
            let content: Vec<u8> = (0..length)
                .map(|index| u8::try_from(index % 251).unwrap())
                .collect();
            place.write("a", &content);
            place.write("b", &content);
            let open = |name: &str| File::open(place.path(name)).unwrap();
            let compare = || same(open("a").as_fd(), open("b").as_fd(), &|| true).unwrap();
            assert!(compare(), "{length}");
            for at in [0, length / 2, length.saturating_sub(1)] {
                let mut other = content.clone();
                let Some(byte) = other.get_mut(at) else {
                    continue;
                };
                *byte ^= 1;
                place.write("b", &other);
                assert!(!compare(), "{length} at {at}");
            }
            place.write("b", [content.as_slice(), b"x"].concat());
            assert!(!compare(), "{length}");
        }
    }
}

#[test]
fn holes_are_zeros_and_are_not_read() {
    let place = Place::new();
    // A terabyte would take minutes to read.
    let from = sparse(&place, 1 << 40, &[(5 * MIB, 10), (1 << 39, 4096)]);
    let to = create(&place, "to");
    copy(from.as_fd(), to.as_fd()).unwrap();
    assert!(same(from.as_fd(), to.as_fd(), &|| true).unwrap());
    // Zeros that were written are what a hole reads as.
    to.write_all_at(&[0; 9000], 3 << 30).unwrap();
    assert!(same(from.as_fd(), to.as_fd(), &|| true).unwrap());
    to.write_all_at(&[1], (3 << 30) + 8999).unwrap();
    assert!(!same(from.as_fd(), to.as_fd(), &|| true).unwrap());
    let ended = same(from.as_fd(), to.as_fd(), &|| false).unwrap_err();
    assert_eq!(ended.kind(), std::io::ErrorKind::Interrupted);
}
