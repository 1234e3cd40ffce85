//! Does something about what a check found.
//!
//! Invariant: nobody else has the directories meanwhile; nothing is deleted but what [`Mend`] says, and what is done can be
//! done again after a kill at any point.

use super::aside::Aside;
use super::finding::Mend;
use super::{CheckRequest, Finding, FindingKind, look, resolved};
use crate::disk::files;
use crate::disk::home::{Reaper, Syncing};
use crate::drivers::Shelf;
use crate::engine::claim;
use crate::settings::Durability;
use crate::store::{Store, Surroundings, clear_mounts_of_no_store, clear_scratch, home_of};
use crate::{Error, LayerId, Result, StoreName};
use mica_runtime::detach_image;
use mica_sys::{Name, tree};
use mica_text::with_causes;
use serde::Serialize;
use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

/// Rounds of finding and doing: a directory that was missing hides what is below it.
const MOST_ROUNDS: u32 = 3;

/// Whether anything is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepairMode {
    /// Nothing is.
    DryRun,
    /// What the findings say is done.
    Do,
}

/// What became of a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It would be mended.
    Planned,
    /// It is not found any more.
    Mended,
    /// It is for a person.
    Left,
    /// It was to be mended, and is still there: why.
    Failed(String),
}

/// A finding, and what became of it.
#[derive(Clone, Debug, Serialize)]
pub struct Repair {
    /// What was wrong.
    #[serde(flatten)]
    pub finding: Finding,
    /// What became of it.
    pub outcome: Outcome,
}

/// Looks as [`super::check`] does, and does what the findings say. Answers each finding in the order in which it was found.
///
/// # Errors
/// [`Error::Locked`] while a daemon runs; those of [`super::check`].
pub fn repair(request: &CheckRequest, mode: RepairMode) -> Result<Vec<Repair>> {
    let request = &resolved(request)?;
    let _root = claim(&request.root)?;
    if mode == RepairMode::DryRun {
        let planned = look(request)?.findings.into_iter();
        let planned = planned.map(|finding| Repair {
            outcome: match finding.is_mendable() {
                true => Outcome::Planned,
                false => Outcome::Left,
            },
            finding,
        });
        return Ok(planned.collect());
    }
    files::make_passage(&request.run_dir)
        .map_err(|error| Error::path("make", &request.run_dir, error))?;
    let _run = claim(&request.run_dir)?;
    let mut work = Work {
        request,
        aside: Aside::new(&request.root),
        failed: Vec::new(),
    };
    let mut seen: Vec<Finding> = Vec::new();
    let mut found = look(request)?.findings;
    for _ in 0..MOST_ROUNDS {
        for finding in &found {
            if !seen.iter().any(|other| other.is_same(finding)) {
                seen.push(finding.clone());
            }
        }
        let mendable = found.iter().filter(|finding| finding.is_mendable());
        let todo: Vec<Finding> = mendable.cloned().collect();
        if !todo.is_empty() {
            work.failed.clear();
            work.mend(&todo, &found)?;
        }
        found = look(request)?.findings;
        if todo.is_empty() || !found.iter().any(Finding::is_mendable) {
            break;
        }
    }
    // What was found last as well: setting a layer aside leaves what is built on it without a parent.
    for finding in &found {
        if !seen.iter().any(|other| other.is_same(finding)) {
            seen.push(finding.clone());
        }
    }
    let outcomes = seen.into_iter().map(|finding| Repair {
        outcome: work.outcome(&finding, &found),
        finding,
    });
    Ok(outcomes.collect())
}

/// What could not be done, and why.
type Failed = Vec<(Finding, String)>;

/// A round of repairs.
struct Work<'a> {
    request: &'a CheckRequest,
    aside: Aside,
    failed: Failed,
}

