//! Looking for items in the trees of a file system: it knows what changed since when, so that no one has to look at
//! everything.
//!
//! A tree is as the kernel has it in memory, but what it has put off for the next transaction is not in it yet. Needs
//! the capability to administrate the machine: in a user namespace every search is EPERM.
//!
//! Invariant: what the kernel wrote is read within the bytes that it may write, whatever these say of their lengths.
#![expect(unsafe_code, reason = "these are arguments as the kernel has them")]

use std::io;
use std::ops::RangeInclusive;
use std::os::fd::BorrowedFd;

use rustix::ioctl::{Opcode, opcode};

use super::arguments::{Argument, GROUP, call};
use crate::raw::os_error;

/// Bytes of a page: no item is larger than the largest node of a tree.
const PAGE_BYTES: usize = 1 << 16;
/// Bytes of `struct btrfs_ioctl_search_header`, which stands before each item.
const HEADER_BYTES: usize = 32;

/// `struct btrfs_ioctl_search_key`.
#[derive(Clone, Copy)]
#[repr(C)]
struct SearchKey {
    tree: u64,
    objects: [u64; 2],
    offsets: [u64; 2],
    transactions: [u64; 2],
    kinds: [u32; 2],
    count: u32,
    unused: [u32; 9],
}

/// `struct btrfs_ioctl_search_args`: room for any item but those of files' content.
#[repr(C)]
struct Small {
    key: SearchKey,
    room: [u8; 3992],
}
// SAFETY: the kernel's type.
unsafe impl Argument for Small {
    const REQUEST: Opcode = opcode::read_write::<Self>(GROUP, 17);
}

/// `struct btrfs_ioctl_search_args_v2`, but for the room behind it.
#[repr(C)]
struct PageHead {
    key: SearchKey,
    room_bytes: u64,
}

/// `struct btrfs_ioctl_search_args_v2` with the room that it tells of.
#[repr(C)]
struct Page {
    head: PageHead,
    room: [u8; PAGE_BYTES],
}
// SAFETY: the kernel's type; `Page::new` alone makes one, and it says how long `room` is.
unsafe impl Argument for Page {
    const REQUEST: Opcode = opcode::read_write::<PageHead>(GROUP, 17);
}

impl Page {
    fn new(key: SearchKey) -> Box<Self> {
        Box::new(Self {
            head: PageHead {
                key,
                room_bytes: PAGE_BYTES as u64,
            },
            room: [0; PAGE_BYTES],
        })
    }
}

/// An item of a tree.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item<'a> {
    /// What it belongs to.
    pub(super) object: u64,
    pub(super) kind: u32,
    /// What distinguishes it from others of its kind.
    pub(super) offset: u64,
    bytes: &'a [u8],
}

impl<'a> Item<'a> {
    /// The bytes at a place; `None` where the item is shorter.
    pub(super) fn bytes_at<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        at_place(self.bytes, at)
    }

    /// The 64-bit number at a place.
    pub(super) fn u64_at(&self, at: usize) -> Option<u64> {
        self.bytes_at(at).map(u64::from_le_bytes)
    }

    /// The 32-bit number at a place.
    pub(super) fn u32_at(&self, at: usize) -> Option<u32> {
        self.bytes_at(at).map(u32::from_le_bytes)
    }

    /// What stands behind a place.
    pub(super) fn rest_at(&self, at: usize) -> Option<&'a [u8]> {
        self.bytes.get(at..)
    }
}

fn at_place<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// Takes the first item off what was found: a header, and as many bytes as that says.
fn split_first(found: &[u8]) -> Option<(Item<'_>, &[u8])> {
    let (header, rest) = found.split_at_checked(HEADER_BYTES)?;
    // The transaction comes first.
    let length = usize::try_from(u32::from_le_bytes(at_place(header, 28)?)).ok()?;
    let (bytes, rest) = rest.split_at_checked(length)?;
    let item = Item {
        object: u64::from_le_bytes(at_place(header, 8)?),
        offset: u64::from_le_bytes(at_place(header, 16)?),
        kind: u32::from_le_bytes(at_place(header, 24)?),
        bytes,
    };
    Some((item, rest))
}

