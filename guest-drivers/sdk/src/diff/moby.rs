//! A layer as the archive that moby 20.10 makes of it, so that an image keeps its digests when a host moves to Mica.
//!
//! An upper directory is told in the order of a walk (`a/x` before `a-b`), whether its entries differ from what lies
//! below or not: overlayfs' whiteouts become `.wh.` files with their own owner and time, the mark of an opaque directory
//! comes right behind it. Two views are told in byte order of the paths. Either way times are whole seconds, the only
//! attribute is `security.capability`, sockets are left out, and names of one inode within the archive are hard links.
//!
//! Where moby's archive depends on the moment it is made, the time of a deletion between two views, it is 0 here.
//!
//! One thing moby does is not done: it drops access lists and leaves their mask in the mode's group bits, which gives the
//! owning group rights that it never had.
//!
//! Invariant: what else moby drops or confuses is dropped and confused in the same way: `.wh.` names are written as they are.

use super::archive::{Report, relative};
use crate::archive::acl;
use crate::archive::moby::{self, Header};
use crate::archive::name::PATH_BYTES;
use crate::archive::whiteout;
use crate::archive::writer::Writer;
use crate::error::printable;
use crate::left_out::Reason;
use crate::tree::pages::Pages;
use crate::tree::trail::Trail;
use crate::tree::{Directory, Sink, wanted};
use crate::walk::{Found, Sides, Visitor, compare, walk};
use crate::{ChangeKind, Code, Doing as _, Entry, Error, NodeKind, Result};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// Writes an upper directory, or all of a view, or what differs between two views.
///
/// # Errors
/// As [`super::write_archive`].
pub fn write_archive_as_moby<D: Directory, S: Sink<File = D::File>>(
    new: D,
    old: Option<D>,
    sides: &Sides,
    sink: S,
) -> Result<Report> {
    let opaque = match sides {
        Sides::Upper { opaque_xattr } => Some(opaque_xattr.clone()),
        Sides::Views(_) => None,
    };
    let mut appender = Appender {
        writer: Writer::new(sink),
        opaque,
        seen: BTreeMap::new(),
        report: Report::default(),
    };
    match (sides, old) {
        (Sides::Views(_), Some(old)) => {
            walk(new, Some(old), sides, &wanted::of_archives(), &mut appender)?
        }
        // An upper, or all of a view: moby archives either as it is, without looking at what lies below.
        _ => appender.tree(new, &wanted::of_archives())?,
    }
    let (entries, archive_bytes) = appender.writer.finish()?;
    Ok(Report {
        entries,
        archive_bytes,
        ..appender.report
    })
}

/// moby's tarAppender.
struct Appender<S> {
    writer: Writer<S>,
    /// The attribute of opaque directories, if whiteouts are overlayfs'.
    opaque: Option<String>,
    /// The first name of each inode that has several; moby knows inodes by their number alone.
    seen: BTreeMap<u64, Vec<u8>>,
    report: Report,
}

/// A directory on the way down.
struct Level<L> {
    entries: Pages<L>,
    /// Bytes of its path.
    path: usize,
}

impl<S: Sink> Appender<S> {
    /// Go's filepath.Walk, without the top.
    fn tree<D: Directory>(&mut self, top: D, attributes: &[String]) -> Result<()>
    where
        S: Sink<File = D::File>,
    {
        let mut path = Vec::new();
        let mut stack = vec![level(&top, &path, attributes)?];
        let mut trail = Trail::new(top);
        while let Some(last) = stack.last_mut() {
            path.truncate(last.path);
            let entry = last.entries.advance();
            let Some(entry) = entry.doing(|| format!("list `{}`", printable(&path)))? else {
                stack.pop();
                trail.leave();
                continue;
            };
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(&entry.name);
            if path.len() > PATH_BYTES {
                let shown = printable(&path);
                return Err(Error::NotSupported(format!(
                    "path `{shown}` has over {PATH_BYTES} bytes"
                )));
            }
            let doing = || format!("open directory `{}`", printable(&path));
            let here = trail.here().doing(doing)?;
            self.add(&path, Some(&*here), &entry)?;
            if entry.attributes.kind != NodeKind::Directory {
                continue;
            }
            let opened = here.open_directory(&entry.name).unless(Code::NotFound);
            if let Some(directory) = opened.doing(doing)? {
                stack.push(level(&directory, &path, attributes)?);
                trail.enter(&entry.name, directory);
            }
        }
        Ok(())
    }

    /// moby's addTarFile.
    fn add<D: Directory>(&mut self, path: &[u8], parent: Option<&D>, entry: &Entry) -> Result<()>
    where
        S: Sink<File = D::File>,
    {
        let doing = || format!("archive `{}`", printable(path));
        let attributes = &entry.attributes;
        let Some((type_flag, type_bits)) = kind(attributes.kind) else {
            self.report.left_out.node(Reason::Socket, path);
            return Ok(());
        };
        let mut header = Header {
            type_flag,
            name: path.to_vec(),
            mode: acl::mode_without(attributes.mode, &entry.xattrs) & 0o7777 | type_bits,
            uid: attributes.uid,
            gid: attributes.gid,
            seconds: attributes.modified.seconds,
            capability: capability(entry),
            ..Header::default()
        };
        let mut file = None;
        match attributes.kind {
            NodeKind::Directory => header.name.push(b'/'),
            NodeKind::Symlink => {
                let target =
                    parent.map(|parent| parent.read_link(&entry.name).unless(Code::NotFound));
                let Some(target) = target.transpose().doing(doing)?.flatten() else {
                    return Ok(());
                };
                header.link = target;
            }
            NodeKind::Regular => header.size = attributes.size,
            _ => header.device = (attributes.major, attributes.minor),
        }
        self.link(path, entry, &mut header);
        if header.type_flag != b'1' {
            self.tell_attributes(path, entry);
        }
        if header.type_flag == b'0' && header.size > 0 {
            let opened = parent.map(|parent| parent.open_file(&entry.name).unless(Code::NotFound));
            file = opened.transpose().doing(doing)?.flatten();
            // Removed since it was listed, as in a layer that a container uses: its header must not come without content.
            if file.is_none() {
                return Ok(());
            }
        }
        self.write(path, &self.converted(path, entry, header))?;
        match file {
            Some(file) => self.writer.content(path, &file, attributes.size)?,
            None if self.is_opaque(entry) => self.write(path, &opaque(path, entry))?,
            None => {}
        }
        Ok(())
    }

