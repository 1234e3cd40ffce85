//! The rules for views whose directories leave Mica as text.
//!
//! containerd mounts by path, later and by itself, so that a check of a directory says nothing about what is mounted in
//! the end, unless nobody can change the path in between. The driver that chooses the directories may be hostile, and so
//! may the processes in its layers, also both together. Therefore:
//!
//! | rule | because |
//! |---|---|
//! | a directory lies one name below a layer's room | no view shows a room, so no process can exchange the name |
//! | the name is a real directory, and the one that the driver held | a link could lead anywhere |
//! | the name is plain text | it becomes part of a mount option |
//! | lower directories are of the snapshot's committed ancestors | content of others is nobody's business |
//! | what can be changed is of the snapshot's own layer | what is committed never changes again |
//! | upper and work differ | the kernel would damage both |
//! | a view cannot be changed, an active snapshot can | whatever the driver says |
//!
//! A driver's answer that breaks one of them is the driver's fault, and nothing goes out.
//!
//! Invariant: a [`CheckedView`] is made by [`ViewRules::check`] alone, and paths are made of nothing else.
//!
//! See docs/decisions/0001-mounts-for-containerd-are-planned.md.

use super::{Snapshot, SnapshotKind, Snapshots, shown};
use crate::layers::LayerSet;
use crate::{Error, LayerId, Result, SafeText};
use mica_runtime::{Access, Error as DriverError, Home, MountPlan, Place};
use mica_sys::{Name, node};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;

/// What one snapshot's view may consist of.
#[derive(Debug)]
pub(crate) struct ViewRules {
    /// The layer that is the snapshot's own.
    own: Option<LayerId>,
    /// The layers of the committed snapshots below, nearest first.
    below: Vec<LayerId>,
    /// What processes may do.
    access: Access,
}

/// A directory one name below the room of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoomDirectory {
    layer: LayerId,
    name: Name,
}

/// A view that keeps the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CheckedView {
    shape: Shape,
    access: Access,
}

/// How a view is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One directory.
    Bind(RoomDirectory),
    /// Several, nearest first, none of which can be changed.
    Stack(Vec<RoomDirectory>),
    /// Several, nearest first, below one that takes the changes.
    Overlay {
        /// The lower directories.
        lowers: Vec<RoomDirectory>,
        /// Where changes go.
        upper: RoomDirectory,
        /// The kernel's own.
        work: RoomDirectory,
    },
}

/// Layers by their ids.
type Allowed<'a> = HashMap<&'a str, &'a LayerId>;
/// A driver's answer is not allowed, or the host could not look.
type Checked<T> = std::result::Result<T, DriverError>;

fn broken<T>(rule: impl Into<SafeText>) -> Checked<T> {
    Err(DriverError::Trapped(rule.into()))
}

impl ViewRules {
    /// The rules for a layer over those of `below`.
    pub(crate) fn new(own: Option<LayerId>, below: Vec<LayerId>, access: Access) -> Self {
        Self { own, below, access }
    }

    /// The rules for a snapshot.
    ///
    /// # Errors
    /// As [`Snapshots::layers_below`].
    pub(crate) fn of(snapshots: &Snapshots, snapshot: &Snapshot) -> Result<Self> {
        let below = snapshots.layers_below(snapshot.parent.as_deref())?;
        Ok(Self::new(
            snapshot.layer.clone(),
            below,
            access_of(snapshot.kind),
        ))
    }

    /// What processes may do in the view.
    pub(crate) fn access(&self) -> Access {
        self.access
    }

    /// Checks what a driver answered. `home` is the operation's own, so that a layer which is not published yet is found.
    ///
    /// # Errors
    /// [`DriverError::Trapped`] with the rule that the answer breaks; [`DriverError::Host`] when a room cannot be read.
    pub(crate) fn check(&self, plan: &MountPlan, home: &dyn Home) -> Checked<CheckedView> {
        let shape = match plan {
            MountPlan::Bind { directory, access } => self.bind(directory, *access, home)?,
            MountPlan::Overlay {
                lowers,
                upper_and_work: None,
            } => self.stack(lowers, home)?,
            MountPlan::Overlay {
                lowers,
                upper_and_work: Some((upper, work)),
            } => self.overlay(lowers, upper, work, home)?,
        };
        let access = self.access;
        Ok(CheckedView { shape, access })
    }

