//! What stored layers cost the calls that do not touch them.
//!
//! Invariant: both engines do the same; only the number of layers that lie there differs.

use crate::Arguments;
use crate::measure::{Report, Side, duration};
use crate::place::{Bench, Place, STORE};
use anyhow::Result;
use std::time::Instant;

/// Calls with 10 layers stored and with many.
pub(super) fn scale(arguments: &Arguments, place: &Place, report: &mut Report) -> Result<()> {
    // Both on one file system, or the file system would be what is measured.
    let path = place.memory().join("few");
    std::fs::create_dir(&path)?;
    let many = Bench::open(&place.memory(), "overlay")?;
    let few = Bench::open(&path, "overlay")?;
    stored(&few, 10)?;
    let started = Instant::now();
    stored(&many, arguments.layers)?;
    report.tell(format!(
        "{} layers were created in {}",
        arguments.layers,
        duration(started.elapsed())
    ));
    type Call = fn(&Bench) -> Result<()>;
    let calls: [(&str, Call); 4] = [
        ("create and remove", |bench| {
            bench.create("new", Some("base"))?;
            bench.remove("new")
        }),
        ("get and put", |bench| {
            bench.mount("base")?;
            bench.unmount("base")
        }),
        ("inspect", |bench| {
            Ok(bench.engine.store(STORE)?.layer("base").map(drop)?)
        }),
        ("a page of the list", |bench| {
            let _page = bench.engine.store(STORE)?.layers(None, 10);
            Ok(())
        }),
    ];
    for (name, call) in calls {
        let many = Side::new("many layers", || (0..20).try_for_each(|_| call(&many)));
        let few = Side::new("10 layers", || (0..20).try_for_each(|_| call(&few)));
        let job = format!("{name}, 20 times, {} layers stored", arguments.layers);
        report.compare(&job, vec![many, few])?;
    }
    Ok(())
}

fn stored(bench: &Bench, count: u64) -> Result<()> {
    bench.create("base", None)?;
    (1..count).try_for_each(|number| bench.create(&format!("stored-{number}"), Some("base")))
}
