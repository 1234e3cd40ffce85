//! A store goes to another directory, on another file system for instance, or comes back below the root.
//!
//! ```text
//! <root>/stores/.<random>    what the store will be: a link to its new directory, or the directory itself
//! <root>/stores/<name>       what it is; both are exchanged once all was copied, compared and synced
//! ```
//!
//! Invariant: at every moment the store is whole at one of both places, and its entry leads there; what is beside the entry under the
//! random name is the place that lost, and goes.

mod carry;
mod target;

use super::{Store, Stores, site};
use crate::disk::files;
use crate::event::News;
use crate::settings::Durability;
use crate::traffic::ClientCall;
use crate::view::{LayerProblem, MoveReport, MoveRequest, StoreView};
use crate::{Error, EventKind, Result, StoreName};
use carry::Carrier;
use mica_runtime::CancelToken;
use mica_sys::{Name, filesystem, node};
use mica_text::with_causes;
use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use target::{Needs, Target};

/// How often the bytes of a store pass: they are copied, and both copies are read.
const PASSES: u64 = 3;

/// A store that cannot be found while it moves; what asks for it is told why.
struct Moving<'e> {
    stores: Stores<'e>,
    name: StoreName,
}

impl<'e> Moving<'e> {
    fn begin(stores: Stores<'e>, store: &Store, target: &Target) -> Result<Self> {
        let name = store.name.clone();
        let mut moving = stores.engine.store_table.moving.write();
        if moving.contains_key(&name) {
            return Err(Error::Busy(format!("store `{name}` is being moved")));
        }
        let view = StoreView {
            unavailable: Some(format!(
                "it is being moved to `{}`",
                target.shown().display()
            )),
            ..store.view()?
        };
        moving.insert(name.clone(), view);
        drop(moving);
        Ok(Self { stores, name })
    }
}

impl Drop for Moving<'_> {
    fn drop(&mut self) {
        let mut moving = self.stores.engine.store_table.moving.write();
        moving.remove(&self.name);
    }
}

/// What stands beside the entry of a store and is exchanged with it.
struct Beside {
    stores: PathBuf,
    top: OwnedFd,
    name: Name,
    /// Whether nobody knows which of both the device has under the store's name.
    is_unclear: Cell<bool>,
}

impl Stores<'_> {
    /// Moves a store with all its layers into another directory, or back below the root. The store cannot be used meanwhile. A dry
    /// run tells what would be moved and what is in the way, and moves nothing.
    ///
    /// # Errors
    /// [`Error::UnknownStore`]; [`Error::Invalid`] for a directory that will not do, and for subvolumes; what is in the way:
    /// [`Error::StoreServed`] for a store that a client has, [`Error::Busy`] while layers are mounted or operations run,
    /// [`Error::NoSpace`], the driver's refusal; [`Error::Corrupt`] when a copy differs. The store stays where it was then.
    pub fn relocate(
        self,
        name: &str,
        request: &MoveRequest,
        cancel: &CancelToken,
    ) -> Result<MoveReport> {
        self.engine.check_open()?;
        let store = self.find(name)?;
        ClientCall::note_store(name, &store.description.driver);
        let target = Target::of(self, &store, request.to.as_deref())?;
        let needs = Needs::of(&store, &target, cancel)?;
        let obstacles = self.obstacles(&store, &target, &needs);
        let mut report = MoveReport {
            store: name.to_owned(),
            from: store.path.clone(),
            to: target.shown(),
            layers: needs.layers,
            files: needs.inodes,
            bytes: needs.bytes,
            needed_bytes: needs.new_bytes,
            free_bytes: needs.free_bytes,
            obstacles: obstacles.iter().map(told).collect(),
            is_dry_run: request.is_dry_run,
        };
        if request.is_dry_run {
            return Ok(report);
        }
        match obstacles.into_iter().next() {
            Some(obstacle) => Err(obstacle),
            None => {
                ClientCall::note_work(needs.bytes.saturating_mul(PASSES));
                report.to = self.relocate_to(store, &target, cancel)?;
                Ok(report)
            }
        }
    }

    /// The names of stores of a driver that are on their way.
    pub(crate) fn moving_of_driver(self, driver: &str) -> Vec<String> {
        let moving = self.engine.store_table.moving.read();
        let of_driver = moving.values().filter(|view| view.driver == driver);
        of_driver.map(|view| view.name.clone()).collect()
    }

    /// What is in the way, the first that counts first.
    fn obstacles(self, store: &Store, target: &Target, needs: &Needs) -> Vec<Error> {
        let checks = [
            self.check_idle(store),
            needs.check_subvolumes(store),
            needs.check_room(store, target),
            target.try_driver(self, store),
        ];
        checks
            .into_iter()
            .filter_map(std::result::Result::err)
            .collect()
    }

    /// Moves it, and says where it is then.
    fn relocate_to(
        self,
        store: Arc<Store>,
        target: &Target,
        cancel: &CancelToken,
    ) -> Result<PathBuf> {
        let _moving = Moving::begin(self, &store, target)?;
        let (name, from) = (store.name.clone(), store.path.clone());
        let driver = store.description.driver.clone();
        let store = self.take_out(store)?;
        let numbers: Vec<u64> = {
            let table = store.layers.table();
            table
                .entries_from("", None)
                .map(|entry| entry.facts().number)
                .collect()
        };
        store.detach_images(&numbers);
        store.layers.home().rows().close();
        store.place.remove();
        // The file of the rows is opened by its path.
        drop(store);
        let carried = self.carry(&name, &from, target, cancel);
        let opened = self.open_one(&name);
        let beside = match carried {
            Ok(beside) => beside,
            Err(error) => {
                opened.map_err(|error| self.note_unopened(&name, error))?;
                return Err(error);
            }
        };
        if let Err(error) = opened.and_then(|()| self.check_usable(&name)) {
            let back = self.go_back(&name, &beside);
            back.map_err(|error| self.note_unopened(&name, error))?;
            return Err(error);
        }
        // Only now: until here the old one could have been taken again.
        beside.clear();
        let home = site::home_of(&self.path(), name.as_str());
        let was = format!(
            "it was at `{}`, and is at `{}`",
            from.display(),
            home.display()
        );
        let news = News::new(EventKind::StoreMoved).store(name.as_str());
        self.engine.bus.tell(news.driver(&driver).detail(was));
        Ok(home)
    }

    /// Makes the store's new place, and has its entry lead there. Of what fails nothing is left.
    fn carry(
        self,
        name: &StoreName,
        from: &Path,
        target: &Target,
        cancel: &CancelToken,
    ) -> Result<Beside> {
        let beside = Beside::new(self.path())?;
        let made = target
            .make(&beside, name)
            .map_err(|error| Error::io(format!("make the new place of store `{name}`"), error));
        let moved = made.and_then(|home| {
            let carrier = Carrier {
                from,
                to: &home,
                cancel,
                is_synced: self.engine.settings.durability == Durability::Commit,
            };
            carrier.carry()?;
            beside.exchange(name)
        });
        match moved {
            Ok(()) => Ok(beside),
            Err(error) => {
                beside.clear();
                Err(error)
            }
        }
    }

    /// Refuses a store on which its driver cannot work.
    fn check_usable(self, name: &StoreName) -> Result<()> {
        let store = self.find(name.as_str())?;
        store.make_ready(self.engine)
    }

    /// Takes the old place again, where all is as it was.
    fn go_back(self, name: &StoreName, beside: &Beside) -> Result<()> {
        if let Ok(store) = self.find(name.as_str()) {
            let store = self.take_out(store)?;
            store.layers.home().rows().close();
            store.place.remove();
        }
        beside.exchange(name)?;
        beside.clear();
        self.open_one(name)
    }
}

