//! Layers on the disk, and what is on record of them.
//!
//! Invariant: a layer is published whole or not at all, and a copy replaces a room only if its operation succeeded.

use crate::host::directory::Directory;
use crate::host::{failed, refused};
use crate::mica::driver::types::{Error, HostFailure};
use crate::mica::host::home::Layer;
use crate::mica::host::log::Level;
use crate::mica::host::mounts::Access;
use crate::mica::host::types::{Code, Failure};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use tempfile::TempDir;

/// The rooms of a store.
#[derive(Debug)]
pub(super) struct Rooms {
    /// Removed when the store is dropped.
    _directory: TempDir,
    base: PathBuf,
    records: RefCell<BTreeMap<String, Layer>>,
    /// How many layers were begun.
    begun: Cell<u64>,
    /// The layer whose room is a private copy now.
    copied: RefCell<Option<String>>,
    pub(super) options: Vec<(String, String)>,
    pub(super) said: RefCell<Vec<(Level, String)>>,
}

impl Rooms {
    pub(super) fn new(options: Vec<(String, String)>) -> io::Result<Self> {
        let directory = TempDir::with_prefix("mica-native-")?;
        // As views tell it, wherever the system's directory for temporary files is a link to.
        let base = directory.path().canonicalize()?;
        for name in ["layers", "staging"] {
            fs::create_dir(base.join(name))?;
        }
        Ok(Self {
            _directory: directory,
            base,
            records: RefCell::default(),
            begun: Cell::new(0),
            copied: RefCell::default(),
            options,
            said: RefCell::default(),
        })
    }

    pub(super) fn base(&self) -> &Path {
        &self.base
    }

    pub(super) fn path(&self, id: &str) -> PathBuf {
        self.base().join("layers").join(id)
    }

    fn copy_path(&self) -> PathBuf {
        self.base().join("copy")
    }

    /// What an operation sees as the room of a layer.
    pub(super) fn open_path(&self, id: &str) -> PathBuf {
        match self.copied.borrow().as_deref() == Some(id) {
            true => self.copy_path(),
            false => self.path(id),
        }
    }

    pub(super) fn layer(&self, id: &str) -> Result<Layer, Failure> {
        let found = self.records.borrow().get(id).cloned();
        found.ok_or_else(|| refused(Code::NotFound, format!("there is no layer `{id}`")))
    }

    pub(super) fn ids(&self) -> Vec<String> {
        self.records.borrow().keys().cloned().collect()
    }

    /// What the host refuses before it asks a driver.
    pub(super) fn check_new(&self, id: &str, parent: Option<&str>) -> Result<(), Error> {
        let is_wrong = |character: char| character == '/' || character.is_control();
        if id.is_empty() || id == "." || id == ".." || id.len() > 255 || id.contains(is_wrong) {
            return Err(Error::Invalid(format!("`{id}` is no layer id")));
        }
        if self.layer(id).is_ok() {
            return Err(Error::Exists(format!("layer `{id}` exists")));
        }
        match parent {
            Some(parent) => self.layer(parent).map(drop).map_err(error_of),
            None => Ok(()),
        }
    }

    pub(super) fn discard(&self, id: &str) -> Result<(), Failure> {
        self.layer(id)?;
        fs::remove_dir_all(self.path(id)).map_err(failed(format!("discard layer `{id}`")))?;
        self.records.borrow_mut().remove(id);
        Ok(())
    }

    /// Makes a private copy of a layer's room, which operations see in its place.
    pub(super) fn begin_copy(&self, id: &str) -> Result<(), Error> {
        // What is left of a copy that failed, or whose operation panicked, would be a part of this one.
        let _absent_is_fine = fs::remove_dir_all(self.copy_path());
        // Hard links, holes, times and attributes of every kind, as far as this user may.
        let copied = Command::new("cp")
            .args(["--archive", "--no-target-directory"])
            .args([self.path(id), self.copy_path()])
            .status();
        let doing = format!("copy the room of layer `{id}`");
        match copied {
            Ok(status) if status.success() => {}
            Ok(status) => {
                return Err(error_of(refused(
                    Code::Io,
                    format!("{doing}: cp ended with {status}"),
                )));
            }
            Err(error) => return Err(error_of(failed(doing)(error))),
        }
        *self.copied.borrow_mut() = Some(id.to_owned());
        Ok(())
    }

    /// Ends the copy: it replaces the room, or goes.
    pub(super) fn end_copy(&self, id: &str, is_kept: bool) -> Result<(), Error> {
        self.copied.take();
        let (room, copy) = (self.path(id), self.copy_path());
        let end = || match is_kept {
            true => {
                fs::remove_dir_all(&room)?;
                fs::rename(&copy, &room)
            }
            false => fs::remove_dir_all(&copy),
        };
        end().map_err(|error| error_of(failed(format!("replace layer `{id}`"))(error)))
    }
}

/// A failure of the store's own, as an answer.
pub(super) fn error_of(failure: Failure) -> Error {
    match failure.code {
        Code::NotFound => Error::NotFound(failure.message),
        _ => Error::Host(HostFailure {
            doing: "keep the store".to_owned(),
            failure,
        }),
    }
}

/// A layer that is being made. Dropping it throws it away.
#[derive(Debug)]
pub(crate) struct Staging {
    rooms: Rc<Rooms>,
    path: PathBuf,
}

impl Staging {
    pub(super) fn make(rooms: &Rc<Rooms>) -> Result<Self, Failure> {
        let number = rooms.begun.get();
        rooms.begun.set(number + 1);
        let path = rooms.base().join("staging").join(number.to_string());
        let make = || {
            DirBuilder::new().mode(0o755).create(&path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
        };
        make().map_err(failed::<io::Error>("begin a layer"))?;
        let rooms = Rc::clone(rooms);
        Ok(Self { rooms, path })
    }

    pub(crate) fn room(&self) -> Result<Directory, Failure> {
        Directory::room(&self.path, Access::ReadWrite).map_err(failed("open the room"))
    }

    pub(super) fn publish(self, layer: Layer) -> Result<(), Failure> {
        let id = &layer.id;
        if self.rooms.layer(id).is_ok() {
            return Err(refused(Code::Exists, format!("layer `{id}` exists")));
        }
        fs::rename(&self.path, self.rooms.path(id))
            .map_err(failed(format!("publish layer `{id}`")))?;
        let mut records = self.rooms.records.borrow_mut();
        records.insert(id.clone(), layer.clone());
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What was published is not there any more.
        let _gone = fs::remove_dir_all(&self.path);
    }
}
