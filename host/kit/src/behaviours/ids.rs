//! Ids of layers.
//!
//! Invariant: an id is data; what is asked for by one never reaches another.

use crate::calls::{CREATE, DIFF, GET, VIEW, holds, refused};
use crate::stage::{Stage, Step};
use mica_cases::dump::print;
use mica_engine::{Access, ArchiveForm, DiffParent, Sink};

pub(super) fn duplicate_and_unknown(stage: &Stage) -> Step<()> {
    stage.create("one", None)?;
    stage.write("one", "f f data=1")?;
    let before = print(&stage.seen("one")?);
    let twice = stage.try_create("one", None);
    refused(CREATE, "one", twice, ("layer-exists", "one"))?;
    crate::calls::same(VIEW, "one", &before, &print(&stage.seen("one")?))?;
    let orphan = stage.try_create("child", Some("none"));
    refused(CREATE, "child", orphan, ("unknown-parent", "none"))?;
    let unknown = ("unknown-layer", "none");
    refused("remove", "none", stage.try_remove("none"), unknown)?;
    let mounted = stage.try_mount("none", Access::ReadWrite);
    refused(GET, "none", mounted, unknown)?;
    let sink = Sink::to_writer(Box::new(std::io::sink()));
    let diff = stage.try_diff("none", DiffParent::Own, ArchiveForm::Faithful, sink);
    refused(DIFF, "none", diff, unknown)?;
    stage.remove("one")
}

/// Ids that mean something to a shell, a path, an archive, an overlay, a terminal or a reader.
const ODD: &[&str] = &[
    "-rf",
    "...",
    ".wh.base",
    ".wh..wh..opq",
    "a b",
    "a:b,c=d\\e",
    "'\"$(x)`",
    "%2e%2e",
    "tree",
    "upper",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "слой",
    "層",
    "e\u{301}",
    "\u{e9}",
];

pub(super) fn odd(stage: &Stage) -> Step<()> {
    let long = "n".repeat(255);
    let ids: Vec<&str> = ODD.iter().copied().chain([long.as_str()]).collect();
    let mut parent: Option<&str> = None;
    for (number, id) in ids.iter().enumerate() {
        stage.create(id, parent)?;
        stage.write(id, &format!("f own data={number}"))?;
        parent = Some(id);
    }
    for (number, id) in ids.iter().enumerate() {
        let seen = print(&stage.seen(id)?);
        let own = format!("\"{number}\"");
        let expected = format!("the file `own` holds {own}");
        holds(seen.contains(&own), (VIEW, id), &expected, || seen.clone())?;
    }
    ids.iter().rev().try_for_each(|id| stage.remove(id))
}

pub(super) fn wrong(stage: &Stage) -> Step<()> {
    let long = "n".repeat(256);
    for id in [
        "",
        ".",
        "..",
        "a/b",
        "/",
        "a\0b",
        "a\nb",
        "\u{1b}[31m",
        &long,
    ] {
        let answer = stage.try_create(id, None);
        refused(CREATE, id, answer, ("invalid-id", ""))?;
    }
    Ok(())
}

pub(super) fn used_again(stage: &Stage) -> Step<()> {
    for content in ["first", "second"] {
        stage.create("again", None)?;
        let seen = stage.seen("again")?;
        let text = print(&seen);
        holds(seen.len() == 1, (CREATE, "again"), "an empty layer", || {
            text
        })?;
        stage.write("again", &format!("f f data={content}"))?;
        stage.remove("again")?;
    }
    Ok(())
}
