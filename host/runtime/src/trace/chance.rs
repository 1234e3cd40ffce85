//! What a guest can have from outside besides its host calls: numbers by chance, and the time.
//!
//! The numbers of an operation come from one seed, and what its clocks say is noted, so that a replay gives the same.
//!
//! Invariant: what is drawn is as good as the system's own to whoever does not have the trace.

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtxBuilder};

/// Readings of clocks that are noted.
const READINGS: usize = 4096;

/// What one operation draws. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Chance(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    drawn: Drawn,
    /// The reading that is next, if they are given rather than noted.
    next: Option<usize>,
    begun: Instant,
}

/// What was drawn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Drawn {
    pub(crate) seed: [u8; 32],
    /// What clocks said, in nanoseconds.
    pub(crate) readings: Vec<u64>,
    /// Whether there were more.
    pub(crate) is_cut: bool,
}

impl Chance {
    /// Draws anew.
    pub(crate) fn new() -> Self {
        let drawn = Drawn {
            seed: rand::random(),
            ..Drawn::default()
        };
        Self::of(drawn, None)
    }

    /// Gives what was drawn.
    pub(crate) fn again(drawn: Drawn) -> Self {
        Self::of(drawn, Some(0))
    }

    fn of(drawn: Drawn, next: Option<usize>) -> Self {
        Self(Arc::new(Mutex::new(State {
            drawn,
            next,
            begun: Instant::now(),
        })))
    }

    /// What was drawn so far.
    pub(crate) fn drawn(&self) -> Drawn {
        self.0.lock().drawn.clone()
    }

    /// Has a guest draw from it.
    pub(crate) fn give(&self, to: &mut WasiCtxBuilder) {
        let mut from = StdRng::from_seed(self.0.lock().drawn.seed);
        to.insecure_random_seed(from.random_seed())
            .insecure_random(StdRng::from_rng(&mut from))
            .secure_random(from)
            .wall_clock(Wall(self.clone()))
            .monotonic_clock(Monotonic(self.clone()));
    }

    fn read(&self, clock: impl FnOnce(Instant) -> Duration) -> Duration {
        let mut state = self.0.lock();
        if let Some(next) = state.next {
            let readings = &state.drawn.readings;
            let told = readings.get(next).or(readings.last()).copied();
            state.next = Some(next + 1);
            return Duration::from_nanos(told.unwrap_or(0));
        }
        let read = clock(state.begun);
        match state.drawn.readings.len() < READINGS {
            true => {
                let nanoseconds = u64::try_from(read.as_nanos()).unwrap_or(u64::MAX);
                state.drawn.readings.push(nanoseconds);
            }
            false => state.drawn.is_cut = true,
        }
        read
    }
}

/// Numbers for `insecure-seed`.
trait Seed {
    fn random_seed(&mut self) -> u128;
}

impl Seed for StdRng {
    fn random_seed(&mut self) -> u128 {
        u128::from(self.next_u64()) << 64 | u128::from(self.next_u64())
    }
}

struct Wall(Chance);

impl HostWallClock for Wall {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }
    fn now(&self) -> Duration {
        let since = |_| SystemTime::now().duration_since(UNIX_EPOCH);
        self.0.read(|begun| since(begun).unwrap_or_default())
    }
}

struct Monotonic(Chance);

impl HostMonotonicClock for Monotonic {
    fn resolution(&self) -> u64 {
        1
    }
    fn now(&self) -> u64 {
        let passed = self.0.read(|begun| begun.elapsed());
        u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX)
    }
}
