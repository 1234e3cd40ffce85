//! A damaged layer is made of its archive again.
//!
//! The layer is made beside its place: the driver creates it on its parent, and applies the archive. Only if all that comes of
//! that is what the digests of the layer say, it takes the layer's place, by one exchange of rooms.
//!
//! | step | held |
//! |---|---|
//! | make, compare, write to the device | the layer, to be read |
//! | look who uses it, exchange | the layer and all that is built on it by then, alone |
//!
//! Invariant: a layer has its own files, damaged or not, or those that it had when its digests were taken.
//!
//! See docs/decisions/0062-a-damaged-layer-is-served-until-it-is-repaired.md.

use super::digests::Digests;
use super::one::{INDEX_PATH, is_settled};
use super::pace::Pace;
use super::sources;
use super::walk::{self, Amount, Rigor};
use crate::disk::home::{LayerOrigin, StagedLayer};
use crate::layers::{Facts, Held, Key, Mode};
use crate::settings::Durability;
use crate::snapshots::{SnapshotKind, shown};
use crate::store::{Call, Intent, OpenStore, Scope, Store, Verb};
use crate::view::{FileDamage, RepairView};
use crate::{Error, EventKind, LayerId, Result};
use mica_runtime::{ArchiveForm, CancelToken, CreateOptions, Error as DriverError, Source};
use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::atomic::Ordering;

/// How often the layers above one are locked anew, because there are more by then.
const LOCK_TRIES: usize = 8;

