//! Drivers: what can be done with them, which build of each runs, and how it is called.
//!
//! Invariant: an operation runs on one build from its beginning to its end; a swap changes what the next one gets.

mod candidates;
mod load;
mod probe;
mod release;
mod swap;
mod view;

mod active;
mod gate;
mod lent;
mod quarantine;
mod registry;
mod slot;

pub(crate) use quarantine::Subject;
pub(crate) use registry::Registry;
pub(crate) use slot::{Flow, Gates, Slot};

use crate::Result;
use crate::engine::Engine;
use crate::view::{DriverView, QuarantineView, SwapReport};
use mica_runtime::CancelToken;

/// The drivers of an engine.
#[derive(Clone, Copy, Debug)]
pub struct Drivers<'e> {
    engine: &'e Engine,
}

impl<'e> Drivers<'e> {
    pub(crate) fn new(engine: &'e Engine) -> Self {
        Self { engine }
    }
}

impl Drivers<'_> {
    /// Describes every driver, in order of their names; one that cannot be compiled is a problem of the status. The first
    /// call after a start without compiled code takes as long as compiling those that no store has needed yet.
    #[must_use]
    pub fn list(self) -> Vec<DriverView> {
        let slots = self.engine.registry.all();
        let views = slots.iter().filter_map(|slot| self.view(slot).ok());
        views.collect()
    }

    /// Describes one driver.
    ///
    /// # Errors
    /// [`crate::Error::UnknownDriver`]; [`crate::Error::DriverRejected`] when it cannot be compiled.
    pub fn get(self, name: &str) -> Result<DriverView> {
        self.view(&*self.engine.registry.get(name)?)
    }

    /// Loads a component into a new slot and keeps it for later starts.
    ///
    /// # Errors
    /// [`crate::Error::DriverRejected`]; [`crate::Error::DriverExists`] when a driver has its name: that one is to be swapped;
    /// [`crate::Error::Cancelled`] when that is asked before the component is compiled.
    pub fn load(
        self,
        bytes: &[u8],
        expected_name: Option<&str>,
        cancel: &CancelToken,
    ) -> Result<DriverView> {
        self.engine.check_open()?;
        self.load_new(bytes, expected_name, cancel)
    }

    /// Puts another build in a driver's place; without `bytes` the build before the last swap, or if there was none
    /// the same again, read anew if it came from the drivers directory. Waits until operations of the old build
    /// have ended; what is not done by then is cancelled. The build is kept for later starts.
    ///
    /// # Errors
    /// [`crate::Error::UnknownDriver`]; [`crate::Error::DriverRejected`] when the component cannot be loaded, is another
    /// driver, exports another world, imports more, or fails in a scratch store: the old build then goes on.
    /// [`crate::Error::Cancelled`] when that is asked before the component is compiled.
    pub fn swap(
        self,
        name: &str,
        bytes: Option<&[u8]>,
        cancel: &CancelToken,
    ) -> Result<SwapReport> {
        self.engine.check_open()?;
        self.replace_build(name, bytes, cancel)
    }

    /// Lets a driver be called again: for a layer, for a store and its layers, or, if neither is named, for everyone.
    /// Its faults count from zero there. Says what was ended; that may be nothing.
    ///
    /// # Errors
    /// [`crate::Error::UnknownDriver`]; [`crate::Error::Invalid`] for a layer without a store.
    pub fn release(
        self,
        name: &str,
        store: Option<&str>,
        layer: Option<&str>,
    ) -> Result<Vec<QuarantineView>> {
        self.engine.check_open()?;
        self.end_quarantine(name, store, layer)
    }

    /// Asks the driver of stores that it could not work on whether it can now.
    fn try_stores_again(self, name: &str) {
        for store in self.engine.stores().of_driver(name) {
            // One that cannot be used says so when it is asked for.
            let _ready = store.make_ready(self.engine);
        }
    }
}
