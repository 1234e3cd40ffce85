//! The rules.

/// A rule that an image breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the text of each rule says what it is")]
pub enum Rule {
    #[error(
        "an image is a multiple of 512 bytes long, from 1536 on, and its blocks can be counted in 32 bits"
    )]
    Length,
    #[error("what is no part of anything is zero")]
    Zeros,
    #[error("the magic number is that of EROFS")]
    Magic,
    #[error("the superblock's checksum is right")]
    Checksum,
    #[error("the features are checksum and times, chunks and devices, and no other")]
    Features,
    #[error("blocks have 512 bytes")]
    BlockSize,
    #[error("the superblock counts the inodes and blocks that there are")]
    Counts,
    #[error("the identifier is the beginning of the archive's digest")]
    Identifier,
    #[error("the superblock's other fields are zero")]
    Superblock,
    #[error("there is one device, in slot 9")]
    Devices,
    #[error("the device's tag is a SHA-256 in hexadecimal digits")]
    Tag,
    #[error("the device's other fields say where the image ends, and nothing else")]
    Slot,
    #[error("the root is a directory")]
    Root,
    #[error("inodes are extended ones of the layouts plain, inline and chunks")]
    Format,
    #[error("an inode lies within the image, where the one before lets it begin")]
    Place,
    #[error("a type is regular, directory, symbolic link, device or pipe")]
    Kind,
    #[error(
        "an inode's reserved fields are zero, its number runs, its time has less than a second behind the second"
    )]
    Inode,
    #[error("a layout fits the type and the size")]
    Layout,
    #[error("blocks lie behind the inodes, in the order of these, and the image ends with them")]
    Blocks,
    #[error("a symbolic link has 1 to 4095 bytes and no NUL")]
    Target,
    #[error("a deletion is a character device 0:0 without rights, owner, time and attributes")]
    Deletion,
    #[error("the chunks of a file are as large as its size asks for, and not too many")]
    ChunkSize,
    #[error("a chunk lies in the archive, behind a header, or is a hole")]
    Chunk,
    #[error("a list of extended attributes is as long as it says, in order, and padded with zeros")]
    XattrList,
    #[error("an extended attribute is of `user.`, `trusted.` or `security.`, or is an access list")]
    XattrName,
    #[error("marks of overlayfs are `opaque` with `y` and an empty `origin`, on directories")]
    OverlayMark,
    #[error("a directory with deletions is marked `origin`")]
    Origin,
    #[error("the entries of a directory fill each block in the order of their offsets")]
    Entries,
    #[error("a name has 1 to 255 bytes, no slash and no NUL")]
    Name,
    #[error("names are in byte order, each once")]
    Order,
    #[error("`.` is the directory and `..` the one above")]
    Dots,
    #[error("an entry has the type of its inode")]
    EntryType,
    #[error("a directory has one name")]
    Tree,
    #[error("an inode counts its names")]
    Links,
}

/// An image that is not to be mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {at} of the index a rule is broken: {rule}")]
pub struct Refusal {
    /// The rule.
    pub rule: Rule,
    /// The byte of the image where what breaks it begins.
    pub at: u64,
}

impl Rule {
    /// A refusal by this rule.
    pub(crate) fn at(self, at: u64) -> Refusal {
        Refusal { rule: self, at }
    }

    /// Refuses unless something holds.
    pub(crate) fn check(self, holds: bool, at: u64) -> Result<(), Refusal> {
        match holds {
            true => Ok(()),
            false => Err(self.at(at)),
        }
    }
}
