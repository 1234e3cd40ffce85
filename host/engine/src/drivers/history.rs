//! Which builds a driver had, and which of them is active.
//!
//! ```text
//! <root>/drivers/<name>/history.json     this record
//! <root>/drivers/<name>/<digest>.wasm    the components of the builds that are kept
//! ```
//!
//! Invariant: one build is active in every state of the record, and the record changes as a whole, so one is active after
//! a crash at any moment.
//!
//! See docs/decisions/0051-a-swap-is-one-record.md.

use super::active::Build;
use super::question::Agreement;
use crate::Moment;
use crate::settings::Origin;
use crate::view::{BuildView, Evidence, Provenance};
use mica_runtime::Grant;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The shape of the record.
const VERSION: u32 = 1;
/// Builds whose components are kept: the active one, the one before it, and one more.
const KEPT_BUILDS: usize = 3;
/// Builds that are told of.
const TOLD_BUILDS: usize = 20;

/// The builds that a driver had.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct History {
    version: u32,
    /// The number of the build that is active.
    active: u64,
    /// Whether the next start takes what ships rather than the component of the active build: it is what ships.
    pub(super) follows_shipped: bool,
    /// Whether the active build still bakes.
    pub(super) is_baking: bool,
    /// Whether the active build may answer otherwise than the one before while it bakes.
    #[serde(default)]
    pub(super) agreement: Agreement,
    /// The build that the last swap brought, if the one before took over again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) went_back: Option<u64>,
    /// Interfaces that were approved for the driver when a build of it was loaded or swapped.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) approved: BTreeSet<Grant>,
    /// Shapes of the driver's own state that its builds may have written to layers.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) written: BTreeSet<u32>,
    /// In the order of their numbers.
    builds: Vec<Record>,
}

/// One build.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(super) number: u64,
    pub(super) digest: String,
    pub(super) version: String,
    pub(super) origin: Origin,
    /// Where it came from and who signed it. Earlier programs did not write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) provenance: Option<Provenance>,
    pub(super) since: Moment,
    /// The build that was active before it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<u64>,
    /// Whether its component is there: one that was given up does not come back.
    has_component: bool,
    /// Whether it served for as long as a build bakes, or was there first.
    pub(super) is_proven: bool,
    /// Why it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    evidence: Option<Evidence>,
}

impl Default for History {
    fn default() -> Self {
        Self {
            version: VERSION,
            active: 0,
            follows_shipped: false,
            is_baking: false,
            agreement: Agreement::Required,
            went_back: None,
            approved: BTreeSet::new(),
            written: BTreeSet::new(),
            builds: Vec::new(),
        }
    }
}

