//! `mica demo`: the main job on a real root file system, and the proof that it worked.
//!
//! Everything happens through a daemon of its own and REST, as a stranger would do it.
//!
//! Invariant: however it ends, nothing stays mounted, no daemon runs, and the directory is gone unless it was to be
//! kept; the end looks, and says so.

mod compare;
mod daemon;
mod inside;
mod interrupt;
mod mounts;
mod node;
mod rootfs;
mod stage;
mod story;
mod tell;
mod timeline;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser as _;
use mica_client::{EXIT_CODES, Exit, Failure, Output};

use rootfs::RootFs;
use stage::Stage;
use tell::say;
use timeline::Timeline;

const EXAMPLES: &str = "\
For each driver: makes a base layer, applies the root file system, makes a child, mounts it, runs a program in it,
lists the changes, writes them to an archive, applies that to a sibling, compares both trees node by node, swaps the
driver while the layer is mounted, and removes everything. Needs root.

Examples:
  mica demo
  mica demo --rootfs debian.tar.zst --drivers overlay
  mica demo --dir /mnt/disk --keep";

/// Runs the main job on a real root file system, and proves that it worked
#[derive(Debug, clap::Parser)]
#[command(name = "mica demo", bin_name = "mica demo", version, max_term_width = 100, after_help = after_help())]
struct Arguments {
    /// The root file system: a tar archive, plain, gzip or zstd [default: what `make demo` made, else /usr and /etc]
    #[arg(long, value_name = "FILE")]
    rootfs: Option<PathBuf>,
    /// The drivers, one after the other
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "overlay,vfs"
    )]
    drivers: Vec<String>,
    /// Leave the directory: archives, the daemon's log, its root
    #[arg(long)]
    keep: bool,
    /// Make the directory below this one; it must be on a file system that the drivers can work on
    #[arg(long, value_name = "DIR", default_value = "/var/tmp")]
    dir: PathBuf,
    /// The program that is started as the daemon [default: the `mica` beside this program]
    #[arg(long, value_name = "FILE", env = "MICA_DEMO_DAEMON", hide_env = true)]
    mica: Option<PathBuf>,
}

fn after_help() -> String {
    format!("{EXAMPLES}\n\n{EXIT_CODES}")
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => Exit::Worked.into(),
        Err(failure) => {
            failure.tell(Output::Table);
            failure.exit().into()
        }
    }
}

/// The program that is the daemon: the one that was named, else the `mica` beside this program.
///
/// # Errors
/// That it is not there.
fn daemon_program(arguments: &Arguments) -> Result<PathBuf, Failure> {
    let program = match &arguments.mica {
        Some(program) => program.clone(),
        None => std::env::current_exe()
            .map_err(Failure::io("find this program"))?
            .with_file_name("mica"),
    };
    if program.is_file() {
        return Ok(program);
    }
    Err(Failure::Usage {
        what: format!("`{}` is not there", program.display()),
        remedy: "name the daemon's program with --mica FILE",
    })
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::NotSupported {
            what: "the demo mounts layers and runs a program in them".to_owned(),
            remedy: "run it as root".to_owned(),
        });
    }
    interrupt::watch()?;
    let rootfs = RootFs::choose(arguments.rootfs.as_deref())?;
    let mut stage = Stage::build(daemon_program(arguments)?, &arguments.dir, arguments.keep)?;
    say(&format!(
        "mica {}: a root file system through every driver, in layers\n",
        env!("CARGO_PKG_VERSION")
    ));
    say(&format!("  root file system  {}", rootfs.describe()));
    say(&format!("  directory         {}", stage.describe()));
    let mut timeline = Timeline::start();
    let played = play(arguments, &rootfs, &mut stage, &mut timeline);
    let cleared = stage.clear();
    // The first failure is the reason; what could not be cleared is told as well.
    if let (Err(_), Err(left)) = (&played, &cleared) {
        left.tell(Output::Table);
    }
    if let (Err(_), Ok(text)) = (&played, &cleared) {
        say(&format!("\n{text}"));
    }
    played?;
    let text = cleared?;
    say(&format!("\ntimeline\n{}\n\n{text}", timeline.table()));
    Ok(())
}

fn play(
    arguments: &Arguments,
    rootfs: &RootFs,
    stage: &mut Stage,
    timeline: &mut Timeline,
) -> Result<(), Failure> {
    timeline.step("daemon", "start", || stage.start_daemon())?;
    say(&format!("  daemon            pid {}\n", stage.pid()));
    for driver in &arguments.drivers {
        story::tell(driver, rootfs, stage, timeline)?;
    }
    timeline.step("daemon", "stop", || stage.stop_daemon())
}
