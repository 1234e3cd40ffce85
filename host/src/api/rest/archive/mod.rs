//! An archive on its way in: from the body of a request, through decompression, to the engine.
//!
//! The body arrives on the runtime's threads and is read on a blocking one; a bounded channel lies between. What
//! goes wrong on the way is noted, because the driver only learns that its source broke.
//!
//! Invariant: memory for one archive is bounded: some chunks, one decompression window, and nothing that grows with
//! the archive.

mod bound;
mod bridge;
mod decode;
mod zstd;

pub(super) use bridge::{bridge, drain};
pub(super) use decode::{Coding, Fault, Wanted, decode};
