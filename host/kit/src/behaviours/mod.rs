//! What scripts and archives cannot say: each case a function with a name and a sentence.
//!
//! Invariant: a case begins on a store without layers, and removes what it made if all went well.

mod ids;
mod layers;
mod lives;
mod streams;

use crate::stage::{Stage, Step};

/// A case that is a function.
pub(crate) struct Behaviour {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) play: fn(&mut Stage) -> Step<()>,
}

macro_rules! behaviours {
    ($($name:literal, $about:literal, $play:path;)*) => {
        /// All of them, in the order in which they are played.
        pub(crate) const ALL: &[Behaviour] = &[$(
            Behaviour { name: $name, about: $about, play: |stage| $play(stage) },
        )*];
    };
}

behaviours! {
    "empty-layer", "a layer without a parent is an empty directory of mode 0755", layers::empty;
    "counted-mounts", "a second mount is the same one, and it goes with its last reference", layers::counted;
    "read-only-view", "nobody can change a layer through a view", layers::view_is_read_only;
    "siblings", "layers of one parent do not see one another, and do not change it", layers::siblings;
    "middle-layer", "a layer with a child stays, and shows all below it", layers::middle;
    "read-write-layer", "the layer of a container is a layer with a parent", layers::read_write;
    "many-layers", "a chain of 20 layers shows the files of each", layers::many;
    "wide-directory", "a directory of 3000 files is copied, compared and sent whole", layers::wide;
    "deep-tree", "directories in one another, 100 deep", layers::deep;
    "a-parent-may-grow", "what a parent had when a layer was created is what the layer has", layers::parent_is_fixed;
    "duplicate-and-unknown-ids", "a layer is there once, and what is not there is not found", ids::duplicate_and_unknown;
    "odd-ids", "an id is a name and nothing else: quotes, blanks, dots, other scripts, 255 bytes", ids::odd;
    "ids-that-are-none", "what is no id is refused before the driver is asked", ids::wrong;
    "used-again", "an id can be used again for another layer", ids::used_again;
    "unknown-option", "`init` refuses an option that the driver does not know", lives::unknown_option;
    "status-and-metadata", "the driver's answers about itself and a layer are the same each time", lives::told;
    "restart", "after a restart every layer is what it was, down to the bytes of its diff", lives::restart;
    "mounts-outlive-a-restart", "a mount stays where it is, and goes when it is given back", lives::mounts;
    "at-the-same-time", "operations that run at the same time do not disturb one another", lives::together;
    "reader-goes-away", "a diff whose reader goes away ends, and the next one is whole", streams::reader_goes;
    "cancelled-apply", "an archive that is cancelled leaves the layer as it was", streams::cancelled;
    "broken-sender", "an archive whose sender fails leaves the layer as it was", streams::broken;
    "archive-ends-early", "an archive that ends early is refused, wherever it ends", streams::ends_early;
    "archive-with-flipped-bytes", "a damaged archive is refused or taken, and never by half", streams::flipped;
    "junk", "what is no archive is refused", streams::junk;
    "large-file", "a file of 9 MiB is copied, sent and applied", streams::large;
    "moby-form", "the bytes of moby's form are the same each time, and can be applied", streams::moby;
}
