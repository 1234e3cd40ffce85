//! A difference as an archive.
//!
//! Entries come in the order of the walk, with one exception: a name that has not changed itself comes behind the first
//! changed name of the same inode, as a hard link to it. Without that, a new name of an old file would make two files of
//! one. What an opaque directory hides is whited out name by name, as the OCI image layer format recommends.
//!
//! Invariant: content goes from file to sink within the host.

use crate::archive::writer::Writer;
use crate::archive::{Entry as Record, Kind, whiteout};
use crate::error::printable;
use crate::left_out::{LeftOut, Reason};
use crate::tree::{Directory, Sink, wanted};
use crate::walk::{Found, Visitor, compare};
use crate::{ChangeKind, Code, Doing as _, Entry, NodeKind, Result, Xattr};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// What was written.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Entries of the archive.
    pub entries: u64,
    /// Bytes of the archive.
    pub archive_bytes: u64,
    /// What was left out: sockets, what an archive would give another meaning (names that begin with `.wh.`, character
    /// devices 0:0, attribute names with `=`), and attributes that are not part of a layer.
    pub left_out: LeftOut,
}

/// Writes what a walk finds.
#[derive(Debug)]
pub(super) struct Archiver<S> {
    writer: Writer<S>,
    names: BTreeMap<(u64, u64), Names>,
    report: Report,
}

/// The names of an inode that has several.
#[derive(Debug)]
enum Names {
    /// The first that was written.
    Written(Vec<u8>),
    /// None was written yet; these have not changed.
    Waiting(Vec<Vec<u8>>),
}

impl<S: Sink> Archiver<S> {
    /// Begins an archive.
    pub(super) fn new(sink: S) -> Self {
        Self {
            writer: Writer::new(sink),
            names: BTreeMap::new(),
            report: Report::default(),
        }
    }

    /// Writes the top directory.
    pub(super) fn top(&mut self, top: &Entry) -> Result<()> {
        let mut record = record(b".", Kind::Directory, top);
        record.xattrs = self.attributes(b".", top);
        self.writer.entry(&record)
    }

    /// Ends the archive.
    ///
    /// # Errors
    /// [`crate::Error::Host`] if the sink fails.
    pub(super) fn finish(self) -> Result<Report> {
        let (entries, archive_bytes) = self.writer.finish()?;
        Ok(Report {
            entries,
            archive_bytes,
            ..self.report
        })
    }

    fn delete(&mut self, path: &[u8]) -> Result<()> {
        if whiteout::is_reserved(base(path)) {
            self.report.left_out.node(Reason::ReservedName, path);
            return Ok(());
        }
        self.writer.whiteout(path)
    }

    /// Leaves a node out. What it has replaced must not stay in its place.
    fn leave_out<D>(&mut self, found: &Found<'_, D>, reason: Reason) -> Result<()> {
        self.report.left_out.node(reason, relative(found.path));
        match found.before {
            // Neither does the deletion of a reserved name find its way into an archive.
            Some(_) if reason == Reason::ReservedName => Ok(()),
            Some(_) => self.delete(relative(found.path)),
            None => Ok(()),
        }
    }

