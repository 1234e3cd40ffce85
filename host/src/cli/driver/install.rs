//! `mica driver install` and `mica driver diff`.
//!
//! Invariant: what is approved is what was shown; the daemon compares both again.

use std::collections::BTreeSet;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use mica_client::{Column, Failure, pairs, query, read, segment, table, words};
use mica_runtime::Grants;
use mica_runtime::manifest::{Ask, differences};
use serde_json::json;

use super::manifest;
use super::source::{Delivery, PaperArguments, RegistryArguments, Source};
use crate::api::types::{
    DifferenceView, DriverJudgement, DriverView, SignatureState, SignatureView, SwapReport,
};
use crate::cli::builds;
use crate::cli::context::Context;
use crate::cli::waiting::{Sought, with_bar};
use crate::daemon;

pub(super) const EXAMPLES: &str = "\
Shows what the component is, what it asks for with its reasons, and what of that the daemon grants it; then it asks. What is approved
is kept with the driver, over restarts too. If a driver of this name is loaded, it is swapped: one that asks for more has to be
approved, and one that is older, or cannot read the state that lies in layers, is refused without --force. Without a terminal it needs
--yes, or --grant for each thing that is not granted. The daemon verifies signatures: see `[[drivers.trust]]` in the configuration. Unless
that says otherwise, a driver from a registry must be signed, and a file need not be.

Examples:
  mica driver install snapshots.wasm
  mica driver install snapshots.wasm --grant btrfs
  mica driver install snapshots-1.1.wasm --yes
  mica driver install registry.example/team/snapshots:1.1
  mica driver install registry.example/team/snapshots@sha256:DIGITS --allow-unsigned
  mica driver install snapshots.wasm --signature snapshots.wasm.minisig";

pub(super) const DIFF_EXAMPLES: &str = "\
What the new build asks for and the old one did not comes first. Nothing is loaded.

Examples:
  mica driver diff snapshots-1.0.wasm snapshots-1.1.wasm
  mica driver diff snapshots snapshots-1.1.wasm            with the build that runs";

/// Arguments of `mica driver install`.
#[derive(Debug, clap::Args)]
pub(crate) struct InstallArguments {
    /// The component, a file or a driver in a registry
    source: Source,
    /// Approve this of what it asks for; may be given more than once
    #[arg(long, value_name = "GRANT")]
    grant: Vec<Ask>,
    /// Approve all that it asks for, and ask nothing
    #[arg(long, short = 'y')]
    yes: bool,
    /// Take it although it is a step back
    #[arg(long)]
    force: bool,
    /// The driver's name, of a component without a manifest
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    papers: PaperArguments,
    #[command(flatten)]
    access: RegistryArguments,
}

/// Arguments of `mica driver diff`.
#[derive(Debug, clap::Args)]
pub(crate) struct DiffArguments {
    /// The old build: a component, or the name of a driver that is loaded
    old: String,
    /// The new build: a component
    new: PathBuf,
}

/// Shows a component, asks, and loads or swaps it.
pub(super) fn install(context: &Context, arguments: &InstallArguments) -> Result<(), Failure> {
    let printer = &context.printer;
    let source = &arguments.source;
    let delivery = source.fetch(printer, &arguments.access, &arguments.papers)?;
    let judgement = judge(context, &delivery, arguments.name.clone())?;
    if let Some(reference) = &delivery.reference {
        printer.note(&format!("pulled as {reference}"));
    }
    printer.note(&render(&judgement));
    // Before its name, which does not matter then.
    check_refusals(&judgement)?;
    let Some(name) = judgement.name.clone() else {
        return Err(Failure::Usage {
            what: "the component has no manifest that tells its name".to_owned(),
            remedy: "say which driver it is with --name, or load it with `mica driver load`",
        });
    };
    let asks = decide(&judgement, arguments)?;
    let grants = super::change::approved(&asks);
    let force = arguments.force.then(|| "true".to_owned());
    let heeding = context.heeding()?;
    match judgement.running {
        Some(_) => {
            let unsigned = delivery.unsigned();
            let query = query([("grants", grants), ("force", force), ("unsigned", unsigned)]);
            let target = format!("/v1/drivers/{}/swap{query}", segment(&name));
            let sought = Sought::of("swap_driver");
            let document = with_bar(&heeding, "swap", &sought, || {
                delivery.send(&heeding.client, &target)
            })?;
            printer.view::<SwapReport>(&document, builds::swapped)
        }
        None => {
            let unsigned = delivery.unsigned();
            let query = query([
                ("name", Some(name)),
                ("grants", grants),
                ("unsigned", unsigned),
            ]);
            let target = format!("/v1/drivers{query}");
            let sought = Sought::of("load_driver");
            let document = with_bar(&heeding, "load", &sought, || {
                delivery.send(&heeding.client, &target)
            })?;
            printer.view::<DriverView>(&document, super::change::loaded)
        }
    }
}

