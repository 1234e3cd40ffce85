//! The mount table by `listmount` and `statmount` (Linux 6.8): numbers and bytes, no text to parse.
//!
//! Invariant: what the kernel wrote is read as bytes at checked offsets.
#![expect(
    unsafe_code,
    reason = "neither rustix nor libc wraps listmount and statmount"
)]

use std::io;
use std::sync::OnceLock;

use super::MountEntry;
use crate::raw::{check, is};

const SYS_STATMOUNT: libc::c_long = 457;
const SYS_LISTMOUNT: libc::c_long = 458;

/// `LSMT_ROOT`: the root of this process's mount name space.
const ROOT: u64 = u64::MAX;
/// Ids that one `listmount` may give.
const PAGE_COUNT: usize = 512;

/// `STATMOUNT_MNT_BASIC`, `_MNT_ROOT`, `_MNT_POINT`, `_FS_TYPE` and `_SB_SOURCE` (Linux 6.13).
const WANTED: u64 = 0x2 | 0x8 | 0x10 | 0x20 | 0x200;

/// Where the fields of `struct statmount` lie, and how long it is before its strings.
const MASK: usize = 8;
const FS_TYPE: usize = 36;
const MOUNT_ID: usize = 40;
const PARENT_ID: usize = 48;
const MOUNT_ROOT: usize = 104;
const MOUNT_POINT: usize = 108;
const SB_SOURCE: usize = 124;
const STRINGS: usize = 512;

/// The first size of the buffer, and the most that is tried.
const FIRST_BYTES: usize = 4 * 1024;
const MAX_BYTES: usize = 1024 * 1024;

/// `struct mnt_id_req` of `linux/mount.h`, in its first version.
#[repr(C)]
struct MountIdRequest {
    size: u32,
    spare: u32,
    mount_id: u64,
    parameter: u64,
}

impl MountIdRequest {
    fn new(mount_id: u64, parameter: u64) -> Self {
        // Three words: what every kernel with these calls takes.
        Self {
            size: 24,
            spare: 0,
            mount_id,
            parameter,
        }
    }
}

/// Whether the kernel lists mounts by their unique ids. Asked once.
pub(crate) fn has_statmount() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| list_page(0, &mut [0; 1]).is_ok())
}

/// All mounts of this process's name space that can be told.
#[expect(
    clippy::indexing_slicing,
    reason = "a page holds no more than it has room for"
)]
pub(super) fn all() -> io::Result<Vec<MountEntry>> {
    let mut entries = Vec::new();
    let mut page = vec![0_u64; PAGE_COUNT];
    let mut last = 0;
    // The root of the name space is not below itself, so it is told first.
    loop {
        let count = list_page(last, &mut page)?;
        let ids = &page[..count];
        for id in ids {
            entries.extend(describe(*id)?);
        }
        match ids.last() {
            Some(id) if count == PAGE_COUNT => last = *id,
            _ => return Ok(entries),
        }
    }
}

/// The ids after `after`, as many as fit.
fn list_page(after: u64, ids: &mut [u64]) -> io::Result<usize> {
    let request = MountIdRequest::new(ROOT, after);
    // SAFETY: `request` has the layout and size that it tells, and the kernel writes at most
    // `ids.len()` words into `ids`, which is borrowed mutably for the call.
    let returned = unsafe {
        libc::syscall(
            SYS_LISTMOUNT,
            &raw const request,
            ids.as_mut_ptr(),
            ids.len(),
            0_usize,
        )
    };
    check(returned)
}

/// One mount; `None` when it is gone by now or lies outside of this process's root.
fn describe(mount_id: u64) -> io::Result<Option<MountEntry>> {
    let mut buffer = vec![0_u8; FIRST_BYTES];
    loop {
        match fill(mount_id, &mut buffer) {
            Ok(()) => return Ok(read_entry(&buffer)),
            // Others unmount while the list is read, and EPERM is what lies outside of a chroot.
            Err(error) if is(&error, libc::ENOENT) || is(&error, libc::EPERM) => return Ok(None),
            Err(error) if is(&error, libc::EOVERFLOW) && buffer.len() < MAX_BYTES => {
                buffer = vec![0; buffer.len() * 2];
            }
            Err(error) => return Err(error),
        }
    }
}

/// One `statmount`.
fn fill(mount_id: u64, buffer: &mut [u8]) -> io::Result<()> {
    let request = MountIdRequest::new(mount_id, WANTED);
    // SAFETY: `request` has the layout and size that it tells, and the kernel writes at most
    // `buffer.len()` bytes into the buffer, which is borrowed mutably for the call.
    let returned = unsafe {
        libc::syscall(
            SYS_STATMOUNT,
            &raw const request,
            buffer.as_mut_ptr(),
            buffer.len(),
            0_usize,
        )
    };
    check(returned).map(drop)
}

/// Reads what the kernel wrote.
pub(super) fn read_entry(buffer: &[u8]) -> Option<MountEntry> {
    let mask = u64_at(buffer, MASK)?;
    let string = |bit: u64, offset: usize| {
        // Earlier kernels leave out what they do not know, and say so in the mask.
        if mask & bit == 0 {
            Some(Vec::new())
        } else {
            string_at(buffer, offset)
        }
    };
    Some(MountEntry {
        mount_id: u64_at(buffer, MOUNT_ID)?,
        parent_id: u64_at(buffer, PARENT_ID)?,
        root: string(0x8, MOUNT_ROOT)?,
        mount_point: string(0x10, MOUNT_POINT)?,
        fs_type: string(0x20, FS_TYPE)?,
        source: string(0x200, SB_SOURCE)?,
    })
}

fn u64_at(buffer: &[u8], offset: usize) -> Option<u64> {
    let bytes = buffer.get(offset..)?.first_chunk::<8>()?;
    Some(u64::from_ne_bytes(*bytes))
}

/// The string whose place among the strings is kept at `offset`.
fn string_at(buffer: &[u8], offset: usize) -> Option<Vec<u8>> {
    let place = u32::from_ne_bytes(*buffer.get(offset..)?.first_chunk::<4>()?);
    let strings = buffer.get(STRINGS..)?.get(usize::try_from(place).ok()?..)?;
    let end = strings.iter().position(|byte| *byte == 0)?;
    strings.get(..end).map(<[u8]>::to_vec)
}