impl OpenStore<'_> {
    /// Makes a damaged layer of an archive again. Anything else than what the layer was is refused.
    ///
    /// # Errors
    /// `unknown-layer`; `invalid-option` when the layer has no digests; `mounted` and `busy` while it or one that is built on it
    /// is used; `layer-changed` when it was changed while the archive came; `invalid-archive` when something else comes of the
    /// archive; what the driver answers. The layer is then as it was.
    pub fn repair(&self, id: &str, source: Source, cancel: CancelToken) -> Result<RepairView> {
        self.check()?;
        let id = LayerId::parse(id)?;
        self.repair_layer(&id, source, cancel, "the archive that was given")
    }

    /// Makes a damaged layer again of an archive that is still to be had: one that another store has, or the blob that the layer
    /// was unpacked from.
    ///
    /// # Errors
    /// As [`OpenStore::repair`], of the last archive that was found; `not-supported` when there is none.
    pub fn repair_from_stores(&self, id: &str, cancel: CancelToken) -> Result<RepairView> {
        self.check()?;
        let id = LayerId::parse(id)?;
        let archive = self.digests(&id)?.archive;
        let origin = self.origin(&id)?;
        let (mut refused, mut gone) = (None, String::new());
        for found in sources::find(self.engine, &self.store, &id, (archive, origin)) {
            let whence = found.whence();
            let (archive, fault) = match found.open() {
                Ok(opened) => opened,
                Err(error) => {
                    gone = format!(" ({whence}: {error})");
                    continue;
                }
            };
            let source = Source::from_reader(archive);
            let repaired = self.repair_layer(&id, source, cancel.clone(), &whence);
            match repaired.map_err(|error| fault.explain(error, &whence)) {
                // It is damaged as well, and another may not be.
                Err(error @ (Error::InvalidArchive(_) | Error::Io { .. })) => refused = Some(error),
                repaired => return repaired,
            }
        }
        Err(refused.unwrap_or_else(|| {
            Error::NotSupported(format!(
                "no store has the archive of layer `{id}`, and no blob that it is of is to be had{gone}: give it with `mica layer repair {id} --from FILE`"
            ))
        }))
    }

    /// The blob that a layer was unpacked from; what cannot be read counts as none.
    fn origin(&self, id: &LayerId) -> Result<Option<LayerOrigin>> {
        let number = self.store.facts(id)?.number;
        let read = self.store.layers.home().layout().read_origin(number);
        Ok(read.unwrap_or_else(|error| {
            tracing::warn!(store = %self.store.name, layer = %id, %error, "which blob it is of cannot be read");
            None
        }))
    }

    fn digests(&self, id: &LayerId) -> Result<Digests> {
        let number = self.store.facts(id)?.number;
        let read = super::look_at_list(self.store.layers.home().layout(), number);
        let doing = || format!("read the digests of layer `{id}`");
        let digests = read.map_err(|error| Error::io(doing(), error))?;
        digests.ok_or_else(|| {
            Error::Invalid(format!(
                "layer `{id}` has no digests, so nothing tells whether an archive is the right one: remove the layer and make it again"
            ))
        })
    }

    fn repair_layer(
        &self,
        id: &LayerId,
        source: Source,
        cancel: CancelToken,
        whence: &str,
    ) -> Result<RepairView> {
        let store = &*self.store;
        let parent = store.facts(id)?.record.parent;
        let mut wanted = vec![(Key::Layer(id.clone()), Mode::Shared)];
        wanted.extend(parent.map(|parent| (Key::Layer(parent), Mode::Shared)));
        // The archive may come slowly: nobody who only reads the layer, or what is built on it, waits for it.
        let reading = store.lock(wanted)?;
        let facts = store.facts(id)?;
        let watch = store.layers.watch(facts.number);
        let digests = self.digests(id)?;
        // Sooner than the archive; it is looked at again when it counts.
        self.check_unused(id, &facts)?;
        let staged = self.make_again(id, &facts, source, &cancel)?;
        let amount = self.accept_copy(id, &staged, &digests, &cancel)?;
        drop(reading);
        let held = self.lock_above(id)?;
        if watch.has_changed() {
            let layer = id.as_str().to_owned();
            return Err(Error::LayerChanged { layer });
        }
        self.clear_mount(id)?;
        self.check_unused(id, &facts)?;
        store.layers.exchange_made(staged, id, facts.number)?;
        store.scrub.note(facts.number, None);
        drop(held);
        store.scrub.write_noted();
        self.engine
            .scrubber
            .repaired
            .fetch_add(1, Ordering::Relaxed);
        let news = self.news(EventKind::LayerRepaired, id);
        self.engine
            .bus
            .tell(news.detail(format!("made again of {whence}")));
        Ok(RepairView {
            layer: id.to_string(),
            source: whence.to_owned(),
            files: amount.files,
            bytes: amount.bytes,
        })
    }

    /// Keeps everyone from using a layer and all that is built on it, and from building more on them.
    ///
    /// # Errors
    /// [`Error::Busy`], also when it never becomes quiet above the layer.
    fn lock_above(&self, id: &LayerId) -> Result<Held<'_>> {
        let store = &*self.store;
        for _ in 0..LOCK_TRIES {
            let keys = keys_above(store, id);
            let wanted = keys.iter().map(|key| (key.clone(), Mode::Exclusive));
            let held = store.lock(wanted.collect())?;
            // What came while others were waited for is not locked.
            if keys_above(store, id).is_subset(&keys) {
                return Ok(held);
            }
        }
        Err(Error::Busy(format!(
            "others go on building on layer `{id}` of store `{}`",
            store.name
        )))
    }

    /// Refuses a layer whose files someone may be using, or changing: they would lie elsewhere from now on.
    fn check_unused(&self, id: &LayerId, facts: &Facts) -> Result<()> {
        let store = &*self.store;
        let used: BTreeSet<LayerId> = layers_above(store, id).into_iter().collect();
        for layer in used.iter().chain([id]) {
            store.check_unmounted(layer)?;
        }
        if !is_settled(store, facts) {
            let text = format!("layer `{id}` may still be changed: commit it first");
            return Err(Error::Busy(text));
        }
        let Ok(snapshots) = store.snapshots() else {
            return Ok(());
        };
        // Whoever mounts them by itself does not tell whether they are mounted.
        let below = |key: Option<&str>| snapshots.layers_below(key).unwrap_or_default();
        for snapshot in snapshots.table().all() {
            let is_above = below(snapshot.parent.as_deref()).contains(id)
                || snapshot.layer.as_ref() == Some(id);
            if snapshot.kind != SnapshotKind::Committed && is_above {
                let key = shown(&snapshot.key);
                return Err(Error::Busy(format!(
                    "snapshot `{key}` is built on layer `{id}` and may be mounted"
                )));
            }
        }
        Ok(())
    }

    /// Has the driver make the layer beside its place.
    fn make_again(
        &self,
        id: &LayerId,
        facts: &Facts,
        source: Source,
        cancel: &CancelToken,
    ) -> Result<StagedLayer> {
        let layers = &self.store.layers;
        let (parent, kind) = (&facts.record.parent, facts.record.kind);
        // What was unpacked before its parent was known holds deletions for any parent, and comes out so only without one.
        let is_late = self.origin(id)?.is_some_and(|origin| origin.late_parent);
        let parent = parent.as_ref().filter(|_| !is_late);
        let below = parent.map(LayerId::as_str);
        let scope = Scope::layer(layers, id, Intent::Create(parent.cloned(), kind));
        let call = Call::new(Verb::Create, scope.clone()).with_cancel(cancel.clone());
        let staged = self.call(call, |generation, operation| {
            let options = CreateOptions::default();
            generation.create(operation, id.as_str(), below, kind, &options, None)?;
            let staged = scope.take_published();
            staged.ok_or_else(|| DriverError::Trapped("it published no layer".into()))
        })?;
        let form = match self.store.snapshots() {
            Ok(_) if is_late => ArchiveForm::Rebase,
            Ok(_) => ArchiveForm::Moby,
            Err(_) => ArchiveForm::Faithful,
        };
        let scope = Scope::layer(layers, id, Intent::Apply(staged));
        let call = Call::new(Verb::Apply, scope.clone()).with_cancel(cancel.clone());
        self.call_once(call, |generation, operation| {
            generation.apply_diff(operation, id.as_str(), below, form, source)
        })?;
        let held = || Error::Sandbox(format!("repair layer `{id}`: the copy is still in use"));
        scope.into_copy().ok_or_else(held)
    }

    /// Accepts a copy only if it is what the layer was, and brings it to the device with its list.
    fn accept_copy(
        &self,
        id: &LayerId,
        staged: &StagedLayer,
        digests: &Digests,
        cancel: &CancelToken,
    ) -> Result<Amount> {
        let (list, amount) = self.compare_copy(id, staged, digests, cancel)?;
        let home = self.store.layers.home();
        let keep = || -> io::Result<()> {
            home.write_digests(staged.directory(), &list)?()?;
            match self.engine.settings.durability {
                Durability::Commit => home.sync(),
                Durability::None => Ok(()),
            }
        };
        let doing = || format!("keep what layer `{id}` is made of");
        keep().map_err(|error| Error::io(doing(), error))?;
        Ok(amount)
    }

    /// Compares a copy with what the layer was; answers the copy's list.
    fn compare_copy(
        &self,
        id: &LayerId,
        staged: &StagedLayer,
        digests: &Digests,
        cancel: &CancelToken,
    ) -> Result<(Vec<u8>, Amount)> {
        let stop = || cancel.is_cancelled() || self.engine.check_open().is_err();
        let mut pace = Pace::new(&stop, &self.engine.scrubber.bytes);
        let mut look = || {
            let room = staged.open_room()?;
            let (found, amount) =
                walk::compare(room.as_fd(), digests, Rigor::Everything, &mut pace)?;
            let left_out = digests.left_out.as_deref();
            let (list, _) = walk::take(room.as_fd(), digests.archive, left_out, &mut pace)?;
            Ok((found, list, amount))
        };
        let (found, list, amount) = look().map_err(|error: io::Error| match error.kind() {
            io::ErrorKind::Interrupted => Error::Cancelled,
            _ => Error::io(format!("compare what layer `{id}` is made of"), error),
        })?;
        // The index of the same archive is another one only in when the layer's top was made.
        let is_index = |file: &&FileDamage| digests.archive.is_some() && file.path == INDEX_PATH;
        match found.named.iter().find(|file| !is_index(file)) {
            None => Ok((list, amount)),
            Some(first) => Err(Error::InvalidArchive(format!(
                "it does not make layer `{id}` what it was: {} files differ, for instance `{}` ({})",
                found.count,
                first.path,
                first.what.word()
            ))),
        }
    }
}

