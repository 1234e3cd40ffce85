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
use std::path::PathBuf;

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

impl Numbers {
    /// Begins above what was reserved and above the `highest` number that is in use. A file that is missing or
    /// damaged is made anew.
    pub(super) fn open(path: PathBuf, highest: u64, durability: Durability) -> io::Result<Self> {
        let reserved = match files::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).trim().parse().unwrap_or(0),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        let next = reserved.max(highest.saturating_add(1));
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
            files::replace(&self.path, format!("{end}\n").as_bytes(), self.durability)?;
            block.end = end;
        }
        let number = block.next;
        block.next += 1;
        Ok(number)
    }
}
