//! What every side does in a round.
//!
//! Invariant: a round leaves the layers that it found.

use super::archive;
use super::measure::{Sample, sample};
use super::report::BenchRequest;
use crate::calls::{APPLY, DIFF, worked};
use crate::report::Mismatch;
use crate::stage::{Stage, Step};
use mica_engine::{ArchiveForm, CancelToken, DiffParent, Sink};
use std::io::Cursor;
use std::sync::Arc;

/// The operations that are measured, with what is done, in the order of a round.
pub(super) const OPERATIONS: [(&str, &str); 7] = [
    ("create", "a layer without a parent"),
    ("apply", "the archive to that layer"),
    ("mount", "that layer, read-write"),
    ("diff", "all of that layer, as an archive"),
    ("create-over-parents", "a layer over a chain of layers"),
    ("changes", "three files changed in that layer"),
    ("remove", "that layer"),
];

/// Layers of the chain.
const PARENTS: u32 = 16;
const QUICK_PARENTS: u32 = 4;

/// What is changed in the layer on top.
const CHANGE: &str = "f bench/new data=new\nf bench/kept data=changed\n- bench/gone";
/// What the lowest layer has for that, beside the archive.
const BASE: &str = "d bench\nf bench/kept data=1\nf bench/gone data=1";

/// What all sides do alike.
pub(super) struct Work {
    pub(super) archive: Arc<[u8]>,
    pub(super) is_generated: bool,
    pub(super) parents: u32,
}

impl Work {
    pub(super) fn new(request: &BenchRequest, given: Option<Vec<u8>>) -> Self {
        let is_generated = given.is_none();
        let archive = given.unwrap_or_else(|| archive::generated(request.is_quick));
        Self {
            archive: archive.into(),
            is_generated,
            parents: match request.is_quick {
                true => QUICK_PARENTS,
                false => PARENTS,
            },
        }
    }

    fn apply(&self, stage: &Stage, id: &str) -> Step<()> {
        let reader = Box::new(Cursor::new(Arc::clone(&self.archive)));
        let applied = stage.apply_from(id, reader, CancelToken::default());
        worked(APPLY, id, applied).map(drop)
    }

    fn top(&self) -> String {
        chain(self.parents.saturating_sub(1))
    }
}

fn chain(number: u32) -> String {
    format!("chain-{number}")
}

/// Makes the chain: the archive below, and a file in each layer.
pub(super) fn prepare(stage: &Stage, work: &Work) -> Step<()> {
    for number in 0..work.parents {
        let (id, below) = (chain(number), number.checked_sub(1).map(chain));
        stage.create(&id, below.as_deref())?;
        match below {
            None => {
                work.apply(stage, &id)?;
                stage.write(&id, BASE)?;
            }
            Some(_) => stage.write(&id, &format!("f own-{number} data={number}"))?,
        }
    }
    Ok(())
}

/// An operation, and what a driver did instead.
pub(super) type Failed = (String, Box<Mismatch>);

/// Plays one round, and tells what each operation took; of one that failed, which.
pub(super) fn play(stage: &Stage, work: &Work, number: u32) -> Result<Vec<Sample>, Failed> {
    let (plain, over) = (format!("plain-{number}"), format!("over-{number}"));
    let mut samples = Vec::new();
    let mut measured = |step: &dyn Fn() -> Step<()>| -> Result<(), Failed> {
        let name = OPERATIONS.get(samples.len()).map_or("", |(name, _)| name);
        let (sample, ()) = sample(stage, step).map_err(|mismatch| (name.to_owned(), mismatch))?;
        samples.push(sample);
        Ok(())
    };
    let prepared = |step: Step<()>| step.map_err(|mismatch| ("prepare".to_owned(), mismatch));
    measured(&|| stage.create(&plain, None).map(drop))?;
    measured(&|| work.apply(stage, &plain))?;
    measured(&|| stage.mount(&plain).map(drop))?;
    prepared(stage.unmount(&plain).map(drop))?;
    measured(&|| diff(stage, &plain))?;
    measured(&|| stage.create(&over, Some(&work.top())).map(drop))?;
    prepared(stage.write(&over, CHANGE))?;
    measured(&|| stage.changes(&over, &DiffParent::Own).map(drop))?;
    measured(&|| stage.remove(&over))?;
    prepared(stage.remove(&plain))?;
    Ok(samples)
}

fn diff(stage: &Stage, id: &str) -> Step<()> {
    let sink = Sink::to_writer(Box::new(std::io::sink()));
    let written = stage.try_diff(id, DiffParent::None, ArchiveForm::Faithful, sink);
    worked(DIFF, id, written)
}
