//! `mica driver`.
//!
//! Invariant: a component is sent as it is; whether it is one is for the daemon to say, and for `check` by the daemon's code.

mod bench;
mod change;
mod check;
mod componentize;
mod explain;
mod install;
mod logs;
mod manifest;
mod new;
mod registry;
mod replay;
mod show;
mod source;
mod test;
mod traces;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;

use super::builds;
use super::context::Context;
pub(super) use explain::render as explained;
use mica_client::{Failure, NewFile, Printer, query, segment, words};
use mica_runtime::Grant;
pub(super) use traces::calls as trace_calls;

/// A command of `mica driver`.
#[derive(Debug, Subcommand)]
pub(crate) enum DriverCommand {
    /// List the drivers
    #[command(visible_alias = "list")]
    Ls {
        /// Only names, one a line
        #[arg(short, long)]
        quiet: bool,
    },
    /// Tell all about a driver: build, imports, grants, options
    Inspect {
        /// The driver
        name: String,
    },
    /// Tell whether a component can be loaded, without a daemon
    #[command(after_help = "\
World, imports and limits are compared with those of a daemon as it is without a configuration, in milliseconds. With
--compile the component is also compiled, linked and asked for its name and version, as loading it does.

Examples:
  mica driver check hello_driver.wasm
  mica driver check --compile --grant btrfs snapshots.wasm")]
    Check {
        /// The component
        file: PathBuf,
        /// A grant that its daemon has for it, beside the standard ones; may be given more than once
        #[arg(long, value_name = "GRANT")]
        grant: Vec<Grant>,
        /// Compile it, and ask it what it is
        #[arg(long)]
        compile: bool,
    },
    /// Make a directory with a driver to begin with
    #[command(after_help = new::EXAMPLES)]
    New(new::NewArguments),
    /// Make a component of a core module, as compilers of C and Go make one
    #[command(after_help = componentize::EXAMPLES)]
    Componentize(componentize::ComponentizeArguments),
    /// Play the cases that every driver must follow on a component, without a daemon and without root
    #[command(after_help = test::EXAMPLES)]
    Test(test::TestArguments),
    /// Put a manifest into a component, or show it
    #[command(subcommand, after_help = manifest::EXAMPLES)]
    Manifest(manifest::ManifestCommand),
    /// Look at a component, approve what it asks for, and load or swap it
    #[command(after_help = install::EXAMPLES)]
    Install(install::InstallArguments),
    /// Tell in what two builds differ: what the new one asks for more, version, state
    #[command(after_help = install::DIFF_EXAMPLES)]
    Diff(install::DiffArguments),
    /// Measure a driver's operations beside those of overlay and vfs, without a daemon and without root
    #[command(after_help = bench::EXAMPLES)]
    Bench(bench::BenchArguments),
    /// Load a driver from a component
    #[command(after_help = "\
The daemon keeps the component and loads it again at its next start. What it imports must be granted: see [drivers.NAME]
in the configuration, or --grant, which is kept with the driver. A name that is taken is refused; `mica driver swap` replaces a build.

Examples:
  mica driver load hello_driver.wasm
  mica store create try --driver hello")]
    Load(change::LoadArguments),
    /// Put a driver into a registry
    #[command(after_help = registry::PUSH_EXAMPLES)]
    Push(registry::PushArguments),
    /// Get a driver from a registry into a file
    #[command(after_help = registry::PULL_EXAMPLES)]
    Pull(registry::PullArguments),
    /// Replace the build of a driver while it is in use
    #[command(after_help = "\
The new build is compiled, tried in a scratch store, and asked about layers that are there; if
anything fails, the old one stays. One that asks for more than the running one, is older, or cannot
read the state that lies in layers is refused: see --grant and --force. Operations that run end on the old build, however long they
take. Mounts do not move, and no layer is touched. For `bake_seconds` of the configuration the new
build is watched: if it does worse than the old one, that takes over again by itself, and
`mica driver history` tells why.

Examples:
  mica driver swap overlay overlay-1.1.wasm
  mica driver swap overlay overlay-1.1.wasm --shadow 100   compare 100 calls before it takes over
  mica driver swap overlay                                 load the same build anew")]
    Swap(change::SwapArguments),
    /// Put a build in place again that the driver had
    #[command(after_help = "\
The last three builds are kept, over restarts too. A rollback goes the way of a swap: the build is
tried, and must be able to show the layers that are there.

Examples:
  mica driver rollback overlay              the build before the running one
  mica driver rollback overlay --to 2       a build of `mica driver history overlay`
  mica driver rollback overlay --shipped    what ships with the program, now and at every start")]
    Rollback {
        /// The driver
        name: String,
        /// The number of a build in the history
        #[arg(long, value_name = "N", conflicts_with = "shipped")]
        to: Option<u64>,
        /// What ships with the program or lies in the drivers directory
        #[arg(long)]
        shipped: bool,
    },
    /// List the builds that a driver had, the last first
    History {
        /// The driver
        name: String,
    },
    /// Tell what a driver said: its standard error and output, its log, and where it broke
    #[command(after_help = logs::EXAMPLES)]
    Logs(logs::LogArguments),
    /// Remove a driver that was loaded, with its builds
    #[command(after_help = "\
A driver that stores have is refused, and so is one that ships with the program or lies in the drivers directory, because it would be
there again at the next start; `mica driver rollback NAME --shipped` goes back to the build that ships.

Examples:
  mica store rm try && mica driver rm hello
  mica driver rm hello --dry-run")]
    Rm {
        /// The driver
        name: String,
        /// Tell whether it would be removed, and remove nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Tell what an operator wants to know of a driver: source, imports and grants, limits, users, faults
    #[command(after_help = explain::EXAMPLES)]
    Explain {
        /// The driver
        name: String,
    },
    /// List the operations of a driver whose host calls are recorded, the last first
    #[command(after_help = traces::LIST_EXAMPLES)]
    Traces(traces::ListArguments),
    /// Show the host calls of one operation of a driver, or write it to a file that can be replayed
    #[command(after_help = traces::EXAMPLES)]
    Trace(traces::TraceArguments),
    /// Run a recorded operation again on a component, without a daemon and without root
    #[command(after_help = replay::EXAMPLES)]
    Replay(replay::ReplayArguments),
    /// End a quarantine: let a driver be called again that broke too often
    #[command(after_help = "\
A driver that breaks twice in operations on one layer is not called for that layer any more, after three times not for its
store, and not at all when layers of three stores made it break. `mica status` tells; mounts stay up. Its faults
count from zero after a release.

Examples:
  mica driver release overlay                              for everyone, all stores and layers
  mica driver release overlay --store default
  mica driver release overlay --store default --layer a")]
    Release {
        /// The driver
        name: String,
        /// Only for this store and its layers
        #[arg(long, value_name = "NAME")]
        store: Option<String>,
        /// Only for this layer of the store
        #[arg(long, value_name = "ID", requires = "store")]
        layer: Option<String>,
    },
}

/// Runs a command of `mica driver`.
pub(crate) fn run(
    context: &Context,
    command: DriverCommand,
    named: Option<&str>,
) -> Result<(), Failure> {
    let Context {
        client, printer, ..
    } = context;
    match command {
        DriverCommand::Ls { quiet } => {
            let document = json!({ "drivers": context.all("/v1/drivers", "drivers")? });
            printer.view(&document, |list| show::list(list, quiet))
        }
        DriverCommand::Inspect { name } => {
            let document = client.get(&format!("/v1/drivers/{}", segment(&name)))?;
            printer.view(&document, show::describe)
        }
        DriverCommand::Check {
            file,
            grant,
            compile,
        } => check::run(printer, &file, &grant, compile),
        DriverCommand::Manifest(command) => manifest::run(printer, command),
        DriverCommand::Install(arguments) => install::install(context, &arguments),
        DriverCommand::Diff(arguments) => install::diff(context, &arguments),
        DriverCommand::New(arguments) => new::run(printer, arguments),
        DriverCommand::Componentize(arguments) => componentize::run(printer, &arguments),
        DriverCommand::Test(arguments) => test::run(printer, arguments),
        DriverCommand::Bench(arguments) => bench::run(printer, arguments),
        DriverCommand::Load(arguments) => change::load(&context.heeding()?, arguments),
        DriverCommand::Push(arguments) => registry::push(printer, arguments),
        DriverCommand::Pull(arguments) => registry::pull(printer, arguments),
        DriverCommand::Swap(arguments) => change::swap(&context.heeding()?, arguments),
        DriverCommand::Rollback { name, to, shipped } => {
            change::roll_back(&context.heeding()?, &name, to, shipped)
        }
        DriverCommand::History { name } => {
            let document = client.get(&format!("/v1/drivers/{}/history", segment(&name)))?;
            printer.view(&document, builds::history)
        }
        DriverCommand::Logs(arguments) => logs::run(context, arguments, named),
        DriverCommand::Rm { name, dry_run } => change::remove(context, &name, dry_run),
        DriverCommand::Explain { name } => {
            let document = client.get(&format!("/v1/drivers/{}/explanation", segment(&name)))?;
            printer.view(&document, explain::render)
        }
        DriverCommand::Traces(arguments) => traces::list(context, arguments, named),
        DriverCommand::Trace(arguments) => traces::show(context, arguments),
        DriverCommand::Replay(arguments) => replay::run(printer, &arguments),
        DriverCommand::Release { name, store, layer } => {
            let query = query([("store", store), ("layer", layer)]);
            change::release(context, &name, &query)
        }
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = std::fs::read(file).map_err(Failure::io(format!("read `{}`", file.display())))?;
    if bytes.is_empty() {
        return Err(Failure::Untrue {
            what: format!("`{}` is empty", file.display()),
            remedy: Some("name a WebAssembly component".to_owned()),
        });
    }
    Ok(bytes)
}

/// A component, with the manifest that lies beside it if it has none of its own.
fn component(printer: &Printer, file: &Path) -> Result<Vec<u8>, Failure> {
    manifest::with_beside(printer, read(file)?, file)
}

pub(super) fn short(digest: &str) -> String {
    words::short_digest(&words::told(&digest))
}

/// Writes a file, which is complete then or as it was before.
fn write(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let doing = || format!("write `{}`", file.display());
    let new = NewFile::create(file).map_err(Failure::io(doing()))?;
    new.file().write_all(bytes).map_err(Failure::io(doing()))?;
    new.complete(file).map_err(Failure::io(doing()))?;
    Ok(())
}
