//! The arguments of the calls, as `linux/btrfs.h` has them.
//!
//! Invariant: a type here has the size and layout of the kernel's, and is all zeros to begin with.
#![expect(
    unsafe_code,
    reason = "neither rustix nor libc wraps the calls of btrfs"
)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::ioctl::{Opcode, opcode};

use crate::Name;
use crate::raw::{check, os_error};

/// `BTRFS_IOCTL_MAGIC`.
pub(super) const GROUP: u8 = 0x94;

/// An argument of one call.
///
/// # Safety
/// The type must be what the kernel reads and writes for `REQUEST`: its size, its layout, and any bytes valid.
pub(super) unsafe trait Argument {
    /// The call's number.
    const REQUEST: Opcode;
}

/// Calls btrfs about an open node.
pub(super) fn call<T: Argument>(fd: BorrowedFd<'_>, argument: &mut T) -> io::Result<()> {
    // SAFETY: by the promise of `Argument` the kernel reads and writes only within `argument`, which outlives the
    // call and has no pointers in it.
    let returned = unsafe {
        libc::ioctl(
            fd.as_raw_fd(),
            T::REQUEST as libc::Ioctl,
            std::ptr::from_mut(argument),
        )
    };
    check(returned.into()).map(drop)
}

/// `struct btrfs_ioctl_vol_args`.
#[repr(C)]
struct Volume {
    fd: i64,
    name: [u8; 4088],
}

/// `struct btrfs_ioctl_vol_args_v2`.
#[repr(C)]
struct Volume2 {
    fd: i64,
    transaction: u64,
    flags: u64,
    unused: [u64; 4],
    name: [u8; 4040],
}

/// `BTRFS_IOC_SUBVOL_CREATE_V2`.
#[repr(transparent)]
pub(super) struct Create(Volume2);
// SAFETY: the kernel's type.
unsafe impl Argument for Create {
    const REQUEST: Opcode = opcode::write::<Volume2>(GROUP, 24);
}

impl Create {
    pub(super) fn new(name: &Name) -> io::Result<Self> {
        Volume2::new(0, 0, name).map(Self)
    }
}

/// `BTRFS_IOC_SNAP_CREATE_V2`.
#[repr(transparent)]
pub(super) struct Snapshot(Volume2);
// SAFETY: the kernel's type.
unsafe impl Argument for Snapshot {
    const REQUEST: Opcode = opcode::write::<Volume2>(GROUP, 23);
}

impl Snapshot {
    pub(super) fn new(original: BorrowedFd<'_>, flags: u64, name: &Name) -> io::Result<Self> {
        Volume2::new(original.as_raw_fd().into(), flags, name).map(Self)
    }
}

/// `BTRFS_IOC_SNAP_DESTROY`.
#[repr(transparent)]
pub(super) struct Destroy(Volume);
// SAFETY: the kernel's type.
unsafe impl Argument for Destroy {
    const REQUEST: Opcode = opcode::write::<Volume>(GROUP, 15);
}

impl Destroy {
    pub(super) fn new(name: &Name) -> io::Result<Self> {
        let mut volume = Volume {
            fd: 0,
            name: [0; 4088],
        };
        fill(&mut volume.name, name)?;
        Ok(Self(volume))
    }
}

impl Volume2 {
    fn new(fd: i64, flags: u64, name: &Name) -> io::Result<Self> {
        let mut volume = Self {
            fd,
            transaction: 0,
            flags,
            unused: [0; 4],
            name: [0; 4040],
        };
        fill(&mut volume.name, name)?;
        Ok(volume)
    }
}

/// Writes a name; what follows it stays zero.
fn fill(room: &mut [u8], name: &Name) -> io::Result<()> {
    let bytes = name.as_bytes();
    let place = room.get_mut(..bytes.len());
    place
        .ok_or_else(|| os_error(libc::ENAMETOOLONG))?
        .copy_from_slice(bytes);
    Ok(())
}

/// `BTRFS_IOC_SUBVOL_GETFLAGS`.
#[derive(Default)]
#[repr(transparent)]
pub(super) struct GetFlags(pub(super) u64);
// SAFETY: the kernel's type.
unsafe impl Argument for GetFlags {
    const REQUEST: Opcode = opcode::read::<u64>(GROUP, 25);
}

/// `BTRFS_IOC_SUBVOL_SETFLAGS`.
#[repr(transparent)]
pub(super) struct SetFlags(pub(super) u64);
// SAFETY: the kernel's type.
unsafe impl Argument for SetFlags {
    const REQUEST: Opcode = opcode::write::<u64>(GROUP, 26);
}

/// `BTRFS_IOC_START_SYNC`.
#[derive(Default)]
#[repr(transparent)]
pub(super) struct StartSync(u64);
// SAFETY: the kernel's type.
unsafe impl Argument for StartSync {
    const REQUEST: Opcode = opcode::read::<u64>(GROUP, 24);
}

