//! The host side of `mica:host`: one file per interface.
//!
//! Every function turns handles into descriptors, checks rights, calls `mica-sys`, and turns an error number into a
//! failure through the one table in `errno`.
//!
//! Invariant: no layer rules and no protocols; no state outside the operation's own [`State`].

mod attributes;
pub(crate) mod boundary;
mod btrfs;
mod config;
pub(crate) mod directory;
pub(crate) mod errno;
pub(crate) mod file;
mod filesystem;
pub(crate) mod handles;
pub(crate) mod home;
pub(crate) mod images;
pub(crate) mod journal;
pub(crate) mod listing;
mod log;
pub(crate) mod meter;
pub(crate) mod mounts;
pub(crate) mod permit;
pub(crate) mod plan;
mod sharing;
pub(crate) mod streams;
pub(crate) mod voice;
mod wasi;

pub(crate) use wasi::{is_linked as is_wasi_linked, link as link_wasi};

use crate::bindings::mica::host::{self, types};
use crate::limits::{Class, Limits};
use crate::trace::tape::{Recording, Tape};
use crate::trace::{Chance, Times};
use crate::{Code, Failure, Operation, Replay};
use handles::{HandleBudget, Handles};
use journal::Journal;
use meter::{MemoryBudget, Meter};
use permit::Permit;
use plan::Outcome;
use std::collections::HashSet;
use std::sync::Arc;
use voice::Voice;
use wasmtime::component::{Linker, Resource, ResourceTable};
use wasmtime_wasi::WasiCtx;

crate::grants::grants! {
    /// Confined directory and file handles.
    Directory, "directory", directory, standard;
    /// Sinks and sources.
    Streams, "streams", streams, standard;
    /// Overlay and bind mounts.
    Mounts, "mounts", mounts, standard;
    /// The store's layers.
    Home, "home", home, standard;
    /// Facts about the file system.
    Filesystem, "filesystem", filesystem, standard;
    /// Subvolumes, snapshots and quotas of btrfs: quotas make a whole file system slower.
    Btrfs, "btrfs", btrfs, named;
    /// Layers that are their archives: the kernel reads what the driver wrote.
    Images, "images", images, named;
    /// The log.
    Log, "log", log, standard;
    /// The store's options.
    Config, "config", config, standard;
}

/// How a host call ends when it does not succeed: the guest is told, or the guest ends.
#[derive(Debug)]
pub enum HostError {
    /// Told to the guest.
    Failure(Failure),
    /// Ends the operation.
    Trap(wasmtime::Error),
}

/// What host functions return.
pub(crate) type HostResult<T> = Result<T, HostError>;

impl From<Failure> for HostError {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<wasmtime::Error> for HostError {
    fn from(error: wasmtime::Error) -> Self {
        Self::Trap(error)
    }
}

/// What lives beside one instance for one operation.
pub(crate) struct State {
    pub(crate) operation: Operation,
    pub(crate) driver: Arc<str>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) handles: Handles,
    /// What the driver may do with its interfaces.
    pub(crate) permit: Permit,
    pub(crate) meter: Meter,
    pub(crate) memory: MemoryBudget,
    /// What the views of the operation become.
    pub(crate) outcome: Outcome,
    /// Device and inode of the uppers mounted by this operation: an upper is mounted once.
    uppers: HashSet<(u64, u64)>,
    wasi: WasiCtx,
    wasi_handles: ResourceTable,
    pub(crate) voice: Voice,
    pub(crate) tape: Tape,
    /// When its host calls are, if someone wants to know.
    pub(crate) times: Option<Times>,
    pub(crate) chance: Chance,
    pub(crate) journal: Arc<Journal>,
}

impl State {
    pub(crate) fn new(
        operation: Operation,
        driver: Arc<str>,
        limits: &Arc<Limits>,
        class: Class,
        (budget, journal): (&Arc<HandleBudget>, &Arc<Journal>),
        permit: Permit,
    ) -> Self {
        let voice = Voice::new(operation.witness.clone(), limits);
        let timed = operation.witness.as_ref();
        let timed = timed.map_or(0, |witness| witness.timed_calls());
        let (tape, chance) = match &operation.replay {
            Some(Replay { playing, chance }) => {
                (Tape::Playing(Arc::clone(playing)), chance.clone())
            }
            None if operation.witness.is_some() && limits.recorded_bytes() > 0 => {
                let recording = Recording::new(limits.recorded_bytes());
                (Tape::Recording(recording), Chance::new())
            }
            None => (Tape::Off, Chance::new()),
        };
        Self {
            driver,
            handles: Handles::new(limits.handles, Arc::clone(budget)),
            permit,
            meter: Meter::new(limits, class),
            memory: MemoryBudget::new(limits),
            outcome: Outcome::default(),
            uppers: HashSet::new(),
            wasi: wasi::inert(&voice, &chance),
            wasi_handles: ResourceTable::new(),
            voice,
            tape,
            times: (timed > 0).then(|| Times::new(timed)),
            chance,
            journal: Arc::clone(journal),
            limits: Arc::clone(limits),
            operation,
        }
    }

    /// Begins a host call: counts it, and ends the operation when it was cancelled or calls too often.
    fn enter(&mut self) -> HostResult<()> {
        if self.operation.cancel.is_cancelled() {
            return Err(HostError::Trap(meter::Stop::Cancelled.into()));
        }
        self.meter
            .count_call()
            .map_err(|stop| HostError::Trap(stop.into()))
    }

    /// Begins a host call that goes to no handle: there is a bound to what can be asked, however long the operation.
    fn ask(&mut self) -> HostResult<()> {
        self.enter()?;
        self.meter
            .count_question()
            .map_err(|stop| HostError::Trap(stop.into()))
    }

    /// Begins a host call on a handle.
    fn at<T: Send + 'static>(&mut self, handle: &Resource<T>) -> HostResult<&mut T> {
        self.enter()?;
        Ok(self.handles.get_mut(handle)?)
    }

    /// Ends a handle.
    fn close<T: Send + 'static>(&mut self, handle: Resource<T>) -> wasmtime::Result<()> {
        self.handles.delete(handle)?;
        Ok(())
    }

    /// Refuses a list or buffer that is longer than one call may pass.
    fn check_length(&self, bytes: u64) -> HostResult<()> {
        if bytes > self.limits.page_bytes as u64 {
            let text = format!(
                "{bytes} bytes in one call are more than {}: `page_bytes`",
                self.limits.page_bytes
            );
            return Err(Failure::new(Code::Limit, text).into());
        }
        Ok(())
    }
}

impl types::Host for State {
    fn convert_failure(&mut self, error: HostError) -> wasmtime::Result<Failure> {
        match error {
            HostError::Failure(mut failure) => {
                truncate(&mut failure.message, 4096);
                Ok(failure)
            }
            HostError::Trap(error) => Err(error),
        }
    }
}

/// Cuts a text at a character boundary.
pub(crate) fn truncate(text: &mut String, bytes: usize) {
    if text.len() > bytes {
        let end = (0..=bytes)
            .rev()
            .find(|&at| text.is_char_boundary(at))
            .unwrap_or(0);
        text.truncate(end);
    }
}
