//! Each rule is broken once, in an image that is right in all else.

use crate::{Facts, Refusal, Rule, check};
use mica_erofs_index::{
    Archive, Attributes, Below, Content, Data, Found, Index, Segment, Tree, Xattr,
};
use std::convert::Infallible;

const ARCHIVE: Archive = Archive {
    size_bytes: 1 << 20,
    sha256: [0xa5; 32],
};

fn attributes(mode: u16) -> Attributes {
    Attributes {
        mode,
        uid: 1000,
        gid: 100_000,
        seconds: -5,
        nanoseconds: 123_456_789,
        xattrs: Vec::new(),
    }
}

fn with(mode: u16, xattrs: &[(&str, &[u8])]) -> Attributes {
    let xattrs = xattrs.iter().map(|(name, value)| Xattr {
        name: name.as_bytes().to_vec(),
        value: value.to_vec(),
    });
    Attributes {
        xattrs: xattrs.collect(),
        ..attributes(mode)
    }
}

fn file(size: u64, at: u64) -> Content {
    Content::File(Data {
        size,
        segments: vec![Segment {
            offset: 0,
            length: size,
            at,
        }],
    })
}

/// Layers below that have a directory at every path, and so let every deletion stand.
struct Everything;

impl Below for Everything {
    type Error = Infallible;

    fn look(&mut self, _: &[&[u8]]) -> Result<Found, Infallible> {
        Ok(Found::Directory(attributes(0o700)))
    }
}

/// One of everything.
fn tree() -> Tree {
    let mut tree = Tree::new(attributes(0o755), 64 << 20);
    tree.add_directory(
        &[],
        b"dir",
        with(0o750, &[("user.a", b"1"), ("user.b", b"")]),
    )
    .unwrap();
    tree.add(&[b"dir"], b"file", attributes(0o4755), file(1000, 1024))
        .unwrap();
    tree.add(
        &[b"dir"],
        b"empty",
        attributes(0o600),
        Content::File(Data::default()),
    )
    .unwrap();
    tree.link(&[], b"hard", &[b"dir", b"file"]).unwrap();
    let sparse = Data {
        size: 20_000,
        segments: vec![Segment {
            offset: 4096,
            length: 4096,
            at: 4096,
        }],
    };
    tree.add(&[], b"sparse", attributes(0o644), Content::File(sparse))
        .unwrap();
    tree.add(
        &[],
        b"link",
        attributes(0o777),
        Content::Symlink(b"dir/file".to_vec()),
    )
    .unwrap();
    for name in [&b"far"[..], b"farther"] {
        let target = Content::Symlink(vec![b'x'; 1500]);
        tree.add(&[], name, attributes(0o777), target).unwrap();
    }
    tree.add(&[], b"pipe", attributes(0o600), Content::Fifo)
        .unwrap();
    tree.add(
        &[],
        b"null",
        attributes(0o666),
        Content::CharacterDevice(1, 3),
    )
    .unwrap();
    tree.add(
        &[],
        b"disk",
        attributes(0o660),
        Content::BlockDevice(259, 70_000),
    )
    .unwrap();
    add_the_rest(&mut tree);
    tree
}

/// Deletions, and a directory of several blocks.
fn add_the_rest(tree: &mut Tree) {
    tree.hide(&[b"dir"], b"gone").unwrap();
    tree.add_directory(&[], b"opaque", attributes(0o755))
        .unwrap();
    tree.hide_all(&[b"opaque"]).unwrap();
    tree.add_directory(&[], b"many", attributes(0o755)).unwrap();
    for number in 0..20 {
        let name = format!("a-name-of-some-length-{number:03}");
        tree.add(
            &[b"many"],
            name.as_bytes(),
            attributes(0o644),
            file(1, 2048),
        )
        .unwrap();
    }
}

fn image_of(index: &Index) -> Vec<u8> {
    let mut image = Vec::new();
    let written = index.write(&ARCHIVE, |piece| {
        image.extend_from_slice(piece);
        Ok::<(), Infallible>(())
    });
    let Ok(()) = written;
    assert_eq!(image.len() as u64, index.length());
    image
}

fn image() -> Vec<u8> {
    image_of(&tree().settle(Some(Everything)).unwrap())
}

fn u16_at(image: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(image[at..at + 2].try_into().unwrap())
}

fn u32_at(image: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(image[at..at + 4].try_into().unwrap())
}