impl Work<'_> {
    fn outcome(&self, finding: &Finding, found: &[Finding]) -> Outcome {
        if !found.iter().any(|other| other.is_same(finding)) {
            return Outcome::Mended;
        }
        let mut failed = self.failed.iter();
        let failed = failed.find(|(other, _)| other.is_same(finding));
        match failed {
            Some((_, why)) => Outcome::Failed(why.clone()),
            None if finding.is_mendable() => Outcome::Failed("it is still so".to_owned()),
            None => Outcome::Left,
        }
    }

    fn mend(&mut self, todo: &[Finding], found: &[Finding]) -> Result<()> {
        for finding in todo {
            let done = match (finding.mend(), &finding.path) {
                (Mend::Forget, Some(path)) => forget(path),
                _ => self.move_away(finding).map_err(|error| error.to_string()),
            };
            self.failed
                .extend(done.err().map(|why| (finding.clone(), why)));
        }
        let needs_start = |finding: &&Finding| {
            matches!(finding.mend(), Mend::Start | Mend::Record | Mend::Remove)
        };
        let names = todo.iter().filter(needs_start);
        let names: BTreeSet<&String> = names.filter_map(|one| one.store.as_ref()).collect();
        let stores = self.request.root.join("stores");
        let reaper = Reaper::start().map_err(|error| Error::io("start a thread", error))?;
        for name in names {
            let of_store: Vec<&Finding> = todo
                .iter()
                .filter(|finding| finding.store.as_ref() == Some(name))
                .collect();
            if !stores.join(name).is_dir() {
                continue;
            }
            // A start would make an empty `layers`, and take every layer for one that is gone.
            let is_missing = |finding: &&Finding| {
                finding.kind == FindingKind::LayersMissing && finding.store.as_ref() == Some(name)
            };
            if found.iter().any(|finding| is_missing(&finding)) {
                let why = "the directory of its layers is missing: put it back first".to_owned();
                let failed = of_store.into_iter().map(|one| (one.clone(), why.clone()));
                self.failed.extend(failed);
                continue;
            }
            match self.start(name, &of_store, &reaper) {
                Ok((left, failed)) => {
                    self.failed.extend(failed);
                    self.failed.extend(reasons(&of_store, &left));
                }
                Err(error) => {
                    let why = with_causes(&error);
                    let failed = of_store.into_iter().map(|one| (one.clone(), why.clone()));
                    self.failed.extend(failed);
                }
            }
        }
        reaper.settle();
        reaper.stop();
        if self.request.store.is_none() {
            for finding in clear_mounts_of_no_store(&self.request.run_dir, &stores) {
                let why = finding.detail.clone();
                self.failed.push((finding, why));
            }
        }
        Ok(())
    }

    /// Sets aside or deletes what is in the way of a start, or would be kept by it.
    fn move_away(&self, finding: &Finding) -> io::Result<()> {
        let Some(path) = &finding.path else {
            return Ok(());
        };
        let moved = match finding.mend() {
            Mend::Aside => {
                detach(path)?;
                self.aside.take(path, finding).map(drop)
            }
            Mend::Record => self.aside.take(path, finding).map(drop),
            Mend::Delete => delete(path, finding.kind),
            Mend::Start | Mend::Remove | Mend::Forget | Mend::Person => Ok(()),
        };
        match moved {
            // A record that is missing is as good as one that is set aside.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            moved => moved,
        }
    }

    /// Opens a store as a start does, removes the layers whose removal was asked for, and writes records anew. Answers what a
    /// start would tell, and what could not be done.
    fn start(
        &self,
        name: &str,
        findings: &[&Finding],
        reaper: &Arc<Reaper>,
    ) -> Result<(Vec<Finding>, Failed)> {
        let around = Surroundings {
            run_dir: &self.request.run_dir,
            durability: Durability::Commit,
            reaper,
        };
        let path = home_of(&self.request.root.join("stores"), name);
        let (store, told) = Store::open(&StoreName::parse(name)?, &path, &around)?;
        let mut failed = Vec::new();
        for finding in findings {
            if let Err(error) = mend_layer(&store, finding) {
                failed.push(((*finding).clone(), with_causes(&error)));
            }
        }
        let home = store.layers.home();
        home.sync()
            .map_err(|error| Error::path("sync", &path, error))?;
        home.rows().close();
        Ok((told, failed))
    }
}

/// Removes a layer whose removal was asked for, or writes its record anew.
fn mend_layer(store: &Store, finding: &Finding) -> Result<()> {
    let Some(layer) = &finding.layer else {
        return Ok(());
    };
    match finding.mend() {
        Mend::Remove => {
            let layer = LayerId::parse(layer)?;
            store.check_unmounted(&layer)?;
            store.facts(&layer)?.check_childless()?;
            // The rows forget the removal once the layer's name is gone on the device.
            store.layers.discard(&layer, Syncing::Later)
        }
        Mend::Record => store.write_record(&LayerId::parse(layer)?),
        _ => Ok(()),
    }
}

/// Why findings are still so, where what was told afterwards is about the same path.
fn reasons(findings: &[&Finding], told: &[Finding]) -> Vec<(Finding, String)> {
    let about = |finding: &Finding| {
        let mut told = told.iter().filter(|told| told.path.is_some());
        let why = told.find(|told| told.path == finding.path && told.kind != finding.kind)?;
        Some((finding.clone(), why.detail.clone()))
    };
    findings.iter().filter_map(|one| about(one)).collect()
}

/// Has the record of a driver's builds forget a component.
fn forget(path: &Path) -> std::result::Result<(), String> {
    let directory = path.parent().ok_or("it has no directory")?;
    let forgotten = Shelf::new(directory.to_owned()).forget(path);
    forgotten.map_err(|error| with_causes(&error))
}

/// Takes away the image that is attached in a layer, so that the layer can be moved.
fn detach(path: &Path) -> io::Result<()> {
    let room = path.join("d");
    match files::open_directory(&room) {
        Ok(room) => detach_image(room.as_fd()),
        // No layer, or one without a room.
        Err(_) => Ok(()),
    }
}

/// Deletes a file, or the directory that a daemon was working in. No other directory is anything that a daemon left there.
fn delete(path: &Path, kind: FindingKind) -> io::Result<()> {
    if path.symlink_metadata()?.is_dir() && kind != FindingKind::ScratchLeft {
        return Err(io::Error::other("it is a directory: look what is in it"));
    }
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let name = Name::new(name.as_bytes()).map_err(io::Error::other)?;
    let directory = files::open_directory(above)?;
    match kind {
        FindingKind::ScratchLeft => clear_scratch(above, directory.as_fd(), &name),
        _ => tree::remove(directory.as_fd(), &name).map(drop),
    }
}
