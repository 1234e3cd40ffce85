//! Unpacks an archive into a layer.
//!
//! Names are resolved as in a chroot, one component at a time, by handles: symbolic links of the layer are followed
//! for the directories above a name, absolute ones from the layer's top, `..` stops there; the name itself is never
//! followed. What is in the way is removed and made anew, never written into; a directory over a directory merges.
//! Whiteouts hide what was there before, never what the same archive brings, in any order.
//!
//! Invariant: nothing outside the directory that was given can be reached, for there is no call that could.

mod attributes;
mod aufs;
mod chain;
mod link;
mod prune;
mod seen;
mod target;

pub use target::Target;

use crate::archive::reader::Reader;
use crate::archive::whiteout::{self, Meaning};
use crate::archive::{Entry, Kind, name};
use crate::error::{host, printable};
use crate::tree::{File as _, Source};
use crate::{Code, Failure, Node, Result};
use chain::{Chain, Missing};

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Sum of the sizes that the headers give.
    pub size_bytes: u64,
    /// Entries read.
    pub entries: u64,
    /// Extended attributes that were left out.
    pub xattrs_skipped: u64,
    /// The first of them.
    pub first_skipped: Option<Vec<u8>>,
}

/// Unpacks an archive, which is not compressed, into `root`.
///
/// # Errors
/// [`crate::Error::InvalidArchive`] for an archive that is damaged or holds what may not be applied,
/// [`crate::Error::Host`] if a host call fails. The layer is then half changed: the host throws it away.
pub fn apply<T: Target, S: Source<File = T::File>>(root: T, source: S) -> Result<Report> {
    let mut apply = Apply {
        reader: Reader::new(source),
        chain: Chain::new(root),
        report: Report::default(),
        kept: aufs::Kept::default(),
    };
    while let Some(entry) = apply.reader.next_entry()? {
        apply.report.size_bytes = apply.report.size_bytes.saturating_add(entry.size);
        apply.take(&entry)?;
    }
    apply.reader.drain()?;
    apply.drop_kept()?;
    apply.chain.close()?;
    Ok(Report {
        entries: apply.reader.entries(),
        ..apply.report
    })
}

struct Apply<T: Target, S> {
    reader: Reader<S>,
    chain: Chain<T>,
    report: Report,
    kept: aufs::Kept,
}

impl<T: Target, S: Source<File = T::File>> Apply<T, S> {
    fn take(&mut self, entry: &Entry) -> Result<()> {
        let parts = name::split(&entry.name).map_err(|what| self.reader.invalid(what))?;
        match whiteout::read(&parts).map_err(|what| self.reader.invalid(what))? {
            Meaning::Aufs => self.take_aufs(entry, &parts),
            Meaning::Root => self.take_root(entry),
            Meaning::Opaque { directory } => self.hide_all(directory),
            Meaning::Whiteout { parent, name } => self.hide(parent, name),
            Meaning::Node { parent, name } => self.take_node(entry, parent, name),
        }
    }

    /// The top directory is there already; only its attributes are taken.
    fn take_root(&mut self, entry: &Entry) -> Result<()> {
        if entry.kind != Kind::Directory {
            return Err(self
                .reader
                .invalid("only a directory can stand for the top"));
        }
        self.chain
            .go(&[], Missing::Create)
            .map_err(|error| error.named(&self.reader))?;
        let changes = self.changes(entry)?;
        self.chain.at_close(changes);
        Ok(())
    }