impl History {
    /// Checks a record that was read.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn checked(self) -> Result<Self, String> {
        match self.version {
            VERSION if self.active().is_some() => Ok(self),
            VERSION => Err("its active build is none of its builds".to_owned()),
            other => Err(format!(
                "it has version {other}, this program reads {VERSION}"
            )),
        }
    }

    /// Whether nothing was written down yet.
    pub(super) fn is_empty(&self) -> bool {
        self.builds.is_empty()
    }

    /// The build that is active.
    pub(super) fn active(&self) -> Option<&Record> {
        self.find(self.active)
    }

    /// A build by its number.
    pub(super) fn find(&self, number: u64) -> Option<&Record> {
        self.builds.iter().find(|build| build.number == number)
    }

    /// A build by its component.
    pub(super) fn find_digest(&self, digest: &str) -> Option<&Record> {
        self.builds.iter().find(|build| build.digest == digest)
    }

    /// The build that a rollback without a number takes: the one before the active build, or else the last that is kept and
    /// was never taken back.
    pub(super) fn previous(&self) -> Option<&Record> {
        let active = self.active()?;
        let kept = self.kept();
        let is_fit = |build: &&Record| kept.contains(&build.number) && build.evidence.is_none();
        let before = active.before.and_then(|number| self.find(number));
        before.filter(is_fit).or_else(|| {
            let mut earlier = self.builds.iter().rev();
            earlier.find(|build| build.number < active.number && is_fit(build))
        })
    }

    /// The builds whose components are kept.
    pub(super) fn kept(&self) -> BTreeSet<u64> {
        let active = self.active();
        let before = active.and_then(|build| build.before.and_then(|number| self.find(number)));
        let mut others: Vec<_> = self.builds.iter().rev().collect();
        // A build that was taken back is kept only while there is room.
        others.sort_by_key(|build| build.evidence.is_some());
        let wanted = active.into_iter().chain(before).chain(others);
        let mut kept = BTreeSet::new();
        for build in wanted.filter(|build| build.has_component) {
            if kept.len() < KEPT_BUILDS {
                kept.insert(build.number);
            }
        }
        kept
    }

    /// Gives up the components that are too many.
    pub(super) fn give_up(&mut self) {
        let kept = self.kept();
        for build in &mut self.builds {
            build.has_component = kept.contains(&build.number);
        }
    }

    /// Notes that the component of a build is gone.
    pub(super) fn lose(&mut self, digest: &str) {
        for build in self
            .builds
            .iter_mut()
            .filter(|build| build.digest == digest)
        {
            build.has_component = false;
        }
    }

    /// Notes that a build is active that was there before anything was written down, or that came with another program.
    pub(super) fn found(&mut self, build: &Build, version: &str) {
        if self
            .active()
            .is_some_and(|active| active.digest == build.digest)
        {
            return;
        }
        self.enter(build, version);
        self.prove();
    }

    /// Notes that a new build becomes active. One of the same component that was there before has a new number then.
    pub(super) fn enter(&mut self, build: &Build, version: &str) {
        let last = self.builds.last().map_or(0, |build| build.number);
        let before = match self.active() {
            Some(active) if active.digest == build.digest => active.before,
            active => active.map(|active| active.number),
        };
        self.builds.retain(|old| old.digest != build.digest);
        self.builds.push(Record {
            number: last + 1,
            digest: build.digest.clone(),
            version: version.to_owned(),
            origin: build.origin.clone(),
            provenance: build.provenance.clone(),
            since: Moment::now(),
            before,
            has_component: true,
            is_proven: false,
            evidence: None,
        });
        self.active = last + 1;
        let most = self.builds.len().saturating_sub(TOLD_BUILDS);
        let kept = self.kept();
        let mut dropped = 0;
        self.builds.retain(|build| {
            let goes = dropped < most && !kept.contains(&build.number);
            dropped += usize::from(goes);
            !goes
        });
    }

    /// Notes that a build which is there already becomes active; false if there is none of this component.
    pub(super) fn activate(&mut self, digest: &str) -> bool {
        let Some(number) = self.find_digest(digest).map(|build| build.number) else {
            return false;
        };
        self.active = number;
        true
    }

    /// Notes that nothing speaks against the active build any more.
    pub(super) fn prove(&mut self) {
        self.is_baking = false;
        let active = self.active;
        for build in &mut self.builds {
            build.is_proven |= build.number == active;
        }
    }

    /// Notes that the active build was worse than another one, which becomes active again.
    pub(super) fn go_back(&mut self, to: &str, evidence: &Evidence) {
        let worse = self.active;
        for build in &mut self.builds {
            if build.number == worse {
                build.evidence = Some(evidence.clone());
                build.is_proven = false;
            }
        }
        self.activate(to);
        self.is_baking = false;
        self.went_back = Some(worse);
    }

    /// Why the last swap went back by itself, if it did.
    pub(super) fn last_evidence(&self) -> Option<(&Record, &Evidence)> {
        let build = self.find(self.went_back?)?;
        Some((build, build.evidence.as_ref()?))
    }

    /// The number of the build that is active.
    pub(super) fn active_number(&self) -> u64 {
        self.active
    }

    /// All builds as they are told of, the last first.
    pub(super) fn views(&self) -> Vec<BuildView> {
        let kept = self.kept();
        let view = |build: &Record| BuildView {
            number: build.number,
            digest: build.digest.clone(),
            version: build.version.clone(),
            origin: super::view::origin_word(&build.origin).to_owned(),
            provenance: build.provenance.clone(),
            since: build.since,
            state: match (build.number == self.active, &build.evidence) {
                (true, _) if self.is_baking => "baking",
                (true, _) => "active",
                (false, Some(_)) => "went-back",
                (false, None) => "replaced",
            }
            .to_owned(),
            kept: kept.contains(&build.number),
            evidence: build.evidence.clone(),
        };
        self.builds.iter().rev().map(view).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;

    fn build(digest: &str) -> Build {
        Build {
            bytes: Cow::Borrowed(&[]),
            origin: Origin::Uploaded,
            provenance: None,
            digest: digest.to_owned(),
        }
    }

    fn of(digests: &[&str]) -> History {
        let mut history = History::default();
        for digest in digests {
            history.enter(&build(digest), "1");
            history.prove();
            history.give_up();
        }
        history
    }

    fn evidence() -> Evidence {
        Evidence {
            calls: 3,
            what: "3 calls failed".to_owned(),
            operation: "create".to_owned(),
            store: None,
            layer: None,
            first: "boom".to_owned(),
        }
    }

    fn previous(history: &History) -> Option<&str> {
        Some(&history.previous()?.digest)
    }

    #[test]
    fn a_rollback_goes_further_back_each_time_and_never_to_what_was_taken_back() {
        let mut history = of(&["a", "b", "c"]);
        assert_eq!(previous(&history), Some("b"));
        history.activate("b");
        assert_eq!(previous(&history), Some("a"));
        history.activate("a");
        assert_eq!(previous(&history), None);
        history.activate("c");
        history.enter(&build("d"), "1");
        history.go_back("c", &evidence());
        assert_eq!(
            (previous(&history), history.went_back),
            (Some("b"), Some(4))
        );
        history.activate("d");
        assert_eq!(previous(&history), Some("c"));
    }

    #[test]
    fn the_active_build_and_the_one_before_are_among_the_three_that_are_kept() {
        let mut history = of(&["a", "b", "c"]);
        assert_eq!(history.kept(), BTreeSet::from([1, 2, 3]));
        history.activate("a");
        history.enter(&build("d"), "1");
        // The last, the one before it, and the newest of the others.
        assert_eq!(history.kept(), BTreeSet::from([1, 3, 4]));
        assert_eq!(previous(&history), Some("a"));
        history.give_up();
        history.activate("c");
        // Its own predecessor is gone for good.
        assert_eq!(history.kept(), BTreeSet::from([1, 3, 4]));
        assert_eq!(previous(&history), Some("a"));
    }

    #[test]
    fn a_component_that_comes_again_has_one_entry_with_a_new_number() {
        let mut history = of(&["a", "b", "a"]);
        let told: Vec<_> = history
            .views()
            .into_iter()
            .map(|view| view.number)
            .collect();
        assert_eq!(told, [3, 2]);
        assert_eq!(previous(&history), Some("b"));
        history.found(&build("a"), "1");
        assert_eq!(history.views().len(), 2);
    }

    #[test]
    fn the_record_stays_short_and_keeps_what_is_kept() {
        let digests: Vec<String> = (0..100).map(|number| number.to_string()).collect();
        let digests: Vec<&str> = digests.iter().map(String::as_str).collect();
        let mut history = of(&digests);
        assert_eq!(history.views().len(), TOLD_BUILDS);
        history.activate("97");
        for digest in ["x", "y"] {
            history.enter(&build(digest), "1");
            history.give_up();
        }
        assert_eq!(previous(&history), Some("x"));
    }

    #[test]
    fn a_record_that_names_no_active_build_is_damaged() {
        assert!(History::default().checked().is_err());
        assert!(of(&["a"]).checked().is_ok());
        let other = History {
            version: 2,
            ..of(&["a"])
        };
        assert!(other.checked().is_err());
    }
}
