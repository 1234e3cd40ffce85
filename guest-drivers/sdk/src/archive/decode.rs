//! What a header says, with the records before it, as an entry.
//!
//! Invariant: a number that no node can have is an error, never another number.

use super::header::{self, Block, Field};
use super::reader::LATEST_SECONDS;
use super::{Entry, Kind, acl, number, pax};
use crate::tree::wanted;
use crate::{Timestamp, Xattr};

/// What extension headers say of the entry that follows.
#[derive(Default)]
pub(super) struct Extensions {
    /// Whether there was one.
    pub(super) given: bool,
    /// PAX records.
    pub(super) records: pax::Records,
    /// GNU's long name.
    pub(super) long_name: Option<Vec<u8>>,
    /// GNU's long target of a link.
    pub(super) long_link: Option<Vec<u8>>,
}

impl Extensions {
    /// The path of the entry.
    pub(super) fn name(&self, block: &Block) -> Vec<u8> {
        let given = [
            &self.records.sparse.name,
            &self.long_name,
            &self.records.path,
        ];
        let given = given.into_iter().flatten().next();
        given.cloned().unwrap_or_else(|| header::full_name(block))
    }

    /// The target of the entry, if it is a link.
    pub(super) fn link(&self, block: &Block) -> Vec<u8> {
        let given = self.long_link.as_ref().or(self.records.link.as_ref());
        given
            .cloned()
            .unwrap_or_else(|| header::text(block, header::LINK).to_vec())
    }
}

/// The entry of a header, as yet without extended attributes; the size is that in the archive.
pub(super) fn entry(
    block: &Block,
    records: &pax::Records,
    name: Vec<u8>,
    link: Vec<u8>,
) -> Result<Entry, String> {
    let kind = kind(block, &name)?;
    let modified = match records.modified {
        Some(time) => time,
        None => Timestamp {
            seconds: signed(block, header::MTIME, "time")?,
            nanoseconds: 0,
        },
    };
    let mode = signed(block, header::MODE, "mode")? & 0o7777;
    Ok(Entry {
        kind,
        name,
        link,
        mode: u32::try_from(mode).unwrap_or(0),
        uid: owner(block, header::UID, records.uid, "owner")?,
        gid: owner(block, header::GID, records.gid, "group")?,
        size: records.size.map_or_else(|| size(block), Ok)?,
        modified: Timestamp {
            seconds: modified.seconds.clamp(-LATEST_SECONDS, LATEST_SECONDS),
            nanoseconds: modified.nanoseconds,
        },
        device: match kind {
            Kind::CharacterDevice | Kind::BlockDevice if header::has_device(block) => {
                device(block)?
            }
            _ => (0, 0),
        },
        xattrs: Vec::new(),
    })
}

/// The extended attributes of an entry. Access lists in text become the attributes that they stand for. One whose names
/// have no numbers cannot: it keeps its own name, by which it is told as left out, and the mode loses what it gave.
pub(super) fn attributes(entry: &mut Entry, records: pax::Records) -> Result<(), String> {
    entry.xattrs = records.xattrs;
    let names = [
        ("SCHILY.acl.access", wanted::ACCESS_LIST),
        ("SCHILY.acl.default", wanted::DEFAULT_LIST),
    ];
    for ((key, attribute), list) in names.into_iter().zip(records.lists) {
        let Some(text) = list else { continue };
        if entry
            .xattrs
            .iter()
            .any(|xattr| wanted::is(&xattr.name, attribute))
        {
            continue;
        }
        let (name, value) = match acl::parse(&text) {
            Some(acl::Read::Binary(value)) => (attribute, value),
            Some(acl::Read::Names(group)) if attribute == wanted::ACCESS_LIST => {
                entry.mode &= !0o070 | u32::from(group) << 3;
                (key, text)
            }
            Some(acl::Read::Names(_)) => (key, text),
            None => return Err(format!("PAX `{key}` is no access list")),
        };
        entry.xattrs.push(Xattr {
            name: name.into(),
            value,
        });
    }
    Ok(())
}

/// The size that a header gives.
pub(super) fn size(block: &Block) -> Result<u64, String> {
    unsigned(block, header::SIZE, "size")
}

fn kind(block: &Block, name: &[u8]) -> Result<Kind, String> {
    Ok(match header::type_of(block) {
        // A contiguous file is one that some old system could place better; GNU's old sparse files are regular too.
        b'0' | b'7' | b'S' => Kind::Regular,
        // Archives of before 1988 tell a directory by its slash.
        0 if name.ends_with(b"/") => Kind::Directory,
        0 => Kind::Regular,
        b'1' => Kind::HardLink,
        b'2' => Kind::Symlink,
        b'3' => Kind::CharacterDevice,
        b'4' => Kind::BlockDevice,
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        other => return Err(format!("type `{}` is not known", other.escape_ascii())),
    })
}

fn signed(block: &Block, at: Field, what: &str) -> Result<i64, String> {
    number::parse(header::field(block, at))
        .ok_or_else(|| format!("its {what} is not a number that is allowed"))
}

fn unsigned(block: &Block, at: Field, what: &str) -> Result<u64, String> {
    u64::try_from(signed(block, at, what)?)
        .map_err(|_negative| format!("its {what} is not a number that is allowed"))
}

/// An owner. Programs that hold one in a signed number write -2 for 4294967294, which is `nobody` on some systems; every
/// reader hands it on to the kernel, which takes it for the same.
fn owner(block: &Block, at: Field, record: Option<i64>, what: &str) -> Result<u32, String> {
    let id = match record {
        Some(id) => id,
        None => signed(block, at, what)?,
    };
    let wrapped = i32::try_from(id).map(i32::cast_unsigned);
    // The largest number means "leave it" to the kernel, and so an owner that no one chose.
    u32::try_from(id)
        .or(wrapped)
        .ok()
        .filter(|id| *id != u32::MAX)
        .ok_or_else(|| {
            let most = u32::MAX - 1;
            format!(
                "its {what} {id} is not between 0 and {most}, nor a negative 32-bit number below -1"
            )
        })
}

fn device(block: &Block) -> Result<(u32, u32), String> {
    let major = unsigned(block, header::MAJOR, "major device number")?;
    let minor = unsigned(block, header::MINOR, "minor device number")?;
    // Linux has 12 bits for one and 20 for the other.
    match (u32::try_from(major), u32::try_from(minor)) {
        (Ok(major), Ok(minor)) if major < 1 << 12 && minor < 1 << 20 => Ok((major, minor)),
        _ => Err(format!("device {major}:{minor} is out of range")),
    }
}
