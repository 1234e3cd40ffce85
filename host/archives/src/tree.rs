//! The tree that an archive holds, and in what two differ.
//!
//! Two drivers tell the same layer by different archives: in another order, with or without directories that other members imply,
//! with another of an inode's names first. Their trees are the same.
//!
//! Invariant: what is not compared is not there: two trees without a difference have the same names, kinds, owners, permissions, times,
//! extended attributes, link targets, devices, contents and hard links; but for the time of the root.

use crate::digest::Hashing;
use crate::{Digest, Error, Result};
use mica_text::SafeText;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, Read};
use tar::EntryType;

/// Nodes that are held: an image has tens of thousands.
const MOST_NODES: usize = 4 << 20;
/// What two nodes differ in whose content was changed at other times.
const TIME: &str = "time";
/// What is done while it fails.
const READING: &str = "read an archive to compare it";
/// PAX records of extended attributes begin so.
const XATTR: &[u8] = b"SCHILY.xattr.";

/// A tree, without its contents.
#[derive(Debug, Default)]
pub struct Tree {
    nodes: BTreeMap<Vec<u8>, Node>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Known(Box<Known>),
    /// A directory that no member describes: others lie in it.
    Implied,
    /// Another name of a member.
    Link(Vec<u8>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    kind: Kind,
    mode: u32,
    owner: (u64, u64),
    /// Seconds and nanoseconds.
    modified: (i64, u32),
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Regular(Digest, u64),
    Directory,
    Symlink(Vec<u8>),
    Character(u32, u32),
    Block(u32, u32),
    Fifo,
}

/// Something in which two trees differ.
#[derive(Debug)]
pub struct Difference {
    path: Vec<u8>,
    what: &'static str,
    is_of_directory: bool,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = SafeText::line(&String::from_utf8_lossy(&self.path));
        write!(formatter, "/{path}: {}", self.what)
    }
}

impl Difference {
    /// Whether it is one in the time of a directory that none of these archives describes: whoever unpacks them makes it.
    pub fn is_undetermined(&self, archives: &[Tree]) -> bool {
        let describes = |tree: &Tree| matches!(tree.nodes.get(&self.path), Some(Node::Known(_)));
        self.what == TIME && self.is_of_directory && !archives.iter().any(describes)
    }
}

impl Tree {
    /// Reads an archive.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`] for what this cannot compare.
    pub fn read(archive: impl Read) -> Result<Self> {
        let mut tree = Self::default();
        let mut archive = tar::Archive::new(archive);
        for entry in archive.entries().map_err(Error::io(READING))? {
            let mut entry = entry.map_err(Error::io(READING))?;
            let path = normal(&entry.path_bytes());
            let node = node(&mut entry)?;
            if tree.nodes.len() >= MOST_NODES {
                return Err(Error::Malformed(format!(
                    "a layer of more than {MOST_NODES} files cannot be compared"
                )));
            }
            tree.add(path, node);
        }
        // What follows the end is read, so that the other side can end.
        io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(Error::io(READING))?;
        tree.settle_links();
        Ok(tree)
    }

    fn add(&mut self, path: Vec<u8>, node: Node) {
        let mut above = path.as_slice();
        while let Some(slash) = above.iter().rposition(|byte| *byte == b'/') {
            above = above.get(..slash).unwrap_or_default();
            if self.nodes.contains_key(above) {
                break;
            }
            self.nodes.insert(above.to_vec(), Node::Implied);
        }
        self.nodes.insert(path, node);
    }

    /// Gives all names of an inode the least of them as their first, whichever an archive had first.
    fn settle_links(&mut self) {
        let mut names: BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>> = BTreeMap::new();
        for (path, node) in &self.nodes {
            if let Node::Link(target) = node {
                names
                    .entry(target.clone())
                    .or_default()
                    .insert(path.clone());
            }
        }
        for (target, mut all) in names {
            let Some(known) = self.nodes.get(&target).cloned() else {
                continue;
            };
            all.insert(target);
            let mut all = all.into_iter();
            let Some(first) = all.next() else { continue };
            for other in all {
                self.nodes.insert(other, Node::Link(first.clone()));
            }
            self.nodes.insert(first, known);
        }
    }

