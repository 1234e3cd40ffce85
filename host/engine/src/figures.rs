//! What is measured, in numbers; and what keeps the daemon from serving.
//!
//! Invariant: nothing here waits for an operation or does work for each layer, but for walking what is mounted; the disk is asked
//! for the room of one file system.

use crate::bus::EventCounts;
use crate::drivers::Slot;
use crate::engine::Engine;
use crate::store::Store;
use crate::traffic::{DriverRow, OwnRow, SpanFigures};
use mica_sys::filesystem;
use std::sync::atomic::Ordering;

/// What is measured of the engine.
#[derive(Clone, Debug)]
pub struct Figures {
    /// By name.
    pub stores: Vec<StoreFigures>,
    /// By name.
    pub drivers: Vec<DriverFigures>,
    /// Events.
    pub events: EventCounts,
    /// Trees that wait for their deletion.
    pub trash_backlog: u64,
    /// Trees that cannot be deleted.
    pub undeletable: u64,
    /// What needs a person.
    pub problems: u64,
    /// Bytes of the root directory's file system, in all and free; `None` where it does not tell.
    pub room_bytes: Option<(u64, u64)>,
    /// Operations in the sandbox now.
    pub running: u64,
    /// Bytes of layers that were read since the start, to take or to compare digests.
    pub scrubbed_bytes: u64,
    /// Layers that were found damaged since the start.
    pub scrubbed_damaged: u64,
    /// Layers that were made again since the start.
    pub repaired: u64,
    /// Spans of traces; all zero if none are recorded.
    pub spans: SpanFigures,
    /// Components that were refused since the start for what they were not granted.
    pub refused_loads: u64,
}

/// What is measured of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreFigures {
    /// Its name.
    pub name: String,
    /// Its driver.
    pub driver: String,
    /// Layers.
    pub layers: u64,
    /// Mounted layers.
    pub mounts: u64,
    /// References to mounts.
    pub references: u64,
    /// Snapshots, of the store of a container runtime.
    pub snapshots: Option<u64>,
    /// Whether its driver can work on it and its rows can change.
    pub is_ready: bool,
    /// Bytes that it keeps for removals on a full disk, 512 KiB if it has all of them; `None` for a store without a reserve.
    pub reserve: Option<u64>,
    /// Layers that are known to be damaged.
    pub damaged: u64,
    /// When all of its layers had last been verified, in seconds since 1970; `None` if they never were.
    pub verified: Option<u64>,
}

/// What is measured of a driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriverFigures {
    /// Its name.
    pub name: String,
    /// The number of the build that runs, since the start; `None` before someone needs the driver.
    pub generation: Option<u64>,
    /// Whether the build bakes.
    pub is_baking: bool,
    /// Operations that run, on whatever build.
    pub running: u64,
    /// Operations that it broke in.
    pub faults: u64,
    /// Quarantines now.
    pub quarantines: u64,
    /// Builds that were put in its place since the start, by a swap or a rollback.
    pub swaps: u64,
    /// Builds of those that were taken back because they did worse.
    pub went_back: u64,
    /// What operations did and were not granted: each operation once for each right.
    pub denials: u64,
    /// How operations ended, by build.
    pub calls: Vec<DriverRow>,
    /// What operations took.
    pub amounts: Vec<OwnRow>,
    /// The most guest memory of an operation since the start, in bytes.
    pub memory_peak_bytes: u64,
}

impl Engine {
    /// What is measured.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let stores = self.stores().all();
        let slots = self.registry.all();
        let room = filesystem::statfs(self.root());
        Figures {
            stores: stores.iter().map(|store| figures_of_store(store)).collect(),
            drivers: slots.iter().map(|slot| figures_of_driver(slot)).collect(),
            events: self.bus.counts(),
            trash_backlog: self.reaper.backlog(),
            undeletable: self.reaper.undeletable().len() as u64,
            problems: self.problems(&stores).len() as u64,
            room_bytes: room.ok().map(|room| (room.total_bytes, room.free_bytes)),
            running: self.runtime.facts().live_operations,
            scrubbed_bytes: self.scrubber.bytes.load(Ordering::Relaxed),
            scrubbed_damaged: self.scrubber.damaged.load(Ordering::Relaxed),
            repaired: self.scrubber.repaired.load(Ordering::Relaxed),
            spans: self
                .calls()
                .spans()
                .map(|spans| spans.figures())
                .unwrap_or_default(),
            refused_loads: self.registry.refused_loads.load(Ordering::Relaxed),
        }
    }

    /// What keeps the daemon from serving all that it should, in words; nothing if it is ready. A store that is not open, one that
    /// its driver cannot work on, rows that wait for a restart, a driver that is not called any more, a disk that takes nothing.
    #[must_use]
    pub fn unready(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.check_open().is_err() {
            reasons.push("the daemon ends".to_owned());
        }
        match filesystem::is_read_only(self.root()) {
            Ok(false) => {}
            Ok(true) => reasons.push(format!(
                "the file system of `{}` is read-only",
                self.settings.root.display()
            )),
            Err(error) => reasons.push(format!(
                "the file system of `{}` does not answer: {error}",
                self.settings.root.display()
            )),
        }
        let unopened = self.stores().unopened().into_iter();
        reasons.extend(
            unopened.map(|(store, reason)| format!("store `{store}` is not open: {reason}")),
        );
        for store in self.stores().all() {
            reasons.extend(store.why_unready());
        }
        for slot in self.registry.all() {
            let quarantines = slot.quarantine.all();
            let is_of_everyone = quarantines.iter().any(|view| view.store.is_none());
            let name = &slot.name;
            if is_of_everyone {
                reasons.push(format!("driver `{name}` is quarantined for everyone"));
            }
        }
        reasons
    }
}

fn figures_of_store(store: &Store) -> StoreFigures {
    let snapshots = store.snapshots().ok();
    // Before the looks at the table below, which it takes as well.
    let damaged = damaged_count(store);
    StoreFigures {
        name: store.name.as_str().to_owned(),
        driver: store.description.driver.clone(),
        layers: store.layers.table().len(),
        mounts: store.mounts.len(),
        references: store.mounts.all_references(),
        snapshots: snapshots.map(|snapshots| snapshots.table().len() as u64),
        is_ready: store.why_unready().is_none(),
        reserve: store
            .layers
            .home()
            .rows()
            .reserve()
            .map(|reserve| reserve.bytes()),
        damaged,
        verified: store.scrub.last_verified(),
    }
}

/// Layers that are there and known to be damaged.
fn damaged_count(store: &Store) -> u64 {
    // Nearly always none, and then the layers are not counted.
    if store.scrub.damaged_count() == 0 {
        return 0;
    }
    let numbers = store.layers.numbers();
    let (told, more) = store.scrub.damaged(&|number| numbers.contains(&number));
    told.len() as u64 + more
}

fn figures_of_driver(slot: &Slot) -> DriverFigures {
    let (_, faults) = slot.totals();
    DriverFigures {
        name: slot.name.clone(),
        generation: slot.loaded().map(|active| active.number),
        is_baking: slot.is_baking(),
        running: slot.running(),
        faults,
        quarantines: slot.quarantine.all().len() as u64,
        swaps: slot.tally.swaps.load(Ordering::Relaxed),
        went_back: slot.tally.went_back.load(Ordering::Relaxed),
        denials: slot.insight.denials.count(),
        calls: slot.tally.rows(),
        amounts: slot.tally.amounts(),
        memory_peak_bytes: slot.tally.memory_peak(),
    }
}
