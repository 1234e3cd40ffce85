//! This build beside an earlier one (`--before`), each a daemon of its own, over REST.
//!
//! Invariant: both daemons are asked the same in the same order, on directories side by side.

use super::trees;
use crate::Arguments;
use crate::daemon::Daemon;
use crate::measure::{Report, Side};
use crate::place::Place;
use crate::request::{json, request};
use anyhow::{Context, Result};
use std::fs::File;
use std::path::{Path, PathBuf};

/// The layers of the default store.
const LAYERS: &str = "/v1/stores/default/layers";

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
        diff(sockets, report)
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

/// Both sides of a comparison.
fn sides<'a>(
    sockets: &'a [PathBuf; 2],
    run: impl Fn(&Path) -> Result<()> + Copy + 'a,
) -> Vec<Side<'a>> {
    let [this, before] = sockets;
    vec![
        Side::new("this build", move || run(this)),
        Side::new("the build before", move || run(before)),
    ]
}

fn create(socket: &Path, id: &str, parent: Option<&str>) -> Result<()> {
    let parent = parent.map_or_else(String::new, |parent| format!(r#","parent":"{parent}""#));
    json(
        socket,
        &format!("POST {LAYERS}"),
        &format!(r#"{{"id":"{id}"{parent}}}"#),
    )
    .map(drop)
}

/// Mounts a layer; where.
fn mount(socket: &Path, id: &str) -> Result<PathBuf> {
    let answer = json(
        socket,
        &format!("POST {LAYERS}/{id}/mount"),
        r#"{"access":"read-write"}"#,
    )?;
    let path = answer
        .split_once(r#""path":""#)
        .and_then(|(_, rest)| rest.split('"').next());
    Ok(PathBuf::from(path.context("no path in the answer")?))
}

fn unmount(socket: &Path, id: &str) -> Result<()> {
    json(socket, &format!("POST {LAYERS}/{id}/unmount"), "").map(drop)
}

fn remove(socket: &Path, id: &str) -> Result<()> {
    json(socket, &format!("DELETE {LAYERS}/{id}"), "").map(drop)
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
    let applied = sides(sockets, |socket| {
        // The layer of the round before goes first.
        let _missing = remove(socket, "rootfs");
        create(socket, "rootfs", None)?;
        let mut archive = File::open(rootfs)?;
        let length = archive.metadata()?.len();
        request(
            socket,
            &format!("PUT {LAYERS}/rootfs/diff"),
            length,
            &mut archive,
        )
        .map(drop)
    });
    report.compare(job, applied)
}

fn diff(sockets: &[PathBuf; 2], report: &mut Report) -> Result<()> {
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