fn judge(
    context: &Context,
    delivery: &Delivery,
    name: Option<String>,
) -> Result<DriverJudgement, Failure> {
    let query = query([("name", name), ("unsigned", delivery.unsigned())]);
    let document = delivery.send(&context.client, &format!("/v1/drivers:judge{query}"))?;
    read(&document).ok_or_else(|| Failure::Untrue {
        what: "the daemon tells of the component in another form than this program knows"
            .to_owned(),
        remedy: Some("use the program of the daemon's version".to_owned()),
    })
}

/// Refuses what the daemon would refuse whatever is approved.
fn check_refusals(judgement: &DriverJudgement) -> Result<(), Failure> {
    let Some(refusal) = judgement.refusals.first() else {
        return Ok(());
    };
    Err(Failure::Rejected {
        what: format!("driver rejected: {}", words::safe(&refusal.reason)),
        remedy: words::safe(&refusal.remedy),
    })
}

/// What is approved, by the command line or by whoever sits at the terminal.
fn decide(
    judgement: &DriverJudgement,
    arguments: &InstallArguments,
) -> Result<BTreeSet<String>, Failure> {
    if let Some(reason) = judgement.step_back.as_ref().filter(|_| !arguments.force) {
        return Err(Failure::Rejected {
            what: format!("driver rejected: it is a step back: {}", words::safe(reason)),
            remedy: "`mica driver rollback` goes back to a build that was there; --force takes this one all the same".to_owned(),
        });
    }
    let named = arguments.grant.iter().map(Ask::to_string);
    let mut asks: BTreeSet<_> = named.collect();
    let missing: Vec<String> = judgement
        .needs
        .iter()
        .filter(|need| !asks.contains(*need))
        .map(|need| words::safe(need))
        .collect();
    let is_said = arguments.yes || (missing.is_empty() && !arguments.grant.is_empty());
    if !is_said {
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Err(nobody_to_ask(&missing));
        }
        ask(&missing)?;
    }
    asks.extend(judgement.needs.iter().cloned());
    Ok(asks)
}

fn nobody_to_ask(missing: &[String]) -> Failure {
    let what = match missing.is_empty() {
        true => "nobody can be asked whether it is to be installed".to_owned(),
        false => format!("it asks for what is not granted: {}", missing.join(", ")),
    };
    Failure::Usage {
        what,
        remedy: "approve it with --yes, or each thing with --grant",
    }
}

#[expect(clippy::print_stderr, reason = "a question is no result")]
fn ask(missing: &[String]) -> Result<(), Failure> {
    let what = match missing.is_empty() {
        true => "install it".to_owned(),
        false => format!("install it and grant {}", missing.join(", ")),
    };
    eprint!("{what}? [y/N] ");
    let _shown = io::stderr().flush();
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    read.map_err(Failure::io("read the answer"))?;
    match line.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::Untrue {
            what: "it was not installed: the answer was no".to_owned(),
            remedy: None,
        }),
    }
}

