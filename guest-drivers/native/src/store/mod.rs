//! A store for tests: a driver, and layers in a temporary directory that goes with it.
//!
//! Invariant: one operation runs at a time on a thread, and may do what the host lets it do (`wit/proto-driver.wit`).

mod operation;
mod rooms;

pub(crate) use operation::running;
pub(crate) use rooms::Staging;

use crate::exports::mica::driver::diff_driver::{
    ApplyReport, ArchiveForm, DiffReport, Guest as DiffDriver,
};
use crate::exports::mica::driver::proto_driver::Guest as Driver;
use crate::mica::driver::types::{CreateOptions, Description, Error};
use crate::mica::host::home::LayerKind;
use crate::mica::host::log::Level;
use crate::mica::host::mounts::{Access, Mount};
use crate::mica::host::streams::{ChangeSink, Sink, Source};
use crate::mica::host::types::Change;
use operation::{Operation, run};
use rooms::Rooms;
use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::marker::PhantomData;
use std::path::PathBuf;
use std::rc::Rc;

/// What a driver answered instead of doing what it was asked for.
pub type Refused = Error;

/// Layers of the driver `D`, each made and changed by it.
#[derive(Debug)]
pub struct Store<D> {
    rooms: Rc<Rooms>,
    driver: PhantomData<fn() -> D>,
}

impl<D: Driver> Store<D> {
    /// An empty store in a directory of its own below the system's for temporary files.
    ///
    /// # Errors
    /// The kernel's.
    pub fn new() -> io::Result<Self> {
        Self::with_options(Vec::new())
    }

    /// The same with options, which the driver has not seen yet: [`Store::init`].
    ///
    /// # Errors
    /// The kernel's.
    pub fn with_options(options: Vec<(String, String)>) -> io::Result<Self> {
        Ok(Self {
            rooms: Rc::new(Rooms::new(options)?),
            driver: PhantomData,
        })
    }

    fn run<T>(&self, operation: Operation, work: impl FnOnce() -> T) -> T {
        run(&self.rooms, operation, work)
    }

    /// `describe`.
    #[must_use]
    pub fn describe(&self) -> Description {
        D::describe()
    }

    /// `init`, with the options of the store.
    ///
    /// # Errors
    /// The driver's answer; so for all functions that call it.
    pub fn init(&self) -> Result<(), Refused> {
        let options = self.rooms.options.clone();
        self.run(Operation::Look, || D::init(options))
    }

    /// `create`.
    ///
    /// # Errors
    /// See [`Store::create_with`].
    pub fn create(&self, id: &str, parent: Option<&str>) -> Result<(), Refused> {
        self.create_with(id, parent, LayerKind::Content, no_options())
    }

    /// `create-read-write`.
    ///
    /// # Errors
    /// See [`Store::create_with`].
    pub fn create_read_write(&self, id: &str, parent: Option<&str>) -> Result<(), Refused> {
        self.create_with(id, parent, LayerKind::ReadWrite, no_options())
    }

    /// Either, with options for the layer.
    ///
    /// # Errors
    /// See [`Store::init`]; what the host answers before it asks a driver (an id that is taken, a parent that is none); and a
    /// driver that says that it made the layer and has published none.
    pub fn create_with(
        &self,
        id: &str,
        parent: Option<&str>,
        kind: LayerKind,
        options: CreateOptions,
    ) -> Result<(), Refused> {
        self.rooms.check_new(id, parent)?;
        let (own, below) = (id.to_owned(), parent.map(str::to_owned));
        let operation = Operation::Create {
            id: own.clone(),
            parent: below.clone(),
            kind,
        };
        self.run(operation, || match kind {
            LayerKind::Content => D::create(own, below, options),
            LayerKind::ReadWrite => D::create_read_write(own, below, options),
        })?;
        match self.rooms.layer(id) {
            Ok(_) => Ok(()),
            Err(_none) => Err(Error::Invalid(format!(
                "the driver made layer `{id}`, it says, and published none"
            ))),
        }
    }

    /// `get`.
    ///
    /// # Errors
    /// See [`Store::init`].
    pub fn get(&self, id: &str, access: Access) -> Result<Mount, Refused> {
        let operation = match access {
            Access::ReadWrite => Operation::Change { id: id.to_owned() },
            Access::ReadOnly => Operation::Look,
        };
        self.run(operation, || D::get(id.to_owned(), access, None))
    }

