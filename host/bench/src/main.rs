//! `make bench`: what the sandbox costs, and how Mica stands beside its peers.
//!
//! Everything that is compared runs in turns within one run, on the same files; only the ratios mean anything, for the
//! machine may be shared. *native* is the guests' own library compiled for this machine, over the same system calls.
//!
//! Invariant: nothing here is a test; no number makes it fail.

mod containerd;
mod daemon;
mod jobs;
mod measure;
mod place;
mod processor;
mod request;

use anyhow::{Result, ensure};
use clap::Parser;
use measure::Report;
use place::Place;
use std::path::PathBuf;

/// Prints ratios: sandboxed to native, Mica to its peers
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Only the jobs whose names begin with one of these: diff, apply, sealed, changes, life, instance, scale, start, memory,
    /// containerd, containers, builds
    jobs: Vec<String>,
    /// The root file system to work on, a tar archive that is not compressed
    #[arg(long, value_name = "FILE", default_value = "target/demo/rootfs.tar")]
    rootfs: PathBuf,
    /// How often each side of a comparison runs
    #[arg(long, value_name = "N", default_value_t = 9)]
    rounds: usize,
    /// Layers that are stored when the cost of stored layers is measured
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    layers: u64,
    /// The daemon whose memory is measured
    #[arg(long, value_name = "FILE", default_value = "target/release/mica")]
    mica: PathBuf,
    /// An earlier build of the daemon, for the job `builds`
    #[arg(long, value_name = "FILE")]
    before: Option<PathBuf>,
    /// Where to work; a file system that overlay can lie on
    #[arg(long, value_name = "DIR", default_value = "/var/tmp")]
    dir: PathBuf,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(
        arguments.rootfs.is_file(),
        "`{}` is missing: `make bench` makes it, `--rootfs` takes another",
        arguments.rootfs.display()
    );
    let place = Place::make(&arguments.dir)?;
    let mut report = Report::new(arguments.rounds.max(1));
    for (name, job) in jobs::ALL {
        let is_wanted = arguments.jobs.is_empty()
            || arguments
                .jobs
                .iter()
                .any(|wanted| name.starts_with(wanted.as_str()));
        if is_wanted {
            report.begin(name);
            job(&arguments, &place, &mut report)?;
        }
    }
    report.print();
    Ok(())
}
