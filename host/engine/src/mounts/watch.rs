//! Gives back references that are bound to processes when those end.
//!
//! Invariant: one thread, which there is only while it is needed, and which keeps no engine alive.

use super::references::{Holder, Process};
use crate::mounts::Give;
use crate::store::{OpenStore, Store};
use crate::view::WhenBusy;
use crate::{Engine, Error, LayerId, Result};
use mica_sys::{ProcessWatch, open_process};
use mica_text::with_causes;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};
use std::thread;

/// The references that are bound to processes.
#[derive(Debug, Default)]
pub(crate) struct Watcher(Mutex<Watched>);

#[derive(Debug, Default)]
struct Watched {
    watch: Option<Arc<ProcessWatch>>,
    last: u64,
    bound: HashMap<u64, Bound>,
}

/// A reference, and the handle of its process.
#[derive(Debug)]
struct Bound {
    key: Key,
    process: Process,
    _handle: OwnedFd,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    store: String,
    layer: LayerId,
    reference: String,
}

impl Watcher {
    /// Watches the process that a reference is bound to; one that is bound to none is watched no more.
    fn bind(&self, engine: &Engine, key: Key, process: Option<Process>) -> io::Result<()> {
        let mut watched = self.0.lock();
        watched.bound.retain(|_, bound| bound.key != key);
        let Some(process) = process else {
            return Ok(());
        };
        let handle = open_process(process.pid)?;
        let watch = match &watched.watch {
            Some(watch) => Arc::clone(watch),
            None => watched.watch.insert(start(engine.weak())?).clone(),
        };
        watched.last += 1;
        let number = watched.last;
        watch.add(&handle, number)?;
        let bound = Bound {
            key,
            process,
            _handle: handle,
        };
        watched.bound.insert(number, bound);
        Ok(())
    }

    fn ended(&self, number: u64) -> Option<Bound> {
        self.0.lock().bound.remove(&number)
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        if let Some(watch) = self.0.lock().watch.take() {
            watch.end();
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop();
    }
}

fn start(engine: Weak<Engine>) -> io::Result<Arc<ProcessWatch>> {
    let watch = Arc::new(ProcessWatch::new()?);
    let watched = Arc::clone(&watch);
    let named = thread::Builder::new().name("mica-mounts".to_owned());
    named.spawn(move || {
        while let Ok(Some(number)) = watched.next() {
            let Some(engine) = engine.upgrade() else {
                return;
            };
            if let Some(bound) = engine.watcher.ended(number) {
                give_back(&engine, &bound);
            }
        }
    })?;
    Ok(watch)
}

fn give_back(engine: &Engine, bound: &Bound) {
    let Bound { key, process, .. } = bound;
    let given = engine.store(&key.store).and_then(|store| {
        let give = Give::OfProcess(&key.reference, *process);
        store.unmount_layer(&key.layer, give, WhenBusy::LetGo)
    });
    let (store, layer, reference, pid) = (&*key.store, &key.layer, &*key.reference, process.pid);
    match given {
        Ok(_left) => tracing::info!(
            store,
            %layer,
            reference,
            pid,
            "a mount reference is given back, because its process has ended"
        ),
        Err(error) => {
            let error = with_causes(&error);
            tracing::warn!(store, %layer, reference, pid, error, "a mount stays though the process that held it has ended");
        }
    }
}

impl OpenStore<'_> {
    /// Watches the process that a named reference is bound to, or no process any more.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Invalid`] when the process has ended meanwhile.
    pub(super) fn watch(&self, layer: &LayerId, holder: &Holder) -> Result<()> {
        let key = self.key(layer, &holder.reference);
        let bound = self.engine.watcher.bind(self.engine, key, holder.bound);
        bound.map_err(|error| match (error.kind(), holder.bound) {
            (io::ErrorKind::NotFound, Some(process)) => {
                Error::Invalid(format!("process {} has ended", process.pid))
            }
            _ => Error::io("watch a process", error),
        })
    }

    /// Watches no process for a reference that was given back.
    pub(super) fn unwatch(&self, layer: &LayerId, reference: &str) {
        let key = self.key(layer, reference);
        // Only watching can fail.
        let _unwatched = self.engine.watcher.bind(self.engine, key, None);
    }

    fn key(&self, layer: &LayerId, reference: &str) -> Key {
        Key {
            store: self.store.name.as_str().to_owned(),
            layer: layer.clone(),
            reference: reference.to_owned(),
        }
    }

    /// Goes on with the references of an earlier daemon that are bound to processes, and unmounts what was held for one that has ended.
    pub(crate) fn resume_references(&self) {
        let store: &Store = &self.store;
        for id in store.mounts.layers() {
            let Some(state) = store.mounts.get(&id) else {
                continue;
            };
            for holder in state.holders.iter().filter(|holder| holder.bound.is_some()) {
                // It may have ended since it was looked at.
                if self.watch(&id, holder).is_err() {
                    let give = Give::Named(&holder.reference);
                    let _left = self.unmount_layer(&id, give, WhenBusy::LetGo);
                }
            }
            if state.is_let_go && state.references == 0 {
                // One that is in use stays, as it does when its process ends while a daemon runs.
                let _left = self.unmount_layer(&id, Give::One, WhenBusy::LetGo);
            }
        }
    }
}
