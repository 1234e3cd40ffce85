//! Headers byte by byte as moby 20.10 writes them: Go's archive/tar, asked for PAX.
//!
//! Go writes plain ustar where it can, and splits a long path between name and prefix for it. Where it cannot, PAX
//! records come first, in the order of their keys, under a name that is made of the path; the fields then hold what is
//! left of the text without its other than ASCII characters, and 0 for numbers that are too large.
//!
//! Invariant: the bytes depend on the header alone.

use super::{header, number, padding, pax};

/// What a header says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Type of the entry.
    pub type_flag: u8,
    /// The path, of a directory with a slash behind it.
    pub name: Vec<u8>,
    /// Target of a link.
    pub link: Vec<u8>,
    /// Permission bits, and moby puts the type's bits there as well.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes of content.
    pub size: u64,
    /// Last change of the content in seconds since 1970.
    pub seconds: i64,
    /// Device numbers.
    pub device: (u32, u32),
    /// The attribute `security.capability`.
    pub capability: Option<Vec<u8>>,
}

/// Appends the blocks of a header.
pub fn append(to: &mut Vec<u8>, entry: &Header) {
    let records = records(entry);
    let split = split(&entry.name);
    let fits = fits(&entry.name) || split.is_some();
    // A path that can be split is in the records only if something else must be there.
    let is_ustar = records.is_empty() || (fits && only_path(entry));
    let (prefix, name) = match split.filter(|_| is_ustar) {
        Some((prefix, name)) => (prefix, name.to_vec()),
        None => (&b""[..], text(&entry.name)),
    };
    if !is_ustar {
        append_records(to, &entry.name, records);
    }
    let small = |value: u64, digits: u32| {
        if value > number::largest(digits) {
            0
        } else {
            value
        }
    };
    let small_id = |id: u32| u32::try_from(small(id.into(), 7)).unwrap_or(0);
    let block = header::encode(&header::Plain {
        name: &name,
        prefix,
        link: &text(&entry.link),
        type_flag: entry.type_flag,
        mode: entry.mode,
        uid: small_id(entry.uid),
        gid: small_id(entry.gid),
        size: small(entry.size, 11),
        seconds: small(u64::try_from(entry.seconds).unwrap_or(0), 11),
        device: Some(entry.device),
    });
    to.extend_from_slice(&block);
}

fn append_records(to: &mut Vec<u8>, name: &[u8], mut records: Vec<u8>) {
    let block = header::encode(&header::Plain {
        name: &records_name(name),
        prefix: b"",
        link: b"",
        type_flag: b'x',
        mode: 0,
        uid: 0,
        gid: 0,
        size: records.len() as u64,
        seconds: 0,
        device: None,
    });
    to.extend_from_slice(&block);
    let over = padding(records.len() as u64);
    to.append(&mut records);
    to.resize(to.len() + over, 0);
}

fn fits(text: &[u8]) -> bool {
    text.len() <= header::NAME.1 && text.is_ascii()
}

fn fits_time(seconds: i64) -> bool {
    u64::try_from(seconds).is_ok_and(|seconds| seconds <= number::largest(11))
}

/// Whether a path is all that a header without records has no room for.
fn only_path(entry: &Header) -> bool {
    let fits_id = |id: u32| u64::from(id) <= number::largest(7);
    entry.capability.is_none()
        && fits(&entry.link)
        && fits_time(entry.seconds)
        && entry.size <= number::largest(11)
        && fits_id(entry.uid)
        && fits_id(entry.gid)
}

/// The records in the order of their keys.
fn records(entry: &Header) -> Vec<u8> {
    let mut records = Vec::new();
    if let Some(capability) = &entry.capability {
        let key = [pax::XATTR, crate::tree::wanted::CAPABILITY].concat();
        pax::append(&mut records, key.as_bytes(), capability);
    }
    let id = |records: &mut Vec<u8>, key: &[u8], id: u32| {
        if u64::from(id) > number::largest(7) {
            pax::append(records, key, id.to_string().as_bytes());
        }
    };
    id(&mut records, b"gid", entry.gid);
    if !fits(&entry.link) {
        pax::append(&mut records, b"linkpath", &entry.link);
    }
    if !fits_time(entry.seconds) {
        pax::append(&mut records, b"mtime", entry.seconds.to_string().as_bytes());
    }
    if !fits(&entry.name) {
        pax::append(&mut records, b"path", &entry.name);
    }
    if entry.size > number::largest(11) {
        pax::append(&mut records, b"size", entry.size.to_string().as_bytes());
    }
    id(&mut records, b"uid", entry.uid);
    records
}

