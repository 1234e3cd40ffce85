//! `mica layer`.
//!
//! Invariant: talks REST and prints; each file is one kind of work.

mod archive;
mod chain;
mod change;
mod copy;
mod copy_out;
mod exec;
mod explore;
mod export;
mod files;
mod import;
mod life;
mod list;
mod mount;
mod relay;

pub(super) use list::explain;
pub(super) use mount::held_by;

use std::path::PathBuf;

use clap::Subcommand;

use super::context::Context;
use super::scrub;
use super::store::key_value;
use mica_client::{Failure, segment};

/// Arguments of `mica layer`.
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct LayerArguments {
    /// Tell on standard error which host calls drivers made for this
    #[arg(long, global = true)]
    pub(crate) trace: bool,
    #[command(subcommand)]
    pub(crate) command: LayerCommand,
}

/// A command of `mica layer`.
#[derive(Debug, Subcommand)]
pub(crate) enum LayerCommand {
    /// Make a layer, empty or on top of another
    #[command(after_help = life::CREATE_EXAMPLES)]
    Create(CreateArguments),
    /// List the layers of the store, or the files of a layer
    #[command(visible_alias = "list", after_help = files::LS_EXAMPLES)]
    Ls(files::ListArguments),
    /// Write a file of a layer to standard output
    #[command(after_help = files::CAT_EXAMPLES)]
    Cat(files::FileArguments),
    /// Print the paths of files of a layer
    #[command(after_help = files::FIND_EXAMPLES)]
    Find(files::FindArguments),
    /// Show which layer of a chain each file comes from, and what is there for nothing
    #[command(after_help = explore::EXAMPLES)]
    Explore(explore::ExploreArguments),
    /// Copy files of a layer to this machine
    #[command(after_help = copy_out::EXAMPLES)]
    Cp(copy_out::CopyArguments),
    /// Show which layer lies on which
    Tree,
    /// Tell all about a layer
    Inspect {
        /// The layer
        id: String,
    },
    /// Remove layers in this order; children go before their parents
    #[command(after_help = life::REMOVE_EXAMPLES)]
    Rm(life::RemoveArguments),
    /// Mount a layer and print where its files are
    #[command(after_help = mount::EXAMPLES)]
    Mount(MountArguments),
    /// Give a mount back; the last reference unmounts
    #[command(visible_alias = "unmount")]
    Umount(UnmountArguments),
    /// Run a program with the layer as its root
    #[command(after_help = exec::EXAMPLES)]
    Exec(exec::ExecArguments),
    /// Run a shell with the layer as its root
    #[command(after_help = exec::EXAMPLES)]
    Shell(exec::ShellArguments),
    /// List the mounts of the store, and who holds them
    Mounts,
    /// Write what is different from the parent as a tar archive
    #[command(after_help = archive::DIFF_EXAMPLES)]
    Diff(DiffArguments),
    /// Apply a tar archive to a layer; whiteouts remove
    #[command(after_help = archive::APPLY_EXAMPLES)]
    Apply(ApplyArguments),
    /// Copy a layer and those below it to another store, whatever its driver
    #[command(after_help = copy::EXAMPLES)]
    Copy(copy::CopyArguments),
    /// Write a layer and those below it as an image archive, OCI and Docker
    #[command(after_help = export::EXAMPLES)]
    Export(export::ExportArguments),
    /// Make layers of an image archive, OCI or Docker
    #[command(after_help = import::EXAMPLES)]
    Import(import::ImportArguments),
    /// Verify that the files of a layer are still what they were
    #[command(after_help = scrub::VERIFY_EXAMPLES)]
    Verify {
        /// The layer
        id: String,
    },
    /// Make a damaged layer of its archive again
    #[command(after_help = scrub::REPAIR_EXAMPLES)]
    Repair(scrub::RepairArguments),
    /// List what is different from the parent: A added, C changed, D deleted
    Changes(ChangesArguments),
    /// Tell how many bytes the difference from the parent has
    Size(CompareArguments),
    /// Tell what a layer occupies on the device beyond its parent
    Usage {
        /// The layer
        id: String,
    },
}

/// Arguments of `mica layer create`.
#[derive(Debug, clap::Args)]
pub(crate) struct CreateArguments {
    /// The new id: any text up to 255 bytes without slashes and control characters
    id: String,
    /// The layer to build on
    #[arg(long, value_name = "ID")]
    parent: Option<String>,
    /// For a container to write to, not for content
    #[arg(long)]
    read_write: bool,
    /// An option of this layer alone; may be given more than once
    #[arg(long = "storage-opt", value_name = "KEY=VALUE", value_parser = key_value)]
    storage_options: Vec<(String, String)>,
    /// An SELinux context for its files
    #[arg(long, value_name = "CONTEXT")]
    mount_label: Option<String>,
}