/// The layers that are built on one, directly or not.
fn layers_above(store: &Store, id: &LayerId) -> Vec<LayerId> {
    let table = store.layers.table();
    let mut found: Vec<LayerId> = Vec::new();
    let mut at = Some(id.clone());
    let mut next = 0;
    while let Some(id) = at {
        let children = table.get(id.as_str()).map(|entry| &entry.children);
        found.extend(children.into_iter().flatten().cloned());
        at = found.get(next).cloned();
        next += 1;
    }
    found
}

/// All that stands for a layer and for those that are built on it: their mounts, themselves, and the snapshots that they are of.
fn keys_above(store: &Store, id: &LayerId) -> BTreeSet<Key> {
    let layers: BTreeSet<LayerId> = layers_above(store, id)
        .into_iter()
        .chain([id.clone()])
        .collect();
    let mut keys = BTreeSet::new();
    if let Ok(snapshots) = store.snapshots() {
        for snapshot in snapshots.table().all() {
            if snapshot
                .layer
                .as_ref()
                .is_some_and(|layer| layers.contains(layer))
            {
                keys.insert(Key::Snapshot(snapshot.key.as_str().into()));
            }
        }
    }
    for layer in layers {
        keys.insert(Key::Mount(layer.clone()));
        keys.insert(Key::Layer(layer));
    }
    keys
}
