//! What drivers that break are kept from.
//!
//! A fault counts for the layer whose operation it ended, for the store, and for the driver, in this order: the layer
//! that makes a driver break is refused alone, then all that the store asks of it, and only when several stores made
//! it break nobody may call it any more. The numbers are in `mica_runtime::Limits`.
//!
//! Invariant: only faults of the driver count, never refusals or others' mistakes: `mica_runtime::Culprit` decides.

use crate::Moment;
use crate::view::QuarantineView;
use mica_runtime::Limits;
use parking_lot::{Mutex, MutexGuard};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// Whose operation it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    /// The store.
    pub(crate) store: &'a str,
    /// The layer, if the operation is about one.
    pub(crate) layer: Option<&'a str>,
}

/// What is kept from calling a driver. The order is that of severity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kept {
    Layer(String, String),
    Store(String),
    Everyone,
}

impl Kept {
    /// All that an operation belongs to.
    fn all_of(subject: Subject<'_>) -> impl Iterator<Item = Self> {
        let store = subject.store.to_owned();
        let layer = subject.layer.map(str::to_owned);
        let layer = layer.map(|layer| Self::Layer(store.clone(), layer));
        layer
            .into_iter()
            .chain([Self::Store(store), Self::Everyone])
    }

    fn parts(&self) -> (Option<&str>, Option<&str>) {
        match self {
            Self::Layer(store, layer) => (Some(store), Some(layer)),
            Self::Store(store) => (Some(store), None),
            Self::Everyone => (None, None),
        }
    }

    /// Whether it is the store, or the layer of it that is meant; all if neither is.
    fn lies_in(&self, store: Option<&str>, layer: Option<&str>) -> bool {
        let (own_store, own_layer) = self.parts();
        store.is_none_or(|store| own_store == Some(store))
            && layer.is_none_or(|layer| own_layer == Some(layer))
    }
}

#[derive(Debug)]
struct Fault {
    at: Instant,
    store: String,
    layer: Option<String>,
}

/// When the faults of something are too many.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    window: Duration,
    layer_faults: usize,
    store_faults: usize,
    driver_stores: usize,
}

/// The faults of one driver, and what came of them.
#[derive(Debug)]
pub(crate) struct Quarantine {
    bounds: Bounds,
    record: Mutex<Record>,
}

#[derive(Debug, Default)]
struct Record {
    /// Those of the last minutes; there are few, for whatever makes many is kept from making more.
    faults: VecDeque<Fault>,
    kept: BTreeMap<Kept, QuarantineView>,
}

impl Record {
    fn count(&self, of: &Kept) -> usize {
        let (store, layer) = of.parts();
        let faults = self.faults.iter().filter(|fault| {
            store == Some(fault.store.as_str())
                && layer.is_none_or(|layer| fault.layer.as_deref() == Some(layer))
        });
        faults.count()
    }

    fn stores(&self) -> usize {
        let stores: BTreeSet<&str> = self.faults.iter().map(|fault| &*fault.store).collect();
        stores.len()
    }
}

