//! A handle on a directory: what it may do, what its nodes are shared with, and how it was reached.
//!
//! Invariant: what is reached from a handle has no more rights than it, and knows of the same sharing.

use super::super::plan::Position;
use super::super::sharing::Sharing;
use crate::{Access, Code, Failure};
use cap_std::fs::Dir;
use mica_sys::{Name, node};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// An open directory and what may be done in it.
#[derive(Clone, Debug)]
pub struct Directory {
    dir: Arc<Dir>,
    access: Access,
    /// What may be done in the directories below.
    below: Access,
    /// `None` where every node is its own.
    sharing: Option<Sharing>,
    position: Position,
    /// Whether a device could be opened here.
    has_devices: bool,
}

impl Directory {
    pub(crate) fn new(fd: OwnedFd, access: Access) -> Self {
        Self {
            dir: Arc::new(Dir::from_std_file(fd.into())),
            access,
            below: access,
            sharing: None,
            position: Position::Elsewhere,
            has_devices: true,
        }
    }

    /// The top of a view.
    pub(in crate::capability) fn top(fd: OwnedFd, access: Access, has_devices: bool) -> Self {
        Self {
            has_devices,
            ..Self::new(fd, access)
        }
    }

    /// A directory that is only read, at a place of the host's.
    pub(in crate::capability) fn read_only(fd: OwnedFd, position: Position) -> Self {
        Self {
            position,
            ..Self::new(fd, Access::ReadOnly)
        }
    }

    /// The same directory, below which nodes may belong to something else too.
    pub(in crate::capability) fn sharing(self, sharing: Option<Sharing>) -> Self {
        Self { sharing, ..self }
    }

    /// The room of a layer: its own names can be changed as `access` says, what lies below them as `below` says.
    pub(in crate::capability) fn room(
        fd: OwnedFd,
        access: Access,
        below: Access,
        layer: &str,
    ) -> Self {
        Self {
            below,
            position: Position::Room {
                layer: Arc::from(layer),
            },
            ..Self::new(fd, access)
        }
    }

    /// A directory of this one.
    pub(super) fn child(&self, fd: OwnedFd, name: &Name) -> Self {
        Self {
            sharing: self.sharing.clone(),
            position: self.position.child(name),
            // No handle leads from one mount into another.
            has_devices: self.has_devices,
            ..Self::new(fd, self.below)
        }
    }

    pub(in crate::capability) fn position(&self) -> &Position {
        &self.position
    }

    /// What its nodes belong to besides it.
    pub(in crate::capability) fn what_is_shared(&self) -> Option<&Sharing> {
        self.sharing.as_ref()
    }

    /// Makes the node of a name the directory's own, so that it can be changed.
    pub(in crate::capability) fn own(&self, name: &Name) -> io::Result<()> {
        let sharing = self.sharing.as_ref();
        sharing.map_or(Ok(()), |sharing| sharing.own(self.fd(), name))
    }

    /// As [`Directory::own`], for a node that is to get a further name.
    pub(super) fn own_for_link(&self, name: &Name) -> io::Result<()> {
        let sharing = self.sharing.as_ref();
        sharing.map_or(Ok(()), |sharing| sharing.own_for_link(self.fd(), name))
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Opens a regular file for reading.
    pub(super) fn open_regular(&self, name: &Name) -> io::Result<OwnedFd> {
        match self.has_devices {
            true => node::open_regular(self.fd(), name),
            false => node::open_regular_at_once(self.fd(), name),
        }
    }

    /// Refuses what only a read-write handle may do.
    pub(crate) fn writable(&self) -> Result<&Self, Failure> {
        match self.access {
            Access::ReadWrite => Ok(self),
            Access::ReadOnly => Err(Failure::new(
                Code::ReadOnly,
                "the directory handle is read-only",
            )),
        }
    }
}
