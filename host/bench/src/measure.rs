//! Taking turns and telling ratios.
//!
//! Invariant: the sides of a comparison alternate, so that whatever disturbs the machine disturbs all of them.

use crate::processor;
use anyhow::Result;
use comfy_table::Table;
use std::fmt::Write as _;
use std::ops::Div;
use std::time::{Duration, Instant};

/// Processor time below this is not told: the kernel counts hundredths of a second.
const LEAST_PROCESSOR: Duration = Duration::from_millis(1);

/// What a run took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    /// By the clock.
    pub(crate) wall: Duration,
    /// By the processors: user and system time of this process and of all that it started, daemons among them.
    pub(crate) processor: Duration,
}

/// Measures what is done while it runs.
pub(crate) struct Watch {
    processor: Duration,
    began: Instant,
}

impl Watch {
    /// Begins.
    pub(crate) fn start() -> Result<Self> {
        Ok(Self {
            processor: processor::spent()?,
            began: Instant::now(),
        })
    }

    /// What was spent since it began.
    pub(crate) fn stop(&self) -> Result<Spent> {
        let wall = self.began.elapsed();
        let processor = processor::spent()?.saturating_sub(self.processor);
        Ok(Spent { wall, processor })
    }
}

/// Measures a piece of work.
pub(crate) fn watched<T>(work: impl FnOnce() -> Result<T>) -> Result<Spent> {
    let watch = Watch::start()?;
    let done = work()?;
    let spent = watch.stop();
    drop(done);
    spent
}

impl Div<u32> for Spent {
    type Output = Self;

    fn div(self, parts: u32) -> Self {
        Self {
            wall: self.wall / parts,
            processor: self.processor / parts,
        }
    }
}

/// One way to do a job: what is called it, and a run of it, which tells what the part that counts took.
pub(crate) struct Side<'a> {
    name: &'static str,
    run: Box<dyn FnMut() -> Result<Spent> + 'a>,
}

impl<'a> Side<'a> {
    /// A side that tells itself what it took.
    pub(crate) fn timed(name: &'static str, run: impl FnMut() -> Result<Spent> + 'a) -> Self {
        let run = Box::new(run);
        Self { name, run }
    }

    /// A side that is measured from its beginning to its end.
    pub(crate) fn new<T>(name: &'static str, mut run: impl FnMut() -> Result<T> + 'a) -> Self {
        Self::timed(name, move || watched(&mut run))
    }
}

/// What was measured so far.
pub(crate) struct Report {
    rounds: usize,
    groups: Vec<Group>,
    facts: Vec<String>,
}

/// Comparisons that belong together.
struct Group {
    name: String,
    rows: Vec<[String; 5]>,
}

impl Report {
    /// An empty report.
    pub(crate) fn new(rounds: usize) -> Self {
        Self {
            rounds,
            groups: Vec::new(),
            facts: Vec::new(),
        }
    }

    /// Says on standard error what runs now; what follows is told under this name.
    pub(crate) fn begin(&mut self, group: &str) {
        say(&format!("{group} …"));
        self.groups.push(Group {
            name: group.to_owned(),
            rows: Vec::new(),
        });
    }

    /// Compares the sides of a job; the first one is Mica's own.
    pub(crate) fn compare(&mut self, job: &str, sides: Vec<Side<'_>>) -> Result<()> {
        self.compare_at_most(self.rounds, job, sides)
    }

    /// Compares sides that leave something behind in each round, of which only so much has room.
    pub(crate) fn compare_at_most(
        &mut self,
        rounds: usize,
        job: &str,
        mut sides: Vec<Side<'_>>,
    ) -> Result<()> {
        let rounds = self.rounds.min(rounds);
        let mut spent: Vec<Vec<Spent>> = sides.iter().map(|_| Vec::new()).collect();
        // The first round warms the caches up and does not count.
        for round in 0..=rounds {
            // Whoever runs second waits for the disk to write what the first one has left, so the order turns each time.
            let mut turn: Vec<_> = sides.iter_mut().zip(&mut spent).collect();
            if round % 2 == 1 {
                turn.reverse();
            }
            for (side, spent) in turn {
                let took = (side.run)()?;
                if round > 0 {
                    spent.push(took);
                }
            }
        }
        let sides: Vec<_> = sides
            .iter()
            .zip(&spent)
            .map(|(side, spent)| (side.name.to_owned(), typical(spent)))
            .collect();
        self.add(job, &sides);
        Ok(())
    }

    /// Adds a comparison by what its sides took; the first one is Mica's own.
    pub(crate) fn add(&mut self, job: &str, sides: &[(String, Spent)]) {
        let own = sides.first().map(|(_, spent)| *spent).unwrap_or_default();
        let Some(group) = self.groups.last_mut() else {
            return;
        };
        let mut line = format!("  {job}:");
        for (place, (side, spent)) in sides.iter().enumerate() {
            let ratio = own.wall.as_secs_f64() / spent.wall.as_secs_f64().max(1e-12);
            let comma = if place == 0 { "" } else { "," };
            let _written = write!(line, "{comma} {side} {} ({ratio:.2})", duration(spent.wall));
            let processor = match spent.processor {
                little if little < LEAST_PROCESSOR => String::new(),
                much => duration(much),
            };
            group.rows.push([
                if place == 0 { job } else { "" }.to_owned(),
                side.clone(),
                duration(spent.wall),
                format!("{ratio:.2}"),
                processor,
            ]);
        }
        say(&line);
    }

    /// Tells something that is not a comparison.
    pub(crate) fn tell(&mut self, fact: String) {
        self.facts.push(fact);
    }

    /// Prints everything.
    #[expect(clippy::print_stdout, reason = "the report is what was asked for")]
    pub(crate) fn print(&self) {
        println!(
            "TIME: median of {} runs in turns (layers as archives: of 6 at most; peers: of their own count). MICA / SIDE: below 1.00 Mica is faster.\n\
             CPU: user and system time of all processes of a side, mean of the runs; empty below a millisecond.",
            self.rounds
        );
        for group in self.groups.iter().filter(|group| !group.rows.is_empty()) {
            let mut table = Table::new();
            table.load_style(comfy_table::presets::NOTHING);
            table.set_header(["JOB", "SIDE", "TIME", "MICA / SIDE", "CPU"]);
            for row in &group.rows {
                table.add_row(row);
            }
            println!("\n{}\n{table}", group.name.to_uppercase());
        }
        println!();
        for fact in &self.facts {
            println!("{fact}");
        }
    }
}

/// Tells on standard error how far it is: a long run that is ended early has told what it found.
#[expect(clippy::print_stderr, reason = "a person waits")]
fn say(line: &str) {
    eprintln!("{line}");
}

/// The median by the clock, and the mean by the processors, which are counted too coarsely for a median.
pub(crate) fn typical(spent: &[Spent]) -> Spent {
    let processor: Duration = spent.iter().map(|spent| spent.processor).sum();
    let count = u32::try_from(spent.len().max(1)).unwrap_or(u32::MAX);
    Spent {
        wall: median(spent.iter().map(|spent| spent.wall).collect()),
        processor: processor / count,
    }
}

/// The median of some times.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// A time with three figures.
pub(crate) fn duration(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    match micros {
        ..1e3 => format!("{micros:.1} µs"),
        ..1e6 => format!("{:.2} ms", micros / 1e3),
        _ => format!("{:.2} s", micros / 1e6),
    }
}
