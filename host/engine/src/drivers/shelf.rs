//! Where the builds of a driver are kept, with the record of which of them is active.
//!
//! A change writes the components first and the record last, each as a new file, a sync, a rename and a sync of the
//! directory. The rename of the record is the moment of the change; what no record names is deleted at the next start.
//!
//! Invariant: the component of the active build is on the device before a record says that it is active.

use super::active::Build;
use super::history::History;
use crate::disk::files;
use crate::settings::Durability;
use crate::{Error, Result};
use mica_runtime::digest_of;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The name of the record.
const RECORD: &str = "history.json";
/// What a record is renamed to that cannot be read.
pub(crate) const DAMAGED: &str = "history-damaged.json";

/// The directory of one driver.
#[derive(Debug)]
pub(crate) struct Shelf(PathBuf);

impl Shelf {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self(directory)
    }

    fn record(&self) -> PathBuf {
        self.0.join(RECORD)
    }

    fn component(&self, digest: &str) -> PathBuf {
        let digits = digest.strip_prefix("sha256:").unwrap_or(digest);
        self.0.join(format!("{digits}.wasm"))
    }

    /// Reads the record; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for a record that makes no sense: it is set aside then.
    pub(super) fn read(&self) -> Result<Option<History>> {
        let read = self.look();
        if let Err(Error::Corrupt { path, .. }) = &read {
            // What stays in the way is overwritten by the next change, and that is all.
            let _aside = fs::rename(path, self.0.join(DAMAGED));
        }
        read
    }

    /// The same, and leaves a record that makes no sense where it is.
    pub(crate) fn look(&self) -> Result<Option<History>> {
        let path = self.record();
        let bytes = match files::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|error| Error::path("read", &path, error))?,
        };
        let read = || -> std::result::Result<History, String> {
            files::check_sum(&bytes).map_err(|error| error.to_string())?;
            let read = serde_json::from_slice::<History>(&bytes);
            read.map_err(|error| error.to_string())?.checked()
        };
        read()
            .map(Some)
            .map_err(|reason| Error::Corrupt { path, reason })
    }

    /// Keeps a component. One that is there already stays as it is.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::NoSpace`].
    pub(super) fn keep(&self, build: &Build) -> Result<()> {
        let path = self.component(&build.digest);
        let keep = || {
            files::make_directory(&self.0)?;
            if self.component_of(&build.digest, build.bytes.len()).is_ok() {
                return Ok(());
            }
            files::replace(&path, &build.bytes, Durability::Commit)
        };
        keep().map_err(|error| Error::path("keep component", &path, error))
    }

    /// Reads a component that was kept.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Corrupt`] when it is not what it was.
    pub(super) fn component_of(&self, digest: &str, most: usize) -> Result<Vec<u8>> {
        let path = self.component(digest);
        let bytes = files::read_component(&path, most)
            .map_err(|error| Error::path("read component", &path, error))?;
        let found = digest_of(&bytes);
        match found == digest {
            true => Ok(bytes),
            false => Err(Error::Corrupt {
                path,
                reason: format!("it has the digest {found}"),
            }),
        }
    }

    /// Puts another record in the place of one: the moment of a swap. An error leaves the one before.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::NoSpace`].
    pub(super) fn write(&self, before: &History, after: &History) -> Result<()> {
        let path = self.record();
        let write =
            |history: &History| files::replace(&path, &to_bytes(history)?, Durability::Commit);
        let is_there = |history: &History| match (files::read(&path), history.is_empty()) {
            (Ok(found), false) => to_bytes(history).is_ok_and(|wanted| wanted == found),
            (Err(error), true) => error.kind() == io::ErrorKind::NotFound,
            _ => false,
        };
        write(after).map_err(|error| {
            if is_there(before) {
                return Error::path("write", &path, error);
            }
            // The sync of the directory may be what failed, and then the new record is there.
            let back = match before.is_empty() {
                true => files::remove(&path),
                false => write(before),
            };
            match back {
                Ok(()) => Error::path("write", &path, error),
                Err(back) => {
                    let doing = "write (it may say either, for the old one could not be put back)";
                    tracing::error!(path = %path.display(), %back, "the record of a driver is not known");
                    Error::path(doing, &path, error)
                }
            }
        })
    }

    /// Deletes what the record does not name.
    pub(super) fn tidy(&self, history: &History) {
        for path in self.unnamed(history) {
            if let Err(error) = files::remove(&path) {
                tracing::warn!(path = %path.display(), %error, "a component that nobody needs stays");
            }
        }
    }

    /// What lies here and the record does not name.
    pub(crate) fn unnamed(&self, history: &History) -> Vec<PathBuf> {
        let mut named: BTreeSet<PathBuf> = self
            .kept(history)
            .map(|digest| self.component(digest))
            .collect();
        named.insert(self.record());
        named.insert(self.0.join(DAMAGED));
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        paths.filter(|path| !named.contains(path)).collect()
    }

    /// The kept components that are not what they were, each with its path and the reason.
    pub(crate) fn find_damaged(&self, history: &History, most: usize) -> Vec<(PathBuf, Error)> {
        let kept = self.kept(history);
        let damaged = kept.filter_map(|digest| {
            let error = self.component_of(digest, most).err()?;
            Some((self.component(digest), error))
        });
        damaged.collect()
    }

    /// Whether a path is that of the active build's component.
    pub(crate) fn is_active(&self, history: &History, path: &Path) -> bool {
        let active = history.active();
        active.is_some_and(|build| self.component(&build.digest) == path)
    }

    /// Notes in the record that the component at a path is gone, if its build is not the active one.
    ///
    /// # Errors
    /// As [`Shelf::look`] and [`Shelf::write`].
    pub(crate) fn forget(&self, path: &Path) -> Result<()> {
        let Some(before) = self.look()? else {
            return Ok(());
        };
        let mut after = before.clone();
        let kept: Vec<&str> = self.kept(&before).collect();
        for digest in kept {
            if self.component(digest) == path && !self.is_active(&before, path) {
                after.lose(digest);
            }
        }
        self.write(&before, &after)
    }

    fn kept<'h>(&self, history: &'h History) -> impl Iterator<Item = &'h str> {
        let kept = history.kept().into_iter();
        kept.filter_map(|number| history.find(number))
            .map(|build| build.digest.as_str())
    }
}

