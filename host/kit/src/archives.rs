//! Archives that are applied to a layer: what must be refused, and what must be taken and how.
//!
//! Invariant: whatever an archive holds, nothing changes but its layer, and that only if all of it was taken.

use crate::calls::{APPLY, VIEW, holds, place, refused, same};
use crate::histories::no_place;
use crate::report::Mismatch;
use crate::stage::{Stage, Step};
use mica_cases::archive::archive;
use mica_cases::dump::{Node, as_archived, print, try_nodes};
use mica_cases::{Archive, Expect, tree};
use mica_engine::DiffParent;

/// What the tree beside the store has in it.
const SECRET: &[u8] = b"canary-content";

/// Plays a case and removes what it made.
pub(crate) fn play(stage: &Stage, case: &Archive) -> Step<()> {
    let base = case.base.as_deref();
    if let Some(script) = base {
        stage.create("base", None)?;
        stage.write("base", script)?;
    }
    stage.create("target", base.map(|_| "base"))?;
    let (before, victim) = (print(&stage.seen("target")?), stage.victim()?);
    let bytes = archive(&case.archive);
    let code = case.code.as_deref().unwrap_or("invalid-archive");
    let names = case.names.as_deref().unwrap_or("");
    let answer = stage.try_apply("target", &bytes);
    match (case.expect, answer) {
        (Expect::Refused, answer) => {
            refused(APPLY, "target", answer, (code, names))?;
            same(APPLY, "target", &before, &print(&stage.seen("target")?))?;
        }
        (Expect::Safe, Err(error)) => {
            refused::<()>(APPLY, "target", Err(error), ("invalid-archive", ""))?;
            same(APPLY, "target", &before, &print(&stage.seen("target")?))?;
        }
        (Expect::Safe, Ok(_)) => no_secret(stage)?,
        (Expect::Tree, Err(error)) => {
            let seen = mica_text::with_causes(&error);
            return Err(Mismatch::new(APPLY, Some("target"), "it is taken", &seen));
        }
        (Expect::Tree, Ok(report)) => {
            let expected = expected(stage, case)?;
            let seen = timeless(&stage.seen("target")?);
            same(APPLY, "target", &expected, &seen)?;
            let (skipped, told) = (case.skipped.unwrap_or(0), report.xattrs_skipped);
            let text = format!("{skipped} attributes are left out");
            holds(skipped == told, (APPLY, "target"), &text, || {
                told.to_string()
            })?;
        }
    }
    same(
        "the tree beside the store",
        "target",
        &victim,
        &stage.victim()?,
    )?;
    if let Some(script) = base {
        let model = model(stage, &[script])?;
        same(
            VIEW,
            "base",
            &print(&as_archived(&model)),
            &print(&stage.seen("base")?),
        )?;
    }
    stage.remove("target")?;
    match base {
        Some(_) => stage.remove("base"),
        None => Ok(()),
    }
}

/// A plain directory made of scripts.
fn model(stage: &Stage, scripts: &[&str]) -> Step<Vec<Node>> {
    let path = place("make a plain directory", stage.scratch("model"))?;
    for script in scripts {
        tree::try_build(&path, script).map_err(|error| no_place(&format!("{error:#}")))?;
    }
    try_nodes(&path).map_err(|error| no_place(&format!("{error:#}")))
}

/// The tree that must come of it, times aside.
fn expected(stage: &Stage, case: &Archive) -> Step<String> {
    let base = case.base.as_deref().unwrap_or("");
    let tree = case.tree.as_deref().unwrap_or("");
    Ok(timeless(&model(stage, &[base, tree])?))
}

fn timeless(nodes: &[Node]) -> String {
    let timeless = nodes.iter().cloned().map(|mut node| {
        node.modified = (0, 0);
        node
    });
    print(&timeless.collect::<Vec<_>>())
}

/// Nothing of the tree beside the store is in the layer.
fn no_secret(stage: &Stage) -> Step<()> {
    let diff = stage.diff("target", DiffParent::None)?;
    let found = diff.windows(SECRET.len()).any(|part| part == SECRET);
    let expected = "nothing from beside the store is in the layer";
    holds(!found, (APPLY, "target"), expected, || {
        "a file of the tree beside the store".to_owned()
    })
}
