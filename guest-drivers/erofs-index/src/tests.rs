//! What members mean, by themselves and over layers below.

use crate::tree::{Id, Kind, TOP};
use crate::{
    Archive, Attributes, Below, Content, Data, Found, Index, Segment, Tree, Unfit, Unsettled,
};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::convert::Infallible;

/// Layers below: paths and what they have.
type Lower<'a> = &'a [(&'a str, Found)];

struct Layers(BTreeMap<Vec<u8>, Found>);

impl Below for Layers {
    type Error = Infallible;

    fn look(&mut self, path: &[&[u8]]) -> Result<Found, Infallible> {
        let path = path.join(&b'/');
        Ok(self.0.get(&path).cloned().unwrap_or(Found::Nothing))
    }
}

fn attributes(mode: u16) -> Attributes {
    Attributes {
        mode,
        ..Attributes::default()
    }
}

fn split(path: &str) -> Vec<&[u8]> {
    let parts = path.split('/').filter(|part| !part.is_empty());
    parts.map(str::as_bytes).collect()
}

/// Adds what a line says: `d` and `f` with a mode, `h` with a target, `-` a deletion, `o` an opaque mark.
fn add(tree: &mut Tree, line: &str) -> Result<(), Unfit> {
    let words: Vec<&str> = line.split(' ').collect();
    let path = split(words[1]);
    if words[0] == "o" {
        return tree.hide_all(&path);
    }
    let (name, parent) = path.split_last().unwrap();
    let mode = || attributes(u16::from_str_radix(words[2], 8).unwrap());
    match words[0] {
        "d" => tree.add_directory(parent, name, mode()),
        "f" => tree.add(parent, name, mode(), Content::File(Data::default())),
        "h" => tree.link(parent, name, &split(words[2])),
        _ => tree.hide(parent, name),
    }
}

fn settled(lines: &[&str], lower: Option<Lower<'_>>) -> Result<Index, Unfit> {
    let mut tree = Tree::new(attributes(0o755), 1 << 20);
    for line in lines {
        add(&mut tree, line)?;
    }
    let all = |lower: Lower<'_>| {
        let pairs = lower.iter();
        Layers(
            pairs
                .map(|(path, found)| (path.as_bytes().to_vec(), found.clone()))
                .collect(),
        )
    };
    tree.settle(lower.map(all)).map_err(|error| match error {
        Unsettled::Unfit(unfit) => unfit,
        Unsettled::Below(never) => match never {},
    })
}

/// All nodes, as lines of path, mode and marks.
fn shown(index: &Index) -> Vec<String> {
    let mut lines = Vec::new();
    let mut todo: Vec<(String, Id)> = vec![(String::new(), TOP)];
    while let Some((path, id)) = todo.pop() {
        let node = &index.tree.nodes[id];
        let marks = node.attributes.xattrs.iter();
        let marks = marks.map(|xattr| String::from_utf8_lossy(&xattr.name).into_owned());
        let marks: Vec<String> = marks
            .map(|mark| format!(" {}", mark.rsplit('.').next().unwrap_or("")))
            .collect();
        let mode = node.attributes.mode;
        let kind = match &node.kind {
            Kind::Directory(directory) => {
                for (name, child) in &directory.children {
                    let name = String::from_utf8_lossy(name);
                    todo.push((format!("{path}/{name}"), *child));
                }
                'd'
            }
            Kind::Other(Content::CharacterDevice(0, 0)) => '-',
            Kind::Other(_) => 'f',
        };
        lines.push(format!("{kind} {path} {mode:o}{}", marks.concat()));
    }
    lines.sort();
    lines
}

#[track_caller]
fn check(lines: &[&str], lower: Option<Lower<'_>>, expected: &[&str]) {
    let index = settled(lines, lower).unwrap();
    let mut expected = expected.to_vec();
    expected.push("d  755");
    expected.sort_unstable();
    let found: Vec<String> = shown(&index)
        .into_iter()
        .map(|line| match line.starts_with("d  ") {
            true => String::from("d  755"),
            false => line,
        })
        .collect();
    assert_eq!(found, expected, "{lines:?}");
}

fn directory(mode: u16) -> Found {
    Found::Directory(attributes(mode))
}

#[test]
fn of_two_members_of_one_path_the_later_counts() {
    check(&["f a 600", "f a 644"], None, &["f /a 644"]);
    check(
        &["d a 700", "f a/b 600", "d a 750"],
        None,
        &["d /a 750", "f /a/b 600"],
    );
    check(&["d a 700", "f a/b 600", "f a 644"], None, &["f /a 644"]);
    check(
        &["f a 600", "h b a", "f a 644"],
        None,
        &["f /a 644", "f /b 600"],
    );
    check(
        &["f a 600", "h b a", "h a b"],
        None,
        &["f /a 600", "f /b 600"],
    );
}

#[test]
fn directories_that_no_member_describes_are_as_below() {
    let lines = ["f a/b/c 600"];
    check(&lines, None, &["d /a 755", "d /a/b 755", "f /a/b/c 600"]);
    let lower = [("a", directory(0o711)), ("a/b", Found::Other)];
    check(
        &lines,
        Some(&lower),
        &["d /a 711", "d /a/b 755", "f /a/b/c 600"],
    );
    // One that a member describes is what it says, whenever it comes.
    check(
        &["f a/b 600", "d a 700"],
        Some(&lower),
        &["d /a 700", "f /a/b 600"],
    );
    let lower = [("a", Found::Symlink)];
    assert_eq!(
        settled(&lines, Some(&lower)).unwrap_err(),
        Unfit::BehindNoDirectory
    );
    check(
        &["f a/b 600", "d a 700"],
        Some(&lower),
        &["d /a 700", "f /a/b 600"],
    );
}

#[test]
fn deletions_delete_what_is_below_and_nothing_of_the_archive() {
    let lower = [
        ("d", directory(0o711)),
        ("d/x", Found::Other),
        ("e", directory(0o711)),
    ];
    check(&["- d/x"], Some(&lower), &["d /d 711 origin", "- /d/x 0"]);
    check(
        &["- d/none", "- none/x", "- e/none/none"],
        Some(&lower),
        &[],
    );
    check(
        &["- d/x", "f d/x 600"],
        Some(&lower),
        &["d /d 711", "f /d/x 600"],
    );
    check(
        &["f d/x 600", "- d/x"],
        Some(&lower),
        &["d /d 711", "f /d/x 600"],
    );
    check(
        &["- d", "f d/y 600"],
        Some(&lower),
        &["d /d 755 opaque", "f /d/y 600"],
    );
    check(&["- d", "d d 700"], Some(&lower), &["d /d 700 opaque"]);
    check(&["- d", "- d/x"], Some(&lower), &["- /d 0"]);
    check(&["- d", "f d/y 600"], None, &["d /d 755", "f /d/y 600"]);
}

#[test]
fn an_opaque_mark_makes_a_directory() {
    let lower = [
        ("d", directory(0o711)),
        ("d/x", Found::Other),
        ("l", Found::Symlink),
    ];
    check(&["o d"], Some(&lower), &["d /d 711 opaque"]);
    check(
        &["o d", "- d/x", "f d/e/y 600"],
        Some(&lower),
        &["d /d 711 opaque", "d /d/e 755", "f /d/e/y 600"],
    );
    check(&["o l"], Some(&lower), &["d /l 755 opaque"]);
    check(&["o new"], None, &["d /new 755"]);
    assert_eq!(
        settled(&["o /"], Some(&lower)).unwrap_err(),
        Unfit::OpaqueTop
    );
    check(&["o /", "f a 600"], None, &["f /a 600"]);
    // A file hides the directory of its name; one that comes back shows nothing of it.
    check(&["f d 600", "d d 700"], Some(&lower), &["d /d 700 opaque"]);
}

#[test]
fn what_only_unpacking_can_do_is_unfit() {
    for (lines, unfit) in [
        (&["f a 600", "f a/b 600"][..], Unfit::BehindNoDirectory),
        (&["f a/b 600", "f a 600"], Unfit::BehindNoDirectory),
        (&["h b a"], Unfit::LinkTarget),
        (&["d a 700", "h b a"], Unfit::LinkTarget),
        (&["f a 600", "h b a/c"], Unfit::LinkTarget),
    ] {
        assert_eq!(settled(lines, None).unwrap_err(), unfit, "{lines:?}");
    }
    let mut tree = Tree::new(attributes(0o755), 10_000);
    let full = (0..1000).find_map(|number| add(&mut tree, &format!("f f{number} 600")).err());
    assert_eq!(full, Some(Unfit::TooLarge));
    let bad = |name: &str, value: usize| {
        let mut tree = Tree::new(attributes(0o755), 1 << 20);
        let xattr = crate::Xattr {
            name: name.as_bytes().to_vec(),
            value: vec![0; value],
        };
        let attributes = Attributes {
            xattrs: vec![xattr],
            ..attributes(0o600)
        };
        tree.add(&[], b"f", attributes, Content::Fifo)
    };
    assert_eq!(bad("user.a", 1), Ok(()));
    for (name, value) in [
        ("user.", 1),
        ("system.other", 1),
        ("btrfs.x", 1),
        ("user.a", 1 << 16),
    ] {
        assert_eq!(bad(name, value), Err(Unfit::Xattr), "{name}");
    }
}

/// A directory of 60,000 names, one of names of 255 bytes, and a chain of 5,000 directories.
#[test]
fn wide_long_and_deep_trees_are_written_in_pieces() {
    let mut tree = Tree::new(attributes(0o755), 256 << 20);
    for number in 0..60_000 {
        let name = format!("{number}");
        let data = Data {
            size: 1,
            segments: vec![Segment {
                offset: 0,
                length: 1,
                at: 512,
            }],
        };
        tree.add(
            &[b"wide"],
            name.as_bytes(),
            attributes(0o644),
            Content::File(data),
        )
        .unwrap();
    }
    for letter in b'a'..=b'z' {
        tree.add(&[b"long"], &[letter; 255], attributes(0o644), Content::Fifo)
            .unwrap();
    }
    let deep: Vec<&[u8]> = vec![b"d"; 5000];
    tree.add_directory(&deep, b"last", attributes(0o700))
        .unwrap();
    let index = tree.settle::<Layers>(None).unwrap();
    let archive = Archive {
        size_bytes: 1024,
        sha256: [1; 32],
    };
    let (mut pieces, mut bytes) = (0, 0);
    let written = index.write(&archive, |piece| {
        pieces += 1;
        bytes += piece.len() as u64;
        Ok::<(), Infallible>(())
    });
    assert!(written.is_ok() && pieces > 10);
    assert_eq!(bytes, index.length());
}
