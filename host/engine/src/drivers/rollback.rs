//! A build that a driver had takes its place again.
//!
//! Invariant: it goes the way of every swap, but that it need not answer as the running build does, which may be what is wrong.

use super::active::Active;
use super::history::{History, Record};
use super::swap::Change;
use super::trust::Voucher;
use super::{Agreement, Build, Drivers, Slot, Target};
use crate::settings::Origin;
use crate::view::{DriverHistory, SwapReport};
use crate::{Error, Result};
use mica_runtime::{CancelToken, digest_of};
use std::borrow::Cow;

impl Drivers<'_> {
    /// Goes back to a build that the driver had.
    pub(super) fn go_back_to(
        self,
        name: &str,
        target: Target,
        cancel: &CancelToken,
    ) -> Result<SwapReport> {
        let slot = self.engine.registry.get(name)?;
        let _changing = self.changing(&slot)?;
        let history = known(&slot, &*slot.active()?);
        let known = match target {
            Target::Shipped => None,
            Target::Before => Some(history.previous().ok_or_else(|| nothing(name))?),
            Target::Build(number) => {
                let found = history.find(number);
                Some(found.ok_or_else(|| unknown(name, number))?)
            }
        };
        let (known, (bytes, origin)) = match known {
            Some(record) => {
                let bytes = self.component_of(&slot, record)?;
                (known, (bytes, record.origin.clone()))
            }
            None => {
                let shipped = self.shipped(&slot)?.ok_or_else(|| not_shipped(name))?;
                // A newer program's build may have come meanwhile, which has not served yet.
                (history.find_digest(&digest_of(&shipped.0)), shipped)
            }
        };
        let judged = known.and_then(|record| record.provenance.clone());
        let voucher = match target {
            Target::Shipped => Voucher::of_origin(&origin, judged)?,
            Target::Before | Target::Build(_) => Voucher::Judged(judged),
        };
        let change = Change {
            bytes,
            origin,
            voucher,
            shadow: None,
            agreement: Agreement::Waived,
            is_proven: known.is_some_and(|record| record.is_proven),
            is_known: true,
            consent: None,
        };
        self.change(&slot, change, cancel)
    }

    /// Tells which builds a driver had.
    pub(super) fn tell_history(self, name: &str) -> Result<DriverHistory> {
        let slot = self.engine.registry.get(name)?;
        // What ships is written down only when something takes its place.
        let is_first = slot.history.lock().is_empty();
        let history = known(&slot, &*slot.active()?);
        Ok(DriverHistory {
            driver: slot.name.clone(),
            follows_shipped: is_first || history.follows_shipped,
            builds: history.views(),
        })
    }

    /// The component of a build that is kept.
    pub(super) fn component_of(self, slot: &Slot, record: &Record) -> Result<Cow<'static, [u8]>> {
        if !slot.history.lock().kept().contains(&record.number) {
            return Err(Error::Invalid(format!(
                "build {} of driver `{}` is not kept any more; `mica driver history {}` tells which are",
                record.number, slot.name, slot.name
            )));
        }
        let most = self.engine.runtime.limits().component_bytes;
        let shelf = self.shelf(&slot.name);
        shelf.component_of(&record.digest, most).map(Cow::Owned)
    }

    /// The component of this digest, if the driver runs it or has kept it.
    pub(super) fn component_by_digest(
        self,
        slot: &Slot,
        digest: &str,
    ) -> Option<Cow<'static, [u8]>> {
        let active = slot.active().ok()?;
        if active.build.digest == digest {
            return Some(active.build.bytes.clone());
        }
        let record = slot.history.lock().find_digest(digest).cloned()?;
        self.component_of(slot, &record).ok()
    }

    /// The component that a start takes if nobody has swapped anything, as it is now.
    fn shipped(self, slot: &Slot) -> Result<Option<(Cow<'static, [u8]>, Origin)>> {
        let bytes = match &slot.shipped {
            Some(Origin::Directory(path)) => self.read_component(path)?,
            Some(Origin::Embedded) => {
                let mut sources = self.engine.settings.drivers.iter().rev();
                let own = sources.find(|source| {
                    source.origin == Origin::Embedded && source.name.as_ref() == Some(&slot.name)
                });
                match own {
                    Some(source) => source.bytes.clone(),
                    None => return Ok(None),
                }
            }
            Some(Origin::Uploaded) | None => return Ok(None),
        };
        Ok(slot.shipped.clone().map(|origin| (bytes, origin)))
    }

    /// Whether a build is what ships, so that the next start may take whatever ships then.
    pub(super) fn is_shipped(self, slot: &Slot, build: &Build) -> bool {
        if build.origin == Origin::Uploaded {
            return false;
        }
        let shipped = self.shipped(slot).ok().flatten();
        shipped.is_some_and(|(bytes, _)| digest_of(&bytes) == build.digest)
    }
}

/// The builds of a slot, with the one that runs, which another program may have brought.
pub(super) fn known(slot: &Slot, active: &Active) -> History {
    let mut history = slot.history.lock().clone();
    let version = active.generation.description().version.to_string();
    history.found(&active.build, &version);
    history
}

fn nothing(name: &str) -> Error {
    Error::Invalid(format!(
        "no earlier build of driver `{name}` is kept; `mica driver history {name}` tells which there are"
    ))
}

fn unknown(name: &str, number: u64) -> Error {
    Error::Invalid(format!(
        "driver `{name}` had no build {number}; `mica driver history {name}` tells which there are"
    ))
}

fn not_shipped(name: &str) -> Error {
    Error::Invalid(format!(
        "no driver `{name}` ships with this program or lies in the drivers directory"
    ))
}
