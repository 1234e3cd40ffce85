//! Layers that have settled, each with a quiet time of its own.
//!
//! Invariant: none waits for another, and none for ever.

use crate::LayerId;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long ago a layer has settled when its digests are taken: a build or a pull is not to be slowed down, and who mounts it
/// again and again would have it read each time.
const QUIET: Duration = Duration::from_secs(30);
/// How long a layer that settles again and again waits at most.
const MOST_QUIET: Duration = Duration::from_secs(5 * 60);
/// Layers that wait for their digests; a pass takes those of others.
const MOST_WAITING: usize = 10_000;

/// Layers that have settled and get digests.
#[derive(Debug, Default)]
pub(super) struct Settled(HashMap<(String, LayerId), Waiting>);

#[derive(Clone, Copy, Debug)]
struct Waiting {
    /// When the layer has settled the first time since its digests were taken.
    first: Instant,
    due: Instant,
}

impl Settled {
    /// A layer has settled, once more or the first time.
    pub(super) fn add(&mut self, store: &str, layer: &LayerId, now: Instant) {
        let key = (store.to_owned(), layer.clone());
        if self.0.len() >= MOST_WAITING && !self.0.contains_key(&key) {
            return;
        }
        let waiting = self.0.entry(key).or_insert(Waiting {
            first: now,
            due: now,
        });
        waiting.due = (now + QUIET).min(waiting.first + MOST_QUIET).max(now);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes a layer that has waited long enough; else how long the next one has to wait.
    pub(super) fn take(&mut self, now: Instant) -> Result<(String, LayerId), Option<Duration>> {
        let next = self.0.iter().min_by_key(|(_, waiting)| waiting.due);
        let Some((key, waiting)) = next.map(|(key, waiting)| (key.clone(), *waiting)) else {
            return Err(None);
        };
        match waiting.due.saturating_duration_since(now) {
            Duration::ZERO => {
                self.0.remove(&key);
                Ok(key)
            }
            left => Err(Some(left)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_waits_for_its_own_quiet_and_not_for_ever() {
        let (busy, other) = (
            LayerId::parse("busy").unwrap(),
            LayerId::parse("other").unwrap(),
        );
        let mut settled = Settled::default();
        let begin = Instant::now();
        assert_eq!(settled.take(begin), Err(None));
        settled.add("s", &other, begin);
        let step = QUIET / 2;
        for round in 0.. {
            let now = begin + step * round;
            if now >= begin + MOST_QUIET {
                break;
            }
            settled.add("s", &busy, now);
            match round {
                2 => assert_eq!(settled.take(now), Ok(("s".to_owned(), other.clone()))),
                _ => assert!(settled.take(now).is_err(), "{round}"),
            }
        }
        let key = ("s".to_owned(), busy);
        assert_eq!(settled.take(begin + MOST_QUIET), Ok(key));
        assert_eq!(settled.take(begin + MOST_QUIET), Err(None));
    }
}
