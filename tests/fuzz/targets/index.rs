//! Any bytes as an archive: where it can be an index, the index is one that the host lets the kernel read.
//!
//! The first bit of the input chooses the form, the second whether layers lie below, which have a directory everywhere.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mica_erofs_check::check;
use mica_fuzz::memory::{Directory, Source};
use mica_sdk::bindings::diff::exports::mica::driver::diff_driver::ArchiveForm;
use mica_sdk::index::{self, Archive, Outcome, View};
use mica_sdk::tree::Directory as _;

fuzz_target!(|bytes: &[u8]| {
    let Some((first, archive)) = bytes.split_first() else {
        return;
    };
    let form = match first & 1 {
        0 => ArchiveForm::Faithful,
        _ => ArchiveForm::Moby,
    };
    let root = Directory::default();
    let top = root.get_attributes(&[]).expect("a top");
    let Ok(Outcome::Tree(tree, _)) = index::read(&top, form, Source(archive)) else {
        return;
    };
    let below = (first & 2 != 0).then(|| {
        // Some of the names that the archive has: what it makes itself.
        let below = Directory::default();
        let _applied = mica_sdk::apply::apply(below.clone(), form, Source(archive));
        View::new(below)
    });
    let Ok(index) = tree.settle(below) else {
        return;
    };
    let about = Archive {
        size_bytes: archive.len() as u64,
        sha256: [7; 32],
    };
    let mut image = Vec::new();
    let written = index.write(&about, |piece| {
        image.extend_from_slice(piece);
        Ok::<(), std::convert::Infallible>(())
    });
    let Ok(()) = written;
    let facts = check(&image).expect("what is written passes");
    assert_eq!(facts.inodes, index.nodes());
    root.dismantle();
});
