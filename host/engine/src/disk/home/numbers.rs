//! The numbers of layers.
//!
//! Numbers are reserved in blocks: the file `numbers` says from where on none was given out yet, so that a number
//! is never given twice, not even after a crash or when the highest layer was removed.
//!
//! Invariant: the file is on the device before a number of its block is given out.

use crate::disk::files;
use crate::settings::Durability;
use parking_lot::Mutex;
use std::io;
use std::path::{Path, PathBuf};

/// Numbers reserved at a time: one write for as many layers; a start throws the rest of a block away.
const NUMBERS_PER_BLOCK: u64 = 256;

/// Gives numbers out.
#[derive(Debug)]
pub(super) struct Numbers {
    path: PathBuf,
    durability: Durability,
    block: Mutex<Block>,
}

#[derive(Debug)]
struct Block {
    next: u64,
    end: u64,
}

/// The number from which on all are free, as the file says it; none if it is missing or makes no sense.
pub(crate) fn look(path: &Path) -> io::Result<Option<u64>> {
    match files::read(path) {
        Ok(bytes) => Ok(files::to_number(&bytes)),
        // Too large to be one of ours.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Numbers {
    /// Begins above what was reserved and above the `highest` number that is in use. A file that is missing or
    /// damaged is made anew.
    pub(super) fn open(path: PathBuf, highest: u64, durability: Durability) -> io::Result<Self> {
        let reserved = look(&path)?;
        let next = reserved.unwrap_or(0).max(highest.saturating_add(1));
        let is_new = highest == 0 && !path.exists();
        if reserved.is_none_or(|reserved| reserved <= highest) && !is_new {
            // Without it, the next start might give out the number of a layer that is removed until then.
            let mended = files::replace(&path, files::of_number(next).as_bytes(), durability);
            if let Err(error) = mended {
                tracing::debug!(path = %path.display(), %error, "the numbers are written with the next layer");
            }
        }
        Ok(Self {
            path,
            durability,
            block: Mutex::new(Block { next, end: next }),
        })
    }

    /// Gives out a number that was never given out before.
    pub(super) fn next(&self) -> io::Result<u64> {
        let mut block = self.block.lock();
        if block.next >= block.end {
            let end = block.next.saturating_add(NUMBERS_PER_BLOCK);
            files::replace(
                &self.path,
                files::of_number(end).as_bytes(),
                self.durability,
            )?;
            block.end = end;
        }
        let number = block.next;
        block.next += 1;
        Ok(number)
    }
}
