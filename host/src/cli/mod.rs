//! The command line: one file for each group of commands.
//!
//! Invariant: every command that is about layers, stores and drivers talks REST; only `serve` starts the engine,
//! only `fsmagic` and `doctor` look at the machine itself, only `check` and `repair` at what a daemon keeps, only `driver check`,
//! `driver replay` and `driver test` at a component, `driver new` writes files, and `demo` is a program of its own.

mod arguments;
mod builds;
mod check;
mod complete;
mod context;
mod dashboard;
mod demo;
mod doctor;
mod documents;
mod driver;
mod events;
mod explain;
mod fsmagic;
mod gc;
mod layer;
mod operation;
mod scrub;
mod serve;
mod snapshot;
mod status;
mod store;
mod top;
mod trace;
mod waiting;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use mica_client::{Client, Exit, Failure, Output, Place, Printer, Token};

use crate::api::rest::may_have;
use arguments::{Arguments, Command};
use context::Context;

/// Runs the command of this process's arguments, tells failures on standard error, and returns the exit code.
pub(crate) fn run() -> ExitCode {
    complete::answer();
    let mut arguments = Arguments::parse();
    if arguments.json {
        arguments.output = Output::Json;
    }
    let output = arguments.output;
    match command(arguments) {
        Ok(()) => Exit::Worked.into(),
        Err(failure) => {
            failure.tell(output);
            failure.exit().into()
        }
    }
}

/// Where the daemon listens unless it is told otherwise.
const DEFAULT_SOCKET: &str = "/run/mica/mica.sock";

/// Where the daemon is that the arguments mean.
fn place(arguments: &Arguments) -> Result<Place, Failure> {
    let Some(address) = arguments.address else {
        let socket = arguments.socket.clone();
        return Ok(Place::Socket(
            socket.unwrap_or_else(|| DEFAULT_SOCKET.into()),
        ));
    };
    let read = |path: &PathBuf| {
        Token::read(path).map_err(Failure::io(format!("read the token `{}`", path.display())))
    };
    let token = arguments.token_file.as_ref().map(read).transpose()?;
    Ok(Place::Tcp(address, token))
}

fn command(arguments: Arguments) -> Result<(), Failure> {
    let store = match arguments.command {
        Command::Snapshot(_) => "containerd",
        _ => "default",
    };
    let named = arguments.store.clone();
    let traced = match &arguments.command {
        Command::Layer(layer) => layer.trace.then(trace::request_id),
        _ => None,
    };
    let context = Context {
        client: Client::new(place(&arguments)?)?.named(traced.as_deref()),
        store: arguments.store.unwrap_or_else(|| store.to_owned()),
        printer: Printer::new(arguments.output).knowing(may_have),
    };
    if let Some(seconds) = arguments.wait_daemon {
        context.wait("/healthz", Duration::from_secs(seconds))?;
    }
    match arguments.command {
        Command::Serve(serve) => serve::run(
            &context.printer,
            *serve,
            arguments.socket,
            arguments.token_file,
        ),
        Command::Store(command) => store::run(&context, command),
        Command::Layer(layer) => trace::with(&context, traced.is_some(), || {
            layer::run(&context, layer.command)
        }),
        Command::Snapshot(command) => snapshot::run(&context, command),
        Command::Driver(command) => driver::run(&context, command, named.as_deref()),
        Command::Status(arguments) => status::run(&context, &arguments),
        Command::Operation(command) => operation::run(&context, &command),
        Command::Top(arguments) => top::run(&context, &arguments),
        Command::Dashboard(arguments) => dashboard::run(&context, &arguments),
        Command::Events(arguments) => events::run(&context, &arguments, named.as_deref()),
        Command::Fsmagic(fsmagic) => fsmagic::run(&context.printer, &fsmagic.path),
        Command::Doctor(doctor) => doctor::run(&context.printer, doctor.path.as_deref()),
        Command::Check(arguments) => check::check(&context.printer, arguments, named.as_deref()),
        Command::Repair(arguments) => check::repair(&context.printer, arguments, named.as_deref()),
        Command::Scrub(arguments) => scrub::run(&context, &arguments, named.as_deref()),
        Command::Gc(arguments) => gc::run(&context, &arguments, named.as_deref()),
        Command::Demo(demo) => demo::run(&demo.arguments),
        Command::Explain(topic) => explain::run(&context, &topic),
        Command::Completion(completion) => complete::script(&context.printer, &completion.shell),
        Command::Man(man) => documents::manual(&context.printer, man.directory.as_deref()),
    }
}
