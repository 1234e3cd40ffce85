//! Any bytes, applied as an archive to a tree in memory, twice.
//!
//! The second time the tree holds what the first left, so that entries meet nodes of every kind.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mica_fuzz::memory::{Directory, Source};
use mica_sdk::apply::apply;

fuzz_target!(|bytes: &[u8]| {
    let root = Directory::default();
    let first = apply(root.clone(), Source(bytes)).is_ok();
    let second = apply(root.clone(), Source(bytes)).is_ok();
    assert!(!first || second, "what was applied once is applied again");
    root.dismantle();
});
