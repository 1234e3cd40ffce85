//! What layers occupy.
//!
//! A driver says where in its room it keeps what the layer itself has: `UpperDir` of its metadata, or `SourceDir`; of
//! one that says neither the whole room counts. If that is a subvolume, the file system is asked which nodes are new or
//! changed, and nothing is walked.
//!
//! Invariant: nothing is changed, and what takes long ends when it is cancelled.
//!
//! See docs/decisions/0011-usage-is-measured-by-the-host.md.

use super::{Facts, Mode};
use crate::store::{Call, Intent, OpenStore, Scope};
use crate::view::{UsageSource, UsageView};
use crate::{Error, LayerId, Result};
use mica_runtime::CancelToken;
use mica_sys::btrfs::{self, Quota};
use mica_sys::{Name, node, tree};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// The keys that name what a layer itself has; the first that is there counts.
const OWN: [&str; 2] = ["UpperDir", "SourceDir"];

impl OpenStore<'_> {
    /// What a layer occupies beyond its parent, as the file system counts it if it does.
    pub(super) fn layer_usage(&self, id: &LayerId, cancel: &CancelToken) -> Result<UsageView> {
        let _held = self.lock_layer(id, Mode::Shared)?;
        let layer = self.own(id)?;
        let measured = self.measured(&layer, cancel)?;
        // What children share with it is not its alone any more, but still what it has beyond its parent.
        if layer.facts.children > 0 || !layer.is_subvolume {
            return Ok(measured);
        }
        let directory = layer.directory.as_fd();
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
        let directory = layer.directory.as_fd();
        let (found, source) = if layer.is_subvolume {
            // It cannot go, for this one is built on it.
            let parent = layer.facts.record.parent.as_ref();
            let parent = parent.map(|parent| self.own(parent)).transpose()?;
            if parent.as_ref().is_some_and(|parent| !parent.is_subvolume) {
                return self.compared(layer, cancel);
            }
            let original = parent.as_ref().map(|parent| parent.directory.as_fd());
            let found = btrfs::measure_changes(directory, original, &go_on).map_err(explain)?;
            (found, UsageSource::Search)
        } else {
            let found = tree::measure(directory, &go_on).map_err(explain)?;
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
        let facts = self.store.facts(id)?;
        let opened = self.own_directory(id, facts.number)?;
        let look = |directory: OwnedFd| {
            let is_subvolume = btrfs::is_subvolume(directory.as_fd())?;
            Ok((directory, is_subvolume))
        };
        let (directory, is_subvolume) = opened
            .and_then(look)
            .map_err(|error| self.unmeasured(id, &CancelToken::default(), error))?;
        Ok(Own {
            id: id.clone(),
            facts,
            directory,
            is_subvolume,
        })
    }

    /// Opens the directory that the driver names.
    fn own_directory(&self, id: &LayerId, number: u64) -> Result<io::Result<OwnedFd>> {
        let store = &self.store;
        let call = Call::new("metadata", Scope::layer(&store.layers, id, Intent::Look));
        let told = self.call(call, |generation, operation| {
            generation.metadata(operation, id.as_str())
        })?;
        let own = OWN
            .iter()
            .find_map(|wanted| told.iter().find(|(key, _)| key == wanted));
        let path = own.map_or("", |(_, path)| path.as_str());
        let open = || {
            let mut opened = store.layers.open_whole(number)?;
            for part in path.split('/').filter(|part| !part.is_empty()) {
                let name = Name::new(part.as_bytes())
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
                opened = node::open_directory(opened.as_fd(), &name)?;
            }
            Ok(opened)
        };
        Ok(open())
    }

    /// The sizes of what differs, where the file system cannot be asked for more.
    fn compared(&self, layer: &Own, cancel: &CancelToken) -> Result<UsageView> {
        let Own { id, facts, .. } = layer;
        let parent = facts.record.parent.as_ref().map(LayerId::as_str);
        let scope = Scope::layer(&self.store.layers, id, Intent::Look);
        let call = Call::new("usage", scope).with_cancel(cancel.clone());
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
    directory: OwnedFd,
    is_subvolume: bool,
}
