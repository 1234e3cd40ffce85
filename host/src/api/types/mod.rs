//! Requests and answers of the REST interface, shared with the command line: the engine's own, and what only this interface
//! has, such as lists and the daemon's state.
//!
//! Invariant: data only. Requests refuse fields they do not know; answers may gain fields.

mod driver;
mod layer;
mod operation;
mod problem;
mod snapshot;
mod status;
mod store;

pub(crate) use driver::{DriverList, ReleaseReport, TraceList};
pub(crate) use layer::{
    ApplyReport, ChangeKind, ChangeList, ChangeView, HoldList, LayerList, LayerLookup, LookedUp,
    MetadataView, MountList, MountedLayer, ProcessList, SizeView, UsageList,
};
pub(crate) use mica_engine::{
    Access, Attention, BuildView, CallView, CollectReport, DamageView, DifferenceView,
    DriverExplanation, DriverHistory, DriverJudgement, DriverView, Event, FileKind, FileView,
    HoldKind, HoldView, HolderView, LayerHolds, LayerKind, LayerRequest, LayerView, LogLine,
    ManifestView, MountRequest, MountView, MoveReport, OriginView, Pairs, PassView, PathChange,
    Provenance, QuarantineView, RepairView, RunningView, ScrubView, SignatureState, SignatureView,
    StoreRequest, StoreView, SwapReport, TraceDocument, TraceView, UnmountRequest, UnmountView,
    UsageView, Verdict, VerifyView,
};
pub(crate) use operation::{DiffReport, OperationList, OperationView};
pub(crate) use problem::Problem;
pub(crate) use snapshot::{SnapshotList, SnapshotUsage, SnapshotView};
pub(crate) use status::{ConfinementView, KernelView, MemoryView, RuntimeView, StatusView};
pub(crate) use store::{MoveBody, RenameRequest, StoreList};