/// What a search for one item, or a few, found.
pub(super) struct Found(Box<Small>);

impl Found {
    /// The item, if it is there.
    pub(super) fn item(&self) -> Option<Item<'_>> {
        if self.0.key.count == 0 {
            return None;
        }
        split_first(&self.0.room).map(|(item, _)| item)
    }

    /// All of the items.
    pub(super) fn items(&self) -> impl Iterator<Item = Item<'_>> {
        let mut rest = self.0.room.as_slice();
        (0..self.0.key.count).map_while(move |_| {
            let (item, behind) = split_first(rest)?;
            rest = behind;
            Some(item)
        })
    }
}

/// Which items are looked for: those of one kind.
#[derive(Clone)]
pub(super) struct Wanted {
    tree: u64,
    objects: RangeInclusive<u64>,
    offsets: RangeInclusive<u64>,
    kind: u32,
    last_kind: u32,
    oldest: u64,
}

impl Wanted {
    /// Items of some objects.
    pub(super) fn of(tree: u64, objects: RangeInclusive<u64>, kind: u32) -> Self {
        Self {
            tree,
            objects,
            offsets: 0..=u64::MAX,
            kind,
            last_kind: kind,
            oldest: 0,
        }
    }

    /// Items of one object.
    pub(super) fn one(tree: u64, object: u64, kind: u32) -> Self {
        Self::of(tree, object..=object, kind)
    }

    /// Only the item with this offset.
    pub(super) fn at(self, offset: u64) -> Self {
        Self {
            offsets: offset..=offset,
            ..self
        }
    }

    /// Those of one object of other kinds as well, up to one; for [`Wanted::find_some`] alone.
    pub(super) fn up_to(self, last_kind: u32) -> Self {
        Self { last_kind, ..self }
    }

    /// Skips what was written before a transaction. What lies beside something newer is found all the same.
    pub(super) fn since(self, transaction: u64) -> Self {
        Self {
            oldest: transaction,
            ..self
        }
    }

    fn key(&self, count: u32) -> SearchKey {
        SearchKey {
            tree: self.tree,
            objects: [*self.objects.start(), *self.objects.end()],
            offsets: [*self.offsets.start(), *self.offsets.end()],
            transactions: [self.oldest, u64::MAX],
            kinds: [self.kind, self.last_kind],
            count,
            unused: [0; 9],
        }
    }

    /// Finds the first of the items.
    ///
    /// # Errors
    /// ENOENT without such a tree, EPERM without the capability.
    pub(super) fn find(&self, node: BorrowedFd<'_>) -> io::Result<Found> {
        self.found(node, 1)
    }

    /// Finds the first of the items that fit into 4 KiB.
    ///
    /// # Errors
    /// As [`Wanted::find`]; EOVERFLOW if the first one does not fit.
    pub(super) fn find_some(&self, node: BorrowedFd<'_>) -> io::Result<Found> {
        self.found(node, u32::MAX)
    }

    fn found(&self, node: BorrowedFd<'_>, most: u32) -> io::Result<Found> {
        let mut small = Box::new(Small {
            key: self.key(most),
            room: [0; 3992],
        });
        call(node, &mut *small)?;
        Ok(Found(small))
    }

