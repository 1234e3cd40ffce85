//! `mica scrub`, and of a layer `verify` and `repair`.
//!
//! Invariant: talks REST and prints; damage ends with the exit code of findings.

use std::fs::File;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::context::Context;
use super::waiting::{Sought, with_bar};
use crate::api::types::{
    DamageView, PassView, RepairView, ScrubView, StoreList, Verdict, VerifyView,
};
use mica_client::progress::{Watched, bytes_bar, count_bar};
use mica_client::{Exit, Failure, pairs, read, segment, words};

pub(super) const EXAMPLES: &str = "\
Layers get digests of their files in the background, some time after they were applied or
committed, and all layers of a store are compared with them once a week: `scrub` in the
configuration says which and how often. This command asks for it now. What is damaged is an event
(`layer.damaged`), stands in `mica status`, and is told here. Ends with 9 if a layer is damaged,
with --wait also with 1 if one could not be verified.

Examples:
  mica scrub                        begin to verify all layers of all stores
  mica scrub default base --wait    verify one layer, and tell how it was found
  mica scrub --status               tell how far it is, and what is damaged
  mica scrub default --pause        let a store rest; --resume goes on";

pub(super) const VERIFY_EXAMPLES: &str = "\
Compares the layer's files with their digests at once. A layer that has none gets them. Ends with 9 if it is damaged.

Examples:
  mica layer verify base";

pub(super) const REPAIR_EXAMPLES: &str = "\
Makes a damaged layer of its archive again. It is accepted only if the result is what the layer's
digests say. Without --from, the archive is looked for in the other stores, of which those of the
driver erofs keep it; a layer that containerd had unpacked here is also made of the blob in its
content store. Nothing that is built on the layer may be mounted.

Examples:
  mica layer repair base --from base.tar.zst
  mica layer repair base";

/// How often it is asked whether a pass is over.
const PAUSE: Duration = Duration::from_millis(100);

/// Arguments of `mica scrub`.
#[derive(Debug, clap::Args)]
pub(crate) struct ScrubArguments {
    /// The store; without it, all of them
    store: Option<String>,
    /// The layer; without it, all of them
    layer: Option<String>,
    /// Return when all is verified, and tell how it was found
    #[arg(long)]
    wait: bool,
    /// Tell what is known, and begin nothing
    #[arg(long, conflicts_with_all = ["wait", "layer", "pause", "resume"])]
    status: bool,
    /// Let it rest until someone lets it go on
    #[arg(long, conflicts_with_all = ["wait", "layer", "resume"])]
    pause: bool,
    /// Let it go on
    #[arg(long, conflicts_with_all = ["wait", "layer"])]
    resume: bool,
}

/// Arguments of `mica layer repair`.
#[derive(Debug, clap::Args)]
pub(crate) struct RepairArguments {
    /// The layer
    id: String,
    /// Its archive, plain, gzip or zstd
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
}

/// Runs `mica scrub`.
pub(crate) fn run(
    context: &Context,
    arguments: &ScrubArguments,
    named: Option<&str>,
) -> Result<(), Failure> {
    let client = &context.client;
    let stores = match arguments.store.as_deref().or(named) {
        Some(store) => vec![store.to_owned()],
        None => {
            let document = client.get("/v1/stores")?;
            let list: Option<StoreList> = read(&document);
            list.map(|list| list.stores.into_iter().map(|store| store.name).collect())
                .unwrap_or_default()
        }
    };
    let mut documents = Vec::new();
    for store in &stores {
        let target = format!("/v1/stores/{}/scrub", segment(store));
        if arguments.status {
            documents.push(client.get(&target)?);
            continue;
        }
        let query = match (&arguments.layer, arguments.pause, arguments.resume) {
            (Some(layer), ..) => format!("?layer={}", segment(layer)),
            (_, true, _) => "?action=pause".to_owned(),
            (_, _, true) => "?action=resume".to_owned(),
            _ => String::new(),
        };
        documents.push(client.post(&format!("{target}{query}"), None)?);
    }
    if arguments.wait {
        for document in &mut documents {
            *document = wait(context, document)?;
        }
    }
    let views: Vec<ScrubView> = documents.iter().filter_map(read).collect();
    let text = || views.iter().map(described).collect::<Vec<_>>().join("\n");
    context
        .printer
        .result(&json!({ "stores": documents }), text)?;
    let damaged: u64 = match &arguments.layer {
        None => views.iter().map(damaged_count).sum(),
        Some(layer) => damage_of(layer, &views, arguments)?,
    };
    let skipped: u64 = views.iter().map(|view| view.skipped).sum();
    match damaged {
        0 if arguments.wait && skipped > 0 => Err(not_verified(skipped)),
        0 => Ok(()),
        _ if arguments.pause || arguments.resume => Ok(()),
        damaged => Err(found(damaged)),
    }
}

