//! Who grants a driver what, and what an operator agrees to beyond that.
//!
//! In this order the first counts that says something of a driver: the configuration; the file of grants for a fleet; what is usual,
//! with what was approved when the driver was loaded or swapped, which its record keeps.
//!
//! Invariant: nobody gets more than one of these says; what a component asks for only makes it less.

use super::fleet;
use super::{Drivers, Slot};
use crate::event::News;
use crate::{Error, EventKind, Result};
use mica_runtime::manifest::{Ask, differences};
use mica_runtime::{Error as DriverError, Generation, Grant, Granted, Grants};
use semver::Version;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

/// What an operator agrees to of a component.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consent {
    /// What it may have beyond what was granted, by what it asks for.
    pub asks: BTreeSet<Ask>,
    /// All that it asks for.
    pub everything: bool,
    /// Whether it may take the place of a newer build, or of one whose state it cannot read.
    pub force: bool,
}

impl Consent {
    fn covers(&self, ask: Ask) -> bool {
        self.everything || self.asks.contains(&ask)
    }

    /// The interfaces that are agreed to by name.
    pub(super) fn interfaces(&self) -> BTreeSet<Grant> {
        let named = self.asks.iter().filter_map(|ask| match ask {
            Ask::Interface(grant) => Some(*grant),
            Ask::Right(_) | Ask::Limit(_) => None,
        });
        named.collect()
    }

    /// The interfaces of a build that were agreed to.
    pub(super) fn approved(&self, build: &Generation) -> BTreeSet<Grant> {
        let imported = build.imported().into_iter();
        imported
            .filter(|grant| self.covers(Ask::Interface(*grant)))
            .collect()
    }
}

/// Who said what a driver may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grantor {
    Configuration,
    Fleet,
    Usual,
}

impl Grantor {
    /// The word for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Fleet => "grants-file",
            Self::Usual => "usual",
        }
    }
}

