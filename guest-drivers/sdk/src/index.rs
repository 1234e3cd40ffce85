//! Reads an archive into an index instead of unpacking it: see [`mica_erofs_index`].
//!
//! Members mean what they mean to [`crate::apply`], so a layer has the same tree in either form. What an index cannot hold,
//! or what would need a change of the layers below (a link to a file of theirs, a way through one of their links), is
//! answered as unfit, and the caller unpacks the archive.
//!
//! Invariant: what an archive means is never decided otherwise than in `apply`; in doubt it is unfit.

use crate::apply::{Report, attributes};
use crate::archive::reader::Reader;
use crate::archive::whiteout::{self, Meaning};
use crate::archive::{Entry, Kind, acl, name};
use crate::bindings::diff::exports::mica::driver::diff_driver::ArchiveForm;
use crate::tree::{Directory, Source, wanted};
use crate::{Attributes, Code, Failure, NodeKind, Result, Xattr};
use mica_erofs_index::{self as index, Content, Data, Segment, Tree};
pub use mica_erofs_index::{Archive, Below, Found, Index, Unfit, Unsettled};

/// Memory for the tree of an archive: half of what an operation has, for the index is written in pieces.
const TREE_BYTES: usize = 64 << 20;

/// What an archive is to an index.
#[derive(Debug)]
pub enum Outcome {
    /// All of it was read into this tree.
    Tree(Tree, Report),
    /// It is to be unpacked. It was read to its end.
    Unfit(Unfit),
}

/// Reads an archive, which is not compressed, to its end. The top has the attributes of `top` unless an entry tells
/// others.
///
/// # Errors
/// As [`crate::apply::apply`].
pub fn read<S: Source>(top: &crate::Entry, form: ArchiveForm, source: S) -> Result<Outcome> {
    let mut reading = Reading {
        form,
        reader: Reader::new(source),
        tree: Tree::new(of_node(top), TREE_BYTES),
        report: Report::default(),
    };
    while let Some(entry) = reading.reader.next_entry()? {
        reading.report.size_bytes = reading.report.size_bytes.saturating_add(entry.size);
        if let Err(unfit) = reading.take(&entry)? {
            reading.reader.drain()?;
            return Ok(Outcome::Unfit(unfit));
        }
    }
    reading.reader.drain()?;
    let report = Report {
        entries: reading.reader.entries(),
        ..reading.report
    };
    Ok(Outcome::Tree(reading.tree, report))
}

struct Reading<S> {
    form: ArchiveForm,
    reader: Reader<S>,
    tree: Tree,
    report: Report,
}

/// Whether the index can have it.
type Fit = Result<std::result::Result<(), Unfit>>;

impl<S: Source> Reading<S> {
    fn take(&mut self, entry: &Entry) -> Fit {
        let parts = name::split(&entry.name).map_err(|what| self.reader.invalid(what))?;
        match whiteout::read(&parts).map_err(|what| self.reader.invalid(what))? {
            // A link to what AUFS keeps there is unfit, and nothing else needs it.
            Meaning::Aufs => Ok(Ok(())),
            Meaning::Root => self.take_root(entry),
            Meaning::Opaque { directory } => Ok(self.tree.hide_all(directory)),
            Meaning::Whiteout { parent, name } => Ok(self.tree.hide(parent, name)),
            Meaning::Node { parent, name } => self.take_node(entry, parent, name),
        }
    }

    fn take_root(&mut self, entry: &Entry) -> Fit {
        if entry.kind != Kind::Directory {
            return Err(self
                .reader
                .invalid("only a directory can stand for the top"));
        }
        if self.form == ArchiveForm::Moby {
            return Ok(Ok(()));
        }
        let attributes = self.attributes(entry)?;
        Ok(self.tree.set_top(attributes))
    }

    fn take_node(&mut self, entry: &Entry, parent: &[&[u8]], name: &[u8]) -> Fit {
        if entry.kind == Kind::HardLink {
            // Unpacking tells what is wrong with a target.
            let target = name::split(&entry.link).map_err(|_told| Unfit::LinkTarget);
            return Ok(target.and_then(|target| self.tree.link(parent, name, &target)));
        }
        let content = match entry.kind {
            Kind::Directory | Kind::HardLink => None,
            Kind::Regular => Some(Content::File(self.data(entry))),
            Kind::Symlink => Some(Content::Symlink(entry.link.clone())),
            Kind::CharacterDevice => Some(Content::CharacterDevice(entry.device.0, entry.device.1)),
            Kind::BlockDevice => Some(Content::BlockDevice(entry.device.0, entry.device.1)),
            Kind::Fifo => Some(Content::Fifo),
        };
        let attributes = self.attributes(entry)?;
        Ok(match content {
            None => self.tree.add_directory(parent, name, attributes),
            Some(content) => self.tree.add(parent, name, attributes, content),
        })
    }

