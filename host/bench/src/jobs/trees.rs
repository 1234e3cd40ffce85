//! Trees to work on.
//!
//! Invariant: the same arguments make the same tree.

use anyhow::Result;
use std::fs;
use std::path::Path;

/// Directories of [`many_files`], and files in each.
const DIRECTORIES: usize = 500;
const FILES: usize = 100;
/// Every how many files one is changed by [`change_some`].
const CHANGED: usize = 500;

/// 50,000 files of 64 bytes in 500 directories.
pub(super) fn many_files(root: &Path) -> Result<()> {
    for directory in 0..DIRECTORIES {
        let path = root.join(format!("d{directory:03}"));
        fs::create_dir(&path)?;
        for file in 0..FILES {
            fs::write(path.join(format!("f{file:03}")), [b'x'; 64])?;
        }
    }
    Ok(())
}

/// Changes 100 of the files.
pub(super) fn change_some(root: &Path) -> Result<()> {
    for number in (0..DIRECTORIES * FILES).step_by(CHANGED) {
        let (directory, file) = (number / FILES, number % FILES);
        fs::write(root.join(format!("d{directory:03}/f{file:03}")), [b'y'; 65])?;
    }
    Ok(())
}

/// How many [`change_some`] changes, with the directories that hold them.
pub(super) const CHANGES: usize = 2 * DIRECTORIES * FILES / CHANGED;
