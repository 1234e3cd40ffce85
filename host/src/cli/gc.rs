//! `mica gc`: what keeps layers, and the removal of those that nothing keeps.
//!
//! Invariant: without `--yes` nothing is removed; whether something may be is for the daemon to say.

use std::str::FromStr;

use serde::Deserialize;
use serde_json::{Value, json};

use super::context::Context;
use super::waiting::{Sought, with_bar};
use crate::api::types::{CollectReport, HoldKind, HoldView, LayerHolds, StoreList};
use mica_client::progress::{ProgressBar, count_bar};
use mica_client::{Column, Failure, read, segment, table, words};

pub(super) const EXAMPLES: &str = "\
Without options this tells what keeps each layer: layers that are built on it, mounts and who holds them, snapshots of containerd with
their labels, or the client that the store is for. Mica is not the owner of what Docker and containerd have: they remove their layers
themselves, and of their stores nothing is removed here. The bytes are what a layer occupies beyond its parent, and comes free with it.

Examples:
  mica gc                                            every layer of every store
  mica gc --dry-run                                  only what nothing keeps
  mica gc --layers default --older-than 7d --dry-run
  mica gc --layers default --older-than 7d --yes     remove it";

/// Arguments of `mica gc`.
#[derive(Debug, clap::Args)]
pub(crate) struct GcArguments {
    /// Tell what keeps layers; this is done when nothing else is asked for
    #[arg(long, conflicts_with_all = ["dry_run", "layers"])]
    explain: bool,
    /// Tell what nothing keeps, and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// Remove the layers of this store that nothing keeps, with those below them that nothing else needs
    #[arg(long, value_name = "STORE")]
    layers: Option<String>,
    /// Keep layers that are younger, and those below them: a number with `s`, `m`, `h` or `d`
    #[arg(long, value_name = "AGE", requires = "layers")]
    older_than: Option<Age>,
    /// Remove them without asking again
    #[arg(long, requires = "layers", conflicts_with = "dry_run")]
    yes: bool,
    /// Only ids, one a line
    #[arg(short, long)]
    quiet: bool,
}

/// How old something has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Age {
    seconds: u64,
}

impl FromStr for Age {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no age; write `90s`, `30m`, `12h` or `7d`");
        let unit = text.chars().next_back().ok_or_else(wrong)?;
        let seconds: u64 = match unit {
            's' => 1,
            'm' => 60,
            'h' => 60 * 60,
            'd' => 24 * 60 * 60,
            _ => return Err(wrong()),
        };
        let count = text.strip_suffix(unit).unwrap_or_default();
        let count: u64 = count.parse().map_err(|_no_number| wrong())?;
        let seconds = count.checked_mul(seconds).ok_or_else(wrong)?;
        Ok(Self { seconds })
    }
}

/// A layer with its store.
#[derive(Deserialize)]
struct Held {
    store: String,
    #[serde(flatten)]
    layer: LayerHolds,
}

#[derive(Deserialize)]
struct HeldList {
    layers: Vec<Held>,
}

/// Tells what keeps layers, or removes what nothing keeps.
pub(super) fn run(
    context: &Context,
    arguments: &GcArguments,
    named: Option<&str>,
) -> Result<(), Failure> {
    match &arguments.layers {
        Some(store) => collect(context, arguments, store),
        None => explain(context, arguments, named),
    }
}

