//! Archives into layers.
//!
//! Invariant: a layer that has nothing is sealed, or unpacked by the same archive that was kept; any other is changed in its
//! upper.

use crate::layers::{self, NONE, Opened, SEALED, is_empty};
use mica_sdk::bindings::diff::exports::mica::driver::diff_driver::{ApplyReport, ArchiveForm};
use mica_sdk::driver::apply_report;
use mica_sdk::host::directory::Directory;
use mica_sdk::host::mounts::{self, Access};
use mica_sdk::host::streams::Source;
use mica_sdk::host::{home, images, log};
use mica_sdk::index::{self, Archive, Below, Found, Index, Outcome, Unsettled, View};
use mica_sdk::stacked::{UPPER, WORK};
use mica_sdk::tree::wanted;
use mica_sdk::{Code, Doing as _, Error, Failure, Result, apply};

/// The index's name beside the archive.
const INDEX: &[u8] = b"layer.erofs";
/// The name of the number of entries.
const ENTRIES: &[u8] = b"entries";
/// The most that is written at once.
const PIECE_BYTES: usize = 256 << 10;

/// Applies an archive to a layer.
pub(crate) fn apply(id: &str, form: ArchiveForm, source: &Source) -> Result<ApplyReport> {
    let layer = layers::open(id)?;
    if form == ArchiveForm::Rebase {
        return unpack_alone(id, layer, form, source);
    }
    let Some(upper) = fresh(&layer).doing(|| format!("look at layer `{id}`"))? else {
        return unpack(id, form, source);
    };
    let top = upper
        .get_attributes(&wanted::of_archives())
        .doing(|| format!("look at the top of layer `{id}`"))?;
    images::keep(&layer.room, source).doing(|| "keep the archive")?;
    let unfit = match index::read(&top, form, source)? {
        Outcome::Unfit(unfit) => unfit,
        Outcome::Tree(tree, report) => match tree.settle(LookedAt::of(id)?) {
            Ok(index) => {
                seal(&layer.room, source, &index, report.entries)?;
                return Ok(apply_report(report));
            }
            Err(Unsettled::Unfit(unfit)) => unfit,
            Err(Unsettled::Below(error)) => return Err(error),
        },
    };
    log::write(
        log::Level::Info,
        &format!("layer `{id}` is unpacked, because {unfit}"),
    );
    let again = images::again(&layer.room).doing(|| "read the kept archive")?;
    let report = unpack(id, form, &again)?;
    drop(again);
    layer
        .room
        .remove_tree(SEALED)
        .doing(|| "remove the kept archive")?;
    Ok(report)
}

/// The upper of a layer that has nothing yet.
fn fresh(layer: &Opened) -> Result<Option<&Directory>, Failure> {
    match (&layer.upper, &layer.image) {
        (Some(upper), None) if is_empty(upper)? => Ok(Some(upper)),
        _ => Ok(None),
    }
}

fn unpack(id: &str, form: ArchiveForm, source: &Source) -> Result<ApplyReport> {
    let mut parts = layers::parts(id)?;
    parts.make_writable(id)?;
    let mount = parts
        .mount(Access::ReadWrite, None)
        .doing(|| format!("mount layer `{id}`"))?;
    let root = mount.root().doing(|| format!("open layer `{id}`"))?;
    Ok(apply_report(apply::apply(root, form, source)?))
}

/// Unpacks into the upper of a layer whose parent is told later: an index is settled against what lies below.
fn unpack_alone(
    id: &str,
    layer: Opened,
    form: ArchiveForm,
    source: &Source,
) -> Result<ApplyReport> {
    let none = || {
        Error::Invalid(format!(
            "layer `{id}` is sealed, so it gets no parent any more"
        ))
    };
    let upper = layer.upper.ok_or_else(none)?;
    let report = apply::apply(apply::Upper::new(upper), form, source)?;
    Ok(apply_report(report))
}

/// What lies below a layer. It is opened and viewed when somebody looks first: an archive that describes the directories of its
/// members and deletes nothing needs no look.
struct LookedAt<'a> {
    id: &'a str,
    ancestors: Vec<String>,
    seen: Option<Seen>,
}

/// A view lasts as long as the mount behind it.
struct Seen {
    view: View<Directory>,
    _mount: mounts::Mount,
}

impl<'a> LookedAt<'a> {
    /// `None` if nothing lies below.
    fn of(id: &'a str) -> Result<Option<Self>> {
        let ancestors = home::ancestors(id).doing(|| format!("look up layer `{id}`"))?;
        let seen = None;
        Ok((!ancestors.is_empty()).then_some(Self {
            id,
            ancestors,
            seen,
        }))
    }

