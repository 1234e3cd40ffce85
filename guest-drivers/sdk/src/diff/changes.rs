//! A difference as a list of changes.
//!
//! Invariant: the host is called once for many changes, never with more than it takes.

use crate::error::host;
use crate::tree::{ChangeSink, Directory};
use crate::walk::{Found, Visitor};
use crate::{Change, ChangeKind, Result};
use std::ops::ControlFlow;

/// The host takes this many at once.
const PAGE_CHANGES: usize = 1024;
/// And this many bytes of paths are a good parcel.
const PAGE_BYTES: usize = 128 << 10;

/// Gathers changes.
#[derive(Debug)]
pub(super) struct List<S> {
    sink: S,
    changes: Vec<Change>,
    bytes: usize,
}

impl<S: ChangeSink> List<S> {
    /// An empty list that goes to `sink`.
    pub(super) fn new(sink: S) -> Self {
        Self {
            sink,
            changes: Vec::with_capacity(PAGE_CHANGES),
            bytes: 0,
        }
    }

    /// Tells that the top directory has changed.
    pub(super) fn top(&mut self) {
        self.changes.push(Change {
            path: b"/".to_vec(),
            kind: ChangeKind::Modify,
        });
    }

    /// Sends the rest.
    pub(super) fn finish(mut self) -> Result<()> {
        self.flush()
    }

    fn flush(&mut self) -> Result<()> {
        if !self.changes.is_empty() {
            self.sink
                .push(&self.changes)
                .map_err(|failure| host("send changes", failure))?;
            self.changes.clear();
            self.bytes = 0;
        }
        Ok(())
    }
}

impl<D: Directory, S: ChangeSink> Visitor<D> for List<S> {
    fn change(&mut self, found: &Found<'_, D>) -> Result<ControlFlow<()>> {
        self.bytes += found.path.len();
        self.changes.push(Change {
            path: found.path.to_vec(),
            kind: found.kind,
        });
        // Both bounds: long paths fill the call's memory long before there are many.
        if self.changes.len() >= PAGE_CHANGES || self.bytes >= PAGE_BYTES {
            self.flush()?;
        }
        Ok(ControlFlow::Continue(()))
    }
}
