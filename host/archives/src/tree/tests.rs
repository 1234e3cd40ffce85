//! Trees of archives that a test writes.

use super::*;
use tar::{Builder, Header};

/// A member: name, type, content or target, and what is set in its header.
type Member<'a> = (&'a str, EntryType, &'a str, fn(&mut Header));

fn tree(members: &[Member<'_>]) -> Tree {
    let mut builder = Builder::new(Vec::new());
    for (name, kind, text, set) in members {
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1);
        set(&mut header);
        if matches!(kind, EntryType::Symlink | EntryType::Link) {
            header.set_size(0);
            builder.append_link(&mut header, name, text).unwrap();
        } else {
            header.set_size(text.len() as u64);
            builder
                .append_data(&mut header, name, text.as_bytes())
                .unwrap();
        }
    }
    Tree::read(builder.into_inner().unwrap().as_slice()).unwrap()
}

fn found(one: &Tree, two: &Tree) -> Vec<String> {
    one.differences(two, 10)
        .iter()
        .map(ToString::to_string)
        .collect()
}

const AS_IS: fn(&mut Header) = |_| {};

#[test]
fn the_same_tree_told_otherwise_is_the_same() {
    use EntryType::{Directory, Link, Regular, Symlink};
    let one = tree(&[
        ("./", Directory, "", |header| header.set_mtime(9)),
        ("./a/", Directory, "", AS_IS),
        ("./a/x", Regular, "old", AS_IS),
        ("./a/x", Regular, "text", AS_IS),
        ("./b", Link, "a/x", AS_IS),
        ("./c", Symlink, "a", |header| header.set_mode(0o777)),
    ]);
    let two = tree(&[
        ("c", Symlink, "a", AS_IS),
        ("./", Directory, "", AS_IS),
        ("b", Regular, "text", AS_IS),
        ("a/x", Link, "./b", AS_IS),
    ]);
    assert_eq!(found(&one, &two), [""; 0]);
    assert_eq!(found(&two, &one), [""; 0]);
}

#[test]
fn every_difference_is_told() {
    use EntryType::{Char, Directory, Fifo, Link, Regular, Symlink};
    let base: Member<'_> = ("f", Regular, "text", AS_IS);
    let cases: &[(Member<'_>, &str)] = &[
        (("f", Regular, "txet", AS_IS), "/f: content"),
        (("f", Fifo, "", AS_IS), "/f: kind"),
        (("f", Directory, "", AS_IS), "/f: kind"),
        (("f", Symlink, "x", AS_IS), "/f: kind"),
        (
            ("f", Char, "", |header| {
                header
                    .set_device_major(1)
                    .and(header.set_device_minor(3))
                    .unwrap()
            }),
            "/f: kind",
        ),
        (
            ("f", Regular, "text", |header| header.set_mode(0o4644)),
            "/f: permissions",
        ),
        (
            ("f", Regular, "text", |header| header.set_uid(1)),
            "/f: owner",
        ),
        (
            ("f", Regular, "text", |header| header.set_gid(1)),
            "/f: owner",
        ),
        (
            ("f", Regular, "text", |header| header.set_mtime(2)),
            "/f: time",
        ),
        (("f", Link, "other", AS_IS), "/f: hard link"),
        (("g", Regular, "text", AS_IS), "/f: is missing there"),
    ];
    let one = tree(&[base]);
    for (member, expected) in cases {
        let two = tree(&[*member]);
        assert_eq!(
            found(&one, &two).first().map(String::as_str),
            Some(*expected)
        );
    }
    let more = tree(&[base, ("e", Directory, "", AS_IS)]);
    assert_eq!(found(&one, &more), ["/e: is there and should not be"]);
    let link = |target| tree(&[("f", Symlink, target, AS_IS)]);
    assert_eq!(found(&link("a"), &link("b")), ["/f: link's target"]);
}

#[test]
fn a_directory_that_no_archive_describes_has_any_time() {
    use EntryType::{Directory, Regular};
    let at =
        |time: fn(&mut Header)| tree(&[("a", Directory, "", time), ("a/f", Regular, "", AS_IS)]);
    let (one, two) = (at(AS_IS), at(|header| header.set_mtime(2)));
    let differences = one.differences(&two, 10);
    assert_eq!(found(&one, &two), ["/a: time"]);
    assert!(differences[0].is_undetermined(&[tree(&[("a/f", Regular, "", AS_IS)])]));
    assert!(!differences[0].is_undetermined(&[Tree::default(), at(AS_IS)]));
    let file = |time: fn(&mut Header)| tree(&[("f", Regular, "", time)]);
    let of_file = file(AS_IS).differences(&file(|header| header.set_mtime(2)), 1);
    assert!(!of_file[0].is_undetermined(&[]));
}

#[test]
fn records_beside_a_header_count() {
    let with = |records: &[(&str, &[u8])]| {
        let mut builder = Builder::new(Vec::new());
        builder
            .append_pax_extensions(records.iter().copied())
            .unwrap();
        let mut header = Header::new_ustar();
        header.set_size(0);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(5);
        builder.append_data(&mut header, "f", io::empty()).unwrap();
        Tree::read(builder.into_inner().unwrap().as_slice()).unwrap()
    };
    let capability: &[(&str, &[u8])] = &[("SCHILY.xattr.security.capability", b"\x01\0")];
    assert_eq!(
        found(&with(capability), &with(&[])),
        ["/f: extended attributes"]
    );
    assert_eq!(found(&with(capability), &with(capability)), [""; 0]);
    let at = |text: &str| with(&[("mtime", text.as_bytes())]);
    assert_eq!(found(&at("5"), &with(&[])), [""; 0]);
    assert_eq!(found(&at("5.000000001"), &at("5")), ["/f: time"]);
}

#[test]
fn times_are_seconds_and_what_is_past_them() {
    for (text, expected) in [
        ("1", Some((1, 0))),
        ("1.5", Some((1, 500_000_000))),
        ("1.0000000019", Some((1, 1))),
        ("-0.25", Some((-1, 750_000_000))),
        ("-2", Some((-2, 0))),
        ("", None),
        ("1.x", None),
    ] {
        assert_eq!(time(text), expected, "{text}");
    }
}