    /// `put`.
    ///
    /// # Errors
    /// See [`Store::init`].
    pub fn put(&self, id: &str) -> Result<(), Refused> {
        self.run(Operation::Look, || D::put(id.to_owned()))
    }

    /// `exists`.
    ///
    /// # Errors
    /// See [`Store::init`].
    pub fn exists(&self, id: &str) -> Result<bool, Refused> {
        self.run(Operation::Look, || D::exists(id.to_owned()))
    }

    /// `status`.
    ///
    /// # Errors
    /// See [`Store::init`].
    pub fn status(&self) -> Result<Vec<(String, String)>, Refused> {
        self.run(Operation::Look, D::status)
    }

    /// `metadata`.
    ///
    /// # Errors
    /// See [`Store::init`].
    pub fn metadata(&self, id: &str) -> Result<Vec<(String, String)>, Refused> {
        self.run(Operation::Look, || D::metadata(id.to_owned()))
    }

    /// `remove`.
    ///
    /// # Errors
    /// See [`Store::init`].
    pub fn remove(&self, id: &str) -> Result<(), Refused> {
        let operation = Operation::Remove { id: id.to_owned() };
        self.run(operation, || D::remove(id.to_owned()))
    }

    /// `cleanup`.
    ///
    /// # Errors
    /// See [`Store::init`].
    pub fn cleanup(&self) -> Result<(), Refused> {
        self.run(Operation::Look, D::cleanup)
    }

    /// Where the room of a layer lies.
    #[must_use]
    pub fn room(&self, id: &str) -> PathBuf {
        self.rooms.path(id)
    }

    /// The ids of the layers that are published, in byte order.
    #[must_use]
    pub fn layers(&self) -> Vec<String> {
        self.rooms.ids()
    }

    /// What the driver said in its log so far.
    #[must_use]
    pub fn said(&self) -> Vec<(Level, String)> {
        self.rooms.said.borrow().clone()
    }
}

impl<D: DiffDriver> Store<D> {
    /// `diff`: the report and the archive.
    ///
    /// # Errors
    /// See [`Store::init`].
    pub fn diff(
        &self,
        id: &str,
        parent: Option<&str>,
        form: ArchiveForm,
    ) -> Result<(DiffReport, Vec<u8>), Refused> {
        let taken = Taken::default();
        let sink = Sink::new(taken.clone());
        let (own, below) = (id.to_owned(), parent.map(str::to_owned));
        let report = run(&self.rooms, Operation::Look, || {
            D::diff(own, below, form, &sink)
        })?;
        sink.finish()
            .map_err(|error| Error::Invalid(error.to_string()))?;
        let archive = taken.0.take();
        Ok((report, archive))
    }

    /// `changes`.
    ///
    /// # Errors
    /// See [`Store::init`].
    pub fn changes(&self, id: &str, parent: Option<&str>) -> Result<Vec<Change>, Refused> {
        let sink = ChangeSink::default();
        let (own, below) = (id.to_owned(), parent.map(str::to_owned));
        run(&self.rooms, Operation::Look, || {
            D::changes(own, below, &sink)
        })?;
        Ok(sink.into_changes())
    }

    /// `diff-size`.
    ///
    /// # Errors
    /// See [`Store::init`].
    pub fn diff_size(&self, id: &str, parent: Option<&str>) -> Result<u64, Refused> {
        let (own, below) = (id.to_owned(), parent.map(str::to_owned));
        run(&self.rooms, Operation::Look, || D::diff_size(own, below))
    }

    /// `apply-diff`, to a private copy of the room that replaces it if the driver succeeds.
    ///
    /// # Errors
    /// See [`Store::init`].
    pub fn apply(
        &self,
        id: &str,
        form: ArchiveForm,
        archive: impl Read + 'static,
    ) -> Result<ApplyReport, Refused> {
        let parent = self.rooms.layer(id).map_err(rooms::error_of)?.parent;
        self.rooms.begin_copy(id)?;
        let source = Source::new(archive);
        let operation = Operation::Change { id: id.to_owned() };
        let applied = run(&self.rooms, operation, || {
            D::apply_diff(id.to_owned(), parent, form, &source)
        });
        self.rooms.end_copy(id, applied.is_ok())?;
        applied
    }
}

fn no_options() -> CreateOptions {
    CreateOptions {
        mount_label: None,
        storage_options: Vec::new(),
    }
}

/// What a driver wrote.
#[derive(Clone, Default)]
struct Taken(Rc<RefCell<Vec<u8>>>);

impl Write for Taken {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