impl Drivers<'_> {
    /// What a driver may, with what was approved for it, and who says so.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the file of grants cannot be read: nobody knows then what it says.
    pub(super) fn grants_of(
        self,
        name: &str,
        digest: &str,
        approved: &BTreeSet<Grant>,
    ) -> Result<(Grants, Grantor)> {
        let settings = &self.engine.settings;
        let usual = settings.usual_grants.get(name).cloned();
        let usual = usual.unwrap_or_default();
        let usual = approved.iter().copied().fold(usual, Grants::and);
        if let Some(given) = settings.grants.get(name) {
            return Ok((given.over(usual), Grantor::Configuration));
        }
        let given = match &settings.grants_file {
            Some(path) => fleet::find(path, name, digest)?,
            None => None,
        };
        Ok(match given {
            Some(given) => (given.over(usual), Grantor::Fleet),
            None => (usual, Grantor::Usual),
        })
    }

    /// Whether an operator has said which interfaces a driver may import: then he has decided what a build of it may ask for.
    fn is_decided(self, name: &str, digest: &str) -> Result<bool> {
        let is_said = |given: &Granted| given.interfaces.is_some();
        let settings = &self.engine.settings;
        Ok(match (settings.grants.get(name), &settings.grants_file) {
            (Some(given), _) => is_said(given),
            (None, Some(path)) => fleet::find(path, name, digest)?
                .as_ref()
                .is_some_and(is_said),
            (None, None) => false,
        })
    }

    /// What a build asks for and the running one does not, and nobody has agreed to.
    pub(super) fn unapproved(
        self,
        slot: &Slot,
        old: &Generation,
        new: mica_runtime::manifest::Profile<'_>,
        (digest, consent): (&str, &Consent),
    ) -> Result<Vec<Ask>> {
        if self.is_decided(&slot.name, digest)? {
            return Ok(Vec::new());
        }
        let approved = slot.history.lock().approved.clone();
        let is_approved = |ask: &Ask| match ask {
            Ask::Interface(grant) => approved.contains(grant),
            Ask::Right(_) | Ask::Limit(_) => false,
        };
        let asks = differences(old.profile(), new).into_iter();
        let asks = asks.filter_map(|one| one.asks);
        Ok(asks
            .filter(|ask| !consent.covers(*ask) && !is_approved(ask))
            .collect())
    }

    /// Why a build would be a step back for a driver that has stores: it is older, or cannot read what lies in their layers.
    pub(super) fn step_back(
        self,
        slot: &Slot,
        old: &Generation,
        new: mica_runtime::manifest::Profile<'_>,
    ) -> Option<String> {
        let has = new.manifest?;
        if let Some(had) = old.manifest()
            && is_older(&has.version, &had.version)
        {
            let (has, had) = (&has.version, &had.version);
            return Some(format!("it is version {has}, and {had} runs"));
        }
        // A manifest that names no shape says of none that it is read.
        let reads = has.state.as_ref().map(|state| &state.reads);
        let is_read = |shape: &u32| reads.is_some_and(|reads| reads.contains(shape));
        let written = self.written(slot, old);
        let lost = written.iter().find(|shape| !is_read(shape))?;
        let shown: Vec<String> = reads.into_iter().flatten().map(u32::to_string).collect();
        let shown = match shown.is_empty() {
            true => "none".to_owned(),
            false => shown.join(", "),
        };
        Some(format!(
            "layers of the driver's stores may have state of the shape {lost}, and it reads {shown}"
        ))
    }

    /// The shapes of state that builds of a driver may have written to layers that are there.
    pub(super) fn written(self, slot: &Slot, running: &Generation) -> BTreeSet<u32> {
        let users = self.users(&slot.name);
        if users.certain.is_empty() && users.possible.is_empty() {
            return BTreeSet::new();
        }
        let mut written = slot.history.lock().written.clone();
        written.extend(writes(running));
        written
    }

    /// Tells that a component was refused for what it was not granted.
    pub(super) fn note_refusal(self, name: Option<&str>, error: &DriverError) {
        let DriverError::NotGranted { reason, remedy } = error else {
            return;
        };
        self.engine
            .registry
            .refused_loads
            .fetch_add(1, Ordering::Relaxed);
        self.tell_denied(name, format!("{reason}; {remedy}"));
    }

    /// Tells which interfaces a driver has only because it is audited.
    pub(super) fn note_excess(self, build: &Generation) {
        for grant in build.excess() {
            let line = build.line_for(grant);
            let name = &build.description().name;
            self.tell_denied(
                Some(name),
                format!("audited: it imports `{grant}`, which is not granted; add in the configuration, under `[drivers.{name}]`: {line}"),
            );
        }
    }

    fn tell_denied(self, name: Option<&str>, detail: String) {
        tracing::warn!(driver = name, detail, "denied");
        let news = News::new(EventKind::DriverDenied);
        let news = match name {
            Some(name) => news.driver(name),
            None => news,
        };
        self.engine.bus.tell(news.detail(detail));
    }
}

/// The shape of state that a build writes.
pub(super) fn writes(build: &Generation) -> Option<u32> {
    Some(build.manifest()?.state.as_ref()?.writes)
}

/// Whether a version comes before another one. What is built of the same source differs in metadata alone, which has no order.
fn is_older(new: &Version, old: &Version) -> bool {
    new.cmp_precedence(old).is_lt()
}

/// Refuses what nobody has agreed to.
pub(super) fn refuse_more(asks: &[Ask], new: &Generation) -> Result<()> {
    if asks.is_empty() {
        return Ok(());
    }
    let reason = |ask: &Ask| {
        let Ask::Interface(grant) = ask else {
            return ask.to_string();
        };
        let reason = new.manifest().and_then(|one| one.capabilities.get(grant));
        match reason {
            Some(reason) => format!("{ask} ({reason})"),
            None => ask.to_string(),
        }
    };
    let told: Vec<String> = asks.iter().map(reason).collect();
    let flags: Vec<String> = asks.iter().map(|ask| format!("--grant {ask}")).collect();
    Err(Error::DriverRejected {
        reason: format!(
            "it asks for more than the running build: {}",
            told.join(", ")
        ),
        remedy: format!(
            "look at `mica driver diff`, and approve it with `{}`, or with `grants` of `[drivers.{}]` in the configuration",
            flags.join(" "),
            new.description().name
        ),
    })
}