impl Beside {
    fn new(stores: PathBuf) -> Result<Self> {
        let made = || {
            let name = format!(".{}", files::random_name()?);
            let name = Name::new(name.as_bytes()).map_err(io::Error::other)?;
            Ok((files::open_directory(&stores)?, name))
        };
        let (top, name) = made().map_err(|error: io::Error| Error::path("open", &stores, error))?;
        Ok(Self {
            stores,
            top,
            name,
            is_unclear: Cell::new(false),
        })
    }

    fn top(&self) -> BorrowedFd<'_> {
        self.top.as_fd()
    }

    /// Has the store's entry and this one change places.
    fn exchange(&self, name: &StoreName) -> Result<()> {
        let exchanged = || {
            let entry = Name::new(name.as_str().as_bytes()).map_err(io::Error::other)?;
            node::exchange(self.top(), &self.name, self.top(), &entry)?;
            // The place that lost goes next, so the device has to know which one that is.
            filesystem::sync_file(self.top()).inspect_err(|_failed| {
                let back = node::exchange(self.top(), &self.name, self.top(), &entry);
                self.is_unclear.set(back.is_err());
            })
        };
        exchanged().map_err(|error| Error::io(format!("switch store `{name}` over"), error))
    }

    /// Deletes it, and what it leads to; what stays the next start deletes.
    fn clear(&self) {
        if self.is_unclear.get() {
            tracing::warn!(path = %self.stores.display(), name = %self.name, "both places of a store stay until the next start");
            return;
        }
        if let Err(error) = site::clear(&self.stores, self.top(), &self.name) {
            let (path, name) = (self.stores.display(), &self.name);
            tracing::warn!(%path, %name, %error, "what a move of a store left stays until the next start");
        }
    }
}

impl Store {
    /// Takes away what is attached in the rooms of layers; it is attached again when it is asked for.
    fn detach_images(&self, numbers: &[u64]) {
        let layout = self.layers.home().layout();
        for number in numbers {
            // Where one stays the copy fails and says so.
            let room = layout.open_room(*number);
            let _detached = room.and_then(|room| mica_runtime::detach_image(room.as_fd()));
        }
    }
}

/// What is in the way, in the words of a problem.
fn told(error: &Error) -> LayerProblem {
    LayerProblem {
        code: error.code().to_owned(),
        detail: with_causes(error),
    }
}
