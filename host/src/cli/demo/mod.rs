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
mod timeline;

use std::path::PathBuf;

use super::failure::Failure;
use super::words;
use rootfs::RootFs;
use stage::Stage;
use timeline::Timeline;

/// Arguments of `mica demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
For each driver: makes a base layer, applies the root file system, makes a child, mounts it, runs a program in it,
lists the changes, writes them to an archive, applies that to a sibling, compares both trees node by node, swaps the
driver while the layer is mounted, and removes everything. Needs root.

Examples:
  mica demo
  mica demo --rootfs debian.tar.zst --drivers overlay
  mica demo --dir /mnt/disk --keep")]
pub(crate) struct DemoArguments {
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
}

/// Runs the demo.
pub(crate) fn run(arguments: &DemoArguments) -> Result<(), Failure> {
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::NotSupported {
            what: "the demo mounts layers and runs a program in them".to_owned(),
            remedy: "run it as root".to_owned(),
        });
    }
    interrupt::watch()?;
    let rootfs = RootFs::choose(arguments.rootfs.as_deref())?;
    let mut stage = Stage::build(&arguments.dir, arguments.keep)?;
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
        left.tell(super::arguments::Output::Table);
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
    arguments: &DemoArguments,
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

/// Tells what happens.
#[expect(clippy::print_stdout, reason = "the demo is for people who watch")]
fn say(text: &str) {
    println!("{text}");
}

/// A count with thousands set apart.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Something that had to be so is not.
fn untrue(what: impl Into<String>) -> Failure {
    Failure::Untrue {
        what: what.into(),
        remedy: None,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn thousands_are_set_apart() {
        for (count, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(super::grouped(count), text);
        }
    }
}