/// The image's own checksum, made right again.
fn sealed(mut image: Vec<u8>) -> Vec<u8> {
    image[1028..1032].fill(0);
    let sum = image[1024..1536].iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ if sum & 1 == 1 { 0x82f6_3b78 } else { 0 }
        })
    });
    image[1028..1032].copy_from_slice(&sum.to_le_bytes());
    image
}

/// Where the bytes of an entry of a directory, its name, and its inode are.
struct Place {
    entry: usize,
    name: usize,
    inode: usize,
}

/// Finds an entry of the directory whose inode is at `directory`.
fn entry(image: &[u8], directory: usize, wanted: &[u8]) -> Place {
    let size = u32_at(image, directory + 8) as usize;
    let xattrs = match u16_at(image, directory + 2) {
        0 => 0,
        count => 12 + 4 * (usize::from(count) - 1),
    };
    let inline = u16_at(image, directory) == 5;
    let full = if inline { (size - 1) / 512 * 512 } else { size };
    let start = u32_at(image, directory + 16) as usize * 512;
    let mut blocks: Vec<(usize, usize)> = (0..full.div_ceil(512))
        .map(|block| (start + block * 512, 512.min(full - block * 512)))
        .collect();
    if inline {
        blocks.push((directory + 64 + xattrs, size - full));
    }
    for (at, length) in blocks {
        let count = usize::from(u16_at(image, at + 8)) / 12;
        for index in 0..count {
            let entry = at + 12 * index;
            let name = at + usize::from(u16_at(image, entry + 8));
            let end = match index + 1 < count {
                true => at + usize::from(u16_at(image, entry + 20)),
                false => at + length,
            };
            let found = &image[name..end];
            let found = found.split(|byte| *byte == 0).next().unwrap();
            if found == wanted {
                let inode = u32_at(image, entry) as usize * 32;
                return Place { entry, name, inode };
            }
        }
    }
    panic!("no entry {}", wanted.escape_ascii());
}

/// Where the root's inode is.
fn root(image: &[u8]) -> usize {
    usize::from(u16_at(image, 1038)) * 32
}

fn top(image: &[u8], name: &str) -> Place {
    entry(image, root(image), name.as_bytes())
}

#[test]
fn what_the_writer_writes_passes() {
    let facts = check(&image()).unwrap();
    let expected = Facts {
        archive_sha256: ARCHIVE.sha256,
        archive_blocks: 2048,
        inodes: 34,
    };
    assert_eq!(facts, expected);
    let empty = Tree::new(attributes(0o755), 1 << 20);
    let index = empty.settle::<Everything>(None).unwrap();
    assert_eq!(check(&image_of(&index)).unwrap().inodes, 1);
}

#[test]
fn the_same_members_give_the_same_bytes() {
    assert_eq!(image(), image());
}

type Break = fn(&mut Vec<u8>);

fn set(image: &mut [u8], at: usize, bytes: &[u8]) {
    image[at..at + bytes.len()].copy_from_slice(bytes);
}

