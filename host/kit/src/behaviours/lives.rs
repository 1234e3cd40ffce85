//! What outlives an operation: stores, restarts, mounts, and operations beside one another.
//!
//! Invariant: the engine is ended and opened on the same directories as a daemon is; the driver has no memory of its own.

use crate::calls::{
    CREATE, DIFF, GET, INIT, METADATA, PUT, STATUS, VIEW, holds, refused, same, worked,
};
use crate::report::Mismatch;
use crate::stage::{Stage, Step, read};
use mica_cases::dump::print;
use mica_engine::DiffParent;

/// An option that no driver knows.
const UNKNOWN: &str = "kit.no-driver-knows-this";

pub(super) fn unknown_option(stage: &Stage) -> Step<()> {
    let mut options = stage.options().to_vec();
    options.push((UNKNOWN.to_owned(), "1".to_owned()));
    let made = stage.make_store("unknown-option", options);
    let was_made = made.is_ok();
    let refusal = refused(INIT, "", made, ("invalid-option", ""));
    if was_made {
        worked("remove", "", stage.remove_store("unknown-option"))?;
    }
    refusal.map(drop)
}

pub(super) fn told(stage: &Stage) -> Step<()> {
    stage.create("told", None)?;
    let lines = |pairs: Vec<(String, String)>| -> String {
        let lines = pairs.iter().map(|(key, value)| format!("{key}: {value}\n"));
        lines.collect()
    };
    let first = lines(stage.metadata("told")?);
    same(METADATA, "told", &first, &lines(stage.metadata("told")?))?;
    let status = || worked(STATUS, "", stage.status()).map(lines);
    same(STATUS, "", &status()?, &status()?)?;
    stage.remove("told")
}

pub(super) fn restart(stage: &mut Stage) -> Step<()> {
    let chain = [
        (
            "a",
            None,
            "d d mode=750\nf d/f data=1\nl l to=d/f\nh d/g to=d/f",
        ),
        ("b", Some("a"), "w d/f data=2\n- l\nf new fill=5000"),
    ];
    for (id, parent, script) in chain {
        stage.create(id, parent)?;
        stage.write(id, script)?;
    }
    let look = |stage: &Stage, id: &str| -> Step<(String, Vec<u8>)> {
        let seen = print(&stage.seen(id)?);
        Ok((seen, stage.diff(id, DiffParent::Own)?))
    };
    let before = [look(stage, "a")?, look(stage, "b")?];
    worked("a restart", "", stage.restart())?;
    let ids = worked("a restart", "", stage.ids())?;
    holds(
        ids == ["a", "b"],
        ("a restart", ""),
        "layers `a`, `b`",
        || ids.join(", "),
    )?;
    for ((id, ..), (tree, archive)) in chain.iter().zip(before) {
        let (seen, again) = look(stage, id)?;
        same(VIEW, id, &tree, &seen)?;
        let is_same = archive == again;
        holds(is_same, (DIFF, id), "the same bytes as before", || {
            "others".to_owned()
        })?;
    }
    stage.create("c", Some("b"))?;
    let expected = print(&stage.seen("b")?);
    same(CREATE, "c", &expected, &print(&stage.seen("c")?))?;
    ["c", "b", "a"].iter().try_for_each(|id| stage.remove(id))
}

pub(super) fn mounts(stage: &mut Stage) -> Step<()> {
    stage.create("m", None)?;
    let path = stage.mount("m")?;
    stage.write_at("m", &path, "f before data=1")?;
    worked("a restart", "m", stage.restart())?;
    stage.write_at("m", &path, "f after data=2")?;
    let nodes = print(&read(&path, GET, "m")?);
    let has_both = nodes.contains("/before ") && nodes.contains("/after ");
    holds(has_both, (GET, "m"), "`before` and `after`", || nodes)?;
    // The reference of before the restart is a client's that has gone.
    let again = stage.mount("m")?;
    holds(again == path, (GET, "m"), "the same mount", || {
        again.display().to_string()
    })?;
    while worked(PUT, "m", stage.try_unmount("m"))? > 0 {}
    let left = stage.try_unmount("m");
    if left.is_ok() {
        return Err(Mismatch::new(PUT, Some("m"), "it is gone", "one is left"));
    }
    stage.remove("m")
}

pub(super) fn together(stage: &Stage) -> Step<()> {
    stage.create("base", None)?;
    stage.write("base", "d d\nf d/f fill=100000\nf g data=1")?;
    let diff = stage.diff("base", DiffParent::None)?;
    let expected = print(&stage.seen("base")?);
    let life = |number: usize| -> Step<()> {
        let id = format!("child-{number}");
        stage.create(&id, Some("base"))?;
        same(CREATE, &id, &expected, &print(&stage.seen(&id)?))?;
        stage.write(&id, &format!("f own data={number}"))?;
        let again = stage.diff("base", DiffParent::None)?;
        holds(again == diff, (DIFF, "base"), "the same bytes", || {
            "others".to_owned()
        })?;
        stage.remove(&id)
    };
    std::thread::scope(|scope| {
        let lives: Vec<_> = (0..4).map(|n| scope.spawn(move || life(n))).collect();
        let ended = lives.into_iter().map(|life| {
            life.join()
                .unwrap_or_else(|_| Err(Mismatch::new("the kit", None, "it goes on", "it broke")))
        });
        ended.collect::<Step<Vec<()>>>()
    })?;
    stage.remove("base")
}