    fn take_node(&mut self, entry: &Entry, parent: &[&[u8]], name: &[u8]) -> Result<()> {
        self.chain
            .go(parent, Missing::Create)
            .map_err(|error| error.named(&self.reader))?;
        self.touch(entry)?;
        match entry.kind {
            Kind::Directory => self.make_directory(entry, name)?,
            Kind::Regular => self.make_file(entry, name)?,
            Kind::HardLink => self.make_link(entry, name)?,
            Kind::Symlink => {
                let target = &entry.link;
                if target.is_empty() || target.len() >= name::PATH_BYTES || target.contains(&0) {
                    return Err(self
                        .reader
                        .invalid("a symbolic link's target has 1 to 4095 bytes and no NUL"));
                }
                self.replace(name, |directory| directory.create_symlink(name, target))?;
                self.set(entry, name)?;
            }
            Kind::Fifo => self.make_special(entry, name, Node::Fifo)?,
            Kind::BlockDevice => self.make_special(entry, name, Node::BlockDevice(entry.device))?,
            Kind::CharacterDevice if entry.device == (0, 0) => {
                return Err(self.reader.invalid(
                    "a character device 0:0 is overlayfs' whiteout; archives use `.wh.`",
                ));
            }
            Kind::CharacterDevice => {
                self.make_special(entry, name, Node::CharacterDevice(entry.device))?
            }
        }
        self.chain
            .saw(name)
            .map_err(|what| self.reader.invalid(what))
    }

    fn touch(&mut self, entry: &Entry) -> Result<()> {
        self.chain.touch().map_err(|failure| {
            host(
                format!("read the directory of `{}`", printable(&entry.name)),
                failure,
            )
        })
    }

    fn make_directory(&mut self, entry: &Entry, name: &[u8]) -> Result<()> {
        let directory = chain::open_or_make(self.chain.top(), name, entry.mode)
            .map_err(|failure| host(doing("directory", entry), failure))?;
        let changes = self.changes(entry)?;
        // Named by its own entry, the directory counts as seen before it is entered.
        self.chain
            .saw(name)
            .map_err(|what| self.reader.invalid(what))?;
        self.chain.push(name, directory);
        self.chain.at_close(changes);
        self.chain.rest_at_parent();
        Ok(())
    }

    fn make_file(&mut self, entry: &Entry, name: &[u8]) -> Result<()> {
        let file = self.replace(name, |directory| directory.create_file(name, entry.mode))?;
        self.reader.copy_body(&file)?;
        let changes = self.changes(entry)?;
        let set = attributes::set(&changes, |changes| file.set_attributes(changes));
        self.note(set, entry)
    }

    fn make_special(&mut self, entry: &Entry, name: &[u8], node: Node) -> Result<()> {
        self.replace(name, |directory| {
            directory.create_node(name, node, entry.mode)
        })?;
        self.set(entry, name)
    }

    /// Makes a node; what has its name makes way.
    fn replace<R>(&mut self, name: &[u8], make: impl Fn(&T) -> Result<R, Failure>) -> Result<R> {
        let directory = self.chain.top();
        let made = match make(directory) {
            Err(failure) if failure.code == Code::Exists => {
                directory.make_way(name).and_then(|()| make(directory))
            }
            made => made,
        };
        self.chain.forget_path();
        made.map_err(|failure| host(format!("make `{}`", printable(name)), failure))
    }

    fn set(&mut self, entry: &Entry, name: &[u8]) -> Result<()> {
        let changes = self.changes(entry)?;
        let directory = self.chain.top();
        let set = attributes::set(&changes, |changes| {
            directory.set_entry_attributes(name, changes)
        });
        self.note(set, entry)
    }

    /// Counts attributes that the file system refused.
    fn note(&mut self, set: Result<u64, Failure>, entry: &Entry) -> Result<()> {
        let skipped = set.map_err(|failure| host(doing("attributes of", entry), failure))?;
        self.report.xattrs_skipped += skipped;
        Ok(())
    }

    fn changes(&mut self, entry: &Entry) -> Result<crate::AttributeChanges> {
        let filtered = attributes::of(entry).map_err(|what| self.reader.invalid(what))?;
        self.report.xattrs_skipped += filtered.skipped;
        if self.report.first_skipped.is_none() {
            self.report.first_skipped = filtered.first_skipped;
        }
        Ok(filtered.changes)
    }
}

fn doing(what: &str, entry: &Entry) -> String {
    format!("make {what} `{}`", printable(&entry.name))
}