    fn bind(&self, directory: &Place, access: Access, home: &dyn Home) -> Checked<Shape> {
        self.check_access(access)?;
        let directory = match access {
            Access::ReadOnly => self.seen(home, &self.readable(), directory)?,
            Access::ReadWrite => self.changed(home, directory)?,
        };
        Ok(Shape::Bind(directory))
    }

    fn stack(&self, lowers: &[Place], home: &dyn Home) -> Checked<Shape> {
        self.check_access(Access::ReadOnly)?;
        let readable = self.readable();
        let lowers = lowers.iter();
        let lowers = lowers.map(|lower| self.seen(home, &readable, lower));
        Ok(Shape::Stack(lowers.collect::<Checked<_>>()?))
    }

    fn overlay(
        &self,
        lowers: &[Place],
        upper: &Place,
        work: &Place,
        home: &dyn Home,
    ) -> Checked<Shape> {
        self.check_access(Access::ReadWrite)?;
        let committed = by_id(&self.below);
        let lowers = lowers.iter();
        let lowers = lowers.map(|lower| self.seen(home, &committed, lower));
        let lowers = lowers.collect::<Checked<_>>()?;
        let (upper, work) = (self.changed(home, upper)?, self.changed(home, work)?);
        if upper == work {
            return broken("the upper and the work directory of an overlay are the same");
        }
        Ok(Shape::Overlay {
            lowers,
            upper,
            work,
        })
    }

    /// The layers that a view which cannot be changed may show.
    fn readable(&self) -> Allowed<'_> {
        by_id(self.below.iter().chain(&self.own))
    }

    fn check_access(&self, answered: Access) -> Checked<()> {
        match (self.access, answered) {
            (Access::ReadOnly, Access::ReadWrite) => broken(
                "a view was asked for in which nothing can be changed, and in this one all can",
            ),
            (Access::ReadWrite, Access::ReadOnly) => {
                broken("a view was asked for that can be changed, and nothing can be in this one")
            }
            _ => Ok(()),
        }
    }

    /// A directory that is only read.
    fn seen(
        &self,
        home: &dyn Home,
        allowed: &Allowed<'_>,
        place: &Place,
    ) -> Checked<RoomDirectory> {
        match allowed.get(place.layer.as_str()) {
            Some(layer) => find(home, layer, place),
            None => broken(format!(
                "the view shows layer `{}`, which is none of the committed layers that the snapshot is built on",
                place.layer.escape_debug()
            )),
        }
    }

    /// A directory that is changed.
    fn changed(&self, home: &dyn Home, place: &Place) -> Checked<RoomDirectory> {
        match &self.own {
            Some(own) if own.as_str() == place.layer => find(home, own, place),
            _ => broken(format!(
                "the view can change layer `{}`, which is not the snapshot's own",
                place.layer.escape_debug()
            )),
        }
    }
}

fn by_id<'a>(layers: impl IntoIterator<Item = &'a LayerId>) -> Allowed<'a> {
    let layers = layers.into_iter();
    layers.map(|layer| (layer.as_str(), layer)).collect()
}

/// What processes may do in a snapshot of a kind.
fn access_of(kind: SnapshotKind) -> Access {
    match kind {
        SnapshotKind::Active => Access::ReadWrite,
        SnapshotKind::View | SnapshotKind::Committed => Access::ReadOnly,
    }
}

