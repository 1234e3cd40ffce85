//! Copies a tree: what a driver without shared layers does for every child.
//!
//! Hard links stay hard links, holes stay holes, times are kept to the nanosecond, and extended attributes are kept in
//! every name space, access lists among them: a child has its parent's rights. A socket is copied as a name that no
//! one listens on, so that a child shows what its parent shows.
//!
//! Invariant: content is moved by the host, by reflink where the file system can.

use crate::copies::Notes;
use crate::error::printable;
use crate::tree::pages::Pages;
use crate::tree::trail::Trail;
use crate::tree::{Directory, File as _, wanted};
use crate::{AttributeChanges, Doing as _, Entry, Failure, Node, NodeKind, Ownership, Result};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Copies all of `from`, attributes of the top directory included, into the empty directory `to`.
///
/// # Errors
/// [`crate::Error::Host`] if a host call fails.
pub fn copy_tree<D: Directory>(from: D, to: D) -> Result<()> {
    Copy::new(from, to, None).run()
}

/// As [`copy_tree`], and notes which files were copied.
///
/// # Errors
/// As [`copy_tree`].
pub fn copy_tree_noted<D: Directory>(from: D, to: D, notes: &mut Notes) -> Result<()> {
    Copy::new(from, to, Some(notes)).run()
}

struct Copy<'a, D> {
    from: Trail<D>,
    to: Trail<D>,
    notes: Option<&'a mut Notes>,
    /// The first name of each inode that has several.
    names: BTreeMap<(u64, u64), Vec<Vec<u8>>>,
    path: Vec<Vec<u8>>,
}

impl<'a, D: Directory> Copy<'a, D> {
    fn new(from: D, to: D, notes: Option<&'a mut Notes>) -> Self {
        Self {
            from: Trail::new(from),
            to: Trail::new(to),
            notes,
            names: BTreeMap::new(),
            path: Vec::new(),
        }
    }

    fn run(&mut self) -> Result<()> {
        let mut stack = vec![self.list()?];
        while let Some(pages) = stack.last_mut() {
            let entry = pages.advance();
            let entry = entry.doing(|| format!("list directory `{}`", self.shown()))?;
            let Some(entry) = entry else {
                stack.pop();
                self.leave()?;
                continue;
            };
            self.path.push(entry.name.clone());
            match entry.attributes.kind {
                NodeKind::Directory => {
                    self.enter(&entry)?;
                    stack.push(self.list()?);
                }
                _ => {
                    self.node(&entry)?;
                    self.path.pop();
                }
            }
        }
        Ok(())
    }

    fn list(&mut self) -> Result<Pages<D::Listing>> {
        let here = self.from.here();
        here.and_then(|from| Pages::of(&*from, &[]))
            .doing(|| format!("list directory `{}`", self.shown()))
    }

    fn here(&mut self) -> Result<(Rc<D>, Rc<D>)> {
        let doing = || {
            format!(
                "open the directory of `{}`",
                printable(&self.path.join(&b'/'))
            )
        };
        Ok((self.from.here().doing(doing)?, self.to.here().doing(doing)?))
    }

    fn enter(&mut self, entry: &Entry) -> Result<()> {
        let (from, to) = self.here()?;
        let (name, doing) = (&entry.name, || format!("copy `{}`", self.shown()));
        let inner = from.open_directory(name).doing(doing)?;
        let made = to
            .create_directory(name, entry.attributes.mode)
            .doing(doing)?;
        self.from.enter(name, inner);
        self.to.enter(name, made);
        Ok(())
    }

    /// A directory gets its attributes after all that is in it.
    fn leave(&mut self) -> Result<()> {
        let (from, to) = self.here()?;
        copy_attributes(&*from, &*to).doing(|| format!("set attributes of `{}`", self.shown()))?;
        self.from.leave();
        self.to.leave();
        self.path.pop();
        Ok(())
    }

    fn node(&mut self, entry: &Entry) -> Result<()> {
        let (from, to) = self.here()?;
        let (name, found) = (&entry.name, &entry.attributes);
        if found.links > 1 && self.link(&to, entry)? {
            return self.note(&to, entry);
        }
        self.make(&from, &to, entry)
            .and_then(|()| to.copy_xattrs(name, &from, name))
            .doing(|| format!("copy `{}`", self.shown()))?;
        self.note(&to, entry)?;
        if found.links > 1 {
            self.names
                .insert((found.device, found.inode), self.path.clone());
        }
        Ok(())
    }

    /// Notes a file behind the last change of its copy, which a further name is.
    fn note(&mut self, to: &D, entry: &Entry) -> Result<()> {
        if entry.attributes.kind == NodeKind::Regular && self.notes.is_some() {
            let made = to.stat(&entry.name, &[]);
            let made = made.doing(|| format!("look at the copy of `{}`", self.shown()))?;
            if let Some(notes) = &mut self.notes {
                notes.note(&entry.attributes, &made.attributes);
            }
        }
        Ok(())
    }

    fn make(&self, from: &D, to: &D, entry: &Entry) -> Result<(), Failure> {
        let (name, found) = (&entry.name, &entry.attributes);
        let plain = attributes(entry);
        match found.kind {
            NodeKind::Regular => {
                let made = to.create_file(name, found.mode)?;
                if found.size > 0 {
                    made.copy_content(&from.open_file(name)?)?;
                }
                return made.set_attributes(&plain);
            }
            NodeKind::Symlink => to.create_symlink(name, &from.read_link(name)?)?,
            _ => to.create_node(name, special(entry), found.mode)?,
        }
        to.set_entry_attributes(name, &plain)
    }

    /// Links a further name to the first; false if this is the first.
    fn link(&self, to: &D, entry: &Entry) -> Result<bool> {
        let key = (entry.attributes.device, entry.attributes.inode);
        let Some((last, parents)) = self.names.get(&key).and_then(|path| path.split_last()) else {
            return Ok(false);
        };
        let doing = || format!("link `{}`", printable(&entry.name));
        let mut way: Option<D> = None;
        for part in parents {
            let here = way.as_ref().unwrap_or(self.to.top());
            way = Some(here.open_directory(part).doing(doing)?);
        }
        let here = way.as_ref().unwrap_or(self.to.top());
        here.link(last, to, &entry.name).doing(doing)?;
        Ok(true)
    }

    fn shown(&self) -> String {
        printable(&self.path.join(&b'/'))
    }
}

/// Gives a directory all attributes of another, whatever name space they are of.
///
/// # Errors
/// What the host answers.
pub fn copy_attributes<D: Directory>(from: &D, to: &D) -> Result<(), Failure> {
    to.set_attributes(&attributes(&from.get_attributes(&[])?))?;
    to.copy_own_xattrs(from)
}

fn special(entry: &Entry) -> Node {
    let numbers = (entry.attributes.major, entry.attributes.minor);
    match entry.attributes.kind {
        NodeKind::BlockDevice => Node::BlockDevice(numbers),
        NodeKind::CharacterDevice => Node::CharacterDevice(numbers),
        NodeKind::Socket => Node::Socket,
        _ => Node::Fifo,
    }
}

/// What a node gets that is to be like another, with those extended attributes that came along.
#[must_use]
pub fn attributes(entry: &Entry) -> AttributeChanges {
    let found = &entry.attributes;
    AttributeChanges {
        owner: Some(Ownership {
            uid: found.uid,
            gid: found.gid,
        }),
        mode: (found.kind != NodeKind::Symlink).then_some(found.mode),
        modified: Some(found.modified),
        xattrs: wanted::kept(&entry.xattrs).cloned().collect(),
    }
}
