//! `mica explain`: what a code or a setting means, and what is to be known of a driver or a layer.
//!
//! Invariant: what this program's own tables and documents say needs no daemon; only what is in none of them is looked for there.

use clap::Args;
use mica_client::{EXIT_CODES, Exit, Failure, pairs, segment};
use mica_runtime::Number;
use serde::Serialize;
use serde_json::json;

use super::context::Context;
use crate::config::{self, Setting, TEXTS, Text};

/// Where the codes of problems are listed, for people who read it and for this command.
const CODES: &str = include_str!("../api/rest/README.md");

pub(super) const EXAMPLES: &str = "\
Examples:
  mica explain configuration        every setting: what it is for, its default, from where to where it goes
  mica explain limits.long_seconds  one of them
  mica explain has-children         the code of a problem
  mica explain exit-codes
  mica explain overlay              a driver: what `mica driver explain` tells
  mica explain base                 a layer: what it is, and what keeps it";

/// Arguments of `mica explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArguments {
    /// A setting, the code of a problem, `configuration`, `codes` or `exit-codes`; or a driver, or a layer of the store
    topic: String,
}

/// The code of a problem.
#[derive(Clone, Debug, Serialize)]
struct Code {
    code: String,
    class: String,
    status: String,
    when: String,
}

/// Prints what is known of a topic.
pub(super) fn run(context: &Context, arguments: &ExplainArguments) -> Result<(), Failure> {
    let printer = &context.printer;
    let topic = arguments.topic.as_str();
    match topic {
        "configuration" => {
            let numbers = config::defaults();
            let document = json!({
                "settings": TEXTS,
                "numbers": numbers.iter().map(number_document).collect::<Vec<_>>(),
            });
            printer.result(&document, || reference(&numbers))
        }
        "exit-codes" => printer.result(&json!({ "exit_codes": EXIT_CODES }), || {
            EXIT_CODES.to_owned()
        }),
        "codes" => {
            let codes = codes();
            printer.result(&json!({ "codes": codes }), || {
                let line = |code: &Code| format!("{:24}{}\n", code.code, code.when);
                codes.iter().map(line).collect()
            })
        }
        _ => one(context, topic),
    }
}

/// A single setting or code.
fn one(context: &Context, topic: &str) -> Result<(), Failure> {
    let printer = &context.printer;
    if let Some(code) = codes().into_iter().find(|one| one.code == topic) {
        let exit = Exit::of_problem(&code.class, &code.code) as u8;
        let document = json!({ "problem": code, "exit_code": exit });
        return printer.result(&document, || {
            pairs([
                ("code", code.code.clone()),
                ("class", code.class.clone()),
                ("when", code.when.clone()),
                ("status of REST", code.status.clone()),
                ("exit code", exit.to_string()),
            ])
        });
    }
    if let Some(text) = TEXTS.iter().find(|text| text.name == topic) {
        return printer.result(&json!(text), || told_text(text));
    }
    let numbers = config::defaults();
    let fits = |one: &&Setting| one.name() == topic || one.number.name == topic;
    let found: Vec<_> = numbers.iter().filter(fits).collect();
    if found.is_empty() {
        return asked(context, topic).unwrap_or_else(|| Err(unknown(topic, &numbers)));
    }
    let documents: Vec<_> = found.iter().map(|one| number_document(one)).collect();
    printer.result(&json!({ "numbers": documents }), || {
        found.iter().map(|one| told_number(one)).collect()
    })
}

/// What the daemon knows of a driver or a layer of this name; nothing if it knows none, or none is there. One that takes the connection is
/// waited for as by any command: a time after which the name counts as unknown would be wrong about a busy one.
fn asked(context: &Context, topic: &str) -> Option<Result<(), Failure>> {
    let driver = format!("/v1/drivers/{}/explanation", segment(topic));
    if let Ok(document) = context.client.get(&driver) {
        return Some(context.printer.view(&document, super::driver::explained));
    }
    super::layer::explain(context, topic)
}

fn unknown(topic: &str, numbers: &[Setting]) -> Failure {
    let codes = codes().into_iter().map(|one| one.code);
    let texts = TEXTS.iter().map(|text| text.name.to_owned());
    let known = numbers.iter().map(Setting::name).chain(codes).chain(texts);
    let meant = config::meant(topic, known);
    Failure::Told {
        what: format!("nothing is known of `{topic}`"),
        remedy: Some(match meant {
            Some(meant) => format!("`mica explain {meant}`"),
            None => "`mica explain codes` and `mica explain configuration` list what there is; of drivers and layers of the store `mica driver ls` and `mica layer ls` do, if a daemon runs".to_owned(),
        }),
        exit: Exit::NotFound,
        code: Some("unknown-topic"),
    }
}

/// The codes of the table in the description of REST.
fn codes() -> Vec<Code> {
    let bare = |cell: &str| cell.trim().trim_matches('`').to_owned();
    let row = |line: &str| {
        let cells: Vec<_> = line.trim_matches('|').split('|').collect();
        let [status, class, codes, when] = <[&str; 4]>::try_from(cells).ok()?;
        let status = bare(status);
        status.parse::<u16>().ok()?;
        let code = |code: &str| Code {
            code: bare(code),
            class: bare(class),
            status: status.clone(),
            when: when.trim().to_owned(),
        };
        Some(codes.split(',').map(code).collect::<Vec<_>>())
    };
    let rows = CODES.lines().filter(|line| line.starts_with("| "));
    rows.filter_map(row).flatten().collect()
}

/// All settings, as `docs/configuration.md` has them.
fn reference(numbers: &[Setting]) -> String {
    let texts = TEXTS.iter().map(|text| told_text(text) + "\n");
    let numbers = numbers.iter().map(|one| told_number(one) + "\n");
    let all: String = texts.chain(numbers).collect();
    all.trim_end().to_owned()
}

fn told_text(text: &Text) -> String {
    let Text {
        name,
        default,
        about,
    } = text;
    format!("{name} = {default}\n    {about}\n")
}

fn told_number(setting: &Setting) -> String {
    let Number {
        about,
        default,
        least,
        most,
        ..
    } = &setting.number;
    let name = setting.name();
    format!("{name} = {default}, from {least} to {most}\n    {about}\n")
}

fn number_document(setting: &Setting) -> serde_json::Value {
    let Number {
        about,
        default,
        least,
        most,
        ..
    } = &setting.number;
    json!({ "name": setting.name(), "default": default, "least": least, "most": most, "about": about })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_row() {
        let codes = codes();
        assert!(codes.len() > 40, "{codes:?}");
        let one = codes.iter().find(|one| one.code == "has-children");
        let one = one.expect("a code");
        assert_eq!(
            (one.class.as_str(), one.status.as_str()),
            ("precondition", "409")
        );
    }
}