    /// Where the content of a file lies in the archive.
    fn data(&self, entry: &Entry) -> Data {
        let (mut at, regions) = self.reader.body();
        let segments = regions.into_iter().map(|region| {
            let segment = Segment {
                offset: region.offset,
                length: region.length,
                at,
            };
            at = at.saturating_add(region.length);
            segment
        });
        Data {
            size: entry.size,
            segments: segments.filter(|segment| segment.length > 0).collect(),
        }
    }

    fn attributes(&mut self, entry: &Entry) -> Result<index::Attributes> {
        let filtered = attributes::of(entry).map_err(|what| self.reader.invalid(what))?;
        for name in &filtered.skipped {
            self.report.left_out.attribute(&entry.name, name);
        }
        let mode = match entry.kind {
            // The kernel gives every symbolic link this mode.
            Kind::Symlink => 0o777,
            _ => entry.mode,
        };
        Ok(index::Attributes {
            mode: u16::try_from(mode & 0o7777).unwrap_or(0),
            uid: entry.uid,
            gid: entry.gid,
            seconds: entry.modified.seconds,
            nanoseconds: entry.modified.nanoseconds,
            xattrs: kept(filtered.changes.xattrs, mode),
        })
    }
}

/// Attributes as the kernel keeps them with a mode.
fn kept(xattrs: Vec<Xattr>, mode: u32) -> Vec<index::Xattr> {
    let of = |xattr: Xattr| {
        let value = match wanted::is(&xattr.name, wanted::ACCESS_LIST) {
            true => acl::with_mode(&xattr.value, mode)?,
            false => xattr.value,
        };
        Some(index::Xattr {
            name: xattr.name,
            value,
        })
    };
    xattrs.into_iter().filter_map(of).collect()
}

/// The attributes of a node that exists.
fn of_node(entry: &crate::Entry) -> index::Attributes {
    let Attributes {
        mode,
        uid,
        gid,
        modified,
        ..
    } = entry.attributes;
    // Overlayfs' own marks are no attributes of what it shows.
    let marks = [&b"trusted.overlay."[..], b"user.overlay."];
    let shown = |xattr: &&Xattr| !marks.iter().any(|mark| xattr.name.starts_with(mark));
    let xattrs = entry.xattrs.iter().filter(shown).map(|xattr| index::Xattr {
        name: xattr.name.clone(),
        value: xattr.value.clone(),
    });
    index::Attributes {
        mode: u16::try_from(mode & 0o7777).unwrap_or(0),
        uid,
        gid,
        seconds: modified.seconds,
        nanoseconds: modified.nanoseconds,
        xattrs: xattrs.collect(),
    }
}

/// The layers below, by their view.
#[derive(Debug)]
pub struct View<D> {
    top: D,
    /// The directories that were gone through last.
    way: Vec<(Vec<u8>, D)>,
}

impl<D: Directory> View<D> {
    /// Looks from the top of a view.
    pub fn new(top: D) -> Self {
        Self {
            top,
            way: Vec::new(),
        }
    }

    /// Goes to a directory, if it is one.
    fn go(&mut self, path: &[&[u8]]) -> Result<Option<&D>, Failure> {
        let same = self.way.iter().zip(path);
        let same = same.take_while(|((name, _), part)| name == *part).count();
        self.way.truncate(same);
        for part in path.iter().skip(same) {
            let here = self
                .way
                .last()
                .map_or(&self.top, |(_, directory)| directory);
            match here.open_directory(part) {
                Ok(directory) => self.way.push((part.to_vec(), directory)),
                Err(failure) => match failure.code {
                    Code::NotFound | Code::NotADirectory | Code::Invalid | Code::Symlink => {
                        return Ok(None);
                    }
                    _ => return Err(failure),
                },
            }
        }
        Ok(Some(
            self.way
                .last()
                .map_or(&self.top, |(_, directory)| directory),
        ))
    }
}

impl<D: Directory> Below for View<D> {
    type Error = Failure;

    fn look(&mut self, path: &[&[u8]]) -> Result<Found, Failure> {
        let Some((name, parent)) = path.split_last() else {
            return Ok(Found::Nothing);
        };
        let Some(here) = self.go(parent)? else {
            return Ok(Found::Nothing);
        };
        let entry = match here.stat(name, &wanted::of_archives()) {
            Err(failure) if failure.code == Code::NotFound => return Ok(Found::Nothing),
            found => found?,
        };
        Ok(match entry.attributes.kind {
            NodeKind::Directory => Found::Directory(of_node(&entry)),
            NodeKind::Symlink => Found::Symlink,
            _ => Found::Other,
        })
    }
}
