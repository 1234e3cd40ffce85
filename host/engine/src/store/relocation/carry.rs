//! The content of a store is copied, compared with what it was, and brought to the device.
//!
//! Invariant: the original is only read; a copy is taken for good only if all of it was read back from where it lies.

use crate::disk::home::AREAS;
use crate::disk::{files, reserve};
use crate::scrub::Comparer;
use crate::traffic::ClientCall;
use crate::{Error, Result};
use mica_runtime::CancelToken;
use mica_sys::{content, filesystem, node, tree};
use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

/// Where layers lie; what is being made or deleted beside them stays behind.
const LAYERS: &str = "layers";

/// Carries one store.
pub(super) struct Carrier<'a> {
    pub(super) from: &'a Path,
    pub(super) to: &'a Path,
    pub(super) cancel: &'a CancelToken,
    /// Whether it has to be on the device before it counts.
    pub(super) is_synced: bool,
}

impl Carrier<'_> {
    /// Fills the new directory.
    pub(super) fn carry(&self) -> Result<()> {
        self.copy().map_err(|error| self.failed("copy", error))?;
        self.sync()
            .map_err(|error| self.failed("sync the copy of", error))?;
        self.compare()
    }

    fn failed(&self, doing: &str, error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::Interrupted => Error::Cancelled,
            _ => Error::path(doing, self.from, error),
        }
    }

    fn check(&self) -> io::Result<()> {
        match self.cancel.is_cancelled() {
            true => Err(io::ErrorKind::Interrupted.into()),
            false => Ok(()),
        }
    }

    /// What is carried, by the names below the store's directory: the layers, and what lies beside the areas. The rest is made anew
    /// at each start, or is the host's own.
    fn entries(&self) -> io::Result<Vec<PathBuf>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(self.from)? {
            let name = entry?.file_name();
            let is_left = AREAS.iter().any(|area| name == *area) || name == reserve::NAME;
            if !is_left {
                entries.push(name.into());
            }
        }
        for entry in fs::read_dir(self.from.join(LAYERS))? {
            entries.push(Path::new(LAYERS).join(entry?.file_name()));
        }
        Ok(entries)
    }

    fn copy(&self) -> io::Result<()> {
        files::make_directory(&self.to.join(LAYERS))?;
        for entry in self.entries()? {
            self.copy_one(&self.from.join(&entry), &self.to.join(&entry))?;
        }
        for directory in [LAYERS, ""] {
            let like = fs::metadata(self.from.join(directory))?;
            fs::set_permissions(self.to.join(directory), like.permissions())?;
        }
        Ok(())
    }

    /// Copies a directory with all in it, or a file of ours.
    fn copy_one(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check()?;
        if !from.symlink_metadata()?.is_dir() {
            ClientCall::note_done(fs::copy(from, to)?);
            return Ok(());
        }
        files::make_directory(to)?;
        let (from, to) = (files::open_directory(from)?, files::open_directory(to)?);
        let go_on = |bytes| {
            ClientCall::note_done(bytes);
            !self.cancel.is_cancelled()
        };
        tree::clone_watched(from.as_fd(), to.as_fd(), &go_on).map(drop)
    }

    fn sync(&self) -> io::Result<()> {
        if !self.is_synced {
            return Ok(());
        }
        let to = files::open_directory(self.to)?;
        filesystem::sync(to.as_fd())?;
        let above = self.to.parent().ok_or(io::ErrorKind::InvalidInput)?;
        filesystem::sync_file(files::open_directory(above)?.as_fd())
    }

    /// Reads both, the copy from the device.
    fn compare(&self) -> Result<()> {
        let entries = self.entries().map_err(|error| self.failed("list", error))?;
        for entry in entries {
            self.compare_one(&self.from.join(&entry), &self.to.join(&entry))?;
        }
        Ok(())
    }

    fn compare_one(&self, from: &Path, to: &Path) -> Result<()> {
        let compared = || {
            self.check()?;
            if !from.symlink_metadata()?.is_dir() {
                let (one, other) = (File::open(from)?, File::open(to)?);
                content::forget_cached(other.as_fd())?;
                let is_same = content::same(one.as_fd(), other.as_fd(), &|| true)?;
                return Ok((!is_same).then(|| "its content differs".to_owned()));
            }
            let (one, other) = (files::open_directory(from)?, files::open_directory(to)?);
            forget_cached(other.as_fd())?;
            let stop = || self.cancel.is_cancelled();
            Comparer::new(&stop).difference(one.as_fd(), other.as_fd())
        };
        match compared().map_err(|error| self.failed("compare the copy of", error))? {
            None => Ok(()),
            Some(reason) => Err(Error::Corrupt {
                path: to.to_owned(),
                reason: format!("it is no true copy of `{}`: {reason}", from.display()),
            }),
        }
    }
}

/// Has the page cache forget the files of a tree.
fn forget_cached(top: BorrowedFd<'_>) -> io::Result<()> {
    let mut failed = Ok(());
    tree::visit(top, tree::Depth::OneMount, &mut |node| {
        if node.attributes.kind != node::Kind::Regular {
            return ControlFlow::Continue(());
        }
        let opened = node::open_regular(node.directory, node.name);
        match opened.and_then(|file| content::forget_cached(file.as_fd())) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Err(error);
                ControlFlow::Break(())
            }
        }
    })?;
    failed
}
