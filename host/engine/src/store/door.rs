//! A store that someone works with.
//!
//! Invariant: while a door is there its store is there, so no operation below checks that again.

use super::call::Call;
use super::{Life, Store};
use crate::engine::Engine;
use crate::event::News;
use crate::layers::{Held, Key, Mode};
use crate::traffic::ClientCall;
use crate::view::{Pairs, StoreView};
use crate::{EventKind, LayerId, Result};
use mica_runtime::{Error as DriverError, Generation, Operation};
use parking_lot::{ArcRwLockReadGuard, RawRwLock};
use std::sync::Arc;

/// Keeps a store from being removed.
pub(crate) type Stay = ArcRwLockReadGuard<RawRwLock, Life>;

/// A store of either kind, with what can be done without changing its layers: `layers/store.rs` has most of it. The store is
/// not removed while this lives.
#[derive(Debug)]
pub struct OpenStore<'e> {
    pub(crate) engine: &'e Engine,
    pub(crate) store: Arc<Store>,
    _stay: Stay,
}

impl<'e> OpenStore<'e> {
    /// # Errors
    /// [`crate::Error::UnknownStore`] when the store was removed meanwhile.
    pub(super) fn new(engine: &'e Engine, store: Arc<Store>) -> Result<Self> {
        ClientCall::note_store(store.name.as_str(), &store.description.driver);
        let _stay = store.enter()?;
        Ok(Self {
            engine,
            store,
            _stay,
        })
    }

    /// Describes the store, with what its driver says of its state.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn describe(&self) -> Result<StoreView> {
        self.engine.check_open()?;
        if self.store.make_ready(self.engine).is_err() {
            return self.store.view();
        }
        let told = self.store.status(self.engine)?;
        let status = told.iter();
        let status = status.map(|(key, value)| (key.to_string(), value.to_string()));
        Ok(StoreView {
            status: Pairs(status.collect()),
            ..self.store.view()?
        })
    }

    /// Asks whether the store can be used.
    ///
    /// # Errors
    /// Why its driver cannot work on it.
    pub fn check(&self) -> Result<()> {
        self.engine.check_open()?;
        self.store.make_ready(self.engine)
    }

    /// Calls the driver; `run` may be called a second time.
    pub(crate) fn call<T>(
        &self,
        call: Call,
        run: impl Fn(&Generation, Operation) -> std::result::Result<T, DriverError>,
    ) -> Result<T> {
        call.run(self.engine, run)
    }

    /// Calls the driver with a stream.
    pub(crate) fn call_once<T>(
        &self,
        call: Call,
        run: impl FnOnce(&Generation, Operation) -> std::result::Result<T, DriverError>,
    ) -> Result<T> {
        call.streaming().run_once(self.engine, run)
    }

    /// Waits for one lock of a layer.
    pub(crate) fn lock_layer(&self, id: &LayerId, mode: Mode) -> Result<Held<'_>> {
        self.store.lock(vec![(Key::Layer(id.clone()), mode)])
    }

    /// Waits for the lock of a layer's mount.
    pub(crate) fn lock_mount(&self, id: &LayerId) -> Result<Held<'_>> {
        let key = Key::Mount(id.clone());
        self.store.lock(vec![(key, Mode::Exclusive)])
    }

    /// Tells what happened to a layer.
    pub(crate) fn tell(&self, kind: EventKind, id: &LayerId) {
        self.engine.bus.tell(self.news(kind, id));
    }

    /// What happened to a layer.
    pub(crate) fn news(&self, kind: EventKind, id: &LayerId) -> News {
        let store = self.store.name.as_str();
        News::new(kind).store(store).layer(id.as_str())
    }
}
