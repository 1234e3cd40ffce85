//! What a walk is made into: an archive, a list of changes, a size.
//!
//! Invariant: nothing here decides what has changed; the walk does.

mod archive;
mod changes;
mod moby;
mod size;

use archive::Archiver;
pub use archive::Report;
pub use moby::write_archive_as_moby;

use crate::Result;
use crate::tree::{ChangeSink, Directory, Sink, wanted};
use crate::walk::{Sides, walk};

/// Writes what differs between two trees as an archive; without `old`, all of `new`.
///
/// # Errors
/// [`crate::Error::Host`] if a host call fails; [`crate::Error::NotSupported`] for a tree beyond the limits of
/// [`crate::archive::name`].
pub fn write_archive<D: Directory, S: Sink<File = D::File>>(
    new: D,
    old: Option<D>,
    sides: &Sides,
    sink: S,
) -> Result<Report> {
    let mut archiver = Archiver::new(sink);
    walk(new, old, sides, &wanted::of_layers(), &mut archiver)?;
    archiver.finish()
}

/// Lists what differs between two trees.
///
/// # Errors
/// As [`write_archive`].
pub fn list_changes<D: Directory>(
    new: D,
    old: Option<D>,
    sides: &Sides,
    sink: impl ChangeSink,
) -> Result<()> {
    let mut list = changes::List::new(sink);
    walk(new, old, sides, &wanted::of_layers(), &mut list)?;
    list.finish()
}

/// Sums the sizes in bytes of the added and modified files, each inode once.
///
/// # Errors
/// As [`write_archive`].
pub fn measure<D: Directory>(new: D, old: Option<D>, sides: &Sides) -> Result<u64> {
    let mut sum = size::Sum::default();
    walk(new, old, sides, &wanted::of_layers(), &mut sum)?;
    Ok(sum.bytes)
}
