//! What can be written on the command line.
//!
//! Invariant: arguments only; what they do is in the file of their group.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use mica_client::{EXIT_CODES, Output};

use super::check::{CheckArguments, RepairArguments};
use super::driver::DriverCommand;
use super::layer::LayerArguments;
use super::operation::OperationCommand;
use super::serve::ServeArguments;
use super::snapshot::SnapshotCommand;
use super::store::StoreCommand;

const EXAMPLES: &str = "\
Examples:
  mica serve --root /var/lib/mica &         start the daemon; the first start makes the store `default`
  mica layer create base                    make a layer
  mica layer apply base rootfs.tar.zst      fill it from an archive
  mica layer create box --parent base --read-write
  root=$(mica layer mount box)              mount it; prints where
  chroot \"$root\" /bin/sh                    work in it
  mica layer changes box                    see what is different from `base`
  mica layer diff box -o box.tar            take the difference as an archive
  mica layer umount box && mica layer rm box base";

/// Runs layered-filesystem drivers as WebAssembly components
///
/// Layers, stores and drivers belong to a daemon, `mica serve`; the other commands talk to it over its socket.
/// `fsmagic`, `doctor`, `check`, `repair`, `explain` and `demo` need no daemon.
#[derive(Debug, Parser)]
#[command(name = "mica", version, max_term_width = 100, after_help = after_help(), propagate_version = false)]
pub(crate) struct Arguments {
    /// The daemon's socket [default: /run/mica/mica.sock]
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        env = "MICA_SOCKET",
        hide_env_values = true
    )]
    pub(crate) socket: Option<PathBuf>,
    /// The daemon's TCP address, instead of its socket
    #[arg(
        long,
        global = true,
        value_name = "ADDRESS:PORT",
        env = "MICA_ADDRESS",
        hide_env_values = true
    )]
    pub(crate) address: Option<SocketAddr>,
    /// A file of mode 0600 with the secret of TCP: what clients send, and what `serve` wants to be sent
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "MICA_TOKEN_FILE",
        hide_env_values = true
    )]
    pub(crate) token_file: Option<PathBuf>,
    /// The store of layer and snapshot commands [default: `default` for layers, `containerd` for snapshots]
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "MICA_STORE",
        hide_env_values = true
    )]
    pub(crate) store: Option<String>,
    /// Print results for people (`table`), for programs (`json`; `jsonl` with an entry a line), or as a text with fields like `{id} {parent}`
    #[arg(
        long,
        visible_alias = "format",
        global = true,
        value_name = "FORMAT",
        default_value = "table",
        hide_default_value = true
    )]
    pub(crate) output: Output,
    /// The same as `--output json`
    #[arg(long, global = true, conflicts_with = "output")]
    pub(crate) json: bool,
    /// Wait so long for the daemon to answer, if it does not yet
    #[arg(long, global = true, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(..=86_400))]
    pub(crate) wait_daemon: Option<u64>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

fn after_help() -> String {
    format!("{EXAMPLES}\n\n{}", EXIT_CODES)
}

/// A command or a group of commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the daemon
    Serve(Box<ServeArguments>),
    /// Make, list and remove stores: a driver bound to a directory and options
    #[command(subcommand)]
    Store(StoreCommand),
    /// Make, mount, compare, fill and remove layers
    Layer(LayerArguments),
    /// List and measure what a containerd holds
    #[command(subcommand)]
    Snapshot(SnapshotCommand),
    /// List, load and swap drivers
    #[command(subcommand)]
    Driver(DriverCommand),
    /// Tell what the daemon has and does
    #[command(after_help = super::status::EXAMPLES)]
    Status(super::status::StatusArguments),
    /// Look at operations and cancel them
    #[command(subcommand)]
    Operation(OperationCommand),
    /// Show what the daemon does now, again and again until interrupted
    #[command(after_help = super::top::EXAMPLES)]
    Top(super::top::TopArguments),
    /// Show what the daemon has and does on a page in a browser, until interrupted
    #[command(after_help = super::dashboard::EXAMPLES)]
    Dashboard(super::dashboard::DashboardArguments),
    /// Follow what happens, one line each, until interrupted
    #[command(after_help = super::events::EXAMPLES)]
    Events(super::events::EventArguments),
    /// Tell the type of the file system below a path
    Fsmagic(FsmagicArguments),
    /// Tell what this kernel and file system offer to drivers, and what is missing
    Doctor(DoctorArguments),
    /// Look whether what a daemon keeps on disk fits together; needs no daemon and disturbs none
    Check(CheckArguments),
    /// Put right what `check` finds, while no daemon runs
    Repair(RepairArguments),
    /// Verify that the files of layers are still what they were, in the background
    #[command(after_help = super::scrub::EXAMPLES)]
    Scrub(super::scrub::ScrubArguments),
    /// Tell what keeps layers, and remove those that nothing keeps
    #[command(after_help = super::gc::EXAMPLES)]
    Gc(super::gc::GcArguments),
    /// Tell what a setting or the code of a problem means, or what is to be known of a driver or layer
    #[command(after_help = super::explain::EXAMPLES)]
    Explain(super::explain::ExplainArguments),
    /// Run the main job on a real root file system, and prove that it worked
    Demo(DemoArguments),
    /// Print a script that completes commands in a shell
    Completion(CompletionArguments),
    /// Print the manual page
    Man(ManArguments),
}

/// Arguments of `mica fsmagic`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints the name, the magic number and the constant of the Docker graphdriver package. A path that does not
exist yet is answered by its parent.

Examples:
  mica fsmagic /var/lib
  mica --output json fsmagic /var/lib/mica")]
pub(crate) struct FsmagicArguments {
    /// A path, or one whose parent exists
    pub(crate) path: PathBuf,
}

/// Arguments of `mica doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Tries each thing out in a scratch directory below PATH, which it removes again. Needs no daemon. Ends with 5 if
no driver could work.

Examples:
  mica doctor /var/lib/mica
  mica --output json doctor /mnt/disk")]
pub(crate) struct DoctorArguments {
    /// Where a store would be; by default the working directory
    pub(crate) path: Option<PathBuf>,
}

/// Arguments of `mica demo`.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct DemoArguments {
    /// What the program `mica-demo` takes: `mica demo --help` tells
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGUMENTS"
    )]
    pub(crate) arguments: Vec<OsString>,
}

/// Arguments of `mica completion`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The script asks this program for what fits, also for names of stores, layers and drivers, which the daemon knows.

Examples:
  mica completion bash > /etc/bash_completion.d/mica
  mica completion zsh > /usr/local/share/zsh/site-functions/_mica
  mica completion fish > ~/.config/fish/completions/mica.fish")]
pub(crate) struct CompletionArguments {
    /// The shell: bash, zsh, fish, elvish or powershell
    pub(crate) shell: String,
}

/// Arguments of `mica man`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mica man | man -l -
  mica man --directory /usr/local/share/man/man1")]
pub(crate) struct ManArguments {
    /// Write the pages of all commands to files here instead
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
}
