//! This build beside an earlier one (`--before`), each a daemon of its own, over REST.
//!
//! Invariant: both daemons are asked the same in the same order, on directories side by side.

use super::trees;
use crate::Arguments;
use crate::daemon::Daemon;
use crate::measure::{Report, Side, Spent, watched};
use crate::place::{Names, Place, settle};
use crate::request::{LAYERS, create, json, mount, put, remove, unmount};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// Compares what `make bench` measures of one build, as a client sees it.
pub(super) fn builds(arguments: &Arguments, place: &Place, report: &mut Report) -> Result<()> {
    let Some(before) = &arguments.before else {
        report.tell("builds: no earlier build was given (`--before FILE`)".to_owned());
        return Ok(());
    };
    let programs = [arguments.mica.as_path(), before.as_path()];
    on(programs, &place.disk(), "overlay", |sockets| {
        life(sockets, report)?;
        apply(
            sockets,
            &arguments.rootfs,
            "apply of rootfs on disk, over REST",
            report,
        )?;
        diff(sockets, &arguments.rootfs, report)
    })?;
    on(programs, &place.memory(), "overlay", |sockets| {
        apply(
            sockets,
            &arguments.rootfs,
            "apply of rootfs in memory, over REST",
            report,
        )
    })?;
    on(programs, &place.memory(), "vfs", |sockets| {
        changes(sockets, report)
    })
}

/// Starts both daemons below `above`, and gives their sockets to `job`.
fn on(
    programs: [&Path; 2],
    above: &Path,
    driver: &str,
    job: impl FnOnce(&[PathBuf; 2]) -> Result<()>,
) -> Result<()> {
    let paths = ["this", "before"].map(|side| above.join(format!("{side}-{driver}")));
    let [this, before] = [0, 1];
    let more = ["--driver".as_ref(), driver.as_ref()];
    let start = |side: usize| {
        let (program, path) = (programs.get(side), paths.get(side));
        Daemon::start(
            program.context("a program")?,
            path.context("a path")?,
            &more,
        )
    };
    let daemons = (start(this)?, start(before)?);
    let done = job(&paths.each_ref().map(|path| path.join("socket")));
    drop(daemons);
    for path in &paths {
        std::fs::remove_dir_all(path)?;
    }
    done
}

/// Both sides of a comparison, each measured from beginning to end.
fn sides<'a>(
    sockets: &'a [PathBuf; 2],
    run: impl Fn(&Path) -> Result<()> + Copy + 'a,
) -> Vec<Side<'a>> {
    timed_sides(sockets, move |socket| watched(|| run(socket)))
}

/// Both sides of a comparison.
fn timed_sides<'a>(
    sockets: &'a [PathBuf; 2],
    run: impl Fn(&Path) -> Result<Spent> + Copy + 'a,
) -> Vec<Side<'a>> {
    let [this, before] = sockets;
    vec![
        Side::timed("this build", move || run(this)),
        Side::timed("the build before", move || run(before)),
    ]
}

/// The directory of a daemon that has this socket.
fn above(socket: &Path) -> PathBuf {
    socket.parent().unwrap_or(socket).to_owned()
}

fn life(sockets: &[PathBuf; 2], report: &mut Report) -> Result<()> {
    for socket in sockets {
        create(socket, "base", None)?;
    }
    let lives = sides(sockets, |socket| {
        for _ in 0..10 {
            create(socket, "box", Some("base"))?;
            mount(socket, "box")?;
            unmount(socket, "box")?;
            remove(socket, "box")?;
        }
        Ok(())
    });
    report.compare("10 lives of a layer, durable, over REST", lives)
}

fn apply(sockets: &[PathBuf; 2], rootfs: &Path, job: &str, report: &mut Report) -> Result<()> {
    let roots = sockets.each_ref().map(|socket| above(socket));
    let names = Names::new("rootfs");
    let applied = timed_sides(sockets, |socket| {
        let layer = names.next();
        create(socket, &layer, None)?;
        // Nothing is still being deleted or written when the time begins.
        settle(&roots)?;
        watched(|| put(socket, &layer, rootfs))
    });
    report.compare(job, applied)?;
    for layer in names.take() {
        // Each is of one of them.
        let [_one, _other] = sockets.each_ref().map(|socket| remove(socket, &layer));
    }
    settle(&roots)
}

fn diff(sockets: &[PathBuf; 2], rootfs: &Path, report: &mut Report) -> Result<()> {
    for socket in sockets {
        create(socket, "rootfs", None)?;
        put(socket, "rootfs", rootfs)?;
    }
    let read = sides(sockets, |socket| {
        json(socket, &format!("GET {LAYERS}/rootfs/diff?parent="), "").map(drop)
    });
    report.compare("diff of rootfs, over REST", read)
}

fn changes(sockets: &[PathBuf; 2], report: &mut Report) -> Result<()> {
    for socket in sockets {
        create(socket, "base", None)?;
        trees::many_files(&mount(socket, "base")?)?;
        unmount(socket, "base")?;
        create(socket, "child", Some("base"))?;
        trees::change_some(&mount(socket, "child")?)?;
        unmount(socket, "child")?;
    }
    let listed = sides(sockets, |socket| {
        json(socket, &format!("GET {LAYERS}/child/changes"), "").map(drop)
    });
    report.compare("changes of 100 among 50,000 files (vfs), over REST", listed)
}