impl Quarantine {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            bounds: Bounds {
                window: limits.fault_window(),
                layer_faults: limits.layer_faults,
                store_faults: limits.store_faults,
                driver_stores: limits.driver_stores,
            },
            record: Mutex::default(),
        }
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock()
    }

    /// Why an operation may not call the driver, if it may not.
    pub(crate) fn refusal(&self, subject: Subject<'_>) -> Option<QuarantineView> {
        let record = self.record();
        // The usual case, without making the keys.
        if record.kept.is_empty() {
            return None;
        }
        Kept::all_of(subject).find_map(|kept| record.kept.get(&kept).cloned())
    }

    /// All that is in force, the whole driver last.
    pub(crate) fn all(&self) -> Vec<QuarantineView> {
        self.record().kept.values().cloned().collect()
    }

    /// Notes a fault, and says what comes of it.
    pub(crate) fn fault(
        &self,
        now: Instant,
        subject: Subject<'_>,
        reason: &str,
    ) -> Vec<QuarantineView> {
        let mut record = self.record();
        record.faults.push_back(Fault {
            at: now,
            store: subject.store.to_owned(),
            layer: subject.layer.map(str::to_owned),
        });
        let window = self.bounds.window;
        let is_old = |fault: &Fault| now.duration_since(fault.at) > window;
        while record.faults.front().is_some_and(is_old) {
            record.faults.pop_front();
        }
        let mut new = Vec::new();
        for kept in Kept::all_of(subject) {
            let (count, most, of) = match &kept {
                Kept::Layer(..) => (record.count(&kept), self.bounds.layer_faults, "faults"),
                Kept::Store(_) => (record.count(&kept), self.bounds.store_faults, "faults"),
                Kept::Everyone => (
                    record.stores(),
                    self.bounds.driver_stores,
                    "stores with faults",
                ),
            };
            // What is in force keeps its first reason.
            if count < most || record.kept.contains_key(&kept) {
                continue;
            }
            let (store, layer) = kept.parts();
            let minutes = window.as_secs() / 60;
            let view = QuarantineView {
                store: store.map(str::to_owned),
                layer: layer.map(str::to_owned),
                since: Moment::now(),
                reason: format!("{count} {of} within {minutes} minutes, the last: {reason}"),
            };
            new.push(view.clone());
            record.kept.insert(kept, view);
        }
        new
    }

    /// Ends what is in force for a layer, a store with its layers, or everyone, and forgets the faults behind it.
    pub(crate) fn release(&self, store: Option<&str>, layer: Option<&str>) -> Vec<QuarantineView> {
        let mut record = self.record();
        record.faults.retain(|fault| {
            let is_meant = store.is_none_or(|store| fault.store == store)
                && layer.is_none_or(|layer| fault.layer.as_deref() == Some(layer));
            !is_meant
        });
        let (released, kept) = std::mem::take(&mut record.kept)
            .into_iter()
            .partition::<BTreeMap<_, _>, _>(|(kept, _)| kept.lies_in(store, layer));
        record.kept = kept;
        released.into_values().collect()
    }

    /// Begins anew: another build runs.
    pub(crate) fn lift(&self) {
        *self.record() = Record::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn of<'a>(store: &'a str, layer: &'a str) -> Subject<'a> {
        let layer = Some(layer).filter(|layer| !layer.is_empty());
        Subject { store, layer }
    }

    /// What comes of a fault: `store/layer`, `store`, or `everyone`.
    fn fault(quarantine: &Quarantine, at: Instant, store: &str, layer: &str) -> String {
        let new = quarantine.fault(at, of(store, layer), "boom");
        let words = new.iter().map(|view| match (&view.store, &view.layer) {
            (Some(store), Some(layer)) => format!("{store}/{layer}"),
            (Some(store), None) => store.clone(),
            (None, _) => "everyone".to_owned(),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    fn is_refused(quarantine: &Quarantine, store: &str, layer: &str) -> bool {
        quarantine.refusal(of(store, layer)).is_some()
    }

    #[test]
    fn a_layer_goes_first_then_its_store_and_the_driver_last() {
        let quarantine = Quarantine::new(&Limits::default());
        let now = Instant::now();
        assert_eq!(fault(&quarantine, now, "a", "1"), "");
        assert_eq!(fault(&quarantine, now, "a", "1"), "a/1");
        assert!(is_refused(&quarantine, "a", "1") && !is_refused(&quarantine, "a", "2"));
        assert_eq!(fault(&quarantine, now, "a", "2"), "a");
        assert!(is_refused(&quarantine, "a", "") && !is_refused(&quarantine, "b", "1"));
        assert_eq!(fault(&quarantine, now, "b", "1"), "");
        assert!(!is_refused(&quarantine, "b", "1") && !is_refused(&quarantine, "c", ""));
        assert_eq!(fault(&quarantine, now, "c", ""), "everyone");
        assert!(is_refused(&quarantine, "d", "1"));
        let all = quarantine.all();
        assert_eq!(all.len(), 3);
        assert!(
            all.iter()
                .all(|view| view.reason.ends_with("the last: boom"))
        );
    }

    #[test]
    fn faults_that_are_long_ago_do_not_count() {
        let quarantine = Quarantine::new(&Limits::default());
        let start = Instant::now();
        assert_eq!(fault(&quarantine, start, "a", "1"), "");
        assert_eq!(fault(&quarantine, start + MINUTE, "a", "2"), "");
        assert_eq!(fault(&quarantine, start + 11 * MINUTE, "a", "1"), "");
        assert_eq!(fault(&quarantine, start + 12 * MINUTE, "a", "1"), "a/1");
        assert_eq!(fault(&quarantine, start + 12 * MINUTE, "a", ""), "a");
    }

    #[test]
    fn a_release_ends_what_it_names_and_begins_to_count_anew() {
        let now = Instant::now();
        let broken = || {
            let quarantine = Quarantine::new(&Limits::default());
            for (store, layer) in [
                ("a", "1"),
                ("a", "1"),
                ("a", "2"),
                ("b", "1"),
                ("b", "1"),
                ("c", "1"),
            ] {
                fault(&quarantine, now, store, layer);
            }
            quarantine
        };
        for (store, layer, count, refused) in [
            (Some("a"), Some("1"), 1, "a/3 b/1 d/1"),
            (Some("a"), None, 2, "a/1 b/1 d/1"),
            (Some("d"), None, 0, "a/1 b/1 d/1"),
            (None, None, 4, ""),
        ] {
            let quarantine = broken();
            assert_eq!(quarantine.release(store, layer).len(), count);
            for pair in refused.split_whitespace() {
                let (store, layer) = pair.split_once('/').unwrap();
                assert!(is_refused(&quarantine, store, layer), "{pair}");
            }
            if refused.is_empty() {
                assert!(quarantine.all().is_empty());
                assert_eq!(fault(&quarantine, now, "a", "1"), "");
            }
        }
    }

    #[test]
    fn another_build_begins_anew() {
        let quarantine = Quarantine::new(&Limits::default());
        let now = Instant::now();
        fault(&quarantine, now, "a", "1");
        assert_eq!(fault(&quarantine, now, "a", "1"), "a/1");
        quarantine.lift();
        assert!(!is_refused(&quarantine, "a", "1"));
        assert_eq!(fault(&quarantine, now, "a", "1"), "");
    }
}
