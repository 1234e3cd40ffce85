//! How long a start takes until layers are listed.
//!
//! Invariant: both roots were left by a daemon that ended in order, so that nothing is repaired.

use crate::Arguments;
use crate::daemon::Daemon;
use crate::measure::{Report, Side, Spent, Watch};
use crate::place::Place;
use crate::request::{LAYERS, create, json};
use anyhow::Result;
use std::path::Path;

/// Layers of the two stores.
const MANY: u64 = 10_000;
const FEW: u64 = 10;

/// Measures a daemon with many layers beside one with few.
pub(super) fn start(arguments: &Arguments, place: &Place, report: &mut Report) -> Result<()> {
    let above = place.looped()?;
    let (many, few) = (above.join("start-many"), above.join("start-few"));
    for (path, count) in [(&many, MANY), (&few, FEW)] {
        let daemon = Daemon::start(&arguments.mica, path, &OVERLAY.map(AsRef::as_ref))?;
        let socket = path.join("socket");
        (0..count).try_for_each(|number| create(&socket, &format!("layer-{number}"), None))?;
        daemon.end()?;
    }
    let by = |path| move || started(arguments, path);
    let sides = vec![
        Side::timed("10,000 layers", by(&many)),
        Side::timed("10 layers", by(&few)),
    ];
    report.compare("start until the first page of layers", sides)?;
    for path in [many, few] {
        std::fs::remove_dir_all(path)?;
    }
    Ok(())
}

const OVERLAY: [&str; 2] = ["--driver", "overlay"];

fn started(arguments: &Arguments, path: &Path) -> Result<Spent> {
    let watch = Watch::start()?;
    let daemon = Daemon::start(&arguments.mica, path, &OVERLAY.map(AsRef::as_ref))?;
    json(&path.join("socket"), &format!("GET {LAYERS}?limit=10"), "")?;
    let spent = watch.stop()?;
    daemon.end()?;
    Ok(spent)
}
