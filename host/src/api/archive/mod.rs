//! Archives on their way: out into the body of an answer, and in from the body of a request, through decompression,
//! to the engine.
//!
//! A body arrives on the runtime's threads and is read on a blocking one; a bounded channel lies between. What
//! goes wrong on the way is noted, because the driver only learns that its source broke.
//!
//! Invariant: memory for one archive is bounded: some chunks, one decompression window, and nothing that grows with
//! the archive.

mod ahead;
mod bound;
mod bridge;
mod decode;
pub(in crate::api) mod transfer;

pub(in crate::api) use ahead::ahead;
pub(in crate::api) use decode::{Coding, Inflating, Wanted, decode, in_pieces};
pub(in crate::api) use transfer::Target;

pub(in crate::api) use bridge::bridge;

use bridge::drain;
use decode::Fault;
