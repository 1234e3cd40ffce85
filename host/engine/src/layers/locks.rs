//! Who works on which layer.
//!
//! Locks are taken in one order, all that an operation needs at once, so that no two operations wait for each other.
//! Whoever comes first is served first: a reader that comes after a waiting writer waits too. Everyone waits until
//! a deadline and no longer.
//!
//! Invariant: the mutex is held for a few map operations, never while anyone works or sleeps.

use crate::LayerId;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What can be locked. The order of the variants is the order of locking.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Key {
    /// A snapshot, by its key.
    Snapshot(Arc<str>),
    /// Whether and how a layer is mounted.
    Mount(LayerId),
    /// A layer.
    Layer(LayerId),
}

/// How something is locked; the weaker first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    /// Along with others that only read.
    Shared,
    /// Alone.
    Exclusive,
}

/// The locks of a store.
#[derive(Debug, Default)]
pub(crate) struct Locks {
    queues: Mutex<HashMap<Key, Queue>>,
}

/// One lock: who has it, and who waits for it.
#[derive(Debug, Default)]
struct Queue {
    shared: usize,
    is_exclusive: bool,
    waiting: VecDeque<u64>,
    next_ticket: u64,
    changed: Arc<Condvar>,
}

impl Queue {
    /// Says whether the first who waits may go on.
    fn admits(&self, mode: Mode) -> bool {
        !self.is_exclusive && (mode == Mode::Shared || self.shared == 0)
    }

    /// Wakes those who wait: to wake nobody costs a system call.
    fn tell(&self) {
        if !self.waiting.is_empty() {
            self.changed.notify_all();
        }
    }

    fn is_idle(&self) -> bool {
        !self.is_exclusive && self.shared == 0 && self.waiting.is_empty()
    }
}

/// Locks that are held; they are given back on drop.
#[derive(Debug)]
#[must_use = "the locks are given back when this goes"]
pub(crate) struct Held<'a> {
    locks: &'a Locks,
    keys: Vec<(Key, Mode)>,
}

impl Locks {
    /// Takes all of `wanted`, a key that is named twice in the stronger mode.
    ///
    /// # Errors
    /// The key that was not free until the time was over.
    pub(crate) fn acquire(
        &self,
        mut wanted: Vec<(Key, Mode)>,
        patience: Duration,
    ) -> Result<Held<'_>, Key> {
        // The stronger of two modes comes first and is the one that stays.
        wanted.sort_by(|a, b| (&a.0, b.1).cmp(&(&b.0, a.1)));
        wanted.dedup_by(|later, first| later.0 == first.0);
        let deadline = Instant::now() + patience;
        let mut held = Held {
            locks: self,
            keys: Vec::with_capacity(wanted.len()),
        };
        for (key, mode) in wanted {
            if !self.wait(&key, mode, deadline) {
                return Err(key);
            }
            held.keys.push((key, mode));
        }
        Ok(held)
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<Key, Queue>> {
        self.queues.lock()
    }

    /// Waits for one lock; says whether it was got.
    fn wait(&self, key: &Key, mode: Mode, deadline: Instant) -> bool {
        let mut queues = self.queues();
        let queue = queues.entry(key.clone()).or_default();
        let ticket = queue.next_ticket;
        queue.next_ticket += 1;
        queue.waiting.push_back(ticket);
        let changed = Arc::clone(&queue.changed);
        loop {
            // A queue stays while someone waits in it.
            let Some(queue) = queues.get_mut(key) else {
                return false;
            };
            let is_first = queue.waiting.front() == Some(&ticket);
            let left = deadline.saturating_duration_since(Instant::now());
            if is_first && queue.admits(mode) {
                queue.waiting.pop_front();
                match mode {
                    Mode::Shared => queue.shared += 1,
                    Mode::Exclusive => queue.is_exclusive = true,
                }
                queue.tell();
                return true;
            }
            if left.is_zero() {
                queue.waiting.retain(|other| *other != ticket);
                queue.tell();
                return false;
            }
            changed.wait_for(&mut queues, left);
        }
    }

