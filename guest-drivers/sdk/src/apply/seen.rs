//! Which paths an archive has brought.
//!
//! Invariant: 16 bytes for each path, whatever its length.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

/// The hash of a path from the top of the layer.
pub(super) type PathHash = u128;

/// The top's own hash: FNV-1a's offset basis.
pub(super) const TOP: PathHash = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
/// FNV-1a's prime for 128 bits.
const PRIME: PathHash = 0x0000_0000_0100_0000_0000_0000_0000_013b;
/// A table of this size fits into a guest's memory while it grows; real layers have a tenth of it.
const PATH_COUNT: usize = 1_800_000;

/// The hash of `name` within the directory with hash `parent`. An archive that is made to collide can only spare
/// names of its own layer from its own whiteouts.
pub(super) fn hash(parent: PathHash, name: &[u8]) -> PathHash {
    let step = |hash: PathHash, byte: u8| (hash ^ PathHash::from(byte)).wrapping_mul(PRIME);
    name.iter()
        .fold(step(parent, b'/'), |hash, byte| step(hash, *byte))
}

/// The paths seen so far.
#[derive(Debug, Default)]
pub(super) struct Seen(HashSet<PathHash, BuildHasherDefault<Folded>>);

impl Seen {
    /// Adds a path.
    pub(super) fn insert(&mut self, path: PathHash) -> Result<(), String> {
        self.0.insert(path);
        if self.0.len() > PATH_COUNT {
            return Err(format!("the archive brings over {PATH_COUNT} paths"));
        }
        Ok(())
    }

    /// Whether a path was added.
    pub(super) fn contains(&self, path: PathHash) -> bool {
        self.0.contains(&path)
    }
}

/// The paths' hashes are good as they are. The standard library's would ask for random numbers.
#[derive(Debug, Default)]
struct Folded(u64);

impl Hasher for Folded {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word.iter_mut().zip(part).for_each(|(to, from)| *to = *from);
            self.0 = self.0.rotate_left(23) ^ u64::from_le_bytes(word);
        }
    }
}
