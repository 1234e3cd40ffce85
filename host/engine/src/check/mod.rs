//! Whether what lies on disk fits together, and how it is put right.
//!
//! ```text
//! finding   what can be wrong, each kind once, with what is done about it
//! root      drivers, compiled code, and which stores there are
//! store     one store: rows, layers, snapshots, mounts, and what is left half done
//! repair    does something about what was found
//! aside     <root>/set-aside: what nobody can explain
//! ```
//!
//! What is wrong with rows, layers, snapshots and mounts is found by the functions that a start uses (`disk/rows/open.rs`,
//! `disk/home/recover.rs`, `snapshots/recover.rs`, `mounts/recover.rs`), so a check cannot say otherwise than a start does.
//!
//! Invariant: a check writes nothing and takes no lock that a daemon waits for; a repair has the locks that a daemon has.

mod aside;
mod finding;
mod repair;
mod root;
mod store;

pub use finding::{Finding, FindingKind, Severity};
pub use repair::{Outcome, Repair, RepairMode, repair};

use crate::{Error, Limits, Result, StoreName};
use mica_runtime::Thoroughness;
use root::Root;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// How long a check waits before it looks again at what it found while a daemon runs: an operation is at the same place no
/// longer.
const SECOND_LOOK: Duration = Duration::from_millis(300);

/// What is looked at.
#[derive(Clone, Debug)]
pub struct CheckRequest {
    /// The daemon's root directory.
    pub root: PathBuf,
    /// Its run directory.
    pub run_dir: PathBuf,
    /// One store alone, without drivers and compiled code.
    pub store: Option<String>,
    /// Whether archives of sealed layers are hashed.
    pub how: Thoroughness,
    /// Limits of the daemon: larger indexes and components are not read.
    pub limits: Limits,
    /// Counts the bytes of layers' files that are read.
    pub read_bytes: Arc<AtomicU64>,
}

/// What a check found.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// Whether a daemon runs: then what it is doing just now was left out.
    pub daemon_runs: bool,
    /// Stores that were looked at.
    pub stores: u64,
    /// Layers that they have.
    pub layers: u64,
    /// What earlier repairs set aside.
    pub set_aside: u64,
    /// What is wrong, store by store.
    pub findings: Vec<Finding>,
}

/// Looks at everything below a root directory. A finding that a running daemon may just have made is looked at twice.
///
/// # Errors
/// [`Error::UnknownStore`]; [`Error::Io`] when the root cannot be listed.
pub fn check(request: &CheckRequest) -> Result<CheckReport> {
    let request = &resolved(request)?;
    let daemon_runs = root::is_claimed(&request.root)?;
    let mut report = look(request)?;
    report.daemon_runs = daemon_runs;
    if daemon_runs {
        report.findings.retain(|finding| !finding.kind.is_passing());
        if !report.findings.is_empty() {
            std::thread::sleep(SECOND_LOOK);
            let again = look(request)?.findings;
            let is_still = |finding: &Finding| again.iter().any(|other| other.is_same(finding));
            report.findings.retain(is_still);
        }
    }
    Ok(report)
}

/// Looks once.
fn look(request: &CheckRequest) -> Result<CheckReport> {
    let mut root = Root::new(request)?;
    let stores = root.stores()?;
    if let Some(wanted) = &request.store
        && !stores.iter().any(|name| name == wanted)
    {
        return Err(Error::UnknownStore(wanted.clone()));
    }
    for name in &stores {
        if request.store.as_ref().is_none_or(|wanted| wanted == name) {
            root.look_at_store(name);
        }
    }
    if request.store.is_none() {
        root.look_at_rest(&stores);
    }
    Ok(root.report())
}

/// The request with paths as the kernel tells them.
fn resolved(request: &CheckRequest) -> Result<CheckRequest> {
    if let Some(store) = &request.store {
        StoreName::parse(store)?;
    }
    let resolve = |path: &Path| path.canonicalize();
    let root = resolve(&request.root)
        .map_err(|error| Error::path("look at the root", &request.root, error))?;
    // After a boot there is none.
    let run_dir = resolve(&request.run_dir).unwrap_or_else(|_| request.run_dir.clone());
    Ok(CheckRequest {
        root,
        run_dir,
        ..request.clone()
    })
}