    fn write<D: Directory>(&mut self, found: &Found<'_, D>, entry: &Entry) -> Result<()>
    where
        S: Sink<File = D::File>,
    {
        let path = relative(found.path);
        let Some(kind) = archive_kind(entry.attributes.kind) else {
            return self.leave_out(found, Reason::Socket);
        };
        if whiteout::is_reserved(base(path)) {
            return self.leave_out(found, Reason::ReservedName);
        }
        if compare::is_whiteout(&entry.attributes) {
            return self.leave_out(found, Reason::WhiteoutDevice);
        }
        let identity = (entry.attributes.device, entry.attributes.inode);
        let many = kind != Kind::Directory && entry.attributes.links > 1;
        // The content is in the archive already, under the first name.
        if many && let Some(Names::Written(first)) = self.names.get(&identity) {
            let link = link(path, first, entry);
            return self.writer.entry(&link);
        }
        if !self.write_node(path, kind, found.parent, entry)? {
            return Ok(());
        }
        if many
            && let Some(Names::Waiting(names)) =
                self.names.insert(identity, Names::Written(path.to_vec()))
        {
            names
                .iter()
                .try_for_each(|name| self.writer.entry(&link(name, path, entry)))?;
        }
        Ok(())
    }

    /// Writes a node with its content; false if it has vanished, as files of a layer in use do.
    fn write_node<D: Directory>(
        &mut self,
        path: &[u8],
        kind: Kind,
        parent: Option<&D>,
        entry: &Entry,
    ) -> Result<bool>
    where
        S: Sink<File = D::File>,
    {
        let mut record = record(path, kind, entry);
        record.xattrs = self.attributes(path, entry);
        match (kind, parent) {
            (Kind::Regular, Some(parent)) => {
                let what = || format!("open file `{}`", printable(path));
                let Some(file) = parent
                    .open_file(&entry.name)
                    .unless(Code::NotFound)
                    .doing(what)?
                else {
                    return Ok(false);
                };
                self.writer.file(&record, &file)?;
            }
            (Kind::Symlink, Some(parent)) => {
                let what = || format!("read link `{}`", printable(path));
                let Some(target) = parent
                    .read_link(&entry.name)
                    .unless(Code::NotFound)
                    .doing(what)?
                else {
                    return Ok(false);
                };
                record.size = 0;
                record.link = target;
                self.writer.entry(&record)?;
            }
            (Kind::Regular | Kind::Symlink, None) => return Ok(false),
            _ => self.writer.entry(&record)?,
        }
        Ok(true)
    }
}

impl<S: Sink> Archiver<S> {
    /// Those of a node's extended attributes that an archive holds.
    fn attributes(&mut self, path: &[u8], entry: &Entry) -> Vec<Xattr> {
        let mut held = Vec::new();
        for xattr in &entry.xattrs {
            let belongs = wanted::belongs(&xattr.name);
            if belongs && !xattr.name.contains(&b'=') {
                held.push(xattr.clone());
            } else if belongs || wanted::is_missed(&xattr.name) {
                self.report.left_out.attribute(path, &xattr.name);
            }
        }
        held
    }
}

impl<D, S> Visitor<D> for Archiver<S>
where
    D: Directory,
    S: Sink<File = D::File>,
{
    const HEEDS_UNCHANGED: bool = true;

    fn change(&mut self, found: &Found<'_, D>) -> Result<ControlFlow<()>> {
        let path = relative(found.path);
        match (found.kind, found.entry) {
            (ChangeKind::Add | ChangeKind::Modify, Some(entry)) => self.write(found, entry)?,
            _ => self.delete(path)?,
        }
        Ok(ControlFlow::Continue(()))
    }

    fn unchanged(&mut self, found: &Found<'_, D>) -> Result<()> {
        // With one name an inode has no links; to keep those as well would be a table of the whole layer.
        let Some(entry) = found.entry.filter(|entry| entry.attributes.links > 1) else {
            return Ok(());
        };
        let path = relative(found.path);
        if whiteout::is_reserved(base(path)) {
            return Ok(());
        }
        let identity = (entry.attributes.device, entry.attributes.inode);
        match self
            .names
            .entry(identity)
            .or_insert_with(|| Names::Waiting(Vec::new()))
        {
            Names::Written(first) => self.writer.entry(&link(path, first, entry)),
            Names::Waiting(names) => {
                names.push(path.to_vec());
                Ok(())
            }
        }
    }
}

pub(super) fn relative(path: &[u8]) -> &[u8] {
    path.strip_prefix(b"/").unwrap_or(path)
}

fn base(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

fn archive_kind(kind: NodeKind) -> Option<Kind> {
    Some(match kind {
        NodeKind::Regular => Kind::Regular,
        NodeKind::Directory => Kind::Directory,
        NodeKind::Symlink => Kind::Symlink,
        NodeKind::BlockDevice => Kind::BlockDevice,
        NodeKind::CharacterDevice => Kind::CharacterDevice,
        NodeKind::Fifo => Kind::Fifo,
        NodeKind::Socket => return None,
    })
}

fn record(path: &[u8], kind: Kind, entry: &Entry) -> Record {
    let attributes = &entry.attributes;
    Record {
        kind,
        name: path.to_vec(),
        link: Vec::new(),
        mode: attributes.mode & 0o7777,
        uid: attributes.uid,
        gid: attributes.gid,
        size: if kind == Kind::Regular {
            attributes.size
        } else {
            0
        },
        modified: attributes.modified,
        device: match kind {
            Kind::BlockDevice | Kind::CharacterDevice => (attributes.major, attributes.minor),
            _ => (0, 0),
        },
        xattrs: Vec::new(),
    }
}

fn link(path: &[u8], first: &[u8], entry: &Entry) -> Record {
    let mut link = record(path, Kind::HardLink, entry);
    link.link = first.to_vec();
    link
}
