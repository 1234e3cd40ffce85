//! Answers that are kept for clients that did not get them.
//!
//! A client that lost its connection does not know whether its request was carried out. If the request had an `Idempotency-Key`, it asks
//! again with the same key and gets the answer of the first time. Only answers that say that something was done are kept: a request that
//! was refused or failed has changed nothing, so it is carried out again.
//!
//! Invariant: a key is worked on once at a time; the memory for all answers is bounded, whatever clients do.

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of the body of an answer that is kept: descriptions and reports have some hundreds.
pub(super) const KEPT_BYTES: u64 = 64 << 10;

/// A digest by SHA-256.
pub(super) type Digest = [u8; 32];

/// The answers of this daemon.
#[derive(Debug)]
pub(crate) struct Answers {
    table: Mutex<Table>,
    most: usize,
    keep: Duration,
}

#[derive(Debug, Default)]
struct Table {
    known: HashMap<Arc<str>, Known>,
    /// Keys with an answer, and since when they have it; the oldest first.
    kept: VecDeque<(Instant, Arc<str>)>,
}

#[derive(Debug)]
struct Known {
    head: Digest,
    /// None while the request is carried out.
    answer: Option<Kept>,
}

/// An answer that is kept.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    /// The digest of the request's body; none if the body was not read to its end.
    pub(super) asked: Option<Digest>,
    /// The status of the answer.
    pub(super) status: StatusCode,
    /// Its headers.
    pub(super) headers: HeaderMap,
    /// Its body.
    pub(super) body: Bytes,
}

/// What is known of a key.
#[derive(Debug)]
pub(super) enum Found {
    /// Nothing: whoever asks carries the request out.
    New(Turn),
    /// It was carried out.
    Kept(Kept),
    /// It is being carried out.
    Running,
    /// The key belongs to another request.
    Other,
    /// So many requests with keys are carried out that there is no room for one more.
    Full,
}

/// The right to carry out the request of a key. Until it is dropped nobody else has it.
#[derive(Debug)]
pub(super) struct Turn {
    answers: Arc<Answers>,
    key: Arc<str>,
}

impl Answers {
    /// Room for `most` keys, each for `keep` after its answer.
    pub(crate) fn new(most: usize, keep: Duration) -> Arc<Self> {
        Arc::new(Self {
            table: Mutex::default(),
            most,
            keep,
        })
    }

    /// Looks for a key that comes with a request whose head has this digest.
    pub(super) fn find(self: &Arc<Self>, key: &str, head: Digest) -> Found {
        let mut table = self.table.lock();
        table.forget_until(|kept, _| kept.elapsed() < self.keep);
        if let Some(known) = table.known.get(key) {
            return match &known.answer {
                _ if known.head != head => Found::Other,
                Some(kept) => Found::Kept(kept.clone()),
                None => Found::Running,
            };
        }
        let most = self.most;
        table.forget_until(|_, keys| keys < most);
        if table.known.len() >= most {
            return Found::Full;
        }
        let key: Arc<str> = key.into();
        let running = Known { head, answer: None };
        table.known.insert(Arc::clone(&key), running);
        Found::New(Turn {
            answers: Arc::clone(self),
            key,
        })
    }
}

impl Table {
    /// Forgets answers, the oldest first, until one may stay by its age and the number of all keys.
    fn forget_until(&mut self, may_stay: impl Fn(Instant, usize) -> bool) {
        while let Some((since, key)) = self.kept.front()
            && !may_stay(*since, self.known.len())
        {
            self.known.remove(key);
            self.kept.pop_front();
        }
    }
}

impl Turn {
    /// Keeps the answer for whoever asks with the same key.
    pub(super) fn keep(self, answer: Kept) {
        let mut table = self.answers.table.lock();
        if let Some(known) = table.known.get_mut(&self.key) {
            known.answer = Some(answer);
            table
                .kept
                .push_back((Instant::now(), Arc::clone(&self.key)));
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut table = self.answers.table.lock();
        let is_running = |known: &Known| known.answer.is_none();
        if table.known.get(&self.key).is_some_and(is_running) {
            table.known.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn kept(body: &'static str) -> Kept {
        Kept {
            asked: None,
            status: StatusCode::CREATED,
            headers: HeaderMap::new(),
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    fn turn(answers: &Arc<Answers>, key: &str) -> Turn {
        match answers.find(key, [1; 32]) {
            Found::New(turn) => turn,
            other => panic!("{key}: {other:?}"),
        }
    }

    #[test]
    fn a_key_is_worked_on_once_and_its_answer_stays() {
        let answers = Answers::new(2, HOUR);
        let first = turn(&answers, "a");
        assert!(matches!(answers.find("a", [1; 32]), Found::Running));
        assert!(matches!(answers.find("a", [2; 32]), Found::Other));
        first.keep(kept("made"));
        let Found::Kept(again) = answers.find("a", [1; 32]) else {
            panic!("it is not kept");
        };
        assert_eq!(again.body, "made");
        assert!(matches!(answers.find("a", [2; 32]), Found::Other));
    }

    #[test]
    fn a_request_that_came_to_nothing_is_carried_out_again() {
        let answers = Answers::new(1, HOUR);
        drop(turn(&answers, "a"));
        turn(&answers, "a").keep(kept(""));
    }

    #[test]
    fn the_oldest_answer_makes_room_and_what_runs_does_not() {
        let answers = Answers::new(2, HOUR);
        turn(&answers, "a").keep(kept("a"));
        let running = turn(&answers, "b");
        turn(&answers, "c").keep(kept("c"));
        assert!(matches!(answers.find("b", [1; 32]), Found::Running));
        let again = turn(&answers, "a");
        assert!(matches!(answers.find("c", [1; 32]), Found::Full));
        drop((running, again));
        assert!(answers.table.lock().known.is_empty());
    }

    #[test]
    fn an_answer_is_kept_for_a_time() {
        let answers = Answers::new(2, Duration::ZERO);
        turn(&answers, "a").keep(kept("a"));
        turn(&answers, "a").keep(kept("b"));
    }
}
