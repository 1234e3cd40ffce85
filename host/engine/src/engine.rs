//! The engine: the lobby from which doors lead to stores and drivers, and what concerns all of them.
//!
//! | door | leads to | what can be done there |
//! |---|---|---|
//! | [`Engine::stores`] | [`Stores`] | `store/stores.rs` |
//! | [`Engine::store`] | [`OpenStore`] | `layers/store.rs`, `store/door.rs` |
//! | [`Engine::layers`] | [`LayerStore`] | `layers/store.rs` |
//! | [`Engine::snapshots`] | [`SnapshotStore`] | `snapshots/store.rs` |
//! | [`Engine::drivers`] | [`Drivers`] | `drivers/mod.rs` |
//!
//! Invariant: no lock of the engine's own is held while a driver runs or a disk is waited for.

use crate::bus::{Bus, Hearing, Since};
use crate::disk::files;
use crate::disk::home::Reaper;
use crate::drivers::{Drivers, Gates, Registry};
use crate::event::News;
use crate::layers::LayerStore;
use crate::mounts::Watcher;
use crate::outcome::{OperationKind, OperationTicket, OperationView, Outcomes};
use crate::scrub::{Scrubber, described};
use crate::settings::EngineSettings;
use crate::snapshots::SnapshotStore;
use crate::store::{OpenStore, Store, StoreTable, Stores};
use crate::traffic::{ClientCalls, Spans};
use crate::view::{Attention, EngineStatus};
use crate::{Error, EventKind, Result};
use mica_runtime::Runtime;
use mica_sys::filesystem;
use parking_lot::Mutex;
use std::fmt;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// Stores, drivers, layers and mounts of one root directory. All functions may block: call them from a thread that
/// may.
pub struct Engine {
    pub(crate) settings: EngineSettings,
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) registry: Registry,
    pub(crate) gates: Gates,
    pub(crate) store_table: StoreTable,
    pub(crate) reaper: Arc<Reaper>,
    pub(crate) scrubber: Arc<Scrubber>,
    pub(crate) bus: Bus,
    pub(crate) watcher: Watcher,
    outcomes: Arc<Outcomes>,
    calls: Arc<ClientCalls>,
    problems: Mutex<Vec<Attention>>,
    is_closed: AtomicBool,
    /// Itself, for threads that must not keep it.
    weak: Weak<Self>,
    /// The root and the run directory, which are this process's alone.
    claims: [OwnedFd; 2],
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("root", &self.settings.root)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Claims the root and run directories, loads the drivers, opens every store and puts right what an earlier
    /// daemon left half done. Drivers and stores that cannot be used do not fail the start: `status` names them.
    ///
    /// # Errors
    /// [`Error::Locked`] when another daemon runs on one of the directories; [`Error::Io`].
    pub fn open(mut settings: EngineSettings, runtime: Arc<Runtime>) -> Result<Arc<Self>> {
        files::make_directory(&settings.root)
            .map_err(|error| Error::path("make", &settings.root, error))?;
        // The socket may lie in it, which others than root may use.
        files::make_passage(&settings.run_dir)
            .map_err(|error| Error::path("make", &settings.run_dir, error))?;
        let root_claim = claim(&settings.root)?;
        let run_claim = claim(&settings.run_dir)?;
        // The kernel tells mount points as absolute paths without symbolic links.
        for path in [&mut settings.root, &mut settings.run_dir] {
            *path = path
                .canonicalize()
                .map_err(|error| Error::path("resolve", path, error))?;
        }
        let reaper = Reaper::start().map_err(|error| Error::io("start a thread", error))?;
        let spans = settings.spans.map(Spans::new).transpose()?;
        let gates = Gates::new(runtime.limits());
        let engine = Arc::new_cyclic(|weak| Self {
            calls: ClientCalls::new(settings.slow_call, spans),
            settings,
            runtime,
            registry: Registry::default(),
            gates,
            store_table: StoreTable::default(),
            reaper,
            scrubber: Arc::default(),
            bus: Bus::default(),
            watcher: Watcher::default(),
            outcomes: Arc::default(),
            problems: Mutex::default(),
            is_closed: AtomicBool::new(false),
            weak: Weak::clone(weak),
            claims: [root_claim, run_claim],
        });
        for detail in &engine.settings.unreadable_drivers {
            engine.report(News::new(EventKind::DriverFailed), None, detail);
        }
        engine.drivers().load_known()?;
        engine.drivers().resume_bakes();
        let stores = engine.stores();
        stores.open_all()?;
        stores.clear_mounts_of_no_store();
        stores.start_removers()?;
        engine
            .scrubber
            .start(engine.weak())
            .map_err(|error| Error::io("start a thread", error))?;
        Ok(engine)
    }

    /// The stores as a whole: which there are, and how they come and go.
    pub fn stores(&self) -> Stores<'_> {
        Stores::new(self)
    }

    /// A store of either kind, to look at and to mount layers.
    ///
    /// # Errors
    /// [`Error::UnknownStore`]; [`Error::Io`] with the reason when it lies on disk and could not be opened.
    pub fn store(&self, name: &str) -> Result<OpenStore<'_>> {
        self.stores().open(name)
    }

    /// A store whose layers clients change.
    ///
    /// # Errors
    /// As [`Engine::store`]; [`Error::HoldsSnapshots`] for the store of a container runtime.
    pub fn layers(&self, store: &str) -> Result<LayerStore<'_>> {
        LayerStore::new(self.store(store)?)
    }

    /// The snapshots of a container runtime.
    ///
    /// # Errors
    /// As [`Engine::store`]; [`Error::NoSnapshots`] for a store of any other kind.
    pub fn snapshots(&self, store: &str) -> Result<SnapshotStore<'_>> {
        SnapshotStore::new(self.store(store)?)
    }

    /// The drivers.
    pub fn drivers(&self) -> Drivers<'_> {
        Drivers::new(self)
    }

    /// What it has and does.
    pub fn status(&self) -> EngineStatus {
        let stores = self.stores().all();
        let slots = self.registry.all();
        let sum = |count: fn(&Store) -> u64| stores.iter().map(|store| count(store)).sum();
        let (operations, faults) = slots
            .iter()
            .map(|slot| slot.totals())
            .fold((0, 0), |sum, more| (sum.0 + more.0, sum.1 + more.1));
        EngineStatus {
            root: self.settings.root.clone(),
            run_dir: self.settings.run_dir.clone(),
            durability: self.settings.durability,
            drivers: slots.len() as u64,
            stores: stores.len() as u64,
            layers: sum(|store| store.layers.table().len()),
            mounts: sum(|store| store.mounts.len()),
            running: slots.iter().map(|slot| slot.running()).sum(),
            operations,
            faults,
            problems: self.problems(&stores),
        }
    }

    /// What needs a person: what was found at the start, and stores that cannot be used now.
    pub(crate) fn problems(&self, stores: &[Arc<Store>]) -> Vec<Attention> {
        let mut problems = self.problems.lock().clone();
        for store in stores {
            if let Some(reason) = store.layers.home().rows().refusal() {
                problems.push(Attention {
                    store: Some(store.name.as_str().to_owned()),
                    detail: format!("the rows of the store change no more: {reason}"),
                });
            }
            problems.extend(damaged_layers(store));
            if let Some(reason) = &*store.unavailable() {
                let store = Some(store.name.as_str().to_owned());
                problems.push(Attention {
                    store,
                    detail: format!("the store cannot be used: {reason}"),
                });
            }
        }
        let undeletable = self.reaper.undeletable().into_iter();
        problems.extend(undeletable.map(|(path, reason)| Attention {
            store: None,
            detail: format!(
                "`{}` takes room and cannot be deleted: {reason}; it is tried again each minute, or delete it by hand",
                path.display()
            ),
        }));
        for slot in self.registry.all() {
            problems.extend(slot.setback().map(|detail| Attention {
                store: None,
                detail,
            }));
            let quarantines = slot.quarantine.all().into_iter();
            problems.extend(quarantines.map(|view| Attention {
                detail: format!("driver `{}` is quarantined{view}", slot.name),
                store: view.store,
            }));
        }
        problems
    }

    /// The calls of clients: a front end begins one for each request.
    #[must_use]
    pub fn calls(&self) -> &Arc<ClientCalls> {
        &self.calls
    }

    /// Tells this start of the daemon from all others: what stands before the dash in the ids of its events.
    #[must_use]
    pub fn start_id(&self) -> String {
        self.bus.start()
    }

    /// Tells what happens, and of what has happened the last 4096 events. A listener that is more than 1024 events behind
    /// misses some.
    pub fn events(&self, since: Since) -> Hearing {
        self.bus.listen(since)
    }

    /// Notes that an operation begins. The last 1024 that ended are kept.
    pub fn begin(&self, kind: OperationKind, store: &str, layer: &str) -> OperationTicket {
        self.outcomes.begin(kind, store, layer)
    }

    /// Asks an operation to end, and tells how it stood then; one that has ended stays as it is.
    pub fn cancel(&self, id: &str) -> Option<OperationView> {
        self.outcomes.cancel(id)
    }

    /// How an operation stands that was begun, by its own id or its request's; nothing if it is not known, or not any more.
    pub fn operation(&self, id: &str) -> Option<OperationView> {
        self.outcomes.find(id)
    }

    /// Ends the work: no operation begins any more, the drivers are told, the rows are complete. Mounts stay where
    /// they are, for containers use them; the next start adopts them.
    pub fn close(&self) {
        if self.is_closed.swap(true, Ordering::AcqRel) {
            return;
        }
        self.watcher.stop();
        self.scrubber.stop();
        for store in self.stores().all() {
            if let Ok(snapshots) = store.snapshots() {
                snapshots.remover().stop();
            }
            store.clean_up(self);
            store.layers.home().rows().close();
        }
        self.reaper.stop();
    }

    /// Itself, for threads that must not keep it.
    pub(crate) fn weak(&self) -> Weak<Self> {
        Weak::clone(&self.weak)
    }

    /// The root directory.
    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        let [root, _run] = &self.claims;
        root.as_fd()
    }

    /// Refuses what comes after [`Engine::close`].
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.is_closed.load(Ordering::Acquire) {
            Err(Error::Cancelled)
        } else {
            Ok(())
        }
    }

    /// Notes what needs a person.
    pub(crate) fn report(&self, news: News, store: Option<&str>, detail: impl Into<String>) {
        let detail = detail.into();
        tracing::warn!(store, detail, "needs attention");
        self.bus.tell(news.detail(detail.clone()));
        let problem = Attention {
            store: store.map(str::to_owned),
            detail,
        };
        self.problems.lock().push(problem);
    }

    /// Notes what needs a person in a store's home or run directory.
    pub(crate) fn report_store(&self, store: &str, detail: impl Into<String>) {
        self.report(
            News::new(EventKind::LayerQuarantined).store(store),
            Some(store),
            detail,
        );
    }
}

