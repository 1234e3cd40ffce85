//! How often a number was how large.
//!
//! Invariant: noting one takes no lock and no memory.

use std::sync::atomic::{AtomicU64, Ordering};

/// Upper bounds of times in microseconds: an answer from memory takes tens of them, a copy of a large tree minutes.
pub(crate) const MICROSECONDS: &[u64] = &[
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
];
/// Upper bounds of host calls: a mount takes some ten, a large archive some for each entry.
pub(crate) const HOST_CALLS: &[u64] = &[
    10, 20, 50, 100, 200, 500, 1_000, 10_000, 100_000, 1_000_000, 10_000_000,
];
/// Upper bounds of guest memory in bytes: drivers in Rust have one or two MiB, interpreters tens.
pub(crate) const MEMORY_BYTES: &[u64] = &[
    1 << 20,
    2 << 20,
    4 << 20,
    8 << 20,
    16 << 20,
    32 << 20,
    64 << 20,
    128 << 20,
    256 << 20,
    512 << 20,
];

/// Counts numbers by their size.
#[derive(Debug)]
pub(crate) struct Histogram {
    bounds: &'static [u64],
    /// One for each bound, and one for what is above all of them.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// What a histogram has counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    /// Upper bounds, inclusive, in rising order.
    pub bounds: &'static [u64],
    /// Numbers up to each bound and above the one before; the last are those above all.
    pub counts: Vec<u64>,
    /// All numbers together.
    pub sum: u64,
}

impl Histogram {
    pub(crate) fn new(bounds: &'static [u64]) -> Self {
        Self {
            bounds,
            counts: (0..=bounds.len()).map(|_| AtomicU64::default()).collect(),
            sum: AtomicU64::default(),
        }
    }

    /// Counts a number.
    pub(crate) fn note(&self, number: u64) {
        let place = self.bounds.partition_point(|bound| *bound < number);
        if let Some(count) = self.counts.get(place) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(number, Ordering::Relaxed);
    }

    pub(crate) fn told(&self) -> Distribution {
        let counts = self.counts.iter();
        Distribution {
            bounds: self.bounds,
            counts: counts.map(|count| count.load(Ordering::Relaxed)).collect(),
            sum: self.sum.load(Ordering::Relaxed),
        }
    }
}
