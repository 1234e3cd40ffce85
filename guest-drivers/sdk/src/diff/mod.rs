//! What a walk is made into: an archive, a list of changes, a size.
//!
//! Invariant: nothing here decides what has changed; the walk does.

mod archive;
mod changes;
mod comparison;
mod moby;
mod size;

use archive::Archiver;
pub use archive::Report;
pub use comparison::Comparison;
pub use moby::write_archive_as_moby;

use crate::tree::{ChangeSink, Directory, Sink, wanted};
use crate::walk::{Sides, compare, walk};
use crate::{Doing as _, Entry, Result};

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
    let wanted = wanted::of_archives();
    let top = top_of(&new, &wanted)?;
    // All of a tree is told with its top; a difference only if the top is another.
    if old
        .as_ref()
        .map_or(Ok(true), |old| is_another(&top, old, &wanted))?
    {
        archiver.top(&top)?;
    }
    walk(new, old, sides, &wanted, &mut archiver)?;
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
    let wanted = wanted::of_layers();
    let top = top_of(&new, &wanted)?;
    let changed = match &old {
        Some(old) => is_another(&top, old, &wanted)?,
        // Without a tree before it, the top counts as changed if it is not what a new layer has.
        None => !is_plain(&top),
    };
    if changed {
        list.top();
    }
    walk(new, old, sides, &wanted, &mut list)?;
    list.finish()
}

/// Reads the top of a tree.
fn top_of<D: Directory>(tree: &D, wanted: &[String]) -> Result<Entry> {
    tree.get_attributes(wanted)
        .doing(|| "read the top directory")
}

/// Whether the top differs from that of the tree before, by the rule for all directories.
fn is_another<D: Directory>(top: &Entry, old: &D, wanted: &[String]) -> Result<bool> {
    Ok(compare::differs(top, &top_of(old, wanted)?))
}

/// Whether the top is that of an empty layer.
fn is_plain(top: &Entry) -> bool {
    let found = &top.attributes;
    (found.mode, found.uid, found.gid) == (0o755, 0, 0)
        && wanted::kept(&top.xattrs).next().is_none()
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
