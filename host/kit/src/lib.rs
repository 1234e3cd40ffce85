//! The conformance kit: plays what every driver must do against a component, for whoever writes one.
//!
//! A child process of this program enters a user namespace and a mount namespace of its own, so that it may mount without root,
//! opens an engine there on an empty file system in memory, and plays the cases in its own process. Nothing of it outlives the
//! child.
//!
//! | cases | come from |
//! |---|---|
//! | histories | `mica_cases::histories`: layers that must look as plain directories do |
//! | archives | `mica_cases::archives`: what must be refused, and what must be taken and how |
//! | behaviours | `behaviours`: what scripts cannot say |
//!
//! `bench` measures operations in the same place, beside drivers that ship.
//!
//! Invariant: a case passes, fails with what was expected and seen, or is left out with the reason; it is never skipped silently.

mod archives;
mod base;
mod behaviours;
mod bench;
mod calls;
mod cases;
mod child;
mod histories;
mod left_out;
mod parent;
mod report;
mod stage;

pub use bench::{
    ArchiveFacts, BenchReport, BenchRequest, LeftOutSide, MOST_ARCHIVE_BYTES, OperationReport,
    SideReport, Spread,
};
pub use cases::list;
pub use child::play_child;
pub use parent::{NoReport, bench, play};
pub use report::{
    CaseReport, CaseView, DriverFacts, Mismatch, PlaceFacts, Report, Request, Verdict,
};
