//! What took how long.
//!
//! Invariant: a step is told when it ends, whether it worked or not, and is in the table only if it worked.

use std::time::{Duration, Instant};

use crate::interrupt;
use crate::tell::{grouped, say};
use mica_client::{Column, Failure, table, words};

/// The steps until now.
#[derive(Debug)]
pub(crate) struct Timeline {
    begun: Instant,
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    at: Duration,
    subject: String,
    name: String,
    took: Duration,
    amount: Amount,
}

/// How much a step did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Amount {
    pub(crate) bytes: Option<u64>,
    pub(crate) entries: Option<u64>,
}

/// What a step gives: a value, and how much was done for it.
pub(crate) trait Measured {
    /// How much was done.
    fn amount(&self) -> Amount {
        Amount::default()
    }
}

impl Measured for () {}
impl Measured for String {}
impl Measured for std::path::PathBuf {}
impl Measured for serde_json::Value {
    fn amount(&self) -> Amount {
        let count = |name| self.get(name).and_then(serde_json::Value::as_u64);
        let changes = words::list(self, "changes");
        let entries = (!changes.is_empty()).then_some(changes.len() as u64);
        Amount {
            bytes: count("size_bytes"),
            entries: count("entries").or(entries),
        }
    }
}
impl Measured for Amount {
    fn amount(&self) -> Amount {
        *self
    }
}

impl Timeline {
    /// Begins now.
    pub(crate) fn start() -> Self {
        Self {
            begun: Instant::now(),
            steps: Vec::new(),
        }
    }

    /// Does a step, tells it and keeps how long it took.
    ///
    /// # Errors
    /// What the step says, and an interrupt before it.
    pub(crate) fn step<T: Measured>(
        &mut self,
        subject: &str,
        name: &str,
        work: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        interrupt::check()?;
        let (at, begun) = (self.begun.elapsed(), Instant::now());
        let done = work();
        let took = begun.elapsed();
        match &done {
            Ok(value) => {
                let step = Step {
                    at,
                    subject: subject.to_owned(),
                    name: name.to_owned(),
                    took,
                    amount: value.amount(),
                };
                if subject != "daemon" {
                    say(&step.line());
                }
                self.steps.push(step);
            }
            Err(_) => say(&format!("  failed  {name}")),
        }
        // A step that ends because of a signal says something odd; the signal is the reason.
        if done.is_err() {
            interrupt::check()?;
        }
        done
    }

    /// All steps, with rates.
    pub(crate) fn table(&self) -> String {
        let rows = self.steps.iter().map(|step| {
            let mut row = vec![
                format!("{:.2} s", step.at.as_secs_f64()),
                step.subject.clone(),
                step.name.clone(),
                words::duration(step.took),
            ];
            row.extend(step.amount.words(step.took));
            row
        });
        let columns = [
            Column::Number("at"),
            Column::Text("who"),
            Column::Text("step"),
            Column::Number("took"),
            Column::Number("size"),
            Column::Number("MB/s"),
            Column::Number("entries"),
            Column::Number("entries/s"),
        ];
        let total = format!("{:.2} s in all", self.begun.elapsed().as_secs_f64());
        format!("{}\n{total}", table(&columns, rows.collect()))
    }
}

impl Step {
    fn line(&self) -> String {
        let [size, rate, entries, entry_rate] = self.amount.words(self.took);
        let mut notes = Vec::new();
        if !size.is_empty() {
            notes.push(format!("{size} at {rate} MB/s"));
        }
        if !entries.is_empty() {
            notes.push(format!("{entries} entries at {entry_rate}/s"));
        }
        let line = format!(
            "  {:44} {:>9}  {}",
            self.name,
            words::duration(self.took),
            notes.join(", ")
        );
        line.trim_end().to_owned()
    }
}

impl Amount {
    /// Bytes, megabytes a second, entries, entries a second; empty where there are none.
    fn words(self, took: Duration) -> [String; 4] {
        let micros = took.as_micros().max(1);
        let per_second =
            |count: u64| u64::try_from(u128::from(count) * 1_000_000 / micros).unwrap_or(u64::MAX);
        let (bytes, entries) = (self.bytes.filter(|count| *count > 0), self.entries);
        let megabytes = |count: u64| {
            let tenths = per_second(count) / 100_000;
            format!("{}.{}", tenths / 10, tenths % 10)
        };
        [
            bytes.map(words::bytes).unwrap_or_default(),
            bytes.map(megabytes).unwrap_or_default(),
            entries.map(grouped).unwrap_or_default(),
            entries
                .map(|count| grouped(per_second(count)))
                .unwrap_or_default(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_the_time_that_it_took() {
        let amount = Amount {
            bytes: Some(50_000_000),
            entries: Some(3000),
        };
        assert_eq!(
            amount.words(Duration::from_millis(500)),
            ["50.0 MB", "100.0", "3,000", "6,000"]
        );
        assert_eq!(Amount::default().words(Duration::ZERO), ["", "", "", ""]);
    }
}
