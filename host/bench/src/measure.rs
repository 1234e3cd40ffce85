//! Taking turns and telling ratios.
//!
//! Invariant: the sides of a comparison alternate, so that whatever disturbs the machine disturbs all of them.

use anyhow::Result;
use comfy_table::Table;
use std::time::{Duration, Instant};

/// One way to do a job: what is called it, and a run of it, which tells how long the part that counts took.
pub(crate) struct Side<'a> {
    name: &'static str,
    run: Box<dyn FnMut() -> Result<Duration> + 'a>,
}

impl<'a> Side<'a> {
    /// A side that tells its own time.
    pub(crate) fn timed(name: &'static str, run: impl FnMut() -> Result<Duration> + 'a) -> Self {
        let run = Box::new(run);
        Self { name, run }
    }

    /// A side that is measured from its beginning to its end.
    pub(crate) fn new<T>(name: &'static str, mut run: impl FnMut() -> Result<T> + 'a) -> Self {
        Self::timed(name, move || {
            let started = Instant::now();
            let done = run()?;
            let took = started.elapsed();
            drop(done);
            Ok(took)
        })
    }
}

/// What was measured so far.
pub(crate) struct Report {
    rounds: usize,
    rows: Vec<Vec<String>>,
    facts: Vec<String>,
}

impl Report {
    /// An empty report.
    pub(crate) fn new(rounds: usize) -> Self {
        Self {
            rounds,
            rows: Vec::new(),
            facts: Vec::new(),
        }
    }

    /// Says on standard error what runs now.
    #[expect(clippy::print_stderr, reason = "a person waits")]
    pub(crate) fn begin(&self, job: &str) {
        eprintln!("{job} …");
    }

    /// Compares the sides of a job; the first one is Mica's own.
    pub(crate) fn compare(&mut self, job: &str, mut sides: Vec<Side<'_>>) -> Result<()> {
        let mut times: Vec<Vec<Duration>> = sides.iter().map(|_| Vec::new()).collect();
        // The first round warms the caches up and does not count.
        for round in 0..=self.rounds {
            // Whoever runs second waits for the disk to write what the first one has left, so the order turns each time.
            let mut turn: Vec<_> = sides.iter_mut().zip(&mut times).collect();
            if round % 2 == 1 {
                turn.reverse();
            }
            for (side, times) in turn {
                let took = (side.run)()?;
                if round > 0 {
                    times.push(took);
                }
            }
        }
        let medians = sides
            .iter()
            .zip(times)
            .map(|(side, times)| (side.name.to_owned(), median(times)));
        self.add(job, &medians.collect::<Vec<_>>());
        Ok(())
    }

    /// Adds a comparison by the medians of its sides; the first one is Mica's own.
    pub(crate) fn add(&mut self, job: &str, medians: &[(String, Duration)]) {
        let own = medians.first().map(|(_, time)| *time).unwrap_or_default();
        for (place, (side, time)) in medians.iter().enumerate() {
            let ratio = own.as_secs_f64() / time.as_secs_f64().max(1e-12);
            self.rows.push(vec![
                if place == 0 { job } else { "" }.to_owned(),
                side.clone(),
                duration(*time),
                format!("{ratio:.2}"),
            ]);
        }
    }

    /// Tells something that is not a comparison.
    pub(crate) fn tell(&mut self, fact: String) {
        self.facts.push(fact);
    }

    /// Prints everything.
    #[expect(clippy::print_stdout, reason = "the report is what was asked for")]
    pub(crate) fn print(&self) {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_header(["JOB", "SIDE", "MEDIAN", "MICA / SIDE"]);
        for row in &self.rows {
            table.add_row(row);
        }
        if !self.rows.is_empty() {
            println!(
                "{table}\n\nmedians of {} runs in turns (peers: of their own count); below 1.00 Mica is faster",
                self.rounds
            );
        }
        for fact in &self.facts {
            println!("{fact}");
        }
    }
}

/// The median of some times.
pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
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
