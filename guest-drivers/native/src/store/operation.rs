//! The operation that runs on a thread, and what it may do.
//!
//! Invariant: there is one at most, and it ends when the driver's function returns or panics.

use super::rooms::{Rooms, Staging};
use crate::host::directory::Directory;
use crate::host::{failed, refused};
use crate::mica::host::home::{Layer, LayerKind};
use crate::mica::host::log::Level;
use crate::mica::host::mounts::Access;
use crate::mica::host::types::{Code, Failure};
use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

/// Ids of a page.
const PAGE: usize = 1024;

/// What an operation may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// Nothing.
    Look,
    /// It publishes this layer.
    Create {
        /// Its id.
        id: String,
        /// The layer below.
        parent: Option<String>,
        /// What for.
        kind: LayerKind,
    },
    /// The room of this layer.
    Change {
        /// Its id.
        id: String,
    },
    /// It discards this layer.
    Remove {
        /// Its id.
        id: String,
    },
}

/// An operation with its store.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    rooms: Rc<Rooms>,
    operation: Rc<Operation>,
}

thread_local! {
    static RUNNING: RefCell<Option<Running>> = const { RefCell::new(None) };
}

/// Ends an operation also when a driver panics.
struct Ending;

impl Drop for Ending {
    fn drop(&mut self) {
        RUNNING.set(None);
    }
}

/// Runs a driver's function as an operation.
pub(super) fn run<T>(rooms: &Rc<Rooms>, operation: Operation, work: impl FnOnce() -> T) -> T {
    let rooms = Rc::clone(rooms);
    let operation = Rc::new(operation);
    RUNNING.set(Some(Running { rooms, operation }));
    let _ending = Ending;
    work()
}

/// The operation that runs.
pub(crate) fn running() -> Result<Running, Failure> {
    let running = RUNNING.with_borrow(Option::clone);
    running.ok_or_else(|| refused(Code::Denied, "this operation has no store"))
}

impl Running {
    pub(crate) fn layer(&self, id: &str) -> Result<Layer, Failure> {
        self.rooms.layer(id)
    }

    pub(crate) fn ancestors(&self, id: &str) -> Result<Vec<String>, Failure> {
        let mut found = Vec::new();
        let mut below = self.layer(id)?.parent;
        while let Some(parent) = below {
            below = self.layer(&parent)?.parent;
            found.push(parent);
        }
        Ok(found)
    }

    pub(crate) fn list(&self, after: Option<&str>) -> Vec<String> {
        let ids = self.rooms.ids().into_iter();
        let later = ids.filter(|id| after.is_none_or(|after| id.as_str() > after));
        later.take(PAGE).collect()
    }

    pub(crate) fn open(&self, id: &str) -> Result<Directory, Failure> {
        self.layer(id)?;
        let access = match &*self.operation {
            Operation::Change { id: own } if own == id => Access::ReadWrite,
            _ => Access::ReadOnly,
        };
        Directory::room(&self.rooms.open_path(id), access)
            .map_err(failed(format!("open layer `{id}`")))
    }

    pub(crate) fn stage(&self) -> Result<Staging, Failure> {
        match &*self.operation {
            Operation::Create { .. } => Staging::make(&self.rooms),
            _ => Err(refused(Code::Denied, "this operation makes no layer")),
        }
    }

    pub(crate) fn publish(&self, staged: Staging, id: &str) -> Result<(), Failure> {
        match &*self.operation {
            Operation::Create {
                id: own,
                parent,
                kind,
            } if own == id => staged.publish(Layer {
                id: id.to_owned(),
                parent: parent.clone(),
                kind: *kind,
            }),
            _ => {
                let text = format!("`{id}` is not the layer that this operation makes");
                Err(refused(Code::Denied, text))
            }
        }
    }

    pub(crate) fn discard(&self, id: &str) -> Result<(), Failure> {
        match &*self.operation {
            Operation::Remove { id: own } if own == id => self.rooms.discard(id),
            _ => {
                let text = format!("`{id}` is not the layer that this operation removes");
                Err(refused(Code::Denied, text))
            }
        }
    }

    pub(crate) fn options(&self) -> Vec<(String, String)> {
        self.rooms.options.clone()
    }

    pub(crate) fn say(&self, level: Level, text: &str) {
        let mut said = self.rooms.said.borrow_mut();
        said.push((level, text.to_owned()));
    }

    pub(crate) fn base(&self) -> &Path {
        self.rooms.base()
    }
}
