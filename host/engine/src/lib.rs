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
//! <root>/drivers/<name>/                history.json and the last builds of a driver that was loaded or swapped
//! <run>/m/<store>/<n>                   where layers are mounted
//! <run>/state/<store>/<n>.json          who holds them
//! ```
//!
//! Invariant: a layer is there whole or not at all, whatever a driver or a power cut does; while a driver runs, only
//! the layers that it works on are locked.

mod blob;
mod bus;
mod check;
mod disk;
mod driver_error;
mod drivers;
mod engine;
mod error;
mod event;
mod figures;
mod id;
mod insight;
mod label;
mod layers;
mod moment;
mod mounts;
mod options;
mod outcome;
mod scrub;
mod settings;
mod snapshots;
mod store;
#[cfg(test)]
mod tests;
mod traffic;
mod view;
mod words;
mod worker;

pub use blob::Blob;
pub use bus::{EventCounts, EventId, Hearing, Since};
pub use check::{
    CheckReport, CheckRequest, Finding, FindingKind, Outcome, Repair, RepairMode, Severity, check,
    repair,
};
pub use disk::files::read_component;
pub use disk::home::BlobOrigin;
pub use drivers::{
    Agreement, Consent, Drivers, Papers, Shadow, SwapRequest, Target, TracePart, TrustRule,
    Unsigned,
};
pub use engine::Engine;
pub use error::{Class, Error, Result};
pub use event::{Event, EventKind};
pub use figures::{DriverFigures, Figures, StoreFigures};
pub use id::{LayerId, StoreName};
pub use insight::{LogFilter, LogReading, TraceFilter};
pub use layers::{Expected, LayerStore, OpenFile, OriginPages};
pub use mica_runtime::{
    ApplyReport, ArchiveForm, CancelToken, Change, ChangeKind, ChangeSink, DiffReport, Grant,
    Granted, Grants, Limits, Runtime, RuntimeFacts, SafeText, Sink, Source, Thoroughness,
};
pub use moment::Moment;
pub use outcome::{OperationKind, OperationState, OperationTicket, OperationView, Report};
pub use scrub::{Blobs, ScrubSettings, WhenDamaged};
pub use settings::{DriverSource, Durability, EngineSettings, Origin, PriorDrivers, Selection};
pub use snapshots::{
    CommitRequest, IdMapping, LabelChange, LayerPlace, Snapshot, SnapshotKind, SnapshotMount,
    SnapshotRequest, SnapshotStore, SnapshotUsage,
};
pub use store::{OpenStore, Stores};
pub use traffic::{
    Attribute, ClientCall, ClientCalls, Distribution, DriverRow, Front, HostCallSpan, OwnRow,
    RemoteParent, Row, Span, SpanFigures, SpanKind, SpanSettings, Spans, Undelivered,
};
pub use view::{
    Access, AskView, Attention, BackingView, BakeView, BuildView, CallView, CollectReport,
    CollectRequest, CollectedLayer, DamageView, DenialView, DiffParent, DiffRequest, Difference,
    DifferenceView, DriverExplanation, DriverHistory, DriverJudgement, DriverView, EngineStatus,
    Evidence, FileDamage, FileKind, FileView, FilesRequest, HoldKind, HoldView, HolderView,
    HoldsRequest, HostCall, ImportView, KeptLayer, KeptView, LayerHolds, LayerKind, LayerProblem,
    LayerProcess, LayerRequest, LayerUsage, LayerView, LimitView, LiveParent, LogLine,
    ManifestView, MountClient, MountRequest, MountView, MoveReport, MoveRequest, OriginView, Pairs,
    PassView, PathChange, Provenance, QuarantineView, RefusalView, Release, RepairView,
    ReplacedView, RunningBuildView, RunningView, ScrubMode, ScrubView, SignatureState,
    SignatureView, SignerView, StoreRequest, StoreView, SwapReport, TraceDocument, TraceView,
    UnmountRequest, UnmountView, UsageSource, UsageView, Verdict, VerifyView, WhenBusy,
};
