//! What is measured.
//!
//! Invariant: a job prepares its own files and removes them.

mod archives;
mod builds;
mod changes;
mod containers;
mod life;
mod memory;
mod moby;
mod peers;
mod scale;
mod sealed;
mod start;
mod trees;

use crate::Arguments;
use crate::measure::Report;
use crate::place::Place;
use anyhow::Result;

/// A job: measures, and reports what it measured.
type Job = fn(&Arguments, &Place, &mut Report) -> Result<()>;

/// Every job by name.
pub(crate) const ALL: [(&str, Job); 12] = [
    ("diff", archives::diff),
    ("apply", archives::apply),
    ("sealed", sealed::sealed),
    ("changes", changes::changes),
    ("life", life::life),
    ("instance", life::instance),
    ("scale", scale::scale),
    ("start", start::start),
    ("memory", memory::memory),
    ("containerd", peers::containerd),
    ("containers", containers::containers),
    ("builds", builds::builds),
];