    /// Shows all of the items in their order, of at most one page at a time, so that no one waits for long. `go_on` is
    /// asked before each page.
    ///
    /// # Errors
    /// `Interrupted` once `go_on` says no; ENOENT without such a tree, EPERM without the capability; what `take` says.
    pub(super) fn each(
        &self,
        node: BorrowedFd<'_>,
        go_on: &dyn Fn() -> bool,
        take: &mut dyn FnMut(&Item<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut next = Some(self.key(u32::MAX));
        let mut page = Page::new(self.key(u32::MAX));
        while let Some(key) = next {
            if !go_on() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            page.head.key = key;
            call(node, &mut *page)?;
            next = None;
            let mut rest = page.room.as_slice();
            for _ in 0..page.head.key.count {
                let (item, behind) = split_first(rest).ok_or_else(|| os_error(libc::EIO))?;
                // Between two of a kind lie those of other kinds.
                if item.kind == self.kind {
                    take(&item)?;
                }
                next = self.behind(&item);
                rest = behind;
            }
        }
        Ok(())
    }

    /// Where a search goes on behind an item: at the next place where one of the kind may lie.
    fn behind(&self, item: &Item<'_>) -> Option<SearchKey> {
        let (object, offset) = match item.kind.cmp(&self.kind) {
            std::cmp::Ordering::Less => (item.object, 0),
            std::cmp::Ordering::Equal if item.offset < u64::MAX => (item.object, item.offset + 1),
            _ => (item.object.checked_add(1)?, 0),
        };
        let mut key = self.key(u32::MAX);
        key.objects[0] = object;
        key.offsets[0] = offset;
        (object <= *self.objects.end()).then_some(key)
    }
}

/// That every type is laid out as the kernel's, without which it would read and write at other places.
const _: () = {
    use std::mem::offset_of;
    assert!(size_of::<SearchKey>() == 104 && offset_of!(SearchKey, objects) == 8);
    assert!(offset_of!(SearchKey, offsets) == 24 && offset_of!(SearchKey, transactions) == 40);
    assert!(offset_of!(SearchKey, kinds) == 56 && offset_of!(SearchKey, count) == 64);
    assert!(size_of::<Small>() == 4096 && offset_of!(Small, room) == 104);
    assert!(size_of::<PageHead>() == 112 && offset_of!(PageHead, room_bytes) == 104);
    assert!(offset_of!(Page, room) == 112 && size_of::<Page>() == 112 + PAGE_BYTES);
};

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel writes for an item.
    fn raw(object: u64, kind: u32, offset: u64, bytes: &[u8], length: u32) -> Vec<u8> {
        let mut raw = 7_u64.to_le_bytes().to_vec();
        raw.extend(object.to_le_bytes());
        raw.extend(offset.to_le_bytes());
        raw.extend(kind.to_le_bytes());
        raw.extend(length.to_le_bytes());
        raw.extend(bytes);
        raw
    }

    #[test]
    fn items_are_taken_within_what_was_found() {
        let two = [raw(256, 1, 0, &[5; 9], 9), raw(257, 12, 256, &[], 0)].concat();
        let (first, rest) = split_first(&two).unwrap();
        assert_eq!((first.object, first.kind, first.offset), (256, 1, 0));
        assert_eq!(first.u64_at(1), Some(0x0505_0505_0505_0505));
        assert_eq!((first.u64_at(2), first.u64_at(usize::MAX)), (None, None));
        assert_eq!(first.u32_at(5), Some(0x0505_0505));
        assert_eq!(first.rest_at(9), Some(&[][..]));
        assert_eq!(first.rest_at(10), None);
        let (second, rest) = split_first(rest).unwrap();
        assert_eq!((second.object, second.kind, second.offset), (257, 12, 256));
        assert!(rest.is_empty() && split_first(rest).is_none());
        for length in [10, 1 << 20, u32::MAX] {
            assert!(split_first(&raw(256, 1, 0, &[5; 9], length)).is_none());
        }
    }

    #[test]
    fn a_search_goes_on_where_the_next_of_its_kind_may_lie() {
        let wanted = Wanted::of(5, 256..=300, 12).since(9);
        let place = |object, kind, offset| {
            let item = Item {
                object,
                kind,
                offset,
                bytes: &[],
            };
            let key = wanted.behind(&item)?;
            assert_eq!((key.tree, key.transactions[0], key.kinds), (5, 9, [12, 12]));
            assert_eq!((key.objects[1], key.offsets[1]), (300, u64::MAX));
            Some((key.objects[0], key.offsets[0]))
        };
        assert_eq!(place(256, 1, 99), Some((256, 0)));
        assert_eq!(place(256, 12, 99), Some((256, 100)));
        assert_eq!(place(256, 12, u64::MAX), Some((257, 0)));
        assert_eq!(place(256, 108, 0), Some((257, 0)));
        assert_eq!(place(300, 108, 0), None);
    }
}