    fn view(&mut self) -> Result<&mut View<Directory>> {
        let seen = match self.seen.take() {
            Some(seen) => seen,
            None => {
                let below = layers::open_all(&self.ancestors)?;
                see(&below).doing(|| format!("view what lies below layer `{}`", self.id))?
            }
        };
        Ok(&mut self.seen.insert(seen).view)
    }
}

fn see(below: &[Directory]) -> Result<Seen, Failure> {
    let mount = match below {
        [only] => mounts::bind(only, Access::ReadOnly)?,
        all => mounts::overlay_view(&all.iter().collect::<Vec<_>>(), None)?,
    };
    let view = View::new(mount.root()?);
    Ok(Seen {
        view,
        _mount: mount,
    })
}

impl Below for LookedAt<'_> {
    type Error = Error;

    fn look(&mut self, path: &[&[u8]]) -> Result<Found> {
        let found = self.view()?.look(path);
        found.doing(|| format!("look below layer `{}`", self.id))
    }
}

/// Puts an image in the place of the empty upper.
fn seal(room: &Directory, source: &Source, index: &Index, entries: u64) -> Result<()> {
    let kept = images::kept(source).doing(|| "keep the archive")?;
    let sha256 = kept.sha256.try_into().map_err(|_other| {
        Error::NotSupported("the host has another kind of digest than SHA-256".to_owned())
    })?;
    let archive = Archive {
        size_bytes: kept.bytes,
        sha256,
    };
    let sealed = room
        .open_directory(SEALED)
        .doing(|| "open the kept archive")?;
    write(&sealed, index, &archive).doing(|| "write the index")?;
    sealed
        .create_file(ENTRIES, 0o400)
        .and_then(|file| file.write(0, &counted(entries)))
        .doing(|| "write the number of entries")?;
    images::seal(room, source).doing(|| "seal the image")?;
    let emptied = || {
        room.remove_tree(UPPER)?;
        room.remove_tree(WORK).unless(Code::NotFound)?;
        room.create_directory(NONE, 0o755).map(drop)
    };
    emptied().doing(|| "put the image in the place of the upper")
}

fn write(sealed: &Directory, index: &Index, archive: &Archive) -> Result<(), Failure> {
    let file = sealed.create_file(INDEX, 0o600)?;
    let mut at = 0;
    index.write(archive, |piece| {
        piece.chunks(PIECE_BYTES).try_for_each(|part| {
            file.write(at, part)?;
            at += part.len() as u64;
            Ok(())
        })
    })
}

/// The bytes and entries of the archive of a sealed layer.
pub(crate) fn measure(room: &Directory) -> Result<(u64, u64), Failure> {
    let sealed = room.open_directory(SEALED)?;
    let archive = sealed.open_file(b"layer.tar")?.get_attributes()?.size;
    let file = sealed.open_file(ENTRIES).unless(Code::NotFound)?;
    let bytes = match file {
        Some(file) => file.read(0, 16)?,
        None => Vec::new(),
    };
    // Only reports tell the number, and a damaged one must not keep the archive from being sent.
    Ok((archive, entries_of(&bytes).unwrap_or(0)))
}

/// A number as a file holds it: little-endian, and once more with all bits inverted, which tells whether a disk has changed it.
fn counted(entries: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    let (number, inverse) = bytes.split_at_mut(8);
    number.copy_from_slice(&entries.to_le_bytes());
    inverse.copy_from_slice(&(!entries).to_le_bytes());
    bytes
}

/// The number that a file holds. Layers of earlier builds have it once.
fn entries_of(bytes: &[u8]) -> Option<u64> {
    let (number, inverse) = bytes.split_first_chunk::<8>()?;
    let entries = u64::from_le_bytes(*number);
    (inverse.is_empty() || inverse == (!entries).to_le_bytes()).then_some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_number_of_entries_is_none() {
        for entries in [0, 1, u64::MAX, 0x0102_0304] {
            let whole = counted(entries);
            assert_eq!(entries_of(&whole), Some(entries));
            assert_eq!(entries_of(&whole[..8]), Some(entries));
            for at in 0..16 {
                let mut bytes = whole;
                bytes[at] ^= 1;
                assert_eq!(entries_of(&bytes), None, "{at}");
            }
        }
        assert_eq!(entries_of(&[]), None);
    }
}