/// Arguments of `mica layer mount`.
#[derive(Debug, clap::Args)]
pub(crate) struct MountArguments {
    /// The layer
    id: String,
    /// Refuse every write; without it a layer that has no children can be written to
    #[arg(long)]
    read_only: bool,
    /// An SELinux context for all files of the mount
    #[arg(long, value_name = "CONTEXT")]
    mount_label: Option<String>,
    /// A name for the reference: mounting again with it takes no second one
    #[arg(long, value_name = "NAME")]
    reference: Option<String>,
    /// Give the reference back when this process ends
    #[arg(long, value_name = "PID", requires = "reference", value_parser = clap::value_parser!(u32).range(1..))]
    while_pid: Option<u32>,
}

/// Arguments of `mica layer umount`.
#[derive(Debug, clap::Args)]
pub(crate) struct UnmountArguments {
    /// The layer
    id: String,
    /// Give back the reference of this name; it is no error if it is not there
    #[arg(long, value_name = "NAME", conflicts_with = "all")]
    reference: Option<String>,
    /// Give all references back, also those of others
    #[arg(long)]
    all: bool,
}

/// Arguments of `mica layer diff`.
#[derive(Debug, clap::Args)]
pub(crate) struct DiffArguments {
    #[command(flatten)]
    compare: CompareArguments,
    /// Write to this file, not to standard output
    #[arg(short = 'o', long = "file", value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Arguments of `mica layer apply`.
#[derive(Debug, clap::Args)]
pub(crate) struct ApplyArguments {
    /// The layer
    id: String,
    /// The archive, plain, gzip or zstd; `-` is standard input
    #[arg(default_value = "-")]
    file: PathBuf,
}

/// A layer, and what it is compared with.
#[derive(Debug, clap::Args)]
pub(crate) struct CompareArguments {
    /// The layer
    id: String,
    /// Another layer of the store: what it has that the first has not, and the other way round
    #[arg(value_name = "OTHER", conflicts_with_all = ["parent", "whole"])]
    other: Option<String>,
    /// Compare with this layer, not with its own parent
    #[arg(long, value_name = "ID")]
    parent: Option<String>,
    /// Compare with nothing: the whole layer
    #[arg(long, conflicts_with = "parent")]
    whole: bool,
}

/// Arguments of `mica layer changes`.
#[derive(Debug, clap::Args)]
pub(crate) struct ChangesArguments {
    #[command(flatten)]
    compare: CompareArguments,
    /// End each line with a NUL byte, and write the exact bytes of its path
    #[arg(short = 'z', long = "null")]
    is_null: bool,
}

impl CompareArguments {
    /// The target of a comparison of the layer.
    fn target(&self, context: &Context, what: &str) -> String {
        let from = |parent: &str| format!("/{what}?parent={}", segment(parent));
        match (&self.other, &self.parent) {
            (Some(other), _) => target(context, other, &from(&self.id)),
            (None, Some(parent)) => target(context, &self.id, &from(parent)),
            (None, None) if self.whole => target(context, &self.id, &from("")),
            (None, None) => target(context, &self.id, &format!("/{what}")),
        }
    }
}

/// Runs a command of `mica layer`.
pub(crate) fn run(context: &Context, command: LayerCommand) -> Result<(), Failure> {
    match command {
        LayerCommand::Create(arguments) => life::create(context, &arguments),
        LayerCommand::Ls(arguments) => match arguments.id() {
            Some(id) => files::ls(context, id, &arguments),
            None => list::ls(context, arguments.quiet),
        },
        LayerCommand::Cat(arguments) => files::cat(context, &arguments),
        LayerCommand::Find(arguments) => files::find(context, &arguments),
        LayerCommand::Cp(arguments) => copy_out::copy(context, &arguments),
        LayerCommand::Explore(arguments) => explore::explore(context, &arguments),
        LayerCommand::Tree => list::tree(context),
        LayerCommand::Inspect { id } => list::inspect(context, &id),
        LayerCommand::Rm(arguments) => life::remove(context, &arguments),
        LayerCommand::Mount(arguments) => mount::mount(context, &arguments),
        LayerCommand::Umount(arguments) => mount::unmount(context, &arguments),
        LayerCommand::Exec(arguments) => exec::run(context, &arguments),
        LayerCommand::Shell(arguments) => exec::run(context, &arguments.into()),
        LayerCommand::Mounts => mount::list(context),
        LayerCommand::Diff(arguments) => archive::diff(context, &arguments),
        LayerCommand::Apply(arguments) => archive::apply(context, &arguments),
        LayerCommand::Copy(arguments) => copy::copy(context, &arguments),
        LayerCommand::Export(arguments) => export::export(context, &arguments),
        LayerCommand::Import(arguments) => import::import(context, &arguments),
        LayerCommand::Verify { id } => scrub::verify(&context.heeding()?, &id),
        LayerCommand::Repair(arguments) => scrub::repair(&context.heeding()?, &arguments),
        LayerCommand::Changes(arguments) => change::changes(context, &arguments),
        LayerCommand::Size(arguments) => change::size(context, &arguments),
        LayerCommand::Usage { id } => list::usage(context, &id),
    }
}

/// The target of the store's layers.
fn layers_target(context: &Context) -> String {
    format!("/v1/stores/{}/layers", segment(&context.store))
}

/// The target of a layer, with more after it.
fn target(context: &Context, id: &str, rest: &str) -> String {
    format!("{}/{}{rest}", layers_target(context), segment(id))
}