    /// In what this tree differs from another: at most `most`, in the order of their paths. The root itself is compared only where
    /// both archives describe it, and without its time.
    pub fn differences(&self, other: &Self, most: usize) -> Vec<Difference> {
        let paths: BTreeSet<_> = self.nodes.keys().chain(other.nodes.keys()).collect();
        let mut found = Vec::new();
        for path in paths {
            let what = match (self.nodes.get(path), other.nodes.get(path)) {
                (Some(one), Some(two)) => {
                    // A difference from a parent does not tell of the root, whose time changes with every name in it.
                    difference(one, two).filter(|what| !path.is_empty() || *what != TIME)
                }
                _ if path.is_empty() => None,
                (Some(_), None) => Some("is missing there"),
                (None, _) => Some("is there and should not be"),
            };
            if let Some(what) = what {
                let is_of_directory = matches!(self.nodes.get(path), Some(Node::Known(known)) if known.kind == Kind::Directory);
                found.push(Difference {
                    path: path.clone(),
                    what,
                    is_of_directory,
                });
            }
            if found.len() >= most {
                break;
            }
        }
        found
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no name.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}

fn difference(one: &Node, two: &Node) -> Option<&'static str> {
    let (one, two) = match (one, two) {
        (Node::Known(one), Node::Known(two)) => (one, two),
        (Node::Implied, Node::Implied) => return None,
        (Node::Implied, Node::Known(known)) | (Node::Known(known), Node::Implied) => {
            return (known.kind != Kind::Directory).then_some("kind");
        }
        (Node::Link(one), Node::Link(two)) => return (one != two).then_some("hard link"),
        (Node::Link(_), _) | (_, Node::Link(_)) => return Some("hard link"),
    };
    let kind = match (&one.kind, &two.kind) {
        (Kind::Regular(one, size), Kind::Regular(two, other_size)) => {
            let is_same = one == two && size == other_size;
            (!is_same).then_some("content")
        }
        (Kind::Symlink(one), Kind::Symlink(two)) => (one != two).then_some("link's target"),
        (one, two) => (one != two).then_some("kind"),
    };
    let rest = [
        (one.mode != two.mode, "permissions"),
        (one.owner != two.owner, "owner"),
        (one.modified != two.modified, TIME),
        (one.xattrs != two.xattrs, "extended attributes"),
    ];
    let rest = rest.into_iter().find(|(differs, _)| *differs);
    kind.or(rest.map(|(_, what)| what))
}

fn node<R: Read>(entry: &mut tar::Entry<'_, R>) -> Result<Node> {
    let broken = || Error::io(READING);
    let (modified, xattrs) = records(entry)?;
    let header = entry.header();
    let number = |found: io::Result<u64>| found.map_err(broken());
    let device = || {
        let number = |found: io::Result<Option<u32>>| found.map_err(broken());
        let (major, minor) = (
            number(header.device_major())?,
            number(header.device_minor())?,
        );
        Ok::<_, Error>((major.unwrap_or(0), minor.unwrap_or(0)))
    };
    let seconds = i64::try_from(number(header.mtime())?).unwrap_or(i64::MAX);
    let mode = header.mode().map_err(broken())? & 0o7777;
    let owner = (number(header.uid())?, number(header.gid())?);
    let target = || entry.link_name_bytes().unwrap_or_default().into_owned();
    let kind = match header.entry_type() {
        EntryType::Directory => Kind::Directory,
        EntryType::Symlink => Kind::Symlink(target()),
        EntryType::Link => return Ok(Node::Link(normal(&target()))),
        EntryType::Fifo => Kind::Fifo,
        EntryType::Char => device().map(|(major, minor)| Kind::Character(major, minor))?,
        EntryType::Block => device().map(|(major, minor)| Kind::Block(major, minor))?,
        kind if kind.is_file() || kind.is_gnu_sparse() || kind.is_contiguous() => {
            let mut hashing = Hashing::new(io::sink());
            io::copy(entry, &mut hashing).map_err(broken())?;
            let (_, digest, bytes) = hashing.end();
            Kind::Regular(digest, bytes)
        }
        other => {
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            return Err(Error::Malformed(format!(
                "`{}` is of type {:?}, which cannot be compared",
                SafeText::label(&name),
                char::from(other.as_byte())
            )));
        }
    };
    Ok(Node::Known(Box::new(Known {
        // A symbolic link has no permissions of its own, and archives say this or that.
        mode: if matches!(kind, Kind::Symlink(_)) {
            0
        } else {
            mode
        },
        kind,
        owner,
        modified: modified.unwrap_or((seconds, 0)),
        xattrs,
    })))
}

type Records = (Option<(i64, u32)>, BTreeMap<Vec<u8>, Vec<u8>>);

/// What PAX records say beside a header: the time with its fraction, and extended attributes.
fn records<R: Read>(entry: &mut tar::Entry<'_, R>) -> Result<Records> {
    let broken = || Error::io(READING);
    let (mut modified, mut xattrs) = (None, BTreeMap::new());
    if let Some(records) = entry.pax_extensions().map_err(broken())? {
        for record in records {
            let record = record.map_err(broken())?;
            if record.key_bytes() == b"mtime" {
                modified = time(record.value().unwrap_or_default());
            } else if let Some(name) = record.key_bytes().strip_prefix(XATTR) {
                xattrs.insert(name.to_vec(), record.value_bytes().to_vec());
            }
        }
    }
    Ok((modified, xattrs))
}

/// Seconds with a fraction, as PAX writes them: digits after the ninth are dropped.
fn time(text: &str) -> Option<(i64, u32)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    let digits = format!("{:0<9.9}", fraction);
    let nanoseconds: u32 = digits.parse().ok()?;
    let is_before = whole.starts_with('-') && nanoseconds > 0;
    // -0.5 is half a second before: one second before and half a second more.
    Some(match is_before {
        true => (seconds - 1, 1_000_000_000 - nanoseconds),
        false => (seconds, nanoseconds),
    })
}

/// A name without `.`, doubled slashes and a slash at its end.
fn normal(name: &[u8]) -> Vec<u8> {
    let parts = name.split(|byte| *byte == b'/');
    let parts: Vec<&[u8]> = parts.filter(|part| !matches!(*part, b"" | b".")).collect();
    parts.join(&b'/')
}

#[cfg(test)]
mod tests;