fn to_bytes(history: &History) -> serde_json::Result<Vec<u8>> {
    Ok(files::with_sum(&serde_json::to_vec_pretty(history)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Origin;
    use std::borrow::Cow;
    use tempfile::TempDir;

    fn build(bytes: &'static [u8]) -> Build {
        Build {
            bytes: Cow::Borrowed(bytes),
            origin: Origin::Uploaded,
            provenance: None,
            digest: digest_of(bytes),
        }
    }

    fn shelf() -> (TempDir, Shelf) {
        let place = TempDir::new().unwrap();
        let shelf = Shelf::new(place.path().join("overlay"));
        (place, shelf)
    }

    fn names(shelf: &Shelf) -> usize {
        fs::read_dir(&shelf.0).unwrap().count()
    }

    #[test]
    fn what_the_record_does_not_name_goes() {
        let (_place, shelf) = shelf();
        let mut history = History::default();
        assert!(shelf.read().unwrap().is_none());
        for bytes in [b"a", b"b", b"c", b"d"] {
            let before = history.clone();
            shelf.keep(&build(bytes)).unwrap();
            history.enter(&build(bytes), "1");
            shelf.write(&before, &history).unwrap();
        }
        fs::write(shelf.0.join("left.wasm.new"), "half").unwrap();
        shelf.tidy(&history);
        assert_eq!(names(&shelf), 4);
        let read = shelf.read().unwrap().unwrap();
        assert_eq!(read.kept(), history.kept());
        let component = shelf.component_of(&build(b"d").digest, 100).unwrap();
        assert_eq!(component, b"d");
        assert!(shelf.component_of(&build(b"a").digest, 100).is_err());
    }

    #[test]
    fn a_component_that_changed_is_not_taken() {
        let (_place, shelf) = shelf();
        let kept = build(b"good");
        shelf.keep(&kept).unwrap();
        fs::write(shelf.component(&kept.digest), "evil").unwrap();
        let error = shelf.component_of(&kept.digest, 100).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    }

    #[test]
    fn a_damaged_record_is_set_aside() {
        let (_place, shelf) = shelf();
        shelf.keep(&build(b"a")).unwrap();
        fs::write(shelf.record(), "{").unwrap();
        assert!(matches!(shelf.read(), Err(Error::Corrupt { .. })));
        assert!(shelf.read().unwrap().is_none());
        assert!(shelf.0.join(DAMAGED).exists());
    }
}