    /// Tells the attributes that this form has no place for. The marks of overlayfs are told as what they mean.
    fn tell_attributes(&mut self, path: &[u8], entry: &Entry) {
        for xattr in &entry.xattrs {
            let is_held = wanted::is(&xattr.name, wanted::CAPABILITY);
            if !is_held && (wanted::belongs(&xattr.name) || wanted::is_missed(&xattr.name)) {
                self.report.left_out.attribute(path, &xattr.name);
            }
        }
    }

    /// Makes a hard link of a further name of an inode.
    fn link(&mut self, path: &[u8], entry: &Entry, header: &mut Header) {
        let attributes = &entry.attributes;
        if attributes.kind == NodeKind::Directory || attributes.links < 2 {
            return;
        }
        if let Some(first) = self.seen.get(&attributes.inode) {
            header.type_flag = b'1';
            header.link.clone_from(first);
            // A hard link has no content, and a reader would take the next header for it.
            header.size = 0;
        } else {
            self.seen.insert(attributes.inode, path.to_vec());
        }
    }

    /// moby's overlayWhiteoutConverter. Whiteouts share an inode, so that a link may already have been made of one: the
    /// type is mended, its target stays.
    fn converted(&self, path: &[u8], entry: &Entry, header: Header) -> Header {
        if self.opaque.is_none() || !compare::is_whiteout(&entry.attributes) {
            return header;
        }
        Header {
            name: whiteout::hiding(path),
            mode: 0o600,
            type_flag: b'0',
            size: 0,
            ..header
        }
    }

    fn is_opaque(&self, entry: &Entry) -> bool {
        self.opaque
            .as_ref()
            .is_some_and(|xattr| compare::is_opaque(entry, xattr))
    }

    fn write(&mut self, path: &[u8], header: &Header) -> Result<()> {
        self.writer
            .blocks(path, |blocks| moby::append(blocks, header))
    }
}

impl<D, S> Visitor<D> for Appender<S>
where
    D: Directory,
    S: Sink<File = D::File>,
{
    /// moby's ExportChanges.
    fn change(&mut self, found: &Found<'_, D>) -> Result<ControlFlow<()>> {
        let path = relative(found.path);
        match (found.kind, found.entry) {
            (ChangeKind::Add | ChangeKind::Modify, Some(entry)) => {
                self.add(path, found.parent, entry)?;
            }
            _ => {
                let header = Header {
                    type_flag: b'0',
                    name: whiteout::hiding(path),
                    ..Header::default()
                };
                self.write(path, &header)?;
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

fn level<D: Directory>(
    directory: &D,
    path: &[u8],
    attributes: &[String],
) -> Result<Level<D::Listing>> {
    let entries = Pages::of(directory, attributes)
        .doing(|| format!("list directory `{}`", printable(path)))?;
    Ok(Level {
        entries,
        path: path.len(),
    })
}

/// Type flag, and the bits of the type that moby leaves in a mode; archives hold no sockets.
fn kind(kind: NodeKind) -> Option<(u8, u32)> {
    Some(match kind {
        NodeKind::Regular => (b'0', 0o100_000),
        NodeKind::Symlink => (b'2', 0o120_000),
        NodeKind::CharacterDevice => (b'3', 0o020_000),
        NodeKind::BlockDevice => (b'4', 0o060_000),
        NodeKind::Directory => (b'5', 0o040_000),
        NodeKind::Fifo => (b'6', 0o010_000),
        NodeKind::Socket => return None,
    })
}

/// What lies behind an opaque directory: it has the directory's owner and mode, but no time.
fn opaque(path: &[u8], entry: &Entry) -> Header {
    Header {
        type_flag: b'0',
        name: whiteout::opaque(path),
        mode: entry.attributes.mode & 0o777,
        uid: entry.attributes.uid,
        gid: entry.attributes.gid,
        ..Header::default()
    }
}

/// The capabilities of a file, without the user name space that revision 3 adds.
fn capability(entry: &Entry) -> Option<Vec<u8>> {
    /// Bytes of revision 2.
    const REVISION_2_BYTES: usize = 20;
    let xattr = entry
        .xattrs
        .iter()
        .find(|xattr| xattr.name == wanted::CAPABILITY.as_bytes())?;
    let mut value = xattr.value.clone();
    if let Some(revision) = value.get_mut(3).filter(|revision| **revision == 3) {
        *revision = 2;
        value.truncate(REVISION_2_BYTES);
    }
    Some(value)
}
