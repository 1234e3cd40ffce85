//! Questions about a layer that two builds of a driver must answer alike.
//!
//! | question | must be the same |
//! |---|---|
//! | what a view shows | the directories, in their order |
//! | where the layer's own content lies | the directories that it has of those that the build names |
//! | what the driver tells of it | that it tells something: the text is for people |
//! | size, changes, archive | the number; the digest |
//!
//! Invariant: no answer changes anything, and both builds are asked while the layer cannot change.

use crate::layers::{Key, LayerSet, Mode};
use crate::store::{Call, Intent, Scope, Store, Verb};
use crate::{LayerId, driver_error};
use mica_runtime::{
    Access, ArchiveForm, ChangeSink, Error as DriverError, Generation, MountPlan, OwnContent,
    Place, Sink,
};
use mica_text::hex;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

/// Pages of a list of changes between the driver and its reader.
const PAGES: usize = 4;

/// What is asked of a layer.
#[derive(Clone, Debug)]
pub(crate) enum Question {
    /// What a view of it consists of.
    View,
    /// The same of a layer that was just made or filled: the build before must be able to show it, too.
    Made,
    /// Which directories of its room have its own content.
    Content,
    /// What the driver tells of it.
    Metadata,
    /// How large the difference is.
    Size(Option<LayerId>),
    /// What the difference is.
    Changes(Option<LayerId>),
    /// The difference as an archive.
    Archive(Option<LayerId>, ArchiveForm),
}

/// A question about one layer of one store.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) store: String,
    pub(crate) layer: LayerId,
    pub(crate) question: Question,
}

/// What a comparison came to.
#[derive(Clone, Debug)]
pub(super) enum Compared {
    /// They answer alike; how busy the one before was with it and how busy the new one, if both were asked.
    Same(Option<[Duration; 2]>),
    /// There is nothing to compare: the one before has no answer, or the layer may change just now.
    Nothing,
    /// They do not.
    Otherwise(Difference),
}

/// How the answers of two builds differ.
#[derive(Clone, Debug)]
pub(super) struct Difference {
    /// The new build cannot answer.
    pub(super) is_failure: bool,
    /// In words.
    pub(super) what: String,
}

/// Whether a build must answer as the one before does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Agreement {
    /// It must answer, and the same.
    #[default]
    Required,
    /// It must answer.
    Waived,
}

impl Question {
    /// What it is about, as a driver's function.
    pub(super) fn name(&self) -> &'static str {
        self.verb().word()
    }

    fn verb(&self) -> Verb {
        match self {
            Self::View | Self::Made => Verb::Get,
            Self::Content => Verb::Describe,
            Self::Metadata => Verb::Metadata,
            Self::Size(_) => Verb::Size,
            Self::Changes(_) => Verb::Changes,
            Self::Archive(..) => Verb::Diff,
        }
    }

    /// Whether what processes write into the layer changes the answer.
    fn is_about_files(&self) -> bool {
        matches!(self, Self::Size(_) | Self::Changes(_) | Self::Archive(..))
    }

    fn parent(&self) -> Option<&LayerId> {
        match self {
            Self::View | Self::Made | Self::Content | Self::Metadata => None,
            Self::Size(parent) | Self::Changes(parent) | Self::Archive(parent, _) => {
                parent.as_ref()
            }
        }
    }

    /// Asks a build, in words that can be compared.
    pub(super) fn ask(
        &self,
        generation: &Generation,
        layers: &Arc<LayerSet>,
        layer: &LayerId,
    ) -> Result<String, DriverError> {
        self.ask_timed(generation, layers, layer).map(|told| told.0)
    }

    /// The same, with the time that the build was busy.
    fn ask_timed(
        &self,
        generation: &Generation,
        layers: &Arc<LayerSet>,
        layer: &LayerId,
    ) -> Result<(String, Duration), DriverError> {
        let id = layer.as_str();
        let parent = self.parent().map(LayerId::as_str);
        let intent = match self {
            Self::View | Self::Made => Intent::View(Access::ReadOnly),
            _ => Intent::Look,
        };
        let operation = Call::new(self.verb(), Scope::layer(layers, layer, intent)).operation();
        let spent = operation.spent.clone();
        let told = match self {
            Self::View | Self::Made => places(&generation.plan(operation, id, Access::ReadOnly)?),
            Self::Content => content(generation, layers, layer)?,
            Self::Metadata => {
                generation.metadata(operation, id)?;
                "it is described".to_owned()
            }
            Self::Size(_) => format!("{} bytes", generation.diff_size(operation, id, parent)?),
            Self::Changes(_) => {
                let (sink, pages) = ChangeSink::channel(PAGES);
                std::thread::scope(|scope| {
                    let reader = scope.spawn(|| list(pages));
                    let told = generation.changes(operation, id, parent, sink);
                    let list = reader.join().unwrap_or_default();
                    told.map(|()| list)
                })?
            }
            Self::Archive(_, form) => {
                let hash = Hashing::default();
                let sink = Sink::to_writer(Box::new(hash.clone()));
                let report = generation.diff(operation, id, parent, *form, sink)?;
                format!("{} entries, {}", report.entries, hash.digest())
            }
        };
        Ok((told, spent.own_time()))
    }
}

