//! POSIX access lists: the kernel's binary form, and the text that `tar --acls` writes.
//!
//! Invariant: where a list goes away, no one has more rights by the mode that stays than the list gave to the owning
//! group. With a list, the group bits of a mode are its mask, which may be far wider.

use crate::Xattr;
use crate::tree::wanted;

/// The version of the binary form.
const VERSION: u32 = 2;
/// Bytes of an entry: tag, rights and id.
const ENTRY_BYTES: usize = 8;
/// The owner.
const USER_OWNER: u16 = 0x01;
/// A named user.
const USER: u16 = 0x02;
/// The owning group.
const GROUP_OWNER: u16 = 0x04;
/// A named group.
const GROUP: u16 = 0x08;
/// The most that all but the owner and the others have.
const MASK: u16 = 0x10;
/// All others.
const OTHER: u16 = 0x20;
/// The id of an entry that names no one.
const NO_ID: u32 = u32::MAX;

/// A line of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    tag: u16,
    rights: u16,
    id: u32,
}

/// Whether the kernel takes a binary list.
#[must_use]
pub fn is_valid(value: &[u8]) -> bool {
    decode(value).is_some_and(|entries| is_in_order(&entries))
}

/// The mode of a node whose access list goes away.
#[must_use]
pub fn mode_without(mode: u32, xattrs: &[Xattr]) -> u32 {
    let list = xattrs
        .iter()
        .find(|xattr| wanted::is(&xattr.name, wanted::ACCESS_LIST));
    let entries = list.and_then(|list| decode(&list.value));
    entries.map_or(mode, |entries| narrowed(mode, &entries))
}

/// What the kernel keeps of a list when the node then gets a mode: the owner, the others, and the mask or else the owning
/// group have what the mode gives them. `None` if the mode alone says as much.
#[must_use]
pub fn with_mode(value: &[u8], mode: u32) -> Option<Vec<u8>> {
    let mut entries = decode(value)?;
    if entries.len() == 3 {
        return None;
    }
    let has_mask = entries.iter().any(|entry| entry.tag == MASK);
    for entry in &mut entries {
        let shift = match entry.tag {
            USER_OWNER => 6,
            GROUP_OWNER if !has_mask => 3,
            MASK => 3,
            OTHER => 0,
            _ => continue,
        };
        entry.rights = u16::try_from(mode >> shift & 7).unwrap_or(0);
    }
    Some(encode(&entries))
}

/// The group bits are the mask; the owning group has what both the mask and its own entry give.
fn narrowed(mode: u32, entries: &[Entry]) -> u32 {
    let group = entries.iter().find(|entry| entry.tag == GROUP_OWNER);
    group.map_or(mode, |group| {
        mode & !(!u32::from(group.rights) << 3 & 0o070)
    })
}

fn decode(value: &[u8]) -> Option<Vec<Entry>> {
    let (version, entries) = value.split_first_chunk()?;
    if u32::from_le_bytes(*version) != VERSION || entries.len() % ENTRY_BYTES != 0 {
        return None;
    }
    let entries = entries.as_chunks::<ENTRY_BYTES>().0.iter();
    let read = |[a, b, c, d, id @ ..]: &[u8; ENTRY_BYTES]| Entry {
        tag: u16::from_le_bytes([*a, *b]),
        rights: u16::from_le_bytes([*c, *d]),
        id: u32::from_le_bytes(*id),
    };
    Some(entries.map(read).collect())
}

/// The kernel's order: owner, users, owning group, groups, mask, others; a mask where someone is named.
fn is_in_order(entries: &[Entry]) -> bool {
    let count = |tag| entries.iter().filter(|entry| entry.tag == tag).count();
    let named = count(USER) + count(GROUP) > 0;
    entries.is_sorted_by_key(|entry| entry.tag)
        && entries.iter().all(|entry| entry.rights <= 7)
        && [USER_OWNER, GROUP_OWNER, OTHER].map(count) == [1, 1, 1]
        && (count(MASK) == 1 || (count(MASK) == 0 && !named))
        && count(USER) + count(GROUP) + count(MASK) + 3 == entries.len()
        && entries
            .iter()
            .all(|entry| !matches!(entry.tag, USER | GROUP) || entry.id != NO_ID)
}

fn encode(entries: &[Entry]) -> Vec<u8> {
    let mut value = VERSION.to_le_bytes().to_vec();
    for entry in entries {
        value.extend(entry.tag.to_le_bytes());
        value.extend(entry.rights.to_le_bytes());
        value.extend(entry.id.to_le_bytes());
    }
    value
}

