//! What layers occupy.
//!
//! A driver says where in its room it keeps what the layer itself has: `UpperDir` of its metadata, or `SourceDir`; of
//! one that says neither the whole room counts. If that is a subvolume on a file system that counts, nothing is
//! walked.
//!
//! Invariant: nothing is changed, and a walk ends when it is cancelled.

use crate::call::Call;
use crate::engine::Engine;
use crate::layers::{Facts, Key, Mode};
use crate::scope::{Intent, Scope};
use crate::store::Store;
use crate::view::{UsageSource, UsageView};
use crate::{Error, LayerId, Result};
use mica_runtime::CancelToken;
use mica_sys::{Name, btrfs, node, tree};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// The keys that name what a layer itself has; the first that is there counts.
const OWN: [&str; 2] = ["UpperDir", "SourceDir"];

impl Engine {
    /// What a layer occupies beyond its parent: of a layer that shares blocks with its parent what differs, of a
    /// complete copy all of it. It may be mounted and change meanwhile.
    ///
    /// # Errors
    /// `unknown-layer`, `cancelled`; what the driver answers.
    pub fn usage(&self, store: &str, id: &str, cancel: CancelToken) -> Result<UsageView> {
        let id = LayerId::parse(id)?;
        let store = self.usable_store(store)?;
        let _life = store.enter()?;
        self.usage_in(&store, &id, cancel)
    }

    /// Measures a layer in a store that stays.
    pub(crate) fn usage_in(
        &self,
        store: &Store,
        id: &LayerId,
        cancel: CancelToken,
    ) -> Result<UsageView> {
        let _held = store.lock(vec![(Key::Layer(id.clone()), Mode::Shared)])?;
        let facts = store.facts(id)?;
        let explain = |error: io::Error| match error.kind() {
            io::ErrorKind::Interrupted if cancel.is_cancelled() => Error::Cancelled,
            _ => Error::io(
                format!("measure layer `{id}` of store `{}`", store.name),
                error,
            ),
        };
        let own = self.own_directory(store, id, facts.number)?;
        let own = own.map_err(explain)?;
        if btrfs::is_subvolume(own.as_fd()).map_err(explain)? {
            // What children share with it is not its alone any more, but still what it has beyond its parent.
            let counted = if facts.children == 0 {
                btrfs::usage(own.as_fd()).map_err(explain)?
            } else {
                None
            };
            return match counted {
                Some(usage) => Ok(UsageView {
                    bytes: usage.exclusive_bytes,
                    inodes: None,
                    source: UsageSource::Quota,
                }),
                None => self.compared(store, id, &facts, cancel),
            };
        }
        let measured = tree::measure(own.as_fd(), &|| !cancel.is_cancelled()).map_err(explain)?;
        Ok(UsageView {
            bytes: measured.bytes,
            inodes: Some(measured.inodes),
            source: UsageSource::Walk,
        })
    }

    /// Opens what a layer itself has.
    fn own_directory(
        &self,
        store: &Store,
        id: &LayerId,
        number: u64,
    ) -> Result<io::Result<OwnedFd>> {
        let call = Call::new("metadata", Scope::layer(&store.layers, id, Intent::Look));
        let told = self.call(call, |generation, operation| {
            generation.metadata(operation, id.as_str())
        })?;
        let own = OWN
            .iter()
            .find_map(|wanted| told.iter().find(|(key, _)| key == wanted));
        let path = own.map_or("", |(_, path)| path.as_str());
        let open = || {
            let mut opened = store.layers.home().layout().open_room(number)?;
            for part in path.split('/').filter(|part| !part.is_empty()) {
                let name = Name::new(part.as_bytes())
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
                opened = node::open_directory(opened.as_fd(), &name)?;
            }
            Ok(opened)
        };
        Ok(open())
    }

    /// The sizes of what differs: blocks that are shared with the parent are not its own.
    fn compared(
        &self,
        store: &Store,
        id: &LayerId,
        facts: &Facts,
        cancel: CancelToken,
    ) -> Result<UsageView> {
        let parent = facts.record.parent.as_ref().map(LayerId::as_str);
        let scope = Scope::layer(&store.layers, id, Intent::Look);
        let call = Call::new("usage", scope).with_cancel(cancel);
        let bytes = self.call(call, |generation, operation| {
            generation.diff_size(operation, id.as_str(), parent)
        })?;
        Ok(UsageView {
            bytes,
            inodes: None,
            source: UsageSource::Walk,
        })
    }
}