/// The text of a field of 100 bytes.
#[expect(
    clippy::indexing_slicing,
    reason = "slashes were trimmed, so the text is longer than its trimmed part"
)]
fn text(from: &[u8]) -> Vec<u8> {
    let mut text: Vec<u8> = from.iter().copied().filter(u8::is_ascii).collect();
    if text.len() > header::NAME.1 {
        text.truncate(header::NAME.1);
        // Some readers take a file for a directory if its field ends with a slash.
        if text.last() == Some(&b'/') {
            let length = trimmed(&text).len();
            text[length] = 0;
        }
    }
    text
}

fn trimmed(mut text: &[u8]) -> &[u8] {
    while let Some(rest) = text.strip_suffix(b"/") {
        text = rest;
    }
    text
}

/// What old programs call the file that they take the records for.
fn records_name(path: &[u8]) -> Vec<u8> {
    let slash = path.iter().rposition(|byte| *byte == b'/');
    let (directory, base) = path.split_at(slash.map_or(0, |slash| slash + 1));
    let between: &[u8] = if base.is_empty() {
        b"PaxHeaders.0"
    } else {
        b"PaxHeaders.0/"
    };
    let name = [directory, between, base].concat();
    let mut name: Vec<u8> = name.into_iter().filter(u8::is_ascii).collect();
    name.truncate(header::NAME.1);
    trimmed(&name).to_vec()
}

/// Splits a path that is too long for the name into prefix and name, if it can be.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name_bytes, prefix_bytes) = (header::NAME.1, header::PREFIX.1);
    if path.len() <= name_bytes || !path.is_ascii() {
        return None;
    }
    let length = if path.len() > prefix_bytes + 1 {
        prefix_bytes + 1
    } else if path.ends_with(b"/") {
        path.len() - 1
    } else {
        path.len()
    };
    let slash = path.get(..length)?.iter().rposition(|byte| *byte == b'/')?;
    let (prefix, name) = (path.get(..slash)?, path.get(slash + 1..)?);
    let can = slash > 0 && slash <= prefix_bytes && !name.is_empty() && name.len() <= name_bytes;
    can.then_some((prefix, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(entry: &Header) -> usize {
        let mut bytes = Vec::new();
        append(&mut bytes, entry);
        bytes.len() / 512
    }

    fn named(name: &[u8]) -> Header {
        Header {
            type_flag: b'0',
            name: name.to_vec(),
            ..Header::default()
        }
    }

    /// Go 1.19, archive/tar: TestSplitUSTARPath.
    #[test]
    fn paths_are_split_as_go_does() {
        let a = |count: usize| "a".repeat(count);
        for (path, expected) in [
            ("".to_owned(), None),
            ("abc".to_owned(), None),
            ("用戶名".to_owned(), None),
            (a(100), None),
            (a(100) + "/", None),
            (a(100) + "/a", Some((a(100), "a".to_owned()))),
            (a(155) + "/", None),
            (a(155) + "/a", Some((a(155), "a".to_owned()))),
            (a(156) + "/", None),
            (format!("{}/{}", a(155), a(100)), Some((a(155), a(100)))),
            (
                format!("{}/{}/", a(155), a(99)),
                Some((a(155), a(99) + "/")),
            ),
            (format!("{}/{}", a(155), a(101)), None),
        ] {
            let split = split(path.as_bytes()).map(|(prefix, name)| {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                (text(prefix), text(name))
            });
            assert_eq!(split, expected, "{path}");
        }
    }

    #[test]
    fn records_come_only_where_ustar_has_no_room() {
        assert_eq!(blocks(&named(b"a")), 1);
        assert_eq!(blocks(&named(&[&b"d/"[..], &[b'x'; 100]].concat())), 1);
        assert_eq!(blocks(&named(&[b'x'; 101])), 3);
        assert_eq!(blocks(&named("ä".as_bytes())), 3);
        for entry in [
            Header {
                seconds: -1,
                ..named(b"a")
            },
            Header {
                seconds: 1 << 33,
                ..named(b"a")
            },
            Header {
                uid: 0o10_000_000,
                ..named(b"a")
            },
            Header {
                size: 1 << 33,
                ..named(b"a")
            },
            Header {
                capability: Some(vec![1]),
                ..named(b"a")
            },
        ] {
            assert_eq!(blocks(&entry), 3, "{entry:?}");
        }
    }

    #[test]
    fn records_are_named_after_the_path() {
        for (path, name) in [
            ("x", "PaxHeaders.0/x"),
            ("a/b", "a/PaxHeaders.0/b"),
            ("a/b/", "a/b/PaxHeaders.0"),
            ("ä", "PaxHeaders.0"),
        ] {
            assert_eq!(records_name(path.as_bytes()), name.as_bytes());
        }
    }
}
