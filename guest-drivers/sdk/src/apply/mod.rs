//! Unpacks an archive into a layer.
//!
//! Names are resolved as in a chroot, one component at a time, by handles: symbolic links of the layer are followed
//! for the directories above a name, absolute ones from the layer's top, `..` stops there; the name itself is never
//! followed. What is in the way is removed and made anew, never written into; a directory over a directory merges.
//!
//! The order of the entries does not decide what a layer means:
//! - whiteouts and opaque marks hide what was there before, never what the same archive brings;
//! - a directory that is hidden, but has something of the archive in it, is what its own entry says, or else what any
//!   implied directory is: 0755, owned by root;
//! - what lies behind a symbolic link of the layers below waits until it is certain whether the link or a directory has
//!   the name, see [`waiting`];
//! - a name that lies below a file of the layers below makes a directory of it; a deletion does not.
//!
//! Only an archive that contradicts itself is read in its order: of two entries of one path the last one counts, an entry
//! that is no directory takes what came below its name away, and what comes below it afterwards is refused. A hard link
//! is made of what its target is when the link comes.
//!
//! Invariant: nothing outside the directory that was given can be reached, for there is no call that could.

pub(crate) mod attributes;
mod aufs;
mod chain;
mod level;
mod link;
mod prune;
mod rebase;
mod seen;
mod target;
mod waiting;
mod way;

pub use rebase::Upper;
pub use target::Target;

use crate::archive::reader::Reader;
use crate::archive::whiteout::{self, Meaning};
use crate::archive::{Entry, Kind, name};
use crate::bindings::diff::exports::mica::driver::diff_driver::ArchiveForm;
use crate::error::{host, printable};
use crate::left_out::LeftOut;
use crate::tree::{File as _, Source};
use crate::{Code, Error, Failure, Node, Result};
use chain::Chain;
use std::rc::Rc;
use way::{Missing, Way};

/// What was done.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Sum of the sizes that the headers give.
    pub size_bytes: u64,
    /// Entries read.
    pub entries: u64,
    /// Extended attributes that were left out.
    pub left_out: LeftOut,
}

/// Unpacks an archive, which is not compressed, into `root`. What `form` decides is whether an entry for the top
/// directory counts: moby and containerd pass it over.
///
/// # Errors
/// [`crate::Error::InvalidArchive`] for an archive that is damaged or holds what may not be applied,
/// [`crate::Error::NotSupported`] for the form `rebase` of a tree that is complete in itself, [`crate::Error::Host`] if a
/// host call fails. The layer is then half changed: the host throws it away.
pub fn apply<T: Target, S: Source<File = T::File>>(
    root: T,
    form: ArchiveForm,
    source: S,
) -> Result<Report> {
    if form == ArchiveForm::Rebase && T::IS_BELOW_KNOWN {
        let text =
            "a layer that is a whole tree keeps no deletions for a parent that is told later";
        return Err(Error::NotSupported(text.to_owned()));
    }
    let mut apply = Apply {
        form,
        reader: Reader::new(source),
        chain: Chain::new(root),
        report: Report::default(),
        kept: aufs::Kept::default(),
    };
    while let Some(entry) = apply.reader.next_entry()? {
        apply.report.size_bytes = apply.report.size_bytes.saturating_add(entry.size);
        apply.take(&entry)?;
    }
    // What follows the end of an archive is read too: a client that is not read to its end takes that for an error.
    apply.reader.drain()?;
    apply.chain.settle()?;
    apply.drop_kept()?;
    apply.report.left_out.extend(apply.chain.close()?);
    Ok(Report {
        entries: apply.reader.entries(),
        ..apply.report
    })
}

struct Apply<T: Target, S> {
    form: ArchiveForm,
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
        // moby and containerd pass over `./`, so their layers keep the top that was made with the layer.
        if self.form != ArchiveForm::Faithful {
            return Ok(());
        }
        self.go(&[])?;
        let changes = self.changes(entry)?;
        self.chain.at_close(changes);
        Ok(())
    }

    fn take_node(&mut self, entry: &Entry, parent: &[&[u8]], name: &[u8]) -> Result<()> {
        self.go(parent)?;
        self.touch(entry)?;
        match entry.kind {
            Kind::Directory => self.make_directory(entry, name)?,
            Kind::Regular => self.make_file(entry, name)?,
            Kind::HardLink => self.make_link(entry, name)?,
            Kind::Symlink => {
                let target = &entry.link;
                if target.is_empty() || target.len() > name::TARGET_BYTES || target.contains(&0) {
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

    /// Goes to a directory, which is made if need be.
    fn go(&mut self, parts: &[&[u8]]) -> Result<Way> {
        let way = self.chain.go(parts, Missing::Create);
        way.map_err(|obstacle| obstacle.named(&self.reader))
    }

    /// The directory that the entry lies in.
    fn here(&mut self, entry: &Entry) -> Result<Rc<T>> {
        let here = self.chain.here();
        here.map_err(|failure| host(doing("directory of", entry), failure))
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
        let failed = |failure| host(doing("directory", entry), failure);
        // The entry says that the name is a directory, so what waited behind a link of that name belongs into it.
        self.chain.unfold(name).map_err(failed)?;
        let here = self.here(entry)?;
        let opened = target::open_or_make(&*here, name, entry.mode);
        let (directory, is_new) = opened.map_err(failed)?;
        let changes = self.changes(entry)?;
        // Named by its own entry, the directory counts as seen before it is entered.
        self.chain
            .saw(name)
            .map_err(|what| self.reader.invalid(what))?;
        self.chain
            .describe(name)
            .map_err(|what| self.reader.invalid(what))?;
        self.chain.push(name, directory, is_new);
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
        let here = self.chain.here();
        let here = here.map_err(|failure| host(format!("make `{}`", printable(name)), failure))?;
        let made = match make(&here) {
            // Tried first, and cleared only if need be: nearly every name of an archive is new.
            Err(failure) if failure.code == Code::Exists => {
                here.make_way(name).and_then(|()| make(&here))
            }
            made => made,
        };
        self.chain.forget_path();
        made.map_err(|failure| host(format!("make `{}`", printable(name)), failure))
    }

    fn set(&mut self, entry: &Entry, name: &[u8]) -> Result<()> {
        let changes = self.changes(entry)?;
        let here = self.here(entry)?;
        let set = attributes::set(&changes, |changes| here.set_entry_attributes(name, changes));
        self.note(set, entry)
    }

    /// Tells attributes that the file system refused.
    fn note(&mut self, set: Result<Vec<Vec<u8>>, Failure>, entry: &Entry) -> Result<()> {
        let refused = set.map_err(|failure| host(doing("attributes of", entry), failure))?;
        for name in &refused {
            self.report.left_out.attribute(&entry.name, name);
        }
        Ok(())
    }

    fn changes(&mut self, entry: &Entry) -> Result<crate::AttributeChanges> {
        let filtered = attributes::of(entry).map_err(|what| self.reader.invalid(what))?;
        for name in &filtered.skipped {
            self.report.left_out.attribute(&entry.name, name);
        }
        Ok(filtered.changes)
    }
}

fn doing(what: &str, entry: &Entry) -> String {
    format!("make {what} `{}`", printable(&entry.name))
}
