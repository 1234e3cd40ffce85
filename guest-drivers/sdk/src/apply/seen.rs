//! Which paths an archive has brought.
//!
//! Invariant: 16 bytes for each path, whatever its length.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

/// The hash of a path from the top of the layer.
pub(super) type PathHash = u128;

/// The top's own hash: FNV-1a's offset basis.
pub(super) const TOP: PathHash = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
/// FNV-1a's prime for 128 bits is 2^88 and this.
const PRIME_LOW: u64 = 0x13b;
/// A table of this size fits into a guest's memory while it grows; real layers have a tenth of it.
const PATH_COUNT: usize = 1_800_000;

/// The hash of `name` within the directory with hash `parent`. An archive that is made to collide can only spare
/// names of its own layer from its own whiteouts.
pub(super) fn hash(parent: PathHash, name: &[u8]) -> PathHash {
    let step = |hash: PathHash, byte: u8| times_prime(hash ^ PathHash::from(byte));
    name.iter()
        .fold(step(parent, b'/'), |hash, byte| step(hash, *byte))
}

/// In halves and without a product of more than 64 bits, which WebAssembly does not have.
#[expect(clippy::cast_possible_truncation, reason = "halves are meant")]
const fn times_prime(hash: PathHash) -> PathHash {
    let (high, low) = ((hash >> 64) as u64, hash as u64);
    let below = (low & 0xffff_ffff) * PRIME_LOW;
    let middle = (low >> 32) * PRIME_LOW + (below >> 32);
    let high = high.wrapping_mul(PRIME_LOW).wrapping_add(middle >> 32);
    let high = high.wrapping_add(low << 24);
    (high as PathHash) << 64 | ((middle << 32) | (below & 0xffff_ffff)) as PathHash
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_in_halves_is_the_product() {
        let prime = 1 << 88 | PathHash::from(PRIME_LOW);
        let mut hash = TOP;
        for byte in 0..=u8::MAX {
            hash ^= PathHash::from(byte);
            assert_eq!(times_prime(hash), hash.wrapping_mul(prime), "{hash:x}");
            hash = times_prime(hash);
        }
        for edge in [0, 1, PathHash::MAX, PathHash::from(u64::MAX), 1 << 64] {
            assert_eq!(times_prime(edge), edge.wrapping_mul(prime), "{edge:x}");
        }
    }
}