/// A component as people read it before they take it.
fn render(judgement: &DriverJudgement) -> String {
    let mut text = match &judgement.manifest {
        Some(manifest) => manifest::render(manifest),
        None => pairs([
            ("name", words::told(&judgement.name)),
            ("manifest", "none".to_owned()),
        ]),
    };
    text.push('\n');
    text.push_str(&pairs([
        ("digest", words::told(&judgement.digest)),
        ("size", words::bytes(judgement.size_bytes)),
        ("signature", signature(&judgement.signature)),
        (
            "replaces",
            judgement
                .running
                .as_ref()
                .map_or("-".to_owned(), |running| {
                    let (version, digest) = (words::told(&running.version), &running.digest);
                    format!("{version}, {}", words::short_digest(&words::told(digest)))
                }),
        ),
    ]));
    if !judgement.asks.is_empty() {
        let rows = judgement.asks.iter().map(|ask| {
            vec![
                words::safe(&ask.what),
                if ask.granted { "yes" } else { "no" }.to_owned(),
                words::told(&ask.reason),
                words::safe(&ask.about),
            ]
        });
        let columns = [
            Column::Text("asks for"),
            Column::Text("granted"),
            Column::Text("reason"),
            Column::Text("what it gives"),
        ];
        text.push_str(&format!("\n{}", table(&columns, rows.collect())));
    }
    if !judgement.differences.is_empty() {
        text.push_str(&format!("\n{}", compared(&judgement.differences)));
    }
    text
}

/// What is known of a signature, as people read it.
pub(super) fn signature(known: &SignatureView) -> String {
    match known.state {
        SignatureState::NotChecked => "-".to_owned(),
        SignatureState::Unsigned => "none".to_owned(),
        SignatureState::Signed => {
            let signer = known.signer.as_ref().map(ToString::to_string);
            words::safe(&signer.unwrap_or_default())
        }
        SignatureState::Refused => {
            let reason = known.reason.as_deref().unwrap_or_default();
            format!("refused: {}", words::safe(reason))
        }
    }
}

/// Differences as people read them.
fn compared(differences: &[DifferenceView]) -> String {
    let rows = differences.iter().map(|one| {
        vec![
            words::safe(&one.what),
            words::safe(&one.old),
            words::safe(&one.new),
            if one.asks_for_more {
                "asks for more"
            } else {
                ""
            }
            .to_owned(),
        ]
    });
    let columns = [
        Column::Text("difference"),
        Column::Text("old"),
        Column::Text("new"),
        Column::Text(""),
    ];
    table(&columns, rows.collect())
}

/// Tells in what two builds differ.
pub(super) fn diff(context: &Context, arguments: &DiffArguments) -> Result<(), Failure> {
    let printer = &context.printer;
    let access = RegistryArguments::default();
    let papers = PaperArguments::default();
    let new = Source::File(arguments.new.clone()).fetch(printer, &access, &papers)?;
    let old = Path::new(&arguments.old);
    let found = match old.is_file() {
        true => {
            let old = super::component(printer, old)?;
            of_files(&old, &new.component)?
        }
        false => of_driver(context, &arguments.old, &new)?,
    };
    printer.result(&json!({ "differences": found }), || {
        match found.is_empty() {
            true => "nothing".to_owned(),
            false => compared(&found),
        }
    })
}

fn of_files(old: &[u8], new: &[u8]) -> Result<Vec<DifferenceView>, Failure> {
    let look = |bytes: &[u8]| {
        let checked = daemon::check_component(bytes, &Grants::all(), false);
        checked.map_err(super::check::refused)
    };
    let (old, new) = (look(old)?, look(new)?);
    let found = differences(old.inspection.profile(), new.inspection.profile());
    Ok(found.iter().map(DifferenceView::from).collect())
}

fn of_driver(
    context: &Context,
    name: &str,
    new: &Delivery,
) -> Result<Vec<DifferenceView>, Failure> {
    // Whether there is one is for the daemon to say.
    context
        .client
        .get(&format!("/v1/drivers/{}", segment(name)))?;
    Ok(judge(context, new, Some(name.to_owned()))?.differences)
}
