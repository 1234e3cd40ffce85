//! Gives back references that are bound to processes when those end.
//!
//! Invariant: one thread, which there is only while it is needed, and which keeps no engine alive.

use super::references::{Holder, Process};
use crate::mounts::Give;
use crate::store::{OpenStore, Store};
use crate::view::WhenBusy;
use crate::{Engine, Error, LayerId, Result};
use mica_sys::{ProcessWatch, open_process, process_start};
use mica_text::with_causes;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};
use std::thread;

/// Processes that are watched: each takes a file descriptor of the daemon.
const MAX_PROCESSES: usize = 1024;

/// The references that are bound to processes.
#[derive(Debug, Default)]
pub(crate) struct Watcher(Mutex<Watched>);

#[derive(Debug, Default)]
struct Watched {
    watch: Option<Arc<ProcessWatch>>,
    last: u64,
    /// The processes that have a handle: one each, however many references are bound to it.
    handles: HashMap<Process, Weak<Handle>>,
    bound: HashMap<Key, Arc<Handle>>,
}

/// The handle of a process. It is closed with the last that needs it, and the process is watched no more.
#[derive(Debug)]
struct Handle {
    process: Process,
    number: u64,
    descriptor: OwnedFd,
}

/// A watch that can be kept. It does nothing, and leaves nothing when it is dropped, until it is.
#[derive(Debug)]
pub(super) struct Ready(Option<(Arc<ProcessWatch>, Arc<Handle>)>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    store: String,
    layer: LayerId,
    reference: String,
}

impl Watcher {
    /// Opens what watches a process. What its reference was bound to before stays so until [`Watcher::keep`].
    fn ready(&self, engine: &Weak<Engine>, process: Process) -> Result<Ready> {
        let mut watched = self.0.lock();
        let opened = watched.handles.get(&process).and_then(Weak::upgrade);
        let watch = match &watched.watch {
            Some(watch) => Arc::clone(watch),
            None => {
                let started = start(engine.clone()).map_err(failed)?;
                watched.watch.insert(started).clone()
            }
        };
        if let Some(handle) = opened {
            return Ok(Ready(Some((watch, handle))));
        }
        watched
            .handles
            .retain(|_, handle| handle.strong_count() > 0);
        if watched.handles.len() >= MAX_PROCESSES {
            return Err(Error::LimitReached(format!(
                "references to mounts are bound to {MAX_PROCESSES} processes, as many as may be"
            )));
        }
        let descriptor = open(process)?;
        watched.last += 1;
        let number = watched.last;
        watch.add(&descriptor, number).map_err(failed)?;
        let handle = Arc::new(Handle {
            process,
            number,
            descriptor,
        });
        watched.handles.insert(process, Arc::downgrade(&handle));
        Ok(Ready(Some((watch, handle))))
    }

    /// Watches for a reference from now on what is ready, and nothing else.
    fn keep(&self, key: Key, ready: Ready) -> io::Result<()> {
        let mut watched = self.0.lock();
        let Some((watch, handle)) = ready.0 else {
            watched.bound.remove(&key);
            return Ok(());
        };
        // It may have ended meanwhile, which was told when nothing was bound to it.
        watch.again(&handle.descriptor, handle.number)?;
        watched.bound.insert(key, handle);
        Ok(())
    }

    /// The references that were bound to a process that has ended.
    fn ended(&self, number: u64) -> Vec<(Key, Process)> {
        let mut watched = self.0.lock();
        let ended = watched
            .bound
            .extract_if(|_, handle| handle.number == number);
        ended.map(|(key, handle)| (key, handle.process)).collect()
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

/// A handle of exactly this process: its number may have gone to another one since it was looked at.
fn open(process: Process) -> Result<OwnedFd> {
    let Process { pid, started } = process;
    let is_gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let opened = open_process(pid).and_then(|handle| Ok((handle, process_start(pid)?)));
    match opened {
        Ok((handle, now)) if now == started => Ok(handle),
        Err(error) if !is_gone(&error) => Err(failed(error)),
        _ => Err(Error::Invalid(format!("process {pid} has ended"))),
    }
}

fn failed(error: io::Error) -> Error {
    Error::io("watch a process", error)
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
            for (key, process) in engine.watcher.ended(number) {
                give_back(&engine, &key, process);
            }
        }
    })?;
    Ok(watch)
}

fn give_back(engine: &Engine, key: &Key, process: Process) {
    let given = engine.store(&key.store).and_then(|store| {
        let give = Give::OfProcess(&key.reference, process);
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
    /// Makes ready to watch the process that a named reference is to be bound to, if it is to one.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::LimitReached`]; [`Error::Invalid`] when the process has ended meanwhile.
    pub(super) fn ready(&self, holder: Option<&Holder>) -> Result<Ready> {
        match holder.and_then(|holder| holder.bound) {
            Some(process) => self.engine.watcher.ready(&self.engine.weak(), process),
            None => Ok(Ready(None)),
        }
    }

    /// Watches what is ready for a reference that was taken.
    pub(super) fn watch(&self, layer: &LayerId, reference: Option<&str>, ready: Ready) {
        let Some(reference) = reference else {
            return;
        };
        let key = self.key(layer, reference);
        if let Err(error) = self.engine.watcher.keep(key, ready) {
            // The kernel has all that it needs since it was made ready.
            let store = self.store.name.as_str();
            tracing::warn!(store, %layer, reference, %error, "a mount reference does not end with its process");
        }
    }

    /// Watches no process for a reference that was given back.
    pub(super) fn unwatch(&self, layer: &LayerId, reference: &str) {
        self.watch(layer, Some(reference), Ready(None));
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
                let reference = &*holder.reference;
                match self.ready(Some(holder)) {
                    Ok(ready) => self.watch(&id, Some(reference), ready),
                    // It may have ended since it was looked at.
                    Err(_) if holder.has_ended() => {
                        let give = Give::Named(reference);
                        let _left = self.unmount_layer(&id, give, WhenBusy::LetGo);
                    }
                    Err(error) => {
                        let (store, error) = (store.name.as_str(), with_causes(&error));
                        tracing::warn!(store, layer = %id, reference, error, "a mount reference does not end with its process");
                    }
                }
            }
            if state.is_let_go && state.references == 0 {
                // One that is in use stays, as it does when its process ends while a daemon runs.
                let _left = self.unmount_layer(&id, Give::One, WhenBusy::LetGo);
            }
        }
    }
}
