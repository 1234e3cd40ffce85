//! The types of file systems by their magic numbers: the original's FsMagic and FsNames.
//!
//! Invariant: the fourteen of the original come first and keep its names, constants and order.

/// Magic number, name and the original's constant of each known type. The first fourteen are the
/// original's; the others came later.
pub const MAGICS: &[(u32, &str, &str)] = &[
    (0x9123_683e, "btrfs", "FsMagicBtrfs"),
    (0x6175_6673, "aufs", "FsMagicAufs"),
    (0x0000_ef53, "extfs", "FsMagicExtfs"),
    (0x28cd_3d45, "cramfs", "FsMagicCramfs"),
    (0x8584_58f6, "ramfs", "FsMagicRamFs"),
    (0x0102_1994, "tmpfs", "FsMagicTmpFs"),
    (0x7371_7368, "squashfs", "FsMagicSquashFs"),
    (0x0000_6969, "nfs", "FsMagicNfsFs"),
    (0x5265_4973, "reiserfs", "FsMagicReiserFs"),
    (0x0000_517b, "smb", "FsMagicSmbFs"),
    (0x0000_72b6, "jffs2", "FsMagicJffs2Fs"),
    (0x2fc1_2fc1, "zfs", "FsMagicZfs"),
    (0x5846_5342, "xfs", "FsMagicXfs"),
    (0x0000_0000, "unsupported", "FsMagicUnsupported"),
    (0x0000_f15f, "ecryptfs", "FsMagicEcryptfs"),
    (0xf2f5_2010, "f2fs", "FsMagicF2fs"),
    (0x4750_4653, "gpfs", "FsMagicGPFS"),
    (0x3153_464a, "jfs", "FsMagicJfs"),
    (0xa501_fcf5, "vxfs", "FsMagicVxFS"),
    (0x794c_7630, "overlayfs", "FsMagicOverlay"),
    (0x6573_5546, "fuse", "FsMagicFUSE"),
];

/// The name of a file system type: the original's FsNames. `None` for a type that it does not know.
pub fn name_of(magic: u32) -> Option<&'static str> {
    MAGICS
        .iter()
        .find(|(known, _, _)| *known == magic)
        .map(|(_, name, _)| *name)
}
