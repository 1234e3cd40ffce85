//! What `mica driver` shows to people.
//!
//! Invariant: what a driver said is shown safely, on one line.

use super::super::builds;
use super::short;
use crate::api::types::{DriverList, DriverView, Provenance, QuarantineView, ReleaseReport};
use mica_client::{Column, pairs, table, words};

pub(super) fn list(list: &DriverList, is_quiet: bool) -> String {
    if is_quiet {
        return words::lines(list.drivers.iter().map(|driver| &driver.name));
    }
    let rows = list.drivers.iter().map(|driver| {
        vec![
            words::told(&driver.name),
            words::told(&driver.version),
            words::told(&driver.world),
            words::told(&driver.origin),
            signed_by(driver.provenance.as_ref()),
            driver.generation.to_string(),
            short(&driver.digest),
            builds::state(driver).to_owned(),
            words::told(&driver.stores),
            words::told(&driver.quarantines.iter().map(kept).collect::<Vec<_>>()),
        ]
    });
    let columns = [
        Column::Text("name"),
        Column::Text("version"),
        Column::Text("world"),
        Column::Text("origin"),
        Column::Text("signed by"),
        Column::Number("generation"),
        Column::Text("digest"),
        Column::Text("state"),
        Column::Text("stores"),
        Column::Text("quarantined"),
    ];
    table(&columns, rows.collect())
}

pub(super) fn describe(driver: &DriverView) -> String {
    let composed = match driver.composed {
        true => ", composed with naive-diff",
        false => "",
    };
    let mut text = pairs([
        ("name", words::told(&driver.name)),
        ("version", words::told(&driver.version)),
        ("summary", words::told(&driver.summary)),
        ("world", format!("{}{composed}", words::told(&driver.world))),
        ("origin", words::told(&driver.origin)),
        ("reference", reference(driver.provenance.as_ref())),
        ("signed by", signed_by(driver.provenance.as_ref())),
        ("digest", words::told(&driver.digest)),
        ("size", words::bytes(driver.size_bytes)),
        ("generation", driver.generation.to_string()),
        ("loaded", words::seconds(&driver.loaded)),
        ("previous", words::told(&driver.previous)),
        ("stores", words::told(&driver.stores)),
        ("operations", operations(driver)),
        ("grants", words::told(&driver.grants)),
    ]);
    quarantines(driver, &mut text);
    builds::describe(driver, &mut text);
    text.push_str("\nimports\n");
    for import in &driver.imports {
        text.push_str(&format!("  {}\n", words::told(import)));
    }
    if !driver.options.0.is_empty() {
        text.push_str("\noptions\n");
        for (name, meaning) in &driver.options.0 {
            let (name, meaning) = (words::safe(name), words::safe(meaning));
            text.push_str(&format!("  {name}  {meaning}\n"));
        }
    }
    text
}

/// By what reference a build was pulled.
pub(super) fn reference(known: Option<&Provenance>) -> String {
    words::told(&known.and_then(|known| known.reference.as_ref()))
}

/// Who signed a build.
pub(super) fn signed_by(known: Option<&Provenance>) -> String {
    let signer = known.and_then(|known| known.signer.as_ref());
    words::or_dash(signer.map_or_else(String::new, |signer| words::safe(&signer.to_string())))
}

/// What is kept from calling a driver, and why.
pub(super) fn quarantines(driver: &DriverView, text: &mut String) {
    if driver.quarantines.is_empty() {
        return;
    }
    text.push_str("\nquarantined\n");
    for quarantine in &driver.quarantines {
        let since = words::seconds(&quarantine.since);
        let (kept, reason) = (kept(quarantine), words::told(&quarantine.reason));
        text.push_str(&format!("  {kept}, since {since}: {reason}\n"));
    }
}

/// Who is kept from calling a driver.
fn kept(quarantine: &QuarantineView) -> String {
    match (&quarantine.store, &quarantine.layer) {
        (Some(store), Some(layer)) => format!(
            "layer {} of store {}",
            words::told(layer),
            words::told(store)
        ),
        (Some(store), None) => format!("store {}", words::told(store)),
        (None, _) => "everyone".to_owned(),
    }
}

pub(super) fn released(report: &ReleaseReport) -> String {
    let driver = words::told(&report.driver);
    if report.released.is_empty() {
        return format!("{driver}: nothing was quarantined");
    }
    let ended = report.released.iter();
    let lines = ended.map(|quarantine| format!("{driver}: released for {}", kept(quarantine)));
    lines.collect::<Vec<_>>().join("\n")
}

pub(super) fn operations(driver: &DriverView) -> String {
    let DriverView {
        operations,
        running,
        faults,
        ..
    } = driver;
    format!("{operations} begun, {running} running, {faults} broken")
}
