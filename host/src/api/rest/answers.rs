//! Answers that are kept for clients that did not get them.
//!
//! A client that lost its connection does not know whether its request was carried out. If the request had an `Idempotency-Key`, it asks
//! again with the same key and gets the answer of the first time. Only answers that say that something was done are kept: a request that
//! was refused or failed has changed nothing, so it is carried out again.
//!
//! A key belongs to whoever used it: to root, to a user, or to an address. How many keys one client may have is counted as its
//! connections are, so that nobody is in the way of others.
//!
//! Invariant: a key is worked on once at a time; the memory for all answers is bounded, whatever clients do.

use crate::api::share::Client;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
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
    known: HashMap<Arc<Name>, Known>,
    clients: HashMap<Client, Own>,
    /// Keys with an answer, and since when they have it; the oldest first.
    kept: BTreeMap<u64, (Instant, Client, Arc<Name>)>,
    last: u64,
}

/// Whose a key is: all processes of root have the same ones, because a program that asks again may be another process.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Owner {
    Root,
    User(u32),
    Address(IpAddr),
}

/// A key, and whose it is.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Name(Owner, Box<str>);

/// What one client has of the table.
#[derive(Debug, Default)]
struct Own {
    running: usize,
    /// Its answers, the oldest first.
    kept: BTreeSet<u64>,
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
    /// Its body; none if that was too long to be kept.
    pub(super) body: Option<Bytes>,
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
    /// So many requests with keys are carried out, for this client or at all, that there is no room for one more.
    Full,
}

/// The right to carry out the request of a key. Until it is dropped nobody else has it.
#[derive(Debug)]
pub(super) struct Turn {
    answers: Arc<Answers>,
    client: Client,
    name: Arc<Name>,
}

impl Answers {
    /// Room for `most` keys, half of them for one client, each for `keep` after its answer.
    pub(crate) fn new(most: usize, keep: Duration) -> Arc<Self> {
        Arc::new(Self {
            table: Mutex::default(),
            most,
            keep,
        })
    }

    /// Looks for a key that comes from a client with a request whose head has this digest.
    pub(super) fn find(self: &Arc<Self>, client: Client, key: &str, head: Digest) -> Found {
        let name = Arc::new(Name(Owner::of(client), key.into()));
        let mut table = self.table.lock();
        while let Some((number, (since, ..))) = table.kept.first_key_value()
            && since.elapsed() >= self.keep
        {
            let number = *number;
            table.forget(number);
        }
        if let Some(known) = table.known.get(&name) {
            return match &known.answer {
                _ if known.head != head => Found::Other,
                Some(kept) => Found::Kept(kept.clone()),
                None => Found::Running,
            };
        }
        if !table.make_room(client, self.most) {
            return Found::Full;
        }
        let running = Known { head, answer: None };
        table.known.insert(Arc::clone(&name), running);
        table.clients.entry(client).or_default().running += 1;
        Found::New(Turn {
            answers: Arc::clone(self),
            client,
            name,
        })
    }
}

impl Owner {
    fn of(client: Client) -> Self {
        match client {
            Client::Process(_) | Client::User(0) => Self::Root,
            Client::User(user) => Self::User(user),
            Client::Address(address) => Self::Address(address),
        }
    }
}

impl Own {
    fn keys(&self) -> usize {
        self.running + self.kept.len()
    }
}

impl Table {
    /// Makes room for one more key of a client: first among its own answers, then among those of whoever has the most. Says whether
    /// there is room; what runs is not forgotten.
    fn make_room(&mut self, client: Client, most: usize) -> bool {
        let most_of_client = most.div_ceil(2);
        while let Some(own) = self.clients.get(&client)
            && own.keys() >= most_of_client
        {
            let Some(oldest) = own.kept.first().copied() else {
                return false;
            };
            self.forget(oldest);
        }
        while self.known.len() >= most {
            let clients = self.clients.values();
            let with_answers = clients.filter_map(|own| Some((own, *own.kept.first()?)));
            let greedy =
                with_answers.max_by_key(|(own, oldest)| (own.kept.len(), Reverse(*oldest)));
            let Some((_, oldest)) = greedy else {
                return false;
            };
            self.forget(oldest);
        }
        true
    }

    fn forget(&mut self, number: u64) {
        let Some((_, client, name)) = self.kept.remove(&number) else {
            return;
        };
        self.known.remove(&name);
        self.of_client(client, |own| {
            own.kept.remove(&number);
        });
    }