    fn release(&self, key: &Key, mode: Mode) {
        let mut queues = self.queues();
        let Some(queue) = queues.get_mut(key) else {
            return;
        };
        match mode {
            Mode::Shared => queue.shared = queue.shared.saturating_sub(1),
            Mode::Exclusive => queue.is_exclusive = false,
        }
        queue.tell();
        if queue.is_idle() {
            queues.remove(key);
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        for (key, mode) in self.keys.drain(..).rev() {
            self.locks.release(&key, mode);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const LONG: Duration = Duration::from_secs(20);
    const NONE: Duration = Duration::ZERO;

    fn key(id: &str) -> Key {
        Key::Layer(LayerId::parse(id).unwrap())
    }

    #[test]
    fn readers_share_and_writers_do_not() {
        let locks = Locks::default();
        let first = locks.acquire(vec![(key("a"), Mode::Shared)], NONE).unwrap();
        let second = locks.acquire(vec![(key("a"), Mode::Shared)], NONE).unwrap();
        assert_eq!(
            locks
                .acquire(vec![(key("a"), Mode::Exclusive)], NONE)
                .unwrap_err(),
            key("a")
        );
        drop((first, second));
        let alone = locks
            .acquire(vec![(key("a"), Mode::Exclusive)], NONE)
            .unwrap();
        assert!(locks.acquire(vec![(key("a"), Mode::Shared)], NONE).is_err());
        drop(alone);
        assert!(locks.queues().is_empty());
    }

    #[test]
    fn different_layers_do_not_wait_for_each_other() {
        let locks = Locks::default();
        let _a = locks
            .acquire(vec![(key("a"), Mode::Exclusive)], NONE)
            .unwrap();
        let _b = locks
            .acquire(vec![(key("b"), Mode::Exclusive)], NONE)
            .unwrap();
    }

    #[test]
    fn a_key_named_twice_is_taken_once_in_the_stronger_mode() {
        let locks = Locks::default();
        let held = locks
            .acquire(
                vec![(key("a"), Mode::Shared), (key("a"), Mode::Exclusive)],
                NONE,
            )
            .unwrap();
        assert_eq!(held.keys, [(key("a"), Mode::Exclusive)]);
    }

    #[test]
    fn what_was_taken_is_given_back_when_a_later_key_is_not_free() {
        let locks = Locks::default();
        let b = locks
            .acquire(vec![(key("b"), Mode::Exclusive)], NONE)
            .unwrap();
        assert!(
            locks
                .acquire(
                    vec![(key("a"), Mode::Exclusive), (key("b"), Mode::Shared)],
                    NONE
                )
                .is_err()
        );
        let _a = locks
            .acquire(vec![(key("a"), Mode::Exclusive)], NONE)
            .unwrap();
        drop(b);
    }

    #[test]
    fn a_reader_does_not_overtake_a_waiting_writer() {
        let locks = Locks::default();
        let reader = locks.acquire(vec![(key("a"), Mode::Shared)], NONE).unwrap();
        let (order, served) = mpsc::channel();
        std::thread::scope(|scope| {
            let writer_order = order.clone();
            scope.spawn(|| {
                let held = locks
                    .acquire(vec![(key("a"), Mode::Exclusive)], LONG)
                    .unwrap();
                writer_order.send("writer").unwrap();
                drop((held, writer_order));
            });
            while locks
                .queues()
                .get(&key("a"))
                .is_none_or(|queue| queue.waiting.is_empty())
            {
                std::thread::yield_now();
            }
            assert!(locks.acquire(vec![(key("a"), Mode::Shared)], NONE).is_err());
            scope.spawn(|| {
                let held = locks.acquire(vec![(key("a"), Mode::Shared)], LONG).unwrap();
                order.send("reader").unwrap();
                drop((held, order));
            });
            while locks
                .queues()
                .get(&key("a"))
                .is_none_or(|queue| queue.waiting.len() < 2)
            {
                std::thread::yield_now();
            }
            drop(reader);
        });
        assert_eq!(served.iter().collect::<Vec<_>>(), ["writer", "reader"]);
    }

    #[test]
    fn many_threads_over_few_layers_all_come_to_an_end() {
        let locks = Locks::default();
        let inside: Vec<Mutex<()>> = (0..3).map(|_| Mutex::new(())).collect();
        std::thread::scope(|scope| {
            for seed in 0..8_usize {
                let (locks, inside) = (&locks, &inside);
                scope.spawn(move || {
                    for round in 0..200 {
                        let (a, b) = ((seed + round) % 3, (seed * 7 + round * 5) % 3);
                        let wanted = vec![
                            (key(&a.to_string()), Mode::Exclusive),
                            (key(&b.to_string()), Mode::Shared),
                        ];
                        let _held = locks.acquire(wanted, LONG).unwrap();
                        drop(
                            inside[a]
                                .try_lock()
                                .expect("whoever has it exclusively is alone"),
                        );
                    }
                });
            }
        });
        assert!(locks.queues().is_empty());
    }
}
