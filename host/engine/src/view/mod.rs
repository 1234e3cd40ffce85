//! What the engine is asked with, and what it tells: the documents that REST, its description (OpenAPI) and the command line
//! take as they are. A new field is added here and nowhere else.
//!
//! Invariant: data only. Requests refuse fields that they do not know; answers may gain fields.

mod call;
mod driver;
mod explanation;
mod file;
mod hold;
mod layer;
mod log;
mod look;
mod manifest;
mod origin;
mod pairs;
mod provenance;
mod scrub;
mod status;
mod store;
mod swap;
mod trace;

pub use call::CallView;
pub use driver::{DriverView, QuarantineView};
pub use explanation::{DenialView, DriverExplanation, ImportView, KeptView, LimitView};
pub use file::{FileKind, FileView, FilesRequest};
pub use hold::{
    CollectReport, CollectRequest, CollectedLayer, HoldKind, HoldView, HoldsRequest, KeptLayer,
    LayerHolds,
};
pub use layer::{
    Access, DiffParent, DiffRequest, HolderView, LayerKind, LayerRequest, LayerView, LiveParent,
    MountClient, MountRequest, MountView, Release, UnmountRequest, UnmountView, UsageSource,
    UsageView, WhenBusy,
};
pub use log::LogLine;
pub use look::{LayerProblem, LayerProcess, LayerUsage};
pub use manifest::{
    AskView, DifferenceView, DriverJudgement, ManifestView, RefusalView, RunningBuildView,
    SignatureState, SignatureView,
};
pub use origin::{OriginView, PathChange};
pub use pairs::Pairs;
pub use provenance::{Provenance, SignerView};
pub use scrub::{
    DamageView, Difference, FileDamage, PassView, RepairView, ScrubMode, ScrubView, Verdict,
    VerifyView,
};
pub use status::{Attention, EngineStatus};
pub use store::{BackingView, MoveReport, MoveRequest, StoreRequest, StoreView};
pub use swap::{
    BakeView, BuildView, DriverHistory, Evidence, ReplacedView, RunningView, SwapReport,
};
pub use trace::{HostCall, TraceDocument, TraceView};

use serde::Serializer;
use std::path::Path;

/// Writes a path as people read it: bytes that are no UTF-8 become U+FFFD.
fn shown<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&path.display())
}
