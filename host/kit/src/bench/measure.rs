//! What one operation took, and what is told of many.
//!
//! Invariant: medians, which one slow run cannot move.

use super::report::Spread;
use crate::stage::{Stage, Step};
use mica_sys::process_cpu_time;
use std::time::{Duration, Instant};

/// What an operation took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// By the clock.
    wall: Duration,
    /// Of this process: the driver, the engine and the kernel for both.
    processor: Duration,
    host_calls: u64,
    memory_bytes: u64,
}

/// Measures one operation.
pub(super) fn sample<T>(stage: &Stage, work: impl FnOnce() -> Step<T>) -> Step<(Sample, T)> {
    let (calls, memory) = stage.amounts();
    let (processor, began) = (process_cpu_time(), Instant::now());
    let done = work()?;
    let wall = began.elapsed();
    let processor = process_cpu_time().saturating_sub(processor);
    let (calls_after, memory_after) = stage.amounts();
    let sample = Sample {
        wall,
        processor,
        host_calls: calls_after.saturating_sub(calls),
        memory_bytes: memory_after.saturating_sub(memory),
    };
    Ok((sample, done))
}

fn microseconds(time: Duration) -> u64 {
    // What took no whole one took some time all the same.
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1)
}

fn median(mut numbers: Vec<u64>) -> u64 {
    numbers.sort_unstable();
    numbers.get(numbers.len() / 2).copied().unwrap_or_default()
}

/// Of some samples: time by the clock, processor time in microseconds, host calls, and the most guest memory.
pub(super) fn told(samples: &[Sample]) -> (Spread, u64, u64, u64) {
    let walls: Vec<_> = samples.iter().map(|one| microseconds(one.wall)).collect();
    let processors = samples.iter().map(|one| microseconds(one.processor));
    let calls = samples.iter().map(|one| one.host_calls);
    let memory = samples.iter().map(|one| one.memory_bytes);
    let spread = Spread {
        least: walls.iter().copied().min().unwrap_or_default(),
        most: walls.iter().copied().max().unwrap_or_default(),
        median: median(walls),
    };
    (
        spread,
        median(processors.collect()),
        median(calls.collect()),
        memory.max().unwrap_or_default(),
    )
}

/// How many times as long as the other, in hundredths.
#[expect(
    clippy::cast_precision_loss,
    reason = "a ratio of times below weeks is for people"
)]
pub(super) fn ratio(own: u64, other: u64) -> f64 {
    let ratio = own as f64 / other.max(1) as f64;
    (ratio * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_run_moves_neither_median() {
        let sample = |wall: u64, processor: u64| Sample {
            wall: Duration::from_micros(wall),
            processor: Duration::from_micros(processor),
            host_calls: 7,
            memory_bytes: wall,
        };
        let (spread, processor, calls, memory) =
            told(&[sample(10, 5), sample(9000, 4000), sample(12, 6)]);
        let expected = Spread {
            median: 12,
            least: 10,
            most: 9000,
        };
        assert_eq!(spread, expected);
        assert_eq!((processor, calls, memory), (6, 7, 9000));
        assert_eq!(told(&[sample(0, 0)]).0.median, 1);
    }
}