/// What a list in text is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// The binary form.
    Binary(Vec<u8>),
    /// It names users or groups that have no number here; this is what the owning group has.
    Names(u16),
}

/// Reads the text of a list, `user::rw-,user:1000:r--,group::r--,mask::r--,other::---`; star adds the number behind a
/// name. `None` if it is none.
#[must_use]
pub fn parse(text: &[u8]) -> Option<Read> {
    let text = core::str::from_utf8(text).ok()?;
    let mut entries = Vec::new();
    let mut unknown = false;
    for line in text.split([',', '\n']).map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut parts = line.split(':');
        let (kind, name, rights) = (parts.next()?, parts.next()?, parts.next()?);
        let number = parts.next().unwrap_or(name);
        let (tag, named) = match (kind, name.is_empty()) {
            ("user" | "u", true) => (USER_OWNER, false),
            ("user" | "u", false) => (USER, true),
            ("group" | "g", true) => (GROUP_OWNER, false),
            ("group" | "g", false) => (GROUP, true),
            ("mask" | "m", true) => (MASK, false),
            ("other" | "o", true) => (OTHER, false),
            _ => return None,
        };
        let id = match named {
            true => number.parse().ok(),
            false => Some(NO_ID),
        };
        unknown |= id.is_none();
        entries.push(Entry {
            tag,
            rights: read_rights(rights)?,
            id: id.unwrap_or(0),
        });
    }
    entries.sort_by_key(|entry| (entry.tag, entry.id));
    if !is_in_order(&entries) {
        return None;
    }
    if unknown {
        let group = entries.iter().find(|entry| entry.tag == GROUP_OWNER)?;
        return Some(Read::Names(group.rights));
    }
    Some(Read::Binary(encode(&entries)))
}

fn read_rights(text: &str) -> Option<u16> {
    text.bytes().try_fold(0, |rights, byte| match byte {
        b'r' => Some(rights | 4),
        b'w' => Some(rights | 2),
        b'x' => Some(rights | 1),
        b'-' => Some(rights),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"user::rw-,user:1000:rw-,group::r--,group:7:r-x,mask::rw-,other::---";

    fn binary(text: &[u8]) -> Vec<u8> {
        match parse(text) {
            Some(Read::Binary(value)) => value,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn text_becomes_what_the_kernel_takes() {
        let value = binary(TEXT);
        assert!(is_valid(&value));
        assert_eq!(value.len(), 4 + 6 * ENTRY_BYTES);
        assert_eq!(
            value.get(..12),
            Some(&[2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255][..])
        );
        // In any order, with the number behind the name, in lines.
        let star = b"other::---\nuser::rw-\nmask::rw-\nuser:anna:rw-:1000\ngroup:wheel:r-x:7\ngroup::r--\n";
        assert_eq!(binary(star), value);
    }

    #[test]
    fn names_without_numbers_give_the_owning_group_only() {
        let text = b"user::rw-,user:anna:rw-,group::r--,mask::rw-,other::---";
        assert_eq!(parse(text), Some(Read::Names(4)));
    }

    #[test]
    fn what_is_no_list_is_none() {
        let texts: [&[u8]; 7] = [
            b"",
            b"user::rw-",
            b"user::rw-,group::r--,other::r--,other::r--",
            b"user::rw-,user:1:r--,group::r--,other::r--",
            b"user::rwz,group::r--,other::r--",
            b"user::rw-,group::r--,other:1:r--",
            b"\xff",
        ];
        for text in texts {
            assert_eq!(parse(text), None, "{}", text.escape_ascii());
        }
        let value = binary(TEXT);
        for wrong in [&value[..value.len() - 1], &value[..4], b"", &value[4..]] {
            assert!(!is_valid(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn a_mode_without_its_list_has_the_bits_of_the_owning_group() {
        let list = |text: &[u8]| {
            [Xattr {
                name: wanted::ACCESS_LIST.into(),
                value: binary(text),
            }]
        };
        assert_eq!(mode_without(0o4660, &list(TEXT)), 0o4640);
        // The mask bounds the owning group as well.
        let masked = b"user::rw-,group::rwx,mask::r--,other::r--";
        assert_eq!(mode_without(0o644, &list(masked)), 0o644);
        assert_eq!(mode_without(0o640, &[]), 0o640);
    }
}
