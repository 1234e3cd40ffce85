//! A store as one operation may see it.
//!
//! What a driver publishes or discards is only noted here; the engine does it after the driver has said that all is
//! well. So an operation that ends badly, in whatever way, has changed nothing.
//!
//! Invariant: the subject of the operation is the only layer that it can change, and only as its intent allows.

use crate::disk::home::StagedLayer;
use crate::layers::{Entry, LayerSet};
use crate::{LayerId, SafeText};
use mica_runtime::{
    Access, Code, Failure, Feature, Home, LayerInfo, LayerKind, Room, Staged, Support,
};
use parking_lot::{Mutex, MutexGuard};
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// Layers of one page of a listing: what `wit/home.wit` promises.
const PAGE_ENTRIES: usize = 1024;

/// What an operation is for.
#[derive(Debug)]
pub(crate) enum Intent {
    /// Looks at layers.
    Look,
    /// Makes a view of the subject.
    View(Access),
    /// Creates the subject.
    Create(Option<LayerId>, LayerKind),
    /// Removes the subject.
    Remove,
    /// Changes a private copy of the subject.
    Apply(StagedLayer),
}

/// What a driver has asked for so far.
#[derive(Debug, Default)]
struct Wish {
    published: Option<StagedLayer>,
    is_discarded: bool,
}

/// A store as one operation may see it.
#[derive(Debug)]
pub(crate) struct Scope {
    layers: Arc<LayerSet>,
    subject: Option<LayerId>,
    intent: Intent,
    wish: Mutex<Wish>,
}

type Answer<T> = Result<T, Failure>;

impl Scope {
    /// An operation about no layer.
    pub(crate) fn store(layers: &Arc<LayerSet>) -> Arc<Self> {
        Arc::new(Self {
            layers: Arc::clone(layers),
            subject: None,
            intent: Intent::Look,
            wish: Mutex::default(),
        })
    }

    /// An operation about a layer.
    pub(crate) fn layer(layers: &Arc<LayerSet>, subject: &LayerId, intent: Intent) -> Arc<Self> {
        let (layers, subject) = (Arc::clone(layers), Some(subject.clone()));
        Arc::new(Self {
            layers,
            subject,
            intent,
            wish: Mutex::default(),
        })
    }

    /// The layers that it is about.
    pub(crate) fn layers(&self) -> &Arc<LayerSet> {
        &self.layers
    }

    /// The layer that it is about, if it is about one.
    pub(crate) fn subject(&self) -> Option<&str> {
        self.subject.as_ref().map(LayerId::as_str)
    }

    /// What is being done, for error texts.
    pub(crate) fn describe(&self, action: &str) -> String {
        match &self.subject {
            Some(subject) => format!(
                "{action} layer `{subject}` of store `{}`",
                self.layers.store
            ),
            None => format!("{action} store `{}`", self.layers.store),
        }
    }

    /// The layer that the driver published, if it did.
    pub(crate) fn take_published(&self) -> Option<StagedLayer> {
        self.wish().published.take()
    }

    /// Forgets what a driver has asked for: another build is asked the same. What it published is thrown away.
    pub(crate) fn begin_again(&self) {
        let _gone = std::mem::take(&mut *self.wish());
    }

    /// Whether the driver discarded the subject.
    pub(crate) fn is_discarded(&self) -> bool {
        self.wish().is_discarded
    }

    /// The private copy, once no driver holds the scope any more.
    pub(crate) fn into_copy(self: Arc<Self>) -> Option<StagedLayer> {
        match Arc::into_inner(self)?.intent {
            Intent::Apply(copy) => Some(copy),
            _ => None,
        }
    }

    fn wish(&self) -> MutexGuard<'_, Wish> {
        self.wish.lock()
    }

    fn is_subject(&self, id: &str) -> bool {
        self.subject
            .as_ref()
            .is_some_and(|subject| subject.as_str() == id)
    }

    /// What is true of the subject within this operation and of nothing else; `None` for what the table tells.
    fn own_state(&self, id: &str) -> Option<bool> {
        if !self.is_subject(id) {
            return None;
        }
        let wish = self.wish();
        match self.intent {
            Intent::Create(..) => Some(wish.published.is_some()),
            Intent::Remove if wish.is_discarded => Some(false),
            _ => None,
        }
    }

    /// Looks a layer up in the table, unless the operation knows better.
    fn look<T>(&self, id: &str, read: impl FnOnce(&Entry) -> T) -> Answer<T> {
        let missing = || {
            Failure::new(
                Code::NotFound,
                format!("there is no layer `{}`", SafeText::label(id)),
            )
        };
        if self.own_state(id) == Some(false) {
            return Err(missing());
        }
        self.layers.table().get(id).map(read).ok_or_else(missing)
    }

    /// The room that only this operation sees, if the subject has one.
    fn own_room(&self) -> Option<io::Result<Room>> {
        let room = |staged: &StagedLayer| {
            Ok(Room {
                fd: staged.open_room()?,
                access: Access::ReadWrite,
                shared: staged.shared(),
            })
        };
        match &self.intent {
            Intent::Create(..) => self.wish().published.as_ref().map(room),
            Intent::Apply(copy) => Some(room(copy)),
            Intent::Look | Intent::View(_) | Intent::Remove => None,
        }
    }

    fn access(&self, id: &str) -> Access {
        match self.intent {
            Intent::View(access) if self.is_subject(id) => access,
            _ => Access::ReadOnly,
        }
    }

    fn deny<T>(what: &str) -> Answer<T> {
        Err(Failure::new(Code::Denied, what))
    }
}