fn explain(context: &Context, arguments: &GcArguments, named: Option<&str>) -> Result<(), Failure> {
    let stores = stores(context, named)?;
    let total = stores.iter().map(|(_, layers)| layers).sum();
    let bar = match arguments.quiet {
        true => ProgressBar::hidden(),
        false => count_bar("look at layers".to_owned(), Some(total)),
    };
    let mut layers = Vec::new();
    for (store, _) in &stores {
        let state = match arguments.dry_run && !arguments.explain {
            true => "&state=free",
            false => "",
        };
        let target = format!(
            "/v1/stores/{}/holds?sizes=true&limit=100{state}",
            segment(store)
        );
        context.pages(&target, "layers", &mut |page| {
            bar.inc(page.len() as u64);
            for mut layer in page {
                if let Some(fields) = layer.as_object_mut() {
                    fields.shift_insert(0, "store".to_owned(), json!(store));
                }
                layers.push(layer);
            }
        })?;
    }
    bar.finish_and_clear();
    let document = json!({ "layers": layers });
    tell_free(context, &document);
    context.printer.view(&document, |list: &HeldList| {
        if arguments.quiet {
            return words::lines(list.layers.iter().map(|held| &held.layer.id));
        }
        draw(list)
    })
}

/// The stores that are asked about, and how many layers each has.
fn stores(context: &Context, named: Option<&str>) -> Result<Vec<(String, u64)>, Failure> {
    if let Some(name) = named {
        let store = context
            .client
            .get(&format!("/v1/stores/{}", segment(name)))?;
        return Ok(vec![(name.to_owned(), words::number(&store, "layers"))]);
    }
    let document = json!({ "stores": context.all("/v1/stores", "stores")? });
    let list: Option<StoreList> = read(&document);
    let stores = list.map(|list| list.stores).unwrap_or_default();
    Ok(stores
        .into_iter()
        .map(|store| (store.name, store.layers))
        .collect())
}

/// Tells people how much nothing keeps, and how it is removed.
fn tell_free(context: &Context, document: &Value) {
    let list: Option<HeldList> = read(document);
    let Some(list) = list else { return };
    let free: Vec<_> = list
        .layers
        .iter()
        .filter(|held| held.layer.is_free)
        .collect();
    let bytes = free.iter().filter_map(|held| held.layer.bytes).sum();
    let owned = list.layers.iter().filter(|held| {
        let mut holds = held.layer.held_by.iter();
        holds.any(|hold| hold.by == HoldKind::Client)
    });
    let mut text = format!(
        "nothing keeps {} of {} layers, which occupy {}",
        free.len(),
        list.layers.len(),
        words::bytes(bytes)
    );
    if !free.is_empty() {
        text.push_str("; `mica gc --layers STORE --yes` removes them");
    }
    let owned = owned.count();
    if owned > 0 {
        text.push_str(&format!(
            "; {owned} belong to Docker or containerd, which remove theirs themselves"
        ));
    }
    context.printer.note(&text);
}

fn draw(list: &HeldList) -> String {
    let rows = list.layers.iter().map(|Held { store, layer }| {
        let holds = kept_by(&layer.held_by);
        let held = match (layer.is_free, holds.is_empty()) {
            (true, true) => "nothing".to_owned(),
            (true, false) => format!("nothing but {holds}"),
            (false, _) => holds,
        };
        vec![
            words::safe(store),
            words::told(&layer.id),
            words::told(&layer.parent),
            words::seconds(&layer.created),
            layer.bytes.map_or_else(|| "-".to_owned(), words::bytes),
            held,
        ]
    });
    let columns = [
        Column::Text("store"),
        Column::Text("layer"),
        Column::Text("parent"),
        Column::Text("created"),
        Column::Number("comes free"),
        Column::Text("kept by"),
    ];
    table(&columns, rows.collect())
}

/// What keeps a layer, in words.
pub(super) fn kept_by(holds: &[HoldView]) -> String {
    let holds: Vec<_> = holds.iter().map(hold).collect();
    holds.join(", ")
}

