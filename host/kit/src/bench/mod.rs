//! `mica driver bench`: what a driver's operations take, beside those of drivers that ship.
//!
//! Every side has an engine and a store of its own, in one process and on one file system. In each round each side does the same
//! things, and whoever begins changes from round to round, so that what disturbs the machine disturbs all of them.
//!
//! Invariant: one operation of a driver is measured at a time; what prepares it is not.

mod archive;
mod measure;
mod report;
mod round;

pub use archive::MOST_BYTES as MOST_ARCHIVE_BYTES;
pub use report::{
    ArchiveFacts, BenchReport, BenchRequest, LeftOutSide, OperationReport, SideReport, Spread,
};

use crate::child::{Loaded, Message, failed};
use crate::report::{DriverFacts, PlaceFacts};
use crate::stage::{Facts, Stage};
use measure::Sample;
use mica_engine::{Error, Grants};
use mica_runtime::Runtime;
use mica_text::with_causes;
use round::{OPERATIONS, Work};
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// Drivers that ship, beside which others are measured: one that stacks, and one that copies.
const BESIDE: [&str; 2] = ["overlay", "vfs"];

/// A driver that is measured.
struct Side {
    driver: String,
    is_shipped: bool,
    stage: Stage,
    /// For each operation, in the order of the table.
    samples: Vec<Vec<Sample>>,
}

impl Side {
    fn open(
        base: &Path,
        runtime: &Arc<Runtime>,
        (driver, component): (&str, &[u8]),
        grants: Grants,
        (options, facts): (Vec<(String, String)>, Facts),
        is_shipped: bool,
    ) -> Result<Self, Error> {
        let place = match is_shipped {
            true => driver,
            false => "measured",
        };
        let base = base.join(place);
        fs::create_dir(&base).map_err(|source| Error::Io {
            doing: "make a directory for the bench".to_owned(),
            source,
        })?;
        let runtime = Arc::clone(runtime);
        let stage = Stage::open(&base, runtime, (driver, component), grants, options, facts)?;
        Ok(Self {
            driver: driver.to_owned(),
            is_shipped,
            stage,
            samples: OPERATIONS.iter().map(|_| Vec::new()).collect(),
        })
    }
}

/// Measures a driver that was loaded.
pub(crate) fn run(
    request: &BenchRequest,
    base: &Path,
    (loaded, component, archive): (Loaded, &[u8], Option<Vec<u8>>),
    facts: Facts,
    owners: &str,
) -> Result<BenchReport, Message> {
    let driver = loaded.facts();
    let Loaded {
        runtime, grants, ..
    } = loaded;
    let options = request.options.clone();
    let candidate = (driver.name.as_str(), component);
    let own = Side::open(base, &runtime, candidate, grants, (options, facts), false)?;
    let place = PlaceFacts {
        filesystem: own.stage.filesystem()?,
        owners: owners.to_owned(),
    };
    let mut sides = vec![own];
    let mut left_out = Vec::new();
    for name in BESIDE {
        let Some(component) = mica_artifacts::component(name) else {
            continue;
        };
        let shipped = (name, component);
        let nothing = (Vec::new(), facts);
        match Side::open(base, &runtime, shipped, Grants::standard(), nothing, true) {
            Ok(side) => sides.push(side),
            Err(error) => left_out.push(LeftOutSide {
                driver: name.to_owned(),
                reason: with_causes(&error),
            }),
        }
    }
    let work = Work::new(request, archive);
    measured(&mut sides, request.rounds, &work)?;
    for side in &mut sides {
        side.stage.close();
    }
    Ok(told(&sides, request, &work, (driver, place, left_out)))
}

fn measured(sides: &mut [Side], rounds: u32, work: &Work) -> Result<(), Message> {
    let broken = |driver: &str, (operation, mismatch): round::Failed| Message::Broken {
        driver: driver.to_owned(),
        operation,
        mismatch,
    };
    for side in &mut *sides {
        round::prepare(&side.stage, work)
            .map_err(|mismatch| broken(&side.driver, ("the layers below".to_owned(), mismatch)))?;
    }
    // The first round warms caches up and does not count.
    for number in 0..=rounds {
        let count = sides.len();
        for turn in 0..count {
            let Some(side) = sides.get_mut((turn + number as usize) % count) else {
                continue;
            };
            let taken = round::play(&side.stage, work, number)
                .map_err(|failed| broken(&side.driver, failed))?;
            side.stage.swept().map_err(failed("empty the trash"))?;
            if number > 0 {
                for (samples, sample) in side.samples.iter_mut().zip(taken) {
                    samples.push(sample);
                }
            }
        }
    }
    Ok(())
}

fn told(
    sides: &[Side],
    request: &BenchRequest,
    work: &Work,
    (driver, place, left_out): (DriverFacts, PlaceFacts, Vec<LeftOutSide>),
) -> BenchReport {
    let operation = |(index, (name, about)): (usize, &(&str, &str))| {
        let of = |side: &Side| measure::told(side.samples.get(index).map_or(&[], Vec::as_slice));
        let own = sides.first().map(|side| of(side).0.median);
        let row = |side: &Side| {
            let (microseconds, processor, host_calls, memory_bytes) = of(side);
            let ratio = match (side.is_shipped, own) {
                (true, Some(own)) => Some(measure::ratio(own, microseconds.median)),
                _ => None,
            };
            SideReport {
                driver: side.driver.clone(),
                is_shipped: side.is_shipped,
                microseconds,
                processor_microseconds: processor,
                ratio,
                host_calls,
                memory_bytes,
            }
        };
        OperationReport {
            operation: (*name).to_owned(),
            about: (*about).to_owned(),
            sides: sides.iter().map(row).collect(),
        }
    };
    BenchReport {
        driver,
        place,
        rounds: request.rounds,
        parents: work.parents,
        archive: ArchiveFacts {
            bytes: work.archive.len() as u64,
            is_generated: work.is_generated,
        },
        left_out,
        operations: OPERATIONS.iter().enumerate().map(operation).collect(),
    }
}
