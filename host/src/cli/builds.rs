//! Builds of a driver as people read them: what a swap did, which there were, and how the running one stands.
//!
//! Invariant: nothing is asked of the daemon here.

use super::driver::short;
use crate::api::types::{BuildView, DriverHistory, DriverView, RunningView, SwapReport};
use mica_client::{Column, table, words};

/// Operations that are named after a swap.
const SHOWN_OPERATIONS: usize = 5;

/// What a swap or a rollback did.
pub(super) fn swapped(report: &SwapReport) -> String {
    let (old, new) = (short(&report.old_digest), short(&report.new_digest));
    let change = if report.old_digest == report.new_digest {
        format!("{new} anew")
    } else {
        format!("{old} -> {new}, build {}", report.build)
    };
    let (driver, compile_ms, probe_ms) = (
        words::told(&report.driver),
        report.compile_ms,
        report.probe_ms,
    );
    let mut text =
        format!("{driver}: {change}, compiled in {compile_ms} ms, tried in {probe_ms} ms");
    if report.layers_asked > 0 {
        let layers = report.layers_asked;
        text.push_str(&format!(", asked about {}", counted(layers, "layer")));
    }
    if report.calls_compared > 0 {
        let calls = report.calls_compared;
        text.push_str(&format!(", {} compared", counted(calls, "call")));
    }
    if report.bake_seconds > 0 {
        text.push_str(&format!("; watched for {} s", report.bake_seconds));
    }
    if report.running_on_old > 0 {
        let (count, running) = (report.running_on_old, shown(&report.running));
        let operations = counted(count, "operation");
        text.push_str(&format!(
            "\nstill on the old build: {operations}: {running}"
        ));
    }
    text
}

fn counted(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

/// The first of operations that run.
fn shown(running: &[RunningView]) -> String {
    let first = running.iter().take(SHOWN_OPERATIONS).map(|operation| {
        let (name, store) = (
            words::told(&operation.operation),
            words::told(&operation.store),
        );
        match &operation.layer {
            Some(layer) => format!("{name} of {} in {store}", words::told(layer)),
            None => format!("{name} of store {store}"),
        }
    });
    let first: Vec<String> = first.collect();
    let dots = if running.len() > first.len() {
        ", ..."
    } else {
        ""
    };
    format!("{}{dots}", first.join(", "))
}

/// The builds of a driver, each on a line; below them why some were taken back.
pub(super) fn history(history: &DriverHistory) -> String {
    let rows = history.builds.iter().map(|build| {
        vec![
            build.number.to_string(),
            words::told(&build.state),
            words::told(&build.version),
            words::told(&build.origin),
            short(&build.digest),
            words::seconds(&build.since),
            if build.kept { "yes" } else { "no" }.to_owned(),
        ]
    });
    let columns = [
        Column::Number("build"),
        Column::Text("state"),
        Column::Text("version"),
        Column::Text("origin"),
        Column::Text("digest"),
        Column::Text("since"),
        Column::Text("kept"),
    ];
    let mut text = table(&columns, rows.collect());
    for build in &history.builds {
        text.push_str(&why(build));
    }
    if history.follows_shipped {
        text.push_str("\na start takes what ships with the program then\n");
    }
    text
}

fn why(build: &BuildView) -> String {
    let Some(evidence) = &build.evidence else {
        return String::new();
    };
    let (number, what, first) = (
        build.number,
        words::safe(&evidence.what),
        words::safe(&evidence.first),
    );
    let calls = counted(evidence.calls, "call");
    format!("\nbuild {number} went back: it {what} ({calls}); the first: {first}\n")
}

/// How the running build stands, in a word.
pub(super) fn state(driver: &DriverView) -> &'static str {
    match (&driver.bake, &driver.went_back) {
        (Some(_), _) => "baking",
        (None, Some(_)) => "went back",
        (None, None) => "active",
    }
}

/// How the running build stands, and what runs on those before it.
pub(super) fn describe(driver: &DriverView, text: &mut String) {
    if let Some(bake) = &driver.bake {
        let (calls, failed) = (counted(bake.calls, "call"), bake.failed);
        let (before, since) = (short(&bake.before), words::seconds(&bake.since));
        text.push_str(&format!(
            "\nbaking\n  since {since}: {calls}, {failed} failed; {before} takes over if it does worse\n"
        ));
    }
    if let Some(evidence) = &driver.went_back {
        let (what, first) = (words::safe(&evidence.what), words::safe(&evidence.first));
        text.push_str(&format!(
            "\nwent back\n  the last swap's build {what}; the first: {first}\n"
        ));
    }
    if !driver.replaced.is_empty() {
        text.push_str("\nreplaced\n");
        for build in &driver.replaced {
            let (digest, count) = (short(&build.digest), counted(build.running, "operation"));
            let running = shown(&build.operations);
            text.push_str(&format!("  {digest}, {count}: {running}\n"));
        }
    }
}
