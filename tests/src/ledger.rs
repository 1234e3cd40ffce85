//! What clients were answered, to see after a kill or a power cut whether it is true.
//!
//! Invariant: what is asked for is noted before it is sent, and an answer after it has come, so that nothing can be true that no note
//! allows.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

use serde_json::json;

use crate::archive::archive;
use crate::client::{Against, Store, sort};
use crate::history::seen;
use crate::http::Body;

/// The layers that [`prepare`] makes.
pub const FIRST: [&str; 3] = ["base", "empty", "full"];

/// What a client knows of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Asked for, no answer.
    Perhaps,
    /// There, empty.
    Created,
    /// There; whether the archive is in it is not known.
    PerhapsApplied,
    /// There with the archive.
    Applied,
    /// Asked to go, no answer.
    PerhapsRemoved,
    /// Gone.
    Removed,
}

/// Tells where in time something is.
type Clock = Box<dyn Fn() -> u64 + Send + Sync>;

/// What the clients know of each layer, and since when.
pub struct Ledger {
    notes: Mutex<Vec<(u64, String, Known)>>,
    clock: Clock,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.known()).finish()
    }
}

impl Default for Ledger {
    /// All notes have one time.
    fn default() -> Self {
        Self::by(Box::new(|| 0))
    }
}

impl Ledger {
    /// Notes have the times of a clock.
    pub fn by(clock: Clock) -> Self {
        let notes = Mutex::default();
        Self { notes, clock }
    }

    /// Writes down what is known of a layer from now on.
    pub fn note(&self, id: &str, known: Known) {
        let note = ((self.clock)(), id.to_owned(), known);
        self.notes.lock().expect("a ledger").push(note);
    }

    /// What is known in the end, by id.
    pub fn known(&self) -> BTreeMap<String, Known> {
        self.known_at(u64::MAX)
    }

    /// What was known at a time, by id.
    pub fn known_at(&self, time: u64) -> BTreeMap<String, Known> {
        let notes = self.notes.lock().expect("a ledger");
        let until = notes.iter().filter(|(noted, ..)| *noted <= time);
        until.map(|(_, id, known)| (id.clone(), *known)).collect()
    }
}

/// How layers look.
#[derive(Debug)]
pub struct Looks {
    /// With the archive.
    pub full: String,
    /// Without it.
    pub empty: String,
}

/// An archive of more than one block.
pub fn content() -> Vec<u8> {
    let files: String = (0..30)
        .map(|number| format!("f dir/f{number} fill=5000\n"))
        .collect();
    archive(&format!(
        "d dir\n{files}h dir/hard to=dir/f0\nl link to=dir"
    ))
}

/// Makes the first layers: a base, and on it one that stays empty and one with the archive.
pub fn prepare(store: &Store, content: &[u8]) -> Looks {
    for id in FIRST {
        let parent = (id != "base").then_some("base");
        store.create(id, parent).expect("create");
    }
    store.apply("full", content).expect("apply");
    let [full, empty] = ["full", "empty"].map(|id| seen(store, id));
    assert_ne!(full, empty);
    Looks { full, empty }
}

/// Creates layers with these numbers, fills and removes most of them, until the daemon is gone.
pub fn work(
    store: &Store,
    ledger: &Ledger,
    worker: usize,
    numbers: impl Iterator<Item = u32>,
    content: &[u8],
) {
    for number in numbers {
        let id = format!("w{worker}-{number}");
        let removes = number % 3 == 1;
        let is_well = match number % 4 {
            3 => created(store, ledger, &id),
            _ => {
                created(store, ledger, &id)
                    && filled(store, ledger, &id, content)
                    && (!removes || removed(store, ledger, &id))
            }
        };
        if !is_well {
            return;
        }
    }
}

/// One life of a layer called `one`, or a part of it if the daemon goes.
pub fn one_life(store: &Store, ledger: &Ledger, content: &[u8]) {
    let _done = created(store, ledger, "one")
        && filled(store, ledger, "one", content)
        && removed(store, ledger, "one");
}

fn created(store: &Store, ledger: &Ledger, id: &str) -> bool {
    ledger.note(id, Known::Perhaps);
    let request = json!({ "id": id, "parent": "base" });
    let target = format!("/v1/stores/{}/layers", store.name);
    let is_done = done(store, "POST", &target, Body::Json(&request));
    if is_done {
        ledger.note(id, Known::Created);
    }
    is_done
}

fn filled(store: &Store, ledger: &Ledger, id: &str, content: &[u8]) -> bool {
    ledger.note(id, Known::PerhapsApplied);
    let target = store.target(id, "/diff");
    let is_done = done(store, "PUT", &target, Body::Bytes(content));
    if is_done {
        ledger.note(id, Known::Applied);
    }
    is_done
}

fn removed(store: &Store, ledger: &Ledger, id: &str) -> bool {
    ledger.note(id, Known::PerhapsRemoved);
    let is_done = done(store, "DELETE", &store.target(id, ""), Body::Empty);
    if is_done {
        ledger.note(id, Known::Removed);
    }
    is_done
}

/// Whether a call was answered, and well; false if the daemon is gone.
fn done(store: &Store, method: &str, target: &str, body: Body<'_>) -> bool {
    match store.client.try_send(method, target, body) {
        Ok(response) if response.complete => {
            sort(response).unwrap_or_else(|problem| panic!("{method} {target}: {problem:?}"));
            true
        }
        _ => false,
    }
}

/// Checks that what is known is true, and that nothing else is there.
#[track_caller]
pub fn check(store: &Store, known: &BTreeMap<String, Known>, looks: &Looks) {
    let Looks { full, empty } = looks;
    let ids = store.ids();
    for id in FIRST {
        assert!(ids.iter().any(|there| there == id), "`{id}` is lost");
    }
    for (id, known) in known {
        let there = ids.contains(id);
        match known {
            Known::Created | Known::PerhapsApplied | Known::Applied => {
                assert!(there, "`{id}` is lost: {known:?}")
            }
            Known::Removed => assert!(!there, "`{id}` is back"),
            Known::Perhaps | Known::PerhapsRemoved => {}
        }
        if !there {
            continue;
        }
        let tree = seen(store, id);
        match known {
            Known::Perhaps | Known::Created => assert_eq!(tree, *empty, "{id}"),
            Known::Applied | Known::PerhapsRemoved => assert_eq!(tree, *full, "{id}"),
            Known::PerhapsApplied => assert!(
                tree == *full || tree == *empty,
                "`{id}` is there by half:\n{tree}"
            ),
            Known::Removed => {}
        }
        let diff = store.diff(id, Against::Parent);
        diff.unwrap_or_else(|problem| panic!("{id}: {problem:?}"));
    }
    let is_known = |id: &&String| known.contains_key(*id) || FIRST.contains(&id.as_str());
    let stranger = ids.iter().find(|id| !is_known(id));
    assert_eq!(stranger, None, "it came from nowhere");
}
