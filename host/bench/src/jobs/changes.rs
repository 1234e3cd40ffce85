//! Changes of 100 files among 50,000, beside `diff -rq`.
//!
//! Invariant: every side must find all of them.

use super::trees;
use crate::Arguments;
use crate::measure::{Report, Side};
use crate::place::{Bench, Place, STORE};
use anyhow::{Result, ensure};
use mica_engine::{CancelToken, ChangeSink, DiffParent};
use mica_sdk::host::streams::ChangeSink as Listed;
use mica_sdk::testing::open_directory;
use mica_sdk::walk::{Kept, Sides};
use std::path::PathBuf;
use std::process::Command;
use std::thread;

/// By comparison (vfs), and from the upper directory (overlay).
pub(super) fn changes(_: &Arguments, place: &Place, report: &mut Report) -> Result<()> {
    let vfs = Bench::open(&place.memory(), "vfs")?;
    let (old, new) = prepare(&vfs)?;
    let sandboxed = Side::new("sandboxed", || listed(&vfs, trees::CHANGES));
    let native = Side::new("native", || {
        let listed = Listed::default();
        let (new, old) = (open_directory(&new)?, open_directory(&old)?);
        mica_sdk::diff::list_changes(new, Some(old), &Sides::Views(Kept::Unknown), &listed)
            .map_err(|error| anyhow::anyhow!("{error:?}"))?;
        let count = listed.into_changes().len();
        ensure!(count == trees::CHANGES, "{count} changes");
        Ok(())
    });
    let diff = Side::new("diff -rq", || {
        let output = Command::new("diff")
            .arg("-rq")
            .args([&old, &new])
            .output()?;
        let lines = output.stdout.split(|byte| *byte == b'\n').count() - 1;
        ensure!(lines == trees::CHANGES / 2, "{lines} lines");
        Ok(())
    });
    report.compare(
        "changes of 100 among 50,000 files, compared",
        vec![sandboxed, native, diff],
    )?;
    for id in ["child", "base"] {
        vfs.unmount(id)?;
    }
    let overlay = Bench::open(&place.disk(), "overlay")?;
    prepare(&overlay)?;
    let native = Side::new("overlay", || listed(&overlay, trees::CHANGES));
    let compared = Side::new("compared (vfs)", || listed(&vfs, trees::CHANGES));
    report.compare("the same from the upper directory", vec![native, compared])?;
    for id in ["child", "base"] {
        overlay.unmount(id)?;
    }
    Ok(())
}

/// Makes base and child; where both are mounted.
fn prepare(bench: &Bench) -> Result<(PathBuf, PathBuf)> {
    bench.create("base", None)?;
    trees::many_files(&bench.mount("base")?)?;
    bench.unmount("base")?;
    bench.create("child", Some("base"))?;
    let new = bench.mount("child")?;
    trees::change_some(&new)?;
    Ok((bench.mount("base")?, new))
}

/// Lists the changes through the engine.
fn listed(bench: &Bench, expected: usize) -> Result<()> {
    let (sink, mut pages) = ChangeSink::channel(4);
    let reader = thread::spawn(move || {
        let mut count = 0;
        while let Some(page) = pages.blocking_recv() {
            count += page.len();
        }
        count
    });
    bench
        .engine
        .store(STORE)?
        .changes("child", &DiffParent::Own, sink, CancelToken::default())?;
    let count = reader
        .join()
        .map_err(|_panic| anyhow::anyhow!("the reader broke"))?;
    ensure!(count == expected, "{count} changes, not {expected}");
    Ok(())
}
