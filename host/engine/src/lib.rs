//! Mica's domain: stores, the registry of drivers with its slots, layers with their locks, mounts with their
//! references, and what of it lies on disk.
//!
//! Everything is synchronous and meant for threads that may block; [`Engine`] is shared behind an `Arc`. A driver is
//! called through `mica_runtime`, which knows nothing of layers; the kernel through `mica_sys`, which knows nothing
//! of drivers.
//!
//! ```text
//! <root>/stores/<name>/store.json       driver, options, created
//! <root>/stores/<name>/layers/<n>/      record.json and d/, the driver's room
//! <root>/stores/<name>/staging/ trash/  what is being made, what is being deleted
//! <root>/stores/<name>/rows.sqlite      a cache of the records, and snapshots where a container runtime has its own store
//! <root>/stores/<name>/numbers          below which number every one may be in use
//! <root>/drivers/<name>.wasm            drivers that were loaded or swapped in
//! <run>/m/<store>/<n>                   where layers are mounted
//! <run>/state/<store>/<n>.json          who holds them
//! ```
//!
//! Invariant: a layer is there whole or not at all, whatever a driver or a power cut does; while a driver runs, only
//! the layers that it works on are locked.

mod blob;
mod call;
mod driver_error;
mod drivers;
mod engine;
mod error;
mod event;
mod files;
mod group;
mod home;
mod id;
mod label;
mod layers;
mod moment;
mod mounts;
mod operations;
mod options;
mod outcome;
mod places;
mod reserve;
mod rows;
mod scope;
mod selection;
mod settings;
mod snapshots;
mod store;
mod stores;
#[cfg(test)]
mod tests;
mod unopened;
mod view;
mod words;

pub use blob::Blob;
pub use engine::Engine;
pub use error::{Error, Result};
pub use event::{Event, EventKind};
pub use files::read_component;
pub use id::{LayerId, StoreName};
pub use mica_runtime::{
    Access, ApplyReport, ArchiveForm, CancelToken, Change, ChangeKind, ChangeSink, DiffReport,
    Grant, Grants, LayerKind, Limits, Runtime, RuntimeFacts, SafeText, Sink, Source,
};
pub use moment::Moment;
pub use outcome::{OperationKind, OperationState, OperationTicket, OperationView};
pub use settings::{DriverSource, Durability, EngineSettings, Origin, PriorDrivers, Selection};
pub use snapshots::{
    CommitRequest, IdMapping, LabelChange, LayerPlace, Snapshot, SnapshotKind, SnapshotMount,
    SnapshotRequest, SnapshotUsage,
};
pub use view::{
    Backing, DiffParent, DiffRequest, DriverView, EngineStatus, LayerRequest, LayerView,
    LiveParent, MountRequest, MountView, Problem, QuarantineView, Release, StoreRequest, StoreView,
    SwapReport, UnmountView, UsageSource, UsageView, WhenBusy,
};
