//! `mica driver check`.
//!
//! Invariant: needs no daemon; says what a daemon with the default limits would say.

use std::path::Path;

use mica_runtime::{Error, Generation, Grant, Grants, Inspection, Measure, World};
use serde_json::{Value, json};

use super::manifest;
use crate::api::types::ManifestView;
use crate::daemon::{self, Checked};
use mica_client::{Column, Failure, Printer, pairs, table, words};

/// Prints what the component is and asks for, and fails if it would not be loaded.
pub(super) fn run(
    printer: &Printer,
    file: &Path,
    grants: &[Grant],
    compile: bool,
) -> Result<(), Failure> {
    let bytes = super::component(printer, file)?;
    let granted = grants
        .iter()
        .fold(Grants::standard(), |all, &one| all.and(one));
    let checked = daemon::check_component(&bytes, &granted, compile).map_err(refused)?;
    printer.result(&document(&checked), || render(&checked))?;
    let unloaded = checked.loaded.and_then(Result::err);
    let first = checked.inspection.refusals().next();
    match (first, unloaded) {
        (Some(error), _) => Err(rejected(error)),
        (None, Some(error)) => Err(refused(error)),
        (None, None) => Ok(()),
    }
}

pub(super) fn refused(error: Error) -> Failure {
    match error {
        Error::Rejected { .. } | Error::NotGranted { .. } => rejected(&error),
        other => Failure::Untrue {
            what: other.to_string(),
            remedy: None,
        },
    }
}

fn rejected(error: &Error) -> Failure {
    let (reason, remedy) = told(error);
    Failure::Rejected {
        what: format!("driver rejected: {reason}"),
        remedy,
    }
}

/// The reason and what would help.
fn told(error: &Error) -> (String, String) {
    match error.rejection() {
        Some((reason, remedy)) => (reason.to_string(), remedy.to_string()),
        None => (error.to_string(), String::new()),
    }
}

fn driver(checked: &Checked) -> Option<&Generation> {
    checked
        .loaded
        .as_ref()?
        .as_ref()
        .ok()
        .map(|driver| &**driver)
}

fn document(checked: &Checked) -> Value {
    let refusal = |error: &Option<Error>| {
        error.as_ref().map(|error| {
            let (reason, remedy) = told(error);
            json!({ "reason": reason, "remedy": remedy })
        })
    };
    let inspection = &checked.inspection;
    let imports = inspection.imports.iter();
    let imports = imports.map(|one| json!({ "name": one.name, "refusal": refusal(&one.refusal) }));
    let limits = inspection.measures.iter().map(|one| {
        json!({ "limit": one.limit, "has": one.has, "most": one.most, "refusal": refusal(&one.refusal) })
    });
    let driver = driver(checked).map(|driver| {
        let description = driver.description();
        json!({
            "name": description.name,
            "version": description.version,
            "summary": description.summary,
            "digest": driver.digest(),
        })
    });
    json!({
        "world": inspection.world,
        "composed": inspection.world == World::Proto,
        "contract": inspection.contract,
        "driver": driver,
        "manifest": inspection.manifest.as_ref().map(ManifestView::from),
        "unused_capabilities": inspection.unused_capabilities(),
        "imports": imports.collect::<Vec<_>>(),
        "limits": limits.collect::<Vec<_>>(),
    })
}

/// The manifest, and what of it the component does not use.
fn told_manifest(inspection: &Inspection) -> String {
    let Some(manifest) = &inspection.manifest else {
        return "no manifest\n".to_owned();
    };
    let mut text = format!(
        "manifest\n{}",
        manifest::render(&ManifestView::from(manifest))
    );
    for grant in inspection.unused_capabilities() {
        text.push_str(&format!(
            "\nwarning: the manifest asks for `{grant}`, which the component does not import\n"
        ));
    }
    text
}

fn render(checked: &Checked) -> String {
    let inspection = &checked.inspection;
    let world = match inspection.world {
        World::Proto => "proto, composed with naive-diff",
        World::Full => "full",
    };
    let contract = inspection.contract.to_string();
    let mut lines = vec![("world", world.to_owned()), ("contract", contract)];
    if let Some(driver) = driver(checked) {
        let description = driver.description();
        lines.insert(0, ("name", description.name.clone()));
        lines.insert(1, ("version", description.version.to_string()));
        lines.insert(2, ("summary", description.summary.to_string()));
        lines.push(("digest", words::short_digest(driver.digest())));
    }
    let imports = inspection.imports.iter().map(|one| {
        let verdict = match &one.refusal {
            None => "yes".to_owned(),
            Some(error) => told(error).1,
        };
        vec![one.name.to_string(), verdict]
    });
    let columns = [Column::Text("import"), Column::Text("there")];
    let imports = table(&columns, imports.collect());
    let columns = [
        Column::Text("limit"),
        Column::Number("has"),
        Column::Number("most"),
    ];
    let number = |one: &Measure| {
        vec![
            one.limit.to_owned(),
            one.has.to_string(),
            one.most.to_string(),
        ]
    };
    let limits = table(&columns, inspection.measures.iter().map(number).collect());
    let manifest = told_manifest(inspection);
    format!("{}\n{imports}\n{limits}\n{manifest}", pairs(lines))
}