fn hold(hold: &HoldView) -> String {
    let object = words::safe(&hold.object);
    match hold.by {
        HoldKind::Client => object,
        HoldKind::Snapshot => {
            let kind = words::told(&hold.kind);
            let labels = hold.labels.iter();
            let labels =
                labels.map(|(name, value)| format!("{}={}", words::safe(name), words::safe(value)));
            let labels: Vec<_> = labels.collect();
            match labels.is_empty() {
                true => format!("{kind} snapshot {object}"),
                false => format!("{kind} snapshot {object} ({})", labels.join(" ")),
            }
        }
        HoldKind::Mount => {
            let named = super::layer::held_by(&hold.holders);
            let unnamed = hold.count.saturating_sub(named.len() as u64);
            let mut by = named;
            by.extend((unnamed > 0).then(|| format!("{unnamed} without a name")));
            match by.is_empty() {
                true => format!("mount {object}"),
                false => format!("mount {object}: {}", by.join(", ")),
            }
        }
        HoldKind::Layers => match hold.count {
            1 => format!("layer {object}"),
            count => format!("{count} layers, for instance {object}"),
        },
    }
}

fn collect(context: &Context, arguments: &GcArguments, store: &str) -> Result<(), Failure> {
    let GcArguments {
        dry_run,
        older_than,
        yes,
        quiet,
        ..
    } = arguments;
    if !dry_run && !yes {
        return Err(Failure::Usage {
            what: format!("layers of store `{store}` would be removed, and `--yes` is not given"),
            remedy: "look with --dry-run what would go, then give --yes",
        });
    }
    let age = older_than.map_or(0, |age| age.seconds);
    let target = format!(
        "/v1/stores/{}/collect?older_than_seconds={age}&dry_run={dry_run}",
        segment(store)
    );
    let document = ask_to_collect(context, store, &target, *quiet)?;
    if let Some(report) = read::<CollectReport>(&document) {
        let verb = if *dry_run {
            "would come free"
        } else {
            "came free"
        };
        let mut text = format!(
            "{} {}, {} {verb}",
            report.removed.len(),
            if report.removed.len() == 1 {
                "layer"
            } else {
                "layers"
            },
            words::bytes(report.bytes)
        );
        if report.is_cut_short {
            text.push_str("; it was ended before all were tried");
        }
        context.printer.note(&text);
    }
    context
        .printer
        .view(&document, |report: &CollectReport| match quiet {
            true => words::lines(report.removed.iter().map(|layer| &layer.id)),
            false => became(report),
        })
}

/// Asks, with a bar unless it is to be quiet.
fn ask_to_collect(
    context: &Context,
    store: &str,
    target: &str,
    is_quiet: bool,
) -> Result<Value, Failure> {
    let context = &context.heeding()?;
    let collect = || context.client.post(target, None);
    if is_quiet {
        return collect();
    }
    let sought = Sought {
        store: Some(store.to_owned()),
        ..Sought::of("collect_layers")
    };
    with_bar(
        context,
        &format!("collect layers of {store}"),
        &sought,
        collect,
    )
}

/// What became of layers that nothing kept.
fn became(report: &CollectReport) -> String {
    let went = match report.is_dry_run {
        true => "would go",
        false => "removed",
    };
    let removed = report.removed.iter().map(|layer| {
        let bytes = layer.bytes.map_or_else(|| "-".to_owned(), words::bytes);
        vec![words::safe(&layer.id), bytes, went.to_owned()]
    });
    let kept = report.kept.iter().map(|kept| {
        let why = format!("stays: {}", words::safe(&kept.problem.detail));
        vec![words::safe(&kept.id), "-".to_owned(), why]
    });
    let columns = [
        Column::Text("layer"),
        Column::Number("bytes"),
        Column::Text("what became of it"),
    ];
    table(&columns, removed.chain(kept).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_units() {
        let age = |text: &str| text.parse::<Age>().map(|age| age.seconds);
        assert_eq!(age("90s"), Ok(90));
        assert_eq!(age("7d"), Ok(7 * 86_400));
        assert_eq!(age("0m"), Ok(0));
        for wrong in [
            "",
            "7",
            "d",
            "-1d",
            "1w",
            "1.5h",
            "99999999999999999999s",
            "999999999999999999d",
        ] {
            assert!(age(wrong).is_err_and(|text| text.contains("7d")), "{wrong}");
        }
    }
}
