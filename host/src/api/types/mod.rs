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
    ApplyReport, ChangeList, ChangeView, LayerList, LayerLookup, LookedUp, MetadataView, MountList,
    MountedLayer, ProcessList, SizeView, UsageList,
};
pub(crate) use mica_engine::{
    Access, Attention, BuildView, CallView, DamageView, DriverExplanation, DriverHistory,
    DriverView, Event, FileKind, FileView, HolderView, LayerKind, LayerRequest, LayerView, LogLine,
    MountRequest, MountView, Pairs, PassView, QuarantineView, RepairView, RunningView, ScrubView,
    StoreRequest, StoreView, SwapReport, TraceDocument, TraceView, UnmountRequest, UnmountView,
    UsageView, Verdict, VerifyView,
};
pub(crate) use operation::{DiffReport, OperationList, OperationView};
pub(crate) use problem::Problem;
pub(crate) use snapshot::{SnapshotList, SnapshotUsage, SnapshotView};
pub(crate) use status::{ConfinementView, KernelView, MemoryView, RuntimeView, StatusView};
pub(crate) use store::StoreList;