/// `BTRFS_IOC_INO_LOOKUP`: `struct btrfs_ioctl_ino_lookup_args`.
#[repr(C)]
pub(super) struct Lookup {
    pub(super) tree: u64,
    pub(super) object: u64,
    name: [u8; 4080],
}
// SAFETY: the kernel's type.
unsafe impl Argument for Lookup {
    const REQUEST: Opcode = opcode::read_write::<Self>(GROUP, 18);
}

impl Lookup {
    pub(super) fn new(object: u64) -> Self {
        Self {
            tree: 0,
            object,
            name: [0; 4080],
        }
    }
}

/// `BTRFS_IOC_INO_LOOKUP_USER`: `struct btrfs_ioctl_ino_lookup_user_args`.
#[repr(C)]
pub(super) struct LookupUser {
    directory: u64,
    tree: u64,
    name: [u8; 256],
    path: [u8; 3824],
}
// SAFETY: the kernel's type.
unsafe impl Argument for LookupUser {
    const REQUEST: Opcode = opcode::read_write::<Self>(GROUP, 62);
}

impl LookupUser {
    pub(super) fn new(reference: Reference) -> Self {
        Self {
            directory: reference.directory,
            tree: reference.tree,
            name: [0; 256],
            path: [0; 3824],
        }
    }

    /// The components of the path from the subvolume that was asked to the one below it.
    pub(super) fn components(&self) -> io::Result<Vec<Name>> {
        let text = |bytes: &[u8]| bytes.split(|byte| *byte == 0).next().map(<[u8]>::to_vec);
        let mut path = text(&self.path).unwrap_or_default();
        path.push(b'/');
        path.extend(text(&self.name).unwrap_or_default());
        path.split(|byte| *byte == b'/')
            .filter(|part| !part.is_empty())
            .map(|part| Name::new(part).or(Err(os_error(libc::EIO))))
            .collect()
    }
}

/// Where a subvolume hangs in another: its id and the inode of its directory.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(super) struct Reference {
    pub(super) tree: u64,
    pub(super) directory: u64,
}

/// `BTRFS_IOC_GET_SUBVOL_ROOTREF`: `struct btrfs_ioctl_get_subvol_rootref_args`.
#[repr(C)]
pub(super) struct References {
    from_tree: u64,
    references: [Reference; 255],
    count: u8,
    unused: [u8; 7],
}
// SAFETY: the kernel's type.
unsafe impl Argument for References {
    const REQUEST: Opcode = opcode::read_write::<Self>(GROUP, 61);
}

impl References {
    pub(super) fn new() -> Self {
        Self {
            from_tree: 0,
            references: [Reference::default(); 255],
            count: 0,
            unused: [0; 7],
        }
    }

    /// What the last call found. The next call goes on behind it.
    #[expect(
        clippy::indexing_slicing,
        reason = "the kernel counts what it wrote there: without it subvolumes would be left behind unseen"
    )]
    pub(super) fn found(&self) -> &[Reference] {
        &self.references[..usize::from(self.count)]
    }
}

/// `BTRFS_IOC_QUOTA_CTL`: `struct btrfs_ioctl_quota_ctl_args`.
#[repr(C)]
pub(super) struct QuotaControl {
    command: u64,
    status: u64,
}
// SAFETY: the kernel's type.
unsafe impl Argument for QuotaControl {
    const REQUEST: Opcode = opcode::read_write::<Self>(GROUP, 40);
}

impl QuotaControl {
    /// `BTRFS_QUOTA_CTL_ENABLE`.
    pub(super) fn enable() -> Self {
        Self {
            command: 1,
            status: 0,
        }
    }
}

/// `BTRFS_IOC_QGROUP_CREATE`: `struct btrfs_ioctl_qgroup_create_args`.
#[repr(C)]
pub(super) struct RemoveGroup {
    create: u64,
    group: u64,
}
// SAFETY: the kernel's type.
unsafe impl Argument for RemoveGroup {
    const REQUEST: Opcode = opcode::write::<Self>(GROUP, 42);
}

impl RemoveGroup {
    pub(super) fn new(group: u64) -> Self {
        Self { create: 0, group }
    }
}

/// `BTRFS_IOC_QGROUP_LIMIT`: `struct btrfs_ioctl_qgroup_limit_args`.
#[repr(C)]
pub(super) struct Limit {
    pub(super) group: u64,
    pub(super) flags: u64,
    pub(super) referenced: u64,
    pub(super) exclusive: u64,
    pub(super) reserved: [u64; 2],
}
// SAFETY: the kernel's type.
unsafe impl Argument for Limit {
    const REQUEST: Opcode = opcode::read::<Self>(GROUP, 43);
}

/// That every type has the kernel's size, without which the numbers of the calls would be wrong.
const _: () = {
    assert!(size_of::<Volume>() == 4096 && size_of::<Volume2>() == 4096);
    assert!(size_of::<Lookup>() == 4096 && size_of::<LookupUser>() == 4096);
    assert!(size_of::<References>() == 4096);
    assert!(size_of::<Limit>() == 48 && size_of::<QuotaControl>() == 16);
};
