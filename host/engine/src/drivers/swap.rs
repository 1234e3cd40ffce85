//! Another build takes a driver's place while stores are in use.
//!
//! Load, check, probe, journal, one atomic store, drain. Until the store nothing has changed; after it nothing can
//! fail. Mounts are never touched.
//!
//! Invariant: no operation sees two builds; of two swaps of one driver the second begins when the first is done.

use super::active::{Active, Build};
use super::load::Loaded;
use super::view::world_word;
use super::{Drivers, Slot};
use crate::disk::files;
use crate::event::News;
use crate::settings::Origin;
use crate::view::SwapReport;
use crate::{Error, EventKind, Result};
use mica_runtime::{CancelToken, Generation};
use std::borrow::Cow;
use std::time::{Duration, Instant};

impl Drivers<'_> {
    /// Puts another build in a driver's place.
    pub(super) fn replace_build(
        self,
        name: &str,
        bytes: Option<&[u8]>,
        cancel: &CancelToken,
    ) -> Result<SwapReport> {
        let slot = self.engine.registry.get(name)?;
        // Held to the end of the flip: two swaps of one driver come one after the other.
        let mut previous = slot.previous.lock();
        let old = slot.active()?;
        let (bytes, origin) = match bytes {
            Some(bytes) => (Cow::Owned(bytes.to_vec()), Origin::Uploaded),
            None => {
                let most = self.engine.runtime.limits().component_bytes;
                source_again(previous.as_ref().unwrap_or(&old.build), most)?
            }
        };
        let started = Instant::now();
        let (generation, build) = self.load_build(bytes, origin, Some(name), cancel)?;
        let compile_ms = milliseconds(started.elapsed());
        self.check_successor(&slot, &old.generation, &generation)?;
        let started = Instant::now();
        self.probe(&generation)?;
        let probe_ms = milliseconds(started.elapsed());
        // The last step that can fail. A crash behind it starts with the new build, which has passed every check.
        self.keep_build(name, &build)?;
        let (old_digest, new_digest) = (old.build.digest.clone(), build.digest.clone());
        // A swap to the same component must not make itself what is gone back to.
        if old_digest != new_digest {
            *previous = Some(old.build.clone());
        }
        self.flip(&slot, &old, (generation, build));
        // The next swap may begin while this one's operations drain.
        drop(previous);
        let running_on_old = old.running_count();
        let drained = old.drain(self.engine.settings.drain);
        Ok(SwapReport {
            driver: name.to_owned(),
            old_digest,
            new_digest,
            compile_ms,
            probe_ms,
            drained,
            running_on_old,
        })
    }

    fn flip(self, slot: &Slot, old: &Active, (generation, build): Loaded) {
        let number = old.number + 1;
        let detail = format!("{} replaces {}", build.digest, old.build.digest);
        slot.replace(Active::new(generation, build, number));
        self.engine.bus.tell(
            News::new(EventKind::DriverSwapped)
                .driver(&slot.name)
                .detail(detail),
        );
        self.try_stores_again(&slot.name);
    }

    /// What a build must have in common with the one that it replaces. Its name was checked when it was loaded.
    fn check_successor(self, slot: &Slot, old: &Generation, new: &Generation) -> Result<()> {
        let (had, has) = (world_word(old.world()), world_word(new.world()));
        if had != has {
            return Err(Error::DriverRejected {
                reason: format!("it exports the world `{has}`, the running build `{had}`"),
                remedy: "build it for the same world".to_owned(),
            });
        }
        let is_approved = self.engine.settings.grants.contains_key(&slot.name);
        // Only interfaces of the host are granted; what else a component imports is there for everyone and inert.
        let mut wanted = new
            .imports()
            .iter()
            .filter(|import| import.starts_with("mica:host/"));
        let added = wanted.find(|import| !is_approved && !old.imports().contains(import));
        if let Some(import) = added {
            return Err(Error::DriverRejected {
                reason: format!("it imports `{import}`, which the running build does not"),
                remedy: format!(
                    "grant it to the driver: `grants` of `[drivers.{}]` in the configuration",
                    slot.name
                ),
            });
        }
        Ok(())
    }
}

/// A build's component once more.
fn source_again(build: &Build, most: usize) -> Result<(Cow<'static, [u8]>, Origin)> {
    let bytes = match &build.origin {
        Origin::Directory(path) => Cow::Owned(
            files::read_component(path, most)
                .map_err(|error| Error::path("read component", path, error))?,
        ),
        Origin::Embedded | Origin::Uploaded => build.bytes.clone(),
    };
    Ok((bytes, build.origin.clone()))
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
