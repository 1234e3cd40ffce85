//! The crate `tar` reads what is written here.
//!
//! Invariant: every entry comes back with all that it said. The crate (0.4.46) takes a line break in a PAX record for its end,
//! although the record says how long it is, so no name and no value here has one.

use super::writer::Writer;
use super::{Entry, Kind, pax};
use crate::tree::Sink;
use crate::{Failure, Timestamp, Xattr};
use proptest::collection::vec;
use proptest::prelude::*;
use std::io::Read as _;

/// An archive in memory; files are bytes.
#[derive(Default)]
struct Memory(Vec<u8>);

impl Sink for &mut Memory {
    type File = Vec<u8>;

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn copy_from(&mut self, file: &Vec<u8>, offset: u64, length: u64) -> Result<(), Failure> {
        let from = usize::try_from(offset).unwrap();
        let length = usize::try_from(length).unwrap();
        self.0.extend_from_slice(&file[from..from + length]);
        Ok(())
    }
}

/// Any byte but one.
fn byte_but(but: u8) -> impl Strategy<Value = u8> {
    any::<u8>().prop_map(move |byte| if byte == but { b'x' } else { byte })
}

/// Names up to two hundred bytes of any kind, in one to three parts.
fn path() -> impl Strategy<Value = Vec<u8>> {
    let byte = byte_but(b'\n').prop_map(|byte| if matches!(byte, 0 | b'/') { b'y' } else { byte });
    let part = vec(byte, 1..70);
    vec(part, 1..4).prop_map(|parts| parts.join(&b'/'))
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Regular),
        Just(Kind::HardLink),
        Just(Kind::Symlink),
        Just(Kind::CharacterDevice),
        Just(Kind::BlockDevice),
        Just(Kind::Directory),
        Just(Kind::Fifo),
    ]
}

fn xattr() -> impl Strategy<Value = Xattr> {
    ("user\\.[a-z.]{1,20}", vec(byte_but(b'\n'), 0..40)).prop_map(|(name, value)| Xattr {
        name: name.into_bytes(),
        value,
    })
}

prop_compose! {
    fn entry()(
        kind in kind(),
        name in path(),
        target in path(),
        mode in 0_u32..=0o7777,
        ids in (any::<u32>(), any::<u32>()),
        content in vec(any::<u8>(), 0..2000),
        seconds in 0_i64..1 << 35,
        nanoseconds in 0_u32..1_000_000_000,
        device in (0_u32..1 << 12, 0_u32..1 << 20),
        xattrs in vec(xattr(), 0..3),
    ) -> (Entry, Vec<u8>) {
        let is_link = matches!(kind, Kind::HardLink | Kind::Symlink);
        let is_device = matches!(kind, Kind::CharacterDevice | Kind::BlockDevice);
        let content = if kind == Kind::Regular { content } else { Vec::new() };
        let entry = Entry {
            kind,
            name,
            link: if is_link { target } else { Vec::new() },
            mode,
            uid: ids.0,
            gid: ids.1,
            size: content.len() as u64,
            modified: Timestamp { seconds, nanoseconds },
            device: if is_device { device } else { (0, 0) },
            xattrs,
        };
        (entry, content)
    }
}

/// The records of an entry by their keys; a value may be any bytes.
fn records(found: &mut tar::Entry<'_, &[u8]>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let records = found.pax_extensions().unwrap();
    let pair = |record: tar::PaxExtension<'_>| {
        (record.key_bytes().to_vec(), record.value_bytes().to_vec())
    };
    records
        .into_iter()
        .flatten()
        .map(|record| pair(record.unwrap()))
        .collect()
}

fn kind_of(found: tar::EntryType) -> Option<Kind> {
    Some(match found {
        tar::EntryType::Regular => Kind::Regular,
        tar::EntryType::Link => Kind::HardLink,
        tar::EntryType::Symlink => Kind::Symlink,
        tar::EntryType::Char => Kind::CharacterDevice,
        tar::EntryType::Block => Kind::BlockDevice,
        tar::EntryType::Directory => Kind::Directory,
        tar::EntryType::Fifo => Kind::Fifo,
        _ => return None,
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(entries in vec(entry(), 1..8)) {
        let mut memory = Memory::default();
        let mut writer = Writer::new(&mut memory);
        for (entry, content) in &entries {
            writer.file(entry, content).unwrap();
        }
        let (count, bytes) = writer.finish().unwrap();
        prop_assert_eq!((count, bytes), (entries.len() as u64, memory.0.len() as u64));
        let mut archive = tar::Archive::new(memory.0.as_slice());
        let mut found = archive.entries().unwrap();
        for (entry, content) in &entries {
            let mut read = found.next().expect("an entry").unwrap();
            let slash: &[u8] = if entry.kind == Kind::Directory { b"/" } else { b"" };
            prop_assert_eq!(&*read.path_bytes(), [&entry.name, slash].concat());
            let link = read.link_name_bytes().map(|link| link.to_vec());
            prop_assert_eq!(link.unwrap_or_default(), entry.link.clone());
            let header = read.header();
            prop_assert_eq!(kind_of(header.entry_type()), Some(entry.kind));
            prop_assert_eq!(header.mode().unwrap(), entry.mode);
            prop_assert_eq!(header.device_major().unwrap(), Some(entry.device.0));
            prop_assert_eq!(header.device_minor().unwrap(), Some(entry.device.1));
            let records = records(&mut read);
            let header = read.header();
            let told = |key: &str, field: u64| {
                let record = records.iter().find(|(found, _)| found == key.as_bytes());
                record.map_or_else(|| field.to_string(), |(_, value)| {
                    String::from_utf8_lossy(value).into_owned()
                })
            };
            prop_assert_eq!(told("uid", header.uid().unwrap()), entry.uid.to_string());
            prop_assert_eq!(told("gid", header.gid().unwrap()), entry.gid.to_string());
            let time = Timestamp { nanoseconds: 0, ..entry.modified };
            let expected = match entry.modified == time {
                true => entry.modified.seconds.to_string(),
                false => pax::format_time(entry.modified),
            };
            prop_assert_eq!(told("mtime", header.mtime().unwrap()), expected);
            for xattr in &entry.xattrs {
                let key = [pax::XATTR.as_bytes(), &xattr.name].concat();
                prop_assert!(records.contains(&(key, xattr.value.clone())));
            }
            let mut all = Vec::new();
            read.read_to_end(&mut all).unwrap();
            prop_assert_eq!(&all, content);
        }
        prop_assert!(found.next().is_none());
    }
}