/// What breaks which rule. The checksum is made right afterwards, but for its own rule.
const BREAKS: &[(Rule, Break)] = &[
    (Rule::Length, |i| i.push(0)),
    (Rule::Length, |i| i.truncate(1024)),
    (Rule::Zeros, |i| i[5] = 1),
    (Rule::Magic, |i| i[1024] ^= 1),
    (Rule::Features, |i| i[1032] |= 4),
    (Rule::Features, |i| i[1024 + 80] |= 1),
    (Rule::Features, |i| i[1024 + 80] &= !8),
    (Rule::BlockSize, |i| i[1024 + 12] = 12),
    (Rule::BlockSize, |i| i[1024 + 13] = 1),
    (Rule::Place, |i| set(i, 1038, &[0xff; 2])),
    (Rule::Root, |i| {
        let at = root(i) + 4;
        set(i, at, &0o120_777_u16.to_le_bytes());
    }),
    (Rule::Counts, |i| i[1024 + 16] += 1),
    (Rule::Counts, |i| i[1024 + 36] += 1),
    (Rule::Superblock, |i| i[1024 + 24] = 1),
    (Rule::Superblock, |i| i[1024 + 40] = 1),
    (Rule::Superblock, |i| i[1024 + 64] = b'x'),
    (Rule::Superblock, |i| i[1024 + 96] = 1),
    (Rule::Devices, |i| i[1024 + 86] = 2),
    (Rule::Devices, |i| i[1024 + 88] = 10),
    (Rule::Identifier, |i| i[1024 + 48] ^= 1),
    (Rule::Tag, |i| i[1152] = b'A'),
    (Rule::Slot, |i| i[1152 + 68] += 1),
    (Rule::Slot, |i| i[1152 + 72] = 1),
    (Rule::Format, |i| {
        let at = root(i);
        i[at] = 4;
    }),
    (Rule::Format, |i| {
        let at = root(i);
        i[at] = 3;
    }),
    (Rule::Format, |i| {
        let at = root(i) + 1;
        i[at] = 1;
    }),
    (Rule::Place, |i| {
        let place = top(i, "dir");
        set(i, place.entry, &u64::MAX.to_le_bytes());
    }),
    (Rule::Place, |i| {
        let place = top(i, "dir");
        let far = (i.len() as u64) / 32 + 7;
        set(i, place.entry, &far.to_le_bytes());
    }),
    (Rule::Kind, |i| {
        let at = top(i, "pipe").inode;
        set(i, at + 4, &0o140_600_u16.to_le_bytes());
    }),
    (Rule::Inode, |i| {
        let at = root(i) + 6;
        i[at] = 1;
    }),
    (Rule::Inode, |i| {
        let at = root(i) + 20;
        i[at] = 2;
    }),
    (Rule::Inode, |i| {
        let at = root(i) + 40;
        set(i, at, &1_000_000_000_u32.to_le_bytes());
    }),
    (Rule::Inode, |i| {
        let at = root(i) + 50;
        i[at] = 1;
    }),
    (Rule::Layout, |i| {
        let at = top(i, "pipe").inode;
        i[at + 8] = 1;
    }),
    (Rule::Layout, |i| {
        let at = top(i, "sparse").inode;
        i[at] = 1;
    }),
    (Rule::Layout, |i| {
        let at = root(i);
        i[at] = 1;
    }),
    (Rule::Layout, |i| {
        let at = root(i) + 8;
        set(i, at, &u64::MAX.to_le_bytes());
    }),
    (Rule::Blocks, |i| {
        let (one, other) = (top(i, "far").inode, top(i, "farther").inode);
        i.swap(one + 16, other + 16);
    }),
    (Rule::Blocks, |i| {
        let longer = i.len() + 512;
        i.resize(longer, 0);
        let blocks = u32::try_from(longer / 512).unwrap().to_le_bytes();
        set(i, 1024 + 36, &blocks);
        set(i, 1152 + 68, &blocks);
    }),
    (Rule::Target, |i| {
        let at = top(i, "link").inode;
        i[at + 64] = 0;
    }),
    (Rule::Deletion, |i| {
        let at = entry(i, top(i, "dir").inode, b"gone").inode;
        i[at + 24] = 1;
    }),
    (Rule::Deletion, |i| {
        let at = entry(i, top(i, "dir").inode, b"gone").inode;
        i[at + 4] |= 4;
    }),
    (Rule::ChunkSize, |i| {
        let at = top(i, "sparse").inode;
        i[at + 16] += 4;
    }),
    (Rule::ChunkSize, |i| {
        let at = top(i, "sparse").inode;
        i[at + 16] &= !0x20;
    }),
    (Rule::ChunkSize, |i| {
        let at = top(i, "sparse").inode;
        set(i, at + 8, &(1_u64 << 40).to_le_bytes());
    }),
    (Rule::Chunk, |i| {
        let at = top(i, "hard").inode;
        set(i, at + 68, &2047_u32.to_le_bytes());
    }),
    (Rule::Chunk, |i| {
        let at = top(i, "hard").inode;
        set(i, at + 68, &[0; 4]);
    }),
    (Rule::Chunk, |i| {
        let at = top(i, "hard").inode;
        i[at + 66] = 0;
    }),
    (Rule::XattrList, |i| {
        let at = top(i, "dir").inode;
        i[at + 64] = 1;
    }),
    (Rule::XattrList, |i| {
        let at = top(i, "dir").inode;
        i[at + 64 + 12 + 2] = 0xff;
    }),
    (Rule::XattrList, |i| {
        let at = top(i, "dir").inode;
        i[at + 64 + 12 + 4] = b'z';
    }),
    (Rule::XattrName, |i| {
        let at = top(i, "dir").inode;
        i[at + 64 + 12 + 1] = 0;
    }),
    (Rule::XattrName, |i| {
        let at = top(i, "opaque").inode;
        i[at + 64 + 12 + 1] = 3;
    }),
    (Rule::OverlayMark, |i| {
        let at = top(i, "opaque").inode;
        i[at + 64 + 12 + 4 + 14] = b'x';
    }),
    (Rule::OverlayMark, |i| {
        let at = top(i, "opaque").inode;
        set(i, at + 64 + 12 + 4, b"overlay.metac");
    }),
    (Rule::Origin, |i| {
        let at = top(i, "dir").inode;
        let name = b"overlay.origin";
        let list = &i[at..at + 200];
        let place = list.windows(name.len()).position(|part| part == name);
        i[at + place.unwrap()] = b'z';
    }),
    (Rule::Entries, |i| {
        let place = top(i, "dir").entry;
        i[place + 11] = 1;
    }),
    (Rule::Entries, |i| {
        let place = entry(i, root(i), b".").entry;
        i[place + 8] += 1;
    }),
    (Rule::Name, |i| {
        let place = top(i, "dir").name;
        i[place + 1] = b'/';
    }),
    (Rule::Name, |i| {
        let place = top(i, "dir").name;
        i[place + 1] = 0;
    }),
    (Rule::Order, |i| {
        let place = top(i, "dir").name;
        i[place] = b'z';
    }),
    (Rule::Order, |i| {
        let place = top(i, "far").name;
        set(i, place, b"dir");
    }),
    (Rule::Dots, |i| {
        let place = entry(i, top(i, "dir").inode, b"..").entry;
        i[place] += 1;
    }),
    (Rule::Tree, |i| {
        let place = entry(i, root(i), b".").name;
        i[place] = b'-';
    }),
    (Rule::EntryType, |i| {
        let place = top(i, "dir").entry;
        i[place + 10] = 1;
    }),
    (Rule::Tree, |i| {
        let own = entry(i, root(i), b".").entry;
        let bytes = i[own..own + 8].to_vec();
        let place = entry(i, root(i), b"opaque").entry;
        set(i, place, &bytes);
    }),
    (Rule::Links, |i| {
        let at = top(i, "hard").inode;
        i[at + 44] = 3;
    }),
    (Rule::Links, |i| {
        let at = root(i) + 44;
        i[at] += 1;
    }),
];

