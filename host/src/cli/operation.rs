//! `mica operation`.
//!
//! Invariant: talks REST and prints.

use super::context::Context;
use crate::api::types::OperationView;
use clap::Subcommand;
use mica_client::{Failure, pairs, segment, words};

/// A command of `mica operation`.
#[derive(Debug, Subcommand)]
pub(crate) enum OperationCommand {
    /// Tell how an operation stands, or how it ended
    #[command(after_help = EXAMPLES)]
    Inspect {
        /// Its id, or that of its request, as `mica top` shows it
        id: String,
    },
    /// Ask an operation to end; nothing is left of what it has not finished
    Cancel {
        /// Its id, or that of its request, as `mica top` shows it
        id: String,
    },
}

const EXAMPLES: &str = "\
Operations create, remove, mount or apply to layers, or send an archive or a list of one. The last 1024 that ended are known.

Examples:
  mica top --once
  mica operation inspect 9f0c2a61c5c1c1d5
  mica operation cancel 9f0c2a61c5c1c1d5";

/// Runs a command of `mica operation`.
pub(crate) fn run(context: &Context, command: &OperationCommand) -> Result<(), Failure> {
    let target = |id: &str| format!("/v1/operations/{}", segment(id));
    let document = match command {
        OperationCommand::Inspect { id } => context.client.get(&target(id))?,
        OperationCommand::Cancel { id } => context.client.delete(&target(id))?,
    };
    context.printer.view(&document, describe)
}

fn describe(operation: &OperationView) -> String {
    let state = match (operation.state.as_str(), operation.cancelled) {
        ("running", true) => "running, asked to end".to_owned(),
        (state, _) => words::safe(state),
    };
    let problem = operation.problem.as_ref();
    let problem = problem.map(|problem| words::safe(&problem.detail));
    pairs([
        ("id", words::told(&operation.id)),
        ("kind", words::told(&operation.kind)),
        ("store", words::told(&operation.store)),
        ("layer", words::told(&operation.layer)),
        ("request", words::told(&operation.request)),
        ("began", words::seconds(&operation.began)),
        ("ended", words::told(&operation.ended)),
        ("state", state),
        ("bytes", words::bytes(operation.bytes)),
        ("problem", words::or_dash(problem.unwrap_or_default())),
    ])
}