impl Home for Scope {
    fn exists(&self, id: &str) -> Answer<bool> {
        Ok(self
            .own_state(id)
            .unwrap_or_else(|| self.layers.table().get(id).is_some()))
    }

    fn inspect(&self, id: &str) -> Answer<LayerInfo> {
        if let (Some(true), Intent::Create(parent, kind)) = (self.own_state(id), &self.intent) {
            return Ok(LayerInfo {
                id: id.to_owned(),
                parent: parent.clone().map(String::from),
                kind: *kind,
            });
        }
        let parent_of = |entry: &Entry| entry.parent().map(|parent| parent.as_str().to_owned());
        self.look(id, |entry| LayerInfo {
            id: id.to_owned(),
            parent: parent_of(entry),
            kind: entry.record.kind,
        })
    }

    fn ancestors(&self, id: &str) -> Answer<Vec<String>> {
        if let (Some(true), Intent::Create(parent, _)) = (self.own_state(id), &self.intent) {
            let Some(parent) = parent else {
                return Ok(Vec::new());
            };
            let mut below = vec![parent.as_str().to_owned()];
            below.extend(self.ancestors(parent.as_str())?);
            return Ok(below);
        }
        self.look(id, |_| ())?;
        let broken = || {
            Failure::new(
                Code::Io,
                format!("the chain of layer `{}` is broken", SafeText::label(id)),
            )
        };
        self.layers.table().ancestors(id).ok_or_else(broken)
    }

    fn list(&self, after: Option<&str>) -> Answer<Vec<String>> {
        let table = self.layers.table();
        Ok(table
            .page(after, PAGE_ENTRIES)
            .map(|entry| entry.id().as_str().to_owned())
            .collect())
    }

    fn open(&self, id: &str) -> Answer<Room> {
        let explain = |error: io::Error| {
            Failure::from_io(format!("open layer `{}`", SafeText::label(id)), &error)
        };
        if self.is_subject(id)
            && let Some(own) = self.own_room()
        {
            return own.map_err(explain);
        }
        self.look(id, |_| ())?;
        match self.layers.open_room(id).map_err(explain)? {
            Some(fd) => Ok(Room {
                fd,
                access: self.access(id),
                shared: None,
            }),
            None => Err(Failure::new(
                Code::NotFound,
                format!("there is no layer `{}`", SafeText::label(id)),
            )),
        }
    }

    fn stage(&self) -> Answer<Box<dyn Staged>> {
        match self.intent {
            Intent::Create(..) => {
                let staged = self.layers.home().stage();
                Ok(Box::new(staged.map_err(|error| {
                    Failure::from_io("stage a layer", &error)
                })?))
            }
            _ => Self::deny("only an operation that creates a layer may stage one"),
        }
    }

    fn publish(&self, staged: Box<dyn Staged>, id: &str) -> Answer<()> {
        if !matches!(self.intent, Intent::Create(..)) || !self.is_subject(id) {
            return Self::deny("an operation may publish the layer that it creates, and no other");
        }
        let Ok(staged) = staged.into_any().downcast::<StagedLayer>() else {
            return Self::deny("this is no layer of the store");
        };
        let mut wish = self.wish();
        if wish.published.is_some() {
            return Err(Failure::new(
                Code::Exists,
                format!("layer `{id}` is published already"),
            ));
        }
        wish.published = Some(*staged);
        Ok(())
    }

    fn discard(&self, id: &str) -> Answer<()> {
        if !matches!(self.intent, Intent::Remove) || !self.is_subject(id) {
            return Self::deny("an operation may discard the layer that it removes, and no other");
        }
        self.look(id, |_| ())?;
        self.wish().is_discarded = true;
        Ok(())
    }

    fn backing(&self) -> Answer<BorrowedFd<'_>> {
        Ok(self.layers.home().layout().top())
    }

    fn probe(&self, feature: Feature) -> Answer<Support> {
        self.layers.probe(feature)
    }
}

#[cfg(test)]
mod tests;
