//! Layers and their mounts.
//!
//! Invariant: asks for what Docker's graphtest and containerd's snapshotter suite ask for.

use crate::calls::{CHANGES, CREATE, GET, PUT, VIEW, holds, refused, same, worked};
use crate::report::Mismatch;
use crate::stage::{Stage, Step, read};
use mica_cases::dump::print;
use mica_engine::{Access, DiffParent};
use std::fs;
use std::io;
use std::path::Path;

/// Layers of the chain that is made.
const CHAIN: usize = 20;

pub(super) fn empty(stage: &Stage) -> Step<()> {
    stage.create("empty", None)?;
    let seen = stage.seen("empty")?;
    let first = seen.first().map(|node| (node.kind, node.mode, node.owner));
    let is_empty = seen.len() == 1 && first == Some(('d', 0o755, (0, 0)));
    let expected = "an empty directory `/ d 0755 0:0`";
    holds(is_empty, (CREATE, "empty"), expected, || print(&seen))?;
    stage.remove("empty")
}

pub(super) fn counted(stage: &Stage) -> Step<()> {
    let id = "counted";
    stage.create(id, None)?;
    let first = stage.mount(id)?;
    let second = stage.mount(id)?;
    let text = |path: &Path| path.display().to_string();
    holds(
        first == second,
        (GET, id),
        &format!("mounted at `{}`", text(&first)),
        || text(&second),
    )?;
    refused("remove", id, stage.try_remove(id), ("mounted", id))?;
    for expected in [1, 0] {
        let left = stage.unmount(id)?;
        let text = format!("{expected} references are left");
        holds(left == expected, (PUT, id), &text, || left.to_string())?;
    }
    refused(PUT, id, stage.try_unmount(id), ("not-mounted", id))?;
    // The mount is gone whatever a driver says to that, so the engine goes on; the driver is wrong all the same.
    let failures = worked(PUT, id, stage.failures("put"))?;
    holds(failures.is_empty(), (PUT, id), "it works", || {
        failures.join("; ")
    })?;
    stage.remove(id)
}

pub(super) fn view_is_read_only(stage: &Stage) -> Step<()> {
    for (id, parent, script) in [
        ("view-1", None, "f f data=1"),
        ("view-2", Some("view-1"), "f g data=2"),
    ] {
        stage.create(id, parent)?;
        stage.write(id, script)?;
        let path = stage.view(id)?;
        for name in ["f", "new"] {
            let written = fs::write(path.join(name), "changed");
            let refused = written.err().map(|error| error.kind());
            let expected = format!("writing `{name}` in the view fails: read-only file system");
            let is_refused = refused == Some(io::ErrorKind::ReadOnlyFilesystem);
            holds(is_refused, (VIEW, id), &expected, || format!("{refused:?}"))?;
        }
        let otherwise = stage.try_mount(id, Access::ReadWrite);
        refused(GET, id, otherwise, ("mounted", id))?;
        stage.unmount(id)?;
    }
    stage.remove("view-2")?;
    stage.remove("view-1")
}

pub(super) fn siblings(stage: &Stage) -> Step<()> {
    stage.create("base", None)?;
    stage.write("base", "f common data=1")?;
    let before = print(&stage.seen("base")?);
    for (id, script) in [
        ("left", "f common data=left\nf only-left data=1"),
        ("right", "- common\nf only-right data=1"),
    ] {
        stage.create(id, Some("base"))?;
        let path = stage.mount(id)?;
        stage.write_at(id, &path, script)?;
    }
    for id in ["left", "right"] {
        stage.unmount(id)?;
    }
    let right = DiffParent::Layer("right".to_owned());
    let told = stage.changes("left", &right)?;
    same(
        CHANGES,
        "left",
        "A /common\nA /only-left\nD /only-right\n",
        &told,
    )?;
    same(VIEW, "base", &before, &print(&stage.seen("base")?))?;
    let still = stage.try_remove("base");
    refused("remove", "base", still, ("has-children", "base"))?;
    ["left", "right", "base"]
        .iter()
        .try_for_each(|id| stage.remove(id))
}

pub(super) fn middle(stage: &Stage) -> Step<()> {
    let chain = [
        ("bottom", None),
        ("middle", Some("bottom")),
        ("top", Some("middle")),
    ];
    for (id, parent) in chain {
        stage.create(id, parent)?;
        stage.write(id, &format!("f {id} data=1"))?;
    }
    let still = stage.try_remove("middle");
    refused("remove", "middle", still, ("has-children", "top"))?;
    let path = stage.mount("top")?;
    for (name, _) in chain {
        let is_there = path.join(name).exists();
        holds(
            is_there,
            (GET, "top"),
            &format!("`{name}` is there"),
            || "it is not".to_owned(),
        )?;
    }
    refused("remove", "top", stage.try_remove("top"), ("mounted", "top"))?;
    stage.unmount("top")?;
    ["top", "middle", "bottom"]
        .iter()
        .try_for_each(|id| stage.remove(id))
}

