//! `mica driver bench`.
//!
//! Invariant: needs no daemon and no root; a driver that fails at what is measured is told, and nothing is measured by half.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mica_kit::{BenchReport, BenchRequest, MOST_ARCHIVE_BYTES, OperationReport, SideReport};
use serde_json::json;

use super::read;
use super::test::{self, Trial};
use crate::children;
use crate::cli::store;
use mica_client::progress::age_bar;
use mica_client::{Column, Failure, Printer, pairs, table, words};

pub(super) const EXAMPLES: &str = "\
Each operation is done once in each round, by the driver, by the overlay and by the vfs that ship with this program, in turns, in a
user namespace of its own on a file system in memory. TIME is the median by the clock with the least and the most, CPU the median
of the processor time of driver and engine, RATIO how many times as long the driver takes as the one that ships, CALLS its host
calls, and MEMORY the most that it had. Compare within one run only: a machine is never twice the same.

Examples:
  mica driver bench hello_driver.wasm
  mica driver bench hello_driver.wasm --quick
  mica driver bench hello_driver.wasm --archive layer.tar --rounds 20
  mica driver bench snapshots.wasm --grant btrfs --directory /mnt/btrfs
  mica --output json driver bench hello_driver.wasm";

/// Rounds where none are asked for.
const ROUNDS: u32 = 9;
const QUICK_ROUNDS: u32 = 3;
/// How often the bar tells its age.
const TICK: Duration = Duration::from_millis(200);
/// The first bytes of what must be decompressed first, and what does it.
const COMPRESSED: [(&[u8], &str); 3] = [
    (&[0x1f, 0x8b], "gzip -d"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "zstd -d"),
    (b"\xfd7zXZ", "xz -d"),
];

/// Arguments of `mica driver bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct BenchArguments {
    /// The component
    file: PathBuf,
    /// How often each operation is measured: 9 times, with --quick 3 times
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// The archive that is applied, not compressed, instead of one of 1000 files
    #[arg(long, value_name = "FILE")]
    archive: Option<PathBuf>,
    /// Do less in each round: a small archive, 4 parents instead of 16
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    trial: Trial,
}

/// Measures, and prints what came of it.
pub(super) fn run(printer: &Printer, arguments: BenchArguments) -> Result<(), Failure> {
    let BenchArguments {
        file,
        rounds,
        archive,
        quick,
        trial,
    } = arguments;
    let usual = if quick { QUICK_ROUNDS } else { ROUNDS };
    let request = BenchRequest {
        grants: trial.grants(),
        options: store::options(trial.options)?.0,
        rounds: rounds.unwrap_or(usual),
        is_quick: quick,
        directory: trial.directory,
    };
    let component = read(&file)?;
    let archive = archive.as_deref().map(read_archive).transpose()?;
    let bar = age_bar(format!("measure {}", file.display()));
    bar.enable_steady_tick(TICK);
    let report = mica_kit::bench(
        &children::player(),
        &component,
        archive.as_deref(),
        &request,
    );
    bar.finish_and_clear();
    let report = report.map_err(test::refused)?;
    printer.result(&json!(report), || render(&report))
}

/// Reads an archive of a size that fits into memory.
fn read_archive(file: &Path) -> Result<Vec<u8>, Failure> {
    let shown = file.display();
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|opened| opened.take(MOST_ARCHIVE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(Failure::io(format!("read `{shown}`")))?;
    let wrong = |what: &str, remedy: String| Failure::Archive {
        what: format!("`{shown}` {what}"),
        remedy: Some(remedy),
    };
    if bytes.len() as u64 > MOST_ARCHIVE_BYTES {
        let most = words::bytes(MOST_ARCHIVE_BYTES);
        return Err(wrong(
            "is too large",
            format!("name an archive of {most} at most: all of it is kept in memory"),
        ));
    }
    if bytes.is_empty() {
        return Err(wrong("is empty", "name a tar archive".to_owned()));
    }
    let mut compressed = COMPRESSED.iter();
    match compressed.find(|(magic, _)| bytes.starts_with(magic)) {
        Some((_, program)) => Err(wrong(
            "is compressed",
            format!("decompress it first with `{program}`: drivers get archives that are not"),
        )),
        None => Ok(bytes),
    }
}

fn render(report: &BenchReport) -> String {
    let columns = [
        Column::Text("operation"),
        Column::Text("driver"),
        Column::Number("time"),
        Column::Number("least"),
        Column::Number("most"),
        Column::Number("cpu"),
        Column::Number("ratio"),
        Column::Number("calls"),
        Column::Number("memory"),
    ];
    let rows = report.operations.iter().flat_map(|operation| {
        let sides = operation.sides.iter().enumerate();
        sides.map(move |(place, side)| row(operation, place, side))
    });
    let mut text = table(&columns, rows.collect());
    text.push_str("\n\n");
    let (driver, place, archive) = (&report.driver, &report.place, &report.archive);
    let made = match archive.is_generated {
        true => ", made for this",
        false => "",
    };
    text.push_str(&pairs([
        ("driver", format!("{} {}", driver.name, driver.version)),
        ("digest", words::short_digest(&driver.digest)),
        (
            "place",
            format!("{}, owners: {}", place.filesystem, place.owners),
        ),
        ("rounds", report.rounds.to_string()),
        ("parents", report.parents.to_string()),
        ("archive", format!("{}{made}", words::bytes(archive.bytes))),
    ]));
    for side in &report.left_out {
        let line = format!("{}: {}", side.driver, words::safe(&side.reason));
        text.push_str(&pairs([("left out", line)]));
    }
    text
}

/// A time with enough digits to be compared.
fn time(microseconds: u64) -> String {
    match microseconds {
        0..10_000 => format!("{microseconds} µs"),
        _ => words::duration(Duration::from_micros(microseconds)),
    }
}

fn row(operation: &OperationReport, place: usize, side: &SideReport) -> Vec<String> {
    let spread = side.microseconds;
    vec![
        match place {
            0 => operation.operation.clone(),
            _ => String::new(),
        },
        match side.is_shipped {
            true => format!("{} (ships)", side.driver),
            false => side.driver.clone(),
        },
        time(spread.median),
        time(spread.least),
        time(spread.most),
        time(side.processor_microseconds),
        side.ratio
            .map_or_else(String::new, |ratio| format!("{ratio:.2}")),
        side.host_calls.to_string(),
        words::bytes(side.memory_bytes),
    ]
}
