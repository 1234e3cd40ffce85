//! Any bytes, applied as an archive to a tree in memory, twice.
//!
//! The second time the tree holds what the first left, so that entries meet nodes of every kind. The first bit of the
//! input chooses the form.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mica_fuzz::memory::{Directory, Source};
use mica_sdk::apply::apply;
use mica_sdk::bindings::diff::exports::mica::driver::diff_driver::ArchiveForm;

fuzz_target!(|bytes: &[u8]| {
    let Some((first, archive)) = bytes.split_first() else {
        return;
    };
    let form = if first & 1 == 0 {
        ArchiveForm::Faithful
    } else {
        ArchiveForm::Moby
    };
    let root = Directory::default();
    for _ in 0..2 {
        // Whether it is an archive is the input's affair.
        let _applied = apply(root.clone(), form, Source(archive));
    }
    root.dismantle();
});
