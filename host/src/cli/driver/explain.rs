//! What `mica driver explain` shows to people.
//!
//! Invariant: what a driver said is shown safely, on one line.

use super::super::builds;
use super::{manifest, show};
use crate::api::types::{DriverExplanation, DriverHistory, DriverView};
use mica_client::{Column, pairs, table, words};

pub(super) const EXAMPLES: &str = "\
Tells where the build is from, what it imports and which grant each import needs, what bounds it, who uses it, how often it broke,
and what is kept in memory of what it says and does.

Examples:
  mica driver explain overlay
  mica --output json driver explain overlay";

pub(in crate::cli) fn render(told: &DriverExplanation) -> String {
    let driver = &told.driver;
    let mut text = pairs([
        ("name", words::told(&driver.name)),
        ("version", words::told(&driver.version)),
        ("summary", words::told(&driver.summary)),
        ("source", words::told(&told.source)),
        ("digest", words::told(&driver.digest)),
        ("reference", show::reference(driver.provenance.as_ref())),
        ("signed by", show::signed_by(driver.provenance.as_ref())),
        ("comment", comment(driver)),
        ("verified", verified(driver)),
        ("size", words::bytes(driver.size_bytes)),
        ("world", words::told(&driver.world)),
        ("contract", words::told(&told.contract)),
        ("removable", removable(told)),
        ("stores", words::told(&driver.stores)),
        ("operations", show::operations(driver)),
        ("recorded", recorded(told)),
    ]);
    show::quarantines(driver, &mut text);
    builds::describe(driver, &mut text);
    text.push_str(&imports(told));
    text.push_str(&manifest_of(told));
    text.push_str(&granted(told));
    if !told.unused_grants.is_empty() {
        let unused = words::told(&told.unused_grants);
        text.push_str(&format!("\ngranted and not used: {unused}\n"));
    }
    text.push('\n');
    text.push_str(&builds::history(&DriverHistory {
        driver: driver.name.clone(),
        follows_shipped: told.follows_shipped,
        builds: told.builds.clone(),
    }));
    text.push_str("\n\n");
    text.push_str(&limits(told));
    text
}

/// What its author says of it.
fn manifest_of(told: &DriverExplanation) -> String {
    match &told.manifest {
        None => "\nno manifest\n".to_owned(),
        Some(view) => format!("\nmanifest\n{}", manifest::render(view)),
    }
}

/// What it may, who says so, and what it did beyond that.
fn granted(told: &DriverExplanation) -> String {
    let mut text = format!(
        "\n{}",
        pairs([
            ("signature", super::install::signature(&told.signature)),
            ("granted by", words::told(&told.granted_by)),
            ("approved", words::told(&told.approved)),
            ("may", words::told(&told.rights)),
            ("audited", words::told(&told.audited)),
        ])
    );
    for denial in &told.denials {
        let verb = if denial.allowed { "allowed" } else { "refused" };
        text.push_str(&format!(
            "\n{verb} in {} operations: {}; {}\n",
            denial.operations,
            words::safe(&denial.what),
            words::safe(&denial.remedy)
        ));
    }
    text
}

/// What whoever signed the build says with the signature.
fn comment(driver: &DriverView) -> String {
    let known = driver.provenance.as_ref();
    let signer = known.and_then(|known| known.signer.as_ref());
    words::told(&signer.and_then(|signer| signer.comment.as_ref()))
}

/// When it was found out who signed the build.
fn verified(driver: &DriverView) -> String {
    let known = driver.provenance.as_ref();
    known.map_or_else(|| "-".to_owned(), |known| words::seconds(&known.verified))
}

fn removable(told: &DriverExplanation) -> String {
    match (told.ships, told.needed_by.is_empty()) {
        (true, _) => "no, it ships with the program or lies in the drivers directory".to_owned(),
        (false, false) => format!("no, stores have it: {}", words::told(&told.needed_by)),
        (false, true) => "yes".to_owned(),
    }
}

fn recorded(told: &DriverExplanation) -> String {
    let kept = &told.kept;
    format!(
        "{} lines, {} operations that failed, {} others: {}",
        kept.lines,
        kept.failed,
        kept.passed,
        words::bytes(kept.bytes)
    )
}

/// What it imports, and what each gives.
fn imports(told: &DriverExplanation) -> String {
    let rows = told.imports.iter().map(|import| {
        vec![
            words::told(&import.name),
            words::told(&import.grant),
            words::told(&import.about),
        ]
    });
    let columns = [
        Column::Text("import"),
        Column::Text("grant"),
        Column::Text("what it gives"),
    ];
    format!("\n{}\n", table(&columns, rows.collect()))
}

/// What bounds it.
fn limits(told: &DriverExplanation) -> String {
    let rows = told.limits.iter().map(|limit| {
        let from = match limit.wanted {
            Some(wanted) if wanted == limit.value => "manifest",
            _ if limit.is_default => "default",
            _ => "configuration",
        };
        vec![
            words::told(&limit.name),
            limit.value.to_string(),
            from.to_owned(),
        ]
    });
    let columns = [
        Column::Text("limit"),
        Column::Number("value"),
        Column::Text("from"),
    ];
    table(&columns, rows.collect())
}