    /// Changes what a client has. One that has nothing is forgotten.
    fn of_client(&mut self, client: Client, change: impl FnOnce(&mut Own)) {
        let own = self.clients.entry(client).or_default();
        change(own);
        if own.keys() == 0 {
            self.clients.remove(&client);
        }
    }
}

impl Turn {
    /// Keeps the answer for whoever asks with the same key.
    pub(super) fn keep(self, answer: Kept) {
        let mut table = self.answers.table.lock();
        if let Some(known) = table.known.get_mut(&self.name) {
            known.answer = Some(answer);
            table.last += 1;
            let number = table.last;
            let kept = (Instant::now(), self.client, Arc::clone(&self.name));
            table.kept.insert(number, kept);
            table.of_client(self.client, |own| {
                own.kept.insert(number);
            });
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut table = self.answers.table.lock();
        let is_running = |known: &Known| known.answer.is_none();
        if table.known.get(&self.name).is_some_and(is_running) {
            table.known.remove(&self.name);
        }
        table.of_client(self.client, |own| {
            own.running = own.running.saturating_sub(1);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const ONE: Client = Client::User(1);

    fn kept(body: &'static str) -> Kept {
        Kept {
            asked: None,
            status: StatusCode::CREATED,
            headers: HeaderMap::new(),
            body: Some(Bytes::from_static(body.as_bytes())),
        }
    }

    fn turn(answers: &Arc<Answers>, client: Client, key: &str) -> Turn {
        match answers.find(client, key, [1; 32]) {
            Found::New(turn) => turn,
            other => panic!("{key}: {other:?}"),
        }
    }

    #[test]
    fn a_key_is_worked_on_once_and_its_answer_stays() {
        let answers = Answers::new(2, HOUR);
        let first = turn(&answers, ONE, "a");
        assert!(matches!(answers.find(ONE, "a", [1; 32]), Found::Running));
        assert!(matches!(answers.find(ONE, "a", [2; 32]), Found::Other));
        first.keep(kept("made"));
        let Found::Kept(again) = answers.find(ONE, "a", [1; 32]) else {
            panic!("it is not kept");
        };
        assert_eq!(again.body.unwrap(), "made");
        assert!(matches!(answers.find(ONE, "a", [2; 32]), Found::Other));
    }

    #[test]
    fn a_key_is_its_owners() {
        let answers = Answers::new(10, HOUR);
        turn(&answers, Client::Process(1), "a").keep(kept("root's"));
        let again = answers.find(Client::Process(2), "a", [1; 32]);
        assert!(matches!(again, Found::Kept(_)));
        drop(turn(&answers, ONE, "a"));
    }

    #[test]
    fn a_request_that_came_to_nothing_is_carried_out_again() {
        let answers = Answers::new(1, HOUR);
        drop(turn(&answers, ONE, "a"));
        turn(&answers, ONE, "a").keep(kept(""));
    }

    #[test]
    fn the_oldest_answer_makes_room_and_what_runs_does_not() {
        let answers = Answers::new(4, HOUR);
        turn(&answers, ONE, "a").keep(kept("a"));
        let running = turn(&answers, ONE, "b");
        turn(&answers, ONE, "c").keep(kept("c"));
        assert!(matches!(answers.find(ONE, "b", [1; 32]), Found::Running));
        let again = turn(&answers, ONE, "a");
        assert!(matches!(answers.find(ONE, "c", [1; 32]), Found::Full));
        drop((running, again));
        let table = answers.table.lock();
        assert!(table.known.is_empty() && table.clients.is_empty() && table.kept.is_empty());
    }

    #[test]
    fn one_client_is_not_in_the_way_of_others() {
        let answers = Answers::new(4, HOUR);
        let other = Client::User(2);
        turn(&answers, other, "a").keep(kept("other's"));
        for key in ["a", "b", "c", "d"] {
            turn(&answers, ONE, key).keep(kept("one's"));
        }
        let is_kept = |client, key| matches!(answers.find(client, key, [1; 32]), Found::Kept(_));
        assert!(is_kept(other, "a") && is_kept(ONE, "d") && is_kept(ONE, "c"));
        // Whoever has the most gives way to a third.
        let third: Vec<_> = ["a", "b"]
            .map(|key| turn(&answers, Client::User(3), key))
            .into();
        assert!(is_kept(other, "a") && is_kept(ONE, "d"));
        assert_eq!(answers.table.lock().known.len(), 4);
        drop(third);
    }

    #[test]
    fn an_answer_is_kept_for_a_time() {
        let answers = Answers::new(2, Duration::ZERO);
        turn(&answers, ONE, "a").keep(kept("a"));
        turn(&answers, ONE, "a").keep(kept("b"));
    }
}