/// Looks whether the name in the room is the directory that the driver held. From then on it is: a room's names are
/// fixed once its layer is published.
fn find(home: &dyn Home, layer: &LayerId, place: &Place) -> Checked<RoomDirectory> {
    let name = &place.name;
    if !is_plain(name) {
        return broken(format!(
            "the view shows `{name}` of layer `{layer}`; the names of such directories have only letters, digits, `.`, \
             `_` and `-`"
        ));
    }
    let failed = |failure| DriverError::Host {
        doing: format!("look for `{name}` in the room of layer `{layer}`").into(),
        failure,
    };
    let room = home.open(layer.as_str()).map_err(failed)?;
    match node::stat(room.fd.as_fd(), name) {
        Ok(found)
            if found.kind == node::Kind::Directory
                && (found.device, found.inode) == (place.device, place.inode) =>
        {
            Ok(RoomDirectory {
                layer: layer.clone(),
                name: name.clone(),
            })
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed(mica_runtime::Failure::from_io("stat", &error)))
        }
        _ => broken(format!(
            "`{name}` in the room of layer `{layer}` is not the directory that the view was made of"
        )),
    }
}

/// Whether a name can stand in a path, a mount option and a terminal without any escape.
fn is_plain(name: &Name) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    name.as_bytes().iter().all(plain)
}

impl CheckedView {
    /// How it is made.
    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// What processes may do.
    pub(super) fn access(&self) -> Access {
        self.access
    }
}

impl RoomDirectory {
    /// The layer in whose room it is.
    pub(crate) fn layer(&self) -> &LayerId {
        &self.layer
    }

    /// The name in the room.
    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    /// The number of the layer.
    ///
    /// # Errors
    /// [`Error::UnknownLayer`].
    pub(super) fn number(&self, layers: &LayerSet) -> Result<u64> {
        let table = layers.table();
        let number = table.get(self.layer.as_str()).map(|entry| entry.number);
        number.ok_or_else(|| layers.unknown(&self.layer))
    }

    /// Where it lies.
    ///
    /// # Errors
    /// As [`RoomDirectory::number`].
    pub(crate) fn path(&self, layers: &LayerSet) -> Result<PathBuf> {
        use std::os::unix::ffi::OsStrExt as _;
        let name = std::ffi::OsStr::from_bytes(self.name.as_bytes());
        Ok(layers.room_path(self.number(layers)?).join(name))
    }

    /// Opens it.
    ///
    /// # Errors
    /// [`Error::UnknownLayer`], [`Error::Io`].
    pub(crate) fn open(&self, layers: &LayerSet) -> Result<OwnedFd> {
        let opened = layers.open_in_room(self.number(layers)?, &self.name);
        let doing = || {
            format!(
                "open `{}` of layer `{}` of store `{}`",
                self.name, self.layer, layers.store
            )
        };
        opened.map_err(|error| Error::io(doing(), error))
    }
}

impl Snapshots {
    /// The layers that a snapshot on `parent` is built on, nearest first: all of committed snapshots.
    ///
    /// # Errors
    /// [`Error::UnknownSnapshot`] when the chain has a hole; [`Error::Invalid`] for one that is not committed, or whose
    /// parents go in a circle.
    pub(crate) fn layers_below(&self, parent: Option<&str>) -> Result<Vec<LayerId>> {
        let table = self.table();
        let mut layers = Vec::new();
        let mut at = parent;
        for _ in 0..table.len() {
            let Some(key) = at else { break };
            let entry = table.get(key).ok_or_else(|| self.unknown(key))?;
            let snapshot = &entry.snapshot;
            if snapshot.kind != SnapshotKind::Committed {
                return Err(Error::Invalid(format!(
                    "snapshot `{}` is {}, but others are built on it",
                    shown(key),
                    snapshot.kind.described()
                )));
            }
            layers.extend(snapshot.layer.clone());
            at = snapshot.parent.as_deref();
        }
        match at {
            None => Ok(layers),
            Some(key) => {
                let key = shown(key);
                let text = format!("the parents of snapshot `{key}` do not end");
                Err(Error::Invalid(text))
            }
        }
    }
}
