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

#[cfg(test)]
mod tests {
    use super::*;

    /// The original's table, driver.go:14-65 of Docker at 7cfe438.
    const ORIGINAL: [(&str, u32, &str); 14] = [
        ("FsMagicBtrfs", 0x9123_683e, "btrfs"),
        ("FsMagicAufs", 0x6175_6673, "aufs"),
        ("FsMagicExtfs", 0x0000_ef53, "extfs"),
        ("FsMagicCramfs", 0x28cd_3d45, "cramfs"),
        ("FsMagicRamFs", 0x8584_58f6, "ramfs"),
        ("FsMagicTmpFs", 0x0102_1994, "tmpfs"),
        ("FsMagicSquashFs", 0x7371_7368, "squashfs"),
        ("FsMagicNfsFs", 0x0000_6969, "nfs"),
        ("FsMagicReiserFs", 0x5265_4973, "reiserfs"),
        ("FsMagicSmbFs", 0x0000_517b, "smb"),
        ("FsMagicJffs2Fs", 0x0000_72b6, "jffs2"),
        ("FsMagicZfs", 0x2fc1_2fc1, "zfs"),
        ("FsMagicXfs", 0x5846_5342, "xfs"),
        ("FsMagicUnsupported", 0x0000_0000, "unsupported"),
    ];

    #[test]
    fn the_original_s_fourteen_come_first_and_no_number_or_name_comes_twice() {
        for ((constant, magic, name), found) in ORIGINAL.into_iter().zip(MAGICS) {
            assert_eq!((magic, name, constant), *found);
            assert_eq!(name_of(magic), Some(name));
        }
        for (index, (magic, name, constant)) in MAGICS.iter().enumerate() {
            let again = MAGICS[index + 1..]
                .iter()
                .any(|other| other.0 == *magic || other.1 == *name || other.2 == *constant);
            assert!(!again, "{name}");
        }
        assert_eq!(name_of(0x9fa0), None);
    }
}