impl Asked {
    /// Asks two builds.
    pub(super) fn compare(
        &self,
        store: &Store,
        old: &Generation,
        new: &Generation,
        (agreement, patience): (Agreement, Duration),
    ) -> Compared {
        let Self {
            layer, question, ..
        } = self;
        let layers = &store.layers;
        let wanted = std::iter::once(layer).chain(question.parent());
        let keys = wanted.map(|id| (Key::Layer(id.clone()), Mode::Shared));
        let Some(_held) = store.lock_within(keys.collect(), patience) else {
            return Compared::Nothing;
        };
        if question.is_about_files() && !is_still(store, layer, question.parent()) {
            return Compared::Nothing;
        }
        let of_new = question.ask_timed(new, layers, layer);
        if of_new.is_ok() && agreement == Agreement::Waived {
            return Compared::Same(None);
        }
        let failed = |error| {
            let doing = format!("{} of layer `{layer}`", question.name());
            driver_error::translate(&layers.driver, &doing, error).to_string()
        };
        let (of_old, old_time) = match question.ask_timed(old, layers, layer) {
            Ok(told) => told,
            Err(error) if matches!(question, Question::Made) && of_new.is_ok() => {
                (failed(error), Duration::ZERO)
            }
            // What the build before cannot answer is not held against the new one.
            Err(_) => return Compared::Nothing,
        };
        let (is_failure, told) = match of_new {
            Ok((told, time)) if told == of_old => return Compared::Same(Some([old_time, time])),
            Ok((told, _)) => (false, told),
            Err(error) => (true, failed(error)),
        };
        Compared::Otherwise(Difference {
            is_failure,
            what: format!("the new build: {told}; the build before: {of_old}"),
        })
    }
}

/// Whether nobody can write into the layers just now: those with children never change again, and others are not mounted.
fn is_still(store: &Store, layer: &LayerId, parent: Option<&LayerId>) -> bool {
    let below = {
        let table = store.layers.table();
        let own = table.ancestors(layer.as_str()).unwrap_or_default();
        let ids = own.iter().filter_map(|id| table.get(id));
        ids.map(|entry| entry.id().clone()).collect::<Vec<_>>()
    };
    let is_loose = |id: &LayerId| {
        let table = store.layers.table();
        let children = table
            .get(id.as_str())
            .map_or(0, |entry| entry.facts().children);
        children == 0 && store.snapshots().is_ok()
    };
    // A container runtime mounts by itself, and unseen.
    let mut named = std::iter::once(layer).chain(parent);
    let mut all = below.iter().chain(std::iter::once(layer)).chain(parent);
    !named.any(is_loose) && !all.any(|id| store.mounts.is_writable(id))
}

/// The directories that a view shows, nearest first.
fn places(plan: &MountPlan) -> String {
    let of = |place: &Place| format!("{}/{}", place.layer, place.name);
    let shown: Vec<_> = match plan {
        MountPlan::Bind { directory, .. } => vec![of(directory)],
        MountPlan::Overlay {
            lowers,
            upper_and_work,
        } => {
            let upper = upper_and_work.iter().map(|(upper, _)| of(upper));
            upper.chain(lowers.iter().map(of)).collect()
        }
    };
    shown.join(", ")
}

/// The directories that a layer has of those that a build names as its own content.
fn content(
    generation: &Generation,
    layers: &LayerSet,
    layer: &LayerId,
) -> Result<String, DriverError> {
    let names = match generation.description().content.clone() {
        OwnContent::Room => return Ok("the whole room".to_owned()),
        OwnContent::Complete(name) => vec![name],
        OwnContent::Stacked(stack) => [stack.upper].into_iter().chain(stack.sealed).collect(),
    };
    let number = layers.table().get(layer.as_str()).map(|entry| entry.number);
    let is_there = |name: &mica_sys::Name| {
        number.is_some_and(|number| layers.open_in_room(number, name).is_ok())
    };
    let there: Vec<_> = names.iter().filter(|name| is_there(name)).collect();
    if there.is_empty() {
        let text = format!("its content lies in none of {}", listed(&names));
        return Err(DriverError::Trapped(text.into()));
    }
    Ok(listed(&there))
}

fn listed(names: &[impl ToString]) -> String {
    let shown: Vec<_> = names
        .iter()
        .map(|name| format!("`{}`", name.to_string()))
        .collect();
    shown.join(", ")
}

/// Reads a list of changes to its end.
fn list(mut pages: tokio::sync::mpsc::Receiver<Vec<mica_runtime::Change>>) -> String {
    let (mut hash, mut count) = (Sha256::new(), 0);
    while let Some(page) = pages.blocking_recv() {
        for change in page {
            count += 1;
            hash.update(format!("{:?} ", change.kind));
            hash.update(&change.path);
            hash.update([0]);
        }
    }
    format!("{count} changes, sha256:{}", hex(&hash.finalize()))
}

/// Takes bytes and keeps their digest.
#[derive(Clone, Debug, Default)]
struct Hashing(Arc<Mutex<Sha256>>);

impl Hashing {
    fn digest(&self) -> String {
        format!("sha256:{}", hex(&self.0.lock().clone().finalize()))
    }
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
