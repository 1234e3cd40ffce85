//! Requests and answers of the REST interface, shared with the command line.
//!
//! Invariant: data only. Requests refuse fields they do not know; answers may gain fields.

mod driver;
mod layer;
mod operation;
mod pairs;
mod problem;
mod snapshot;
mod status;
mod store;

pub(crate) use driver::{DriverList, DriverView, ReleaseReport, SwapReport};
pub(crate) use layer::{
    ApplyReport, ChangeList, ChangeView, LayerList, LayerRequest, LayerView, MetadataView,
    MountRequest, MountView, SizeView, UnmountView, UsageView,
};
pub(crate) use operation::OperationView;
pub(crate) use pairs::Pairs;
pub(crate) use problem::Problem;
pub(crate) use snapshot::{SnapshotList, SnapshotUsage, SnapshotView};
pub(crate) use status::{
    Attention, ConfinementView, EventView, KernelView, MemoryView, RuntimeView, StatusView,
};
pub(crate) use store::{StoreList, StoreRequest, StoreView};