#[test]
fn every_rule_is_told_when_it_is_broken() {
    let good = image();
    for (number, (rule, break_it)) in BREAKS.iter().enumerate() {
        let mut image = good.clone();
        break_it(&mut image);
        if image.len() >= 1536 {
            image = sealed(image);
        }
        let told = check(&image).map_err(|Refusal { rule, .. }| rule);
        assert_eq!(told, Err(*rule), "case {number}");
    }
    let mut image = good;
    image[1500] ^= 1;
    assert_eq!(check(&image).unwrap_err().rule, Rule::Checksum);
}

/// The kernel's superblock allows what no writer of ours says: that nothing at all passes which differs in one bit from
/// what was written, but for contents that mean themselves.
#[test]
fn no_bit_is_without_a_meaning() {
    let good = image();
    let facts = check(&good).unwrap();
    let mut passed = Vec::new();
    for at in 0..good.len() {
        let mut image = good.clone();
        image[at] ^= 1;
        if !(1028..1032).contains(&at) {
            image = sealed(image);
        }
        if check(&image).is_ok_and(|other| other == facts) {
            passed.push(at);
        }
    }
    // Rights, owner, time and attributes of 34 inodes, their names, targets and addresses in the archive.
    let most = 34 * (2 + 8 + 12) + 21 * 26 + 3000 + 100 + 24 * 4;
    assert!(passed.len() < most, "{} bytes", passed.len());
    assert!(passed.iter().all(|at| *at >= root(&good)));
}

#[test]
fn any_bytes_get_an_answer() {
    let good = image();
    for length in 0..good.len() {
        let told = check(&good[..length]);
        assert!(told.is_err(), "{length}");
    }
    let mut noise: u64 = 0x9e37_79b9_7f4a_7c15;
    for _ in 0..20_000 {
        let mut image = good.clone();
        for _ in 0..4 {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            let at = 1024 + (noise >> 16) as usize % (image.len() - 1024);
            image[at] = noise.to_le_bytes()[0];
        }
        let _answer = check(&sealed(image));
    }
}