pub(super) fn read_write(stage: &Stage) -> Step<()> {
    stage.create("image", None)?;
    stage.write("image", "d etc\nf etc/passwd data=root")?;
    stage.create_read_write("container", Some("image"))?;
    stage.write("container", "f etc/shadow data=secret")?;
    let told = stage.changes("container", &DiffParent::Own)?;
    same(CHANGES, "container", "C /etc\nA /etc/shadow\n", &told)?;
    stage.remove("container")?;
    stage.remove("image")
}

pub(super) fn many(stage: &Stage) -> Step<()> {
    let id = |number: usize| format!("deep-{number}");
    for number in 0..CHAIN {
        let parent = number.checked_sub(1).map(id);
        let id = id(number);
        stage.create(&id, parent.as_deref())?;
        stage.write(&id, &format!("f f{number} data={id}\nf last data={id}"))?;
    }
    let last = id(CHAIN - 1);
    let path = stage.view(&last)?;
    for number in 0..CHAIN {
        let (expected, name) = (id(number), format!("f{number}"));
        let content = fs::read_to_string(path.join(&name));
        let is_right = content.as_ref().is_ok_and(|content| *content == expected);
        let text = format!("`{name}` holds `{expected}`");
        holds(is_right, (VIEW, &last), &text, || format!("{content:?}"))?;
    }
    stage.unmount(&last)?;
    let told = stage.changes(&last, &DiffParent::Own)?;
    let expected = format!("A /f{}\nC /last\n", CHAIN - 1);
    same(CHANGES, &last, &expected, &told)?;
    (0..CHAIN)
        .rev()
        .try_for_each(|number| stage.remove(&id(number)))
}

pub(super) fn wide(stage: &Stage) -> Step<()> {
    let names = (0..3000).map(|number| format!("f d/file-{number} data={number}\n"));
    let script: String = std::iter::once("d d\n".to_owned()).chain(names).collect();
    round(stage, &script, "- d/file-7\nf d/file-2999 data=other")
}

pub(super) fn deep(stage: &Stage) -> Step<()> {
    let paths: Vec<String> = (1..=100).map(|depth| vec!["d"; depth].join("/")).collect();
    let last = paths.last().cloned().unwrap_or_default();
    let script: String = paths.iter().map(|path| format!("d {path}\n")).collect();
    let change = format!("f {last}/changed data=2");
    round(stage, &format!("{script}f {last}/file data=1"), &change)
}

/// A base, a child with a change, and the child's diff on a copy of it.
fn round(stage: &Stage, base: &str, change: &str) -> Step<()> {
    stage.create("base", None)?;
    stage.write("base", base)?;
    stage.create("child", Some("base"))?;
    let before = print(&stage.seen("base")?);
    same(CREATE, "child", &before, &print(&stage.seen("child")?))?;
    stage.write("child", change)?;
    let diff = stage.diff("child", DiffParent::Own)?;
    stage.create("copy", Some("base"))?;
    stage.apply("copy", &diff)?;
    let expected = print(&stage.seen("child")?);
    let seen = print(&stage.seen("copy")?);
    same(crate::calls::APPLY, "copy", &expected, &seen)?;
    ["copy", "child", "base"]
        .iter()
        .try_for_each(|id| stage.remove(id))
}

pub(super) fn parent_is_fixed(stage: &Stage) -> Step<()> {
    stage.create("base", None)?;
    stage.write("base", "f f data=old")?;
    stage.create("child", Some("base"))?;
    // The engine lets nobody change a layer that others are built on; a driver sees to it that none needs to be asked.
    let live = stage.try_mount("base", Access::ReadWrite);
    refused(GET, "base", live, ("has-children", "base"))?;
    stage.write("child", "w f data=new\nf g data=1")?;
    let path = stage.view("base")?;
    let nodes = read(&path, VIEW, "base");
    stage.unmount("base")?;
    let seen = print(&nodes?);
    let is_old = seen.contains("3:\"old\"") && !seen.contains("/g ");
    holds(is_old, (VIEW, "base"), "`f` with `old`, and no `g`", || {
        Mismatch::lines(VIEW, "base", "", &seen).seen
    })?;
    stage.remove("child")?;
    stage.remove("base")
}
