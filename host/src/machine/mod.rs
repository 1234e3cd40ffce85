//! What the machine offers: its kernel, the rights of this process, the file system below a path.
//!
//! Invariant: no state; what a try makes on disk, it removes. The command line may not make raw calls, so they are
//! made here.

mod capabilities;
mod examine;

use std::io;
use std::path::{Path, PathBuf};

use mica_sys::filesystem;

pub(crate) use capabilities::{capability_names, needed_capabilities};
pub(crate) use examine::examine;

/// The type of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileSystem {
    /// The original's FsMagic.
    pub(crate) magic: u32,
    /// The original's name for it, or `<unknown>`.
    pub(crate) name: &'static str,
    /// The original's constant for it.
    pub(crate) constant: Option<&'static str>,
}

/// The type of the file system of a path: of the path itself if it exists, else of its parent.
///
/// # Errors
/// Not found when neither exists.
pub(crate) fn file_system(path: &Path) -> io::Result<FileSystem> {
    let magic = filesystem::magic_of_path(path)?;
    let known = filesystem::MAGICS
        .iter()
        .find(|(known, ..)| *known == magic);
    Ok(FileSystem {
        magic,
        name: known.map_or("<unknown>", |(_, name, _)| *name),
        constant: known.map(|(.., constant)| *constant),
    })
}

/// What a thing is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing works without it.
    All,
    /// Some drivers do not work without it; which, they say themselves.
    Some,
    /// Things are faster or safer with it.
    Nice,
}

impl Need {
    /// The same in words.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::All => "needed by every driver",
            Self::Some => "needed by some drivers",
            Self::Nice => "not needed; better with it",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    /// What it is called.
    pub(crate) name: &'static str,
    /// What it is needed for.
    pub(crate) need: Need,
    /// What it is good for, in a few words.
    pub(crate) detail: &'static str,
    /// Why it is not there and what to do; `None` if it is there.
    pub(crate) missing: Option<String>,
}

/// What was found.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    /// The directory that was tried: the one that was asked for, or the nearest above it that exists.
    pub(crate) path: PathBuf,
    /// The kernel's release.
    pub(crate) kernel: String,
    /// The name of the type of the file system.
    pub(crate) file_system: &'static str,
    /// Its room.
    pub(crate) room: filesystem::Statfs,
    /// Everything that was looked at, what matters most first.
    pub(crate) checks: Vec<Check>,
}
