//! What layers occupy.
//!
//! A driver says once where its layers have their own content (`places.rs`). If that is a subvolume, the file system is asked
//! which nodes are new or changed, and nothing is walked.
//!
//! Invariant: nothing is changed, and what takes long ends when it is cancelled.
//!
//! See docs/decisions/0011-usage-is-measured-by-the-host.md.

use super::{Facts, Mode, places};
use crate::drivers::Question;
use crate::store::{Call, Intent, OpenStore, Scope, Verb};
use crate::view::{UsageSource, UsageView};
use crate::{Error, LayerId, Result};
use mica_runtime::{CancelToken, OwnContent};
use mica_sys::btrfs::{self, Quota};
use mica_sys::tree;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

impl OpenStore<'_> {
    /// What a layer occupies beyond its parent, as the file system counts it if it does.
    pub(super) fn layer_usage(&self, id: &LayerId, cancel: &CancelToken) -> Result<UsageView> {
        let _held = self.lock_layer(id, Mode::Shared)?;
        let layer = self.own(id)?;
        let measured = self.measured(&layer, cancel)?;
        // What children share with it is not its alone any more, but still what it has beyond its parent.
        let Some(directory) = layer.subvolume().filter(|_| layer.facts.children == 0) else {
            return Ok(measured);
        };
        // Simple quotas do not know what is shared, nor what was written before the last apply.
        let counted = match btrfs::quota(directory) {
            Ok(Quota::On) => btrfs::usage_within(directory),
            quota => quota.map(|_| None),
        };
        let counted = counted.map_err(|error| self.unmeasured(id, cancel, error))?;
        Ok(counted.map_or(measured, |counted| UsageView {
            bytes: counted.exclusive_bytes,
            source: UsageSource::Quota,
            ..measured
        }))
    }

    /// Measures a layer by the rule of its file system, whatever that counts besides.
    pub(crate) fn measure_layer(&self, id: &LayerId, cancel: &CancelToken) -> Result<UsageView> {
        let _held = self.lock_layer(id, Mode::Shared)?;
        let layer = self.own(id)?;
        self.measured(&layer, cancel)
    }

    fn measured(&self, layer: &Own, cancel: &CancelToken) -> Result<UsageView> {
        let explain = |error| self.unmeasured(&layer.id, cancel, error);
        let go_on = || !cancel.is_cancelled();
        let (found, source) = if let Some(directory) = layer.subvolume() {
            // It cannot go, for this one is built on it.
            let parent = layer.facts.record.parent.as_ref();
            let parent = parent.map(|parent| self.own(parent)).transpose()?;
            let original = parent.as_ref().and_then(Own::subvolume);
            if parent.is_some() && original.is_none() {
                return self.compared(layer, cancel);
            }
            let found = btrfs::measure_changes(directory, original, &go_on).map_err(explain)?;
            (found, UsageSource::Search)
        } else {
            let mut found = tree::Measured::default();
            for directory in &layer.directories {
                let more = tree::measure(directory.as_fd(), &go_on).map_err(explain)?;
                found.bytes = found.bytes.saturating_add(more.bytes);
                found.inodes += more.inodes;
            }
            (Some(found), UsageSource::Walk)
        };
        match found {
            Some(tree::Measured { bytes, inodes }) => Ok(UsageView {
                bytes,
                inodes: Some(inodes),
                source,
            }),
            None => self.compared(layer, cancel),
        }
    }

    /// Opens what a layer itself has.
    fn own(&self, id: &LayerId) -> Result<Own> {
        let store = &*self.store;
        let facts = store.facts(id)?;
        let content = self.own_content()?;
        let open = || {
            let room = store.layers.open_whole(facts.number)?;
            let names = match content {
                OwnContent::Room => return Ok((vec![room], false)),
                OwnContent::Complete(name) => vec![name],
                OwnContent::Stacked(stack) => {
                    [stack.upper].into_iter().chain(stack.sealed).collect()
                }
            };
            let mut directories = Vec::new();
            for name in &names {
                directories.extend(places::open(store, facts.number, name)?);
            }
            let is_subvolume = match directories.as_slice() {
                [only] => btrfs::is_subvolume(only.as_fd())?,
                _ => false,
            };
            Ok((directories, is_subvolume))
        };
        let opened = open();
        let (directories, is_subvolume) =
            opened.map_err(|error| self.unmeasured(id, &CancelToken::default(), error))?;
        Ok(Own {
            id: id.clone(),
            facts,
            directories,
            is_subvolume,
        })
    }

    /// The sizes of what differs, where the file system cannot be asked for more.
    fn compared(&self, layer: &Own, cancel: &CancelToken) -> Result<UsageView> {
        let Own { id, facts, .. } = layer;
        let parent = facts.record.parent.as_ref().map(LayerId::as_str);
        let scope = Scope::layer(&self.store.layers, id, Intent::Look);
        let call = Call::new(Verb::Usage, scope)
            .with_cancel(cancel.clone())
            .asking(Question::Size(facts.record.parent.clone()));
        let bytes = self.call(call, |generation, operation| {
            generation.diff_size(operation, id.as_str(), parent)
        })?;
        Ok(UsageView {
            bytes,
            inodes: None,
            source: UsageSource::Walk,
        })
    }

    /// What went wrong while a layer was measured.
    fn unmeasured(&self, id: &LayerId, cancel: &CancelToken, error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::Interrupted if cancel.is_cancelled() => Error::Cancelled,
            _ => Error::io(
                format!("measure layer `{id}` of store `{}`", self.store.name),
                error,
            ),
        }
    }
}

/// A layer, and what it itself has.
struct Own {
    id: LayerId,
    facts: Facts,
    /// Those that it has of those that the driver names.
    directories: Vec<OwnedFd>,
    /// Whether it is all in one subvolume.
    is_subvolume: bool,
}

impl Own {
    fn subvolume(&self) -> Option<BorrowedFd<'_>> {
        let only = self.directories.first().filter(|_| self.is_subvolume);
        only.map(AsFd::as_fd)
    }
}
