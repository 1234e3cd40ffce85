//! Mica's sandbox.
//!
//! A driver is a WebAssembly component. [`Runtime::load`] turns its bytes into a [`Generation`]: checked, compiled,
//! composed with naive-diff where it has no diffs of its own, and linked with exactly what was granted. Every
//! method of a generation is one operation in one fresh instance that is dropped at its end; the host side of
//! `mica:host` (`capability`) lives in that instance's store and sees the store's home only through [`Home`].
//!
//! Invariant: nothing here knows how a home lies on disk, what a lock or a reference count is, or any protocol.

mod bindings;
#[expect(
    unreachable_pub,
    reason = "the generated bindings re-export the types of the resources"
)]
mod capability;
mod content;
mod contract;
mod culprit;
mod error;
mod grants;
mod limits;
pub mod manifest;
mod numbers;
mod operation;
mod rights;
mod sandbox;
mod trace;
mod witness;

pub use bindings::exports::mica::driver::diff_driver::ArchiveForm;
pub use bindings::mica::host::filesystem::{Feature, Support};
pub use bindings::mica::host::home::LayerKind;
pub use bindings::mica::host::mounts::Access;
pub use bindings::mica::host::types::{Change, ChangeKind, Code, Failure};
pub use capability::Grant;
pub use capability::home::{Home, LayerInfo, Room, Staged};
pub use capability::images::{
    ARCHIVE_PATH, ImageFault, Thoroughness, archive_digest, detach as detach_image,
    inspect as inspect_image, is_kept as is_archive_kept, probe as probe_images,
};
pub use capability::plan::{MountPlan, Place};
pub use capability::streams::{ChangeSink, Sink, Source};
pub use content::{OwnContent, Stack};
pub use culprit::Culprit;
pub use error::Error;
pub use grants::{Granted, Grants, UnknownGrant};
pub use limits::Limits;
pub use mica_text::SafeText;
pub use numbers::{Number, Wide};
pub use operation::{CancelToken, ClientWait, CreateOptions, Operation, Spent};
pub use rights::{Right, Rights, UnknownRight};
pub use sandbox::cache::inspect as inspect_code;
pub use sandbox::child::{compile_child, probe_compiler};
pub use sandbox::generation::{ApplyReport, Description, DiffReport, Generation, World};
pub use sandbox::inspect::{Import, Inspection, Measure, inspect};
pub use sandbox::replay::{Replay, ReplayReport, ReplayVerdict};
pub use sandbox::{Compiler, Program, Runtime, RuntimeFacts, Settings, digest_of};
pub use trace::{BadTrace, HostCallView, Question, TimedCall, Times, Trace, TraceFacts, TraceFile};
pub use witness::{Denial, Line, LineSource, Witness};
