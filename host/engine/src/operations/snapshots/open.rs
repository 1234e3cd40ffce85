//! Makes a store one of snapshots.
//!
//! Invariant: a store that has layers of another kind never becomes one.

use crate::engine::Engine;
use crate::snapshots::{Snapshots, Told};
use crate::store::Store;
use crate::view::StoreRequest;
use crate::{Error, Result};
use std::sync::Arc;

impl Engine {
    /// Opens the store of a container runtime, and makes it if it is missing. From then on its layers are changed
    /// only as snapshots.
    ///
    /// # Errors
    /// [`Error::Busy`] when the store has layers that are no snapshots; [`Error::Io`] when it is there and could not be
    /// opened; those of [`Engine::create_store`].
    pub fn open_snapshots(self: &Arc<Self>, request: StoreRequest) -> Result<()> {
        let name = request.name.clone();
        let store = match self.find_store(&name) {
            Err(Error::UnknownStore(_)) => {
                self.create_store(request)?;
                self.find_store(&name)?
            }
            found => found?,
        };
        if store.snapshots().is_err() {
            let layers = store.layers.table().len();
            if layers > 0 {
                return Err(Error::Busy(format!(
                    "store `{name}` has {layers} layers that are no snapshots"
                )));
            }
            for problem in store.set_snapshots(&Told::default())? {
                self.report_store(&name, problem);
            }
        }
        self.start_remover(&store)
    }

    /// Begins to remove layers without snapshots in all stores.
    pub(crate) fn start_removers(self: &Arc<Self>) -> Result<()> {
        let stores = self.all_stores();
        let mut with_snapshots = stores.iter().filter(|store| store.snapshots().is_ok());
        with_snapshots.try_for_each(|store| self.start_remover(store))
    }

    fn start_remover(self: &Arc<Self>, store: &Store) -> Result<()> {
        let remover = store.snapshots()?.remover();
        remover
            .start(Arc::downgrade(self), store.name.as_str())
            .map_err(|error| Error::io("start a thread", error))
    }
}

impl Store {
    /// The snapshots.
    ///
    /// # Errors
    /// [`Error::NoSnapshots`].
    pub(crate) fn snapshots(&self) -> Result<&Snapshots> {
        let none = || Error::NoSnapshots(self.name.as_str().to_owned());
        self.snapshots.get().ok_or_else(none)
    }

    /// Makes rows the snapshots; what needs a person comes back.
    pub(crate) fn set_snapshots(&self, told: &Told) -> Result<Vec<String>> {
        let (snapshots, problems) = Snapshots::new(told, &self.path, &self.layers)?;
        // An error means that another was faster.
        let _first = self.snapshots.set(snapshots);
        Ok(problems)
    }

    /// Refuses to change layers of a store whose layers are snapshots.
    ///
    /// # Errors
    /// [`Error::HoldsSnapshots`].
    pub(crate) fn check_no_snapshots(&self) -> Result<()> {
        match self.snapshots.get() {
            Some(_) => Err(Error::HoldsSnapshots(self.name.as_str().to_owned())),
            None => Ok(()),
        }
    }
}