/// Waits until what was asked for with this answer is done.
fn wait(context: &Context, begun: &Value) -> Result<Value, Failure> {
    let number = |document: &Value, name: &str| document.get(name).and_then(Value::as_u64);
    let store = begun
        .get("store")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let target = format!("/v1/stores/{}/scrub", segment(store));
    let bar = count_bar(format!("verify {store}"), layers_of(context, store));
    loop {
        let document = context.client.get(&target)?;
        if let Some(pass) = read::<ScrubView>(&document).and_then(|view| view.pass) {
            bar.set_position(pass.layers + pass.taken + pass.skipped);
            bar.set_message(format!("verify {store} {}", words::bytes(pass.bytes)));
        }
        // A daemon that was started anew has begun to count again; what it was asked before is not done.
        if number(&document, "answered") >= number(begun, "asked") {
            bar.finish_and_clear();
            return Ok(document);
        }
        if number(&document, "asked") < number(begun, "asked") {
            return Err(Failure::Told {
                what: format!("the daemon was started anew before store `{store}` was verified"),
                remedy: Some("ask again".to_owned()),
                exit: Exit::Failed,
                code: None,
            });
        }
        thread::sleep(PAUSE);
    }
}

/// How many layers a store has, for a bar.
fn layers_of(context: &Context, store: &str) -> Option<u64> {
    let described = context
        .client
        .get(&format!("/v1/stores/{}", segment(store)));
    described.ok().map(|store| words::number(&store, "layers"))
}

fn not_verified(skipped: u64) -> Failure {
    Failure::Told {
        what: match skipped {
            1 => "1 layer could not be verified".to_owned(),
            skipped => format!("{skipped} layers could not be verified"),
        },
        remedy: Some("the daemon's log says why; ask again when nobody works on them".to_owned()),
        exit: Exit::Failed,
        code: None,
    }
}

/// Whether this layer is damaged, as 0 or 1. Of those that are only counted nobody knows whether it is one; with --wait it would be the last
/// that was found, which is told.
fn damage_of(layer: &str, views: &[ScrubView], arguments: &ScrubArguments) -> Result<u64, Failure> {
    let mut told = views.iter().flat_map(|view| &view.damaged);
    if told.any(|damage| damage.layer == layer) {
        return Ok(1);
    }
    let more: u64 = views.iter().map(|view| view.damaged_more).sum();
    if more == 0 || arguments.wait {
        return Ok(0);
    }
    Err(Failure::Told {
        what: format!(
            "{more} damaged layers are only counted, and whether `{layer}` is one of them is not known"
        ),
        remedy: Some(format!("`mica layer verify {layer}` tells")),
        exit: Exit::Findings,
        code: Some("findings"),
    })
}

fn found(damaged: u64) -> Failure {
    Failure::Told {
        what: match damaged {
            1 => "1 layer is damaged".to_owned(),
            damaged => format!("{damaged} layers are damaged"),
        },
        remedy: Some("`mica layer repair`, or remove and make it again".to_owned()),
        exit: Exit::Findings,
        code: Some("findings"),
    }
}