/// The layers of a store that are known to be damaged.
fn damaged_layers(store: &Store) -> Vec<Attention> {
    // Nearly always none, and then the layers are not counted.
    if store.scrub.damaged_count() == 0 {
        return Vec::new();
    }
    let numbers = store.layers.numbers();
    let (damaged, more) = store.scrub.damaged(&|number| numbers.contains(&number));
    let attention = |detail| Attention {
        store: Some(store.name.as_str().to_owned()),
        detail,
    };
    let more = (more > 0).then(|| {
        let text = "layers are damaged besides; `mica layer verify` names the files of each";
        attention(format!("{more} {text}"))
    });
    let told = damaged.iter().map(|damage| {
        attention(format!(
            "layer `{}` is damaged: {}; repair it with `mica layer repair`, or remove it",
            damage.layer,
            described(damage)
        ))
    });
    told.chain(more).collect()
}

/// How long a start waits for a daemon that was killed: the kernel first ends its system calls.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(1);

/// Takes a directory for this process alone.
pub(crate) fn claim(path: &Path) -> Result<OwnedFd> {
    let directory =
        files::open_directory(path).map_err(|error| Error::path("open", path, error))?;
    let deadline = Instant::now() + CLAIM_TIMEOUT;
    while !filesystem::try_lock_exclusive(directory.as_fd())
        .map_err(|error| Error::path("lock", path, error))?
    {
        if Instant::now() >= deadline {
            return Err(Error::Locked {
                path: path.to_owned(),
            });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(directory)
}
