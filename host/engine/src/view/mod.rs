//! What the engine is asked with, and what it tells: the documents that REST, its description (OpenAPI) and the command line
//! take as they are. A new field is added here and nowhere else.
//!
//! Invariant: data only. Requests refuse fields that they do not know; answers may gain fields.

mod call;
mod driver;
mod file;
mod layer;
mod look;
mod pairs;
mod status;
mod store;
mod swap;

pub use call::CallView;
pub use driver::{DriverView, QuarantineView};
pub use file::{FileKind, FileView, FilesRequest};
pub use layer::{
    Access, DiffParent, DiffRequest, LayerKind, LayerRequest, LayerView, LiveParent, MountRequest,
    MountView, Release, UnmountView, UsageSource, UsageView, WhenBusy,
};
pub use look::{LayerProblem, LayerProcess, LayerUsage};
pub use pairs::Pairs;
pub use status::{Attention, EngineStatus};
pub use store::{BackingView, StoreRequest, StoreView};
pub use swap::{
    BakeView, BuildView, DriverHistory, Evidence, ReplacedView, RunningView, SwapReport,
};

use serde::Serializer;
use std::path::Path;

/// Writes a path as people read it: bytes that are no UTF-8 become U+FFFD.
fn shown<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&path.display())
}