/// Runs `mica layer verify`.
pub(super) fn verify(context: &Context, id: &str) -> Result<(), Failure> {
    let sought = Sought::layer("verify_layer", context, id);
    let document = with_bar(context, &format!("verify {id}"), &sought, || {
        context.client.post(&target(context, id, "verify"), None)
    })?;
    let view: Option<VerifyView> = read(&document);
    context.printer.view(&document, |view: &VerifyView| {
        let how = match view.verdict {
            Verdict::Whole => "is whole",
            Verdict::Damaged => "is DAMAGED",
            Verdict::Taken => "had no digests, and has some now",
            Verdict::Unsettled => "may be changed just now, so nothing is known of it",
        };
        let (files, bytes) = (view.files, words::bytes(view.bytes));
        let damage = view.damage.as_ref().map(damage).unwrap_or_default();
        format!(
            "{} {how}: {files} files, {bytes}{damage}",
            words::told(&view.layer)
        )
    })?;
    match view.and_then(|view| view.damage) {
        None => Ok(()),
        Some(_) => Err(found(1)),
    }
}

/// Runs `mica layer repair`.
pub(super) fn repair(context: &Context, arguments: &RepairArguments) -> Result<(), Failure> {
    let target = target(context, &arguments.id, "repair");
    let document = match &arguments.from {
        None => {
            let sought = Sought::layer("repair_layer_from_stores", context, &arguments.id);
            with_bar(
                context,
                &format!("repair {}", arguments.id),
                &sought,
                || context.client.post(&target, None),
            )?
        }
        Some(file) => {
            let doing = || format!("read `{}`", file.display());
            let opened = File::open(file).map_err(Failure::io(doing()))?;
            let found = opened.metadata().map_err(Failure::io(doing()))?;
            let bar = bytes_bar(format!("repair {}", arguments.id), Some(found.len()));
            let answer = context
                .client
                .put_stream(&target, Watched::new(opened, &bar));
            bar.finish_and_clear();
            answer?
        }
    };
    context.printer.view(&document, |view: &RepairView| {
        let (files, bytes) = (view.files, words::bytes(view.bytes));
        let source = words::told(&view.source);
        format!(
            "{}: {files} files, {bytes}, made again of {source}",
            words::told(&view.layer)
        )
    })
}

fn target(context: &Context, id: &str, what: &str) -> String {
    let store = segment(&context.store);
    format!("/v1/stores/{store}/layers/{}/{what}", segment(id))
}

fn described(view: &ScrubView) -> String {
    let pass = |pass: &Option<PassView>| {
        pass.as_ref().map_or("-".to_owned(), |pass| {
            let since = words::seconds(&pass.ended.unwrap_or(pass.began));
            let (layers, taken, bytes) = (pass.layers, pass.taken, words::bytes(pass.bytes));
            format!(
                "{since}, {layers} verified, {taken} got digests, {} skipped, {bytes}",
                pass.skipped
            )
        })
    };
    let state = match (&view.layer, view.paused) {
        (Some(layer), _) => format!("reads layer `{}`", words::told(layer)),
        (None, true) => "paused".to_owned(),
        (None, false) => "idle".to_owned(),
    };
    let text = pairs([
        ("store", words::told(&view.store)),
        ("digests", words::told(&view.mode)),
        ("state", state),
        ("pass", pass(&view.pass)),
        ("last pass", pass(&view.last)),
        ("damaged", damaged_count(view).to_string()),
    ]);
    let damaged = view
        .damaged
        .iter()
        .map(|one| format!("layer {}{}\n", words::told(&one.layer), damage(one)));
    let more = match view.damaged_more {
        0 => String::new(),
        more => format!("and {more} more; `mica layer verify` names the files of each\n"),
    };
    format!("{text}{}{more}", damaged.collect::<String>())
}

fn damaged_count(view: &ScrubView) -> u64 {
    view.damaged.len() as u64 + view.damaged_more
}

fn damage(damage: &DamageView) -> String {
    let files = damage.files.iter().map(|file| {
        let (path, detail) = (words::told(&file.path), words::told(&file.detail));
        format!("\n  {:10}  {path}: {detail}", file.what.word())
    });
    let more = match damage.count.saturating_sub(damage.files.len() as u64) {
        0 => String::new(),
        more => format!("\n  and {more} more"),
    };
    format!("{}{more}", files.collect::<String>())
}
