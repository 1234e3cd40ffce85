//! All cases, and how one is played.
//!
//! Invariant: a driver that breaks ends its case and no other.

use crate::behaviours::{self, Behaviour};
use crate::report::{CaseReport, CaseView, Mismatch, Verdict};
use crate::stage::{Facts, Stage, Step};
use crate::{archives, histories, left_out};
use mica_cases::{Archive, History};
use mica_text::with_causes;
use std::time::Instant;

/// A case of any kind.
pub(crate) enum Case {
    Behaviour(&'static Behaviour),
    History(History),
    Archive(Archive),
}

/// All cases in the order in which they are played.
pub(crate) fn all() -> Vec<Case> {
    let behaviours = behaviours::ALL.iter().map(Case::Behaviour);
    let histories = mica_cases::histories().into_iter().map(Case::History);
    let archives = mica_cases::archives().into_iter().map(Case::Archive);
    behaviours.chain(histories).chain(archives).collect()
}

/// The cases whose names contain one of `only`, or all.
#[must_use]
pub fn list(only: &[String]) -> Vec<CaseView> {
    let cases = all();
    let views = cases.iter().map(Case::view);
    views.filter(|view| is_wanted(&view.name, only)).collect()
}

pub(crate) fn is_wanted(name: &str, only: &[String]) -> bool {
    only.is_empty() || only.iter().any(|part| name.contains(part.as_str()))
}

impl Case {
    /// What it is called, and what it is about.
    pub(crate) fn view(&self) -> CaseView {
        let (name, group, about) = match self {
            Self::Behaviour(case) => (case.name, "behaviour", case.about),
            Self::History(case) => (case.name.as_str(), "history", case.source.as_str()),
            Self::Archive(case) => (case.name.as_str(), "archive", case.source.as_str()),
        };
        CaseView {
            name: name.to_owned(),
            group: group.to_owned(),
            about: about.to_owned(),
        }
    }

    fn left_out(&self, facts: Facts) -> Option<String> {
        match self {
            Self::Behaviour(_) => None,
            Self::History(case) => left_out::of_history(case, facts),
            Self::Archive(case) => left_out::of_archive(case, facts),
        }
    }

    fn run(&self, stage: &mut Stage) -> Step<()> {
        match self {
            Self::Behaviour(case) => (case.play)(stage),
            Self::History(case) => histories::play(stage, case),
            Self::Archive(case) => archives::play(stage, case),
        }
    }

    /// Plays it on a store without layers.
    pub(crate) fn play(&self, stage: &mut Stage) -> CaseReport {
        let started = Instant::now();
        let verdict = match self.left_out(stage.facts) {
            Some(reason) => Verdict::LeftOut { reason },
            None => match ready(stage).and_then(|()| self.run(stage)) {
                Ok(()) => Verdict::Passed,
                Err(mismatch) => Verdict::Failed { mismatch },
            },
        };
        let milliseconds = started.elapsed().as_millis();
        let said = stage.said();
        CaseReport {
            case: self.view(),
            milliseconds: u64::try_from(milliseconds).unwrap_or(u64::MAX),
            said: match verdict {
                Verdict::Failed { .. } => said,
                Verdict::Passed | Verdict::LeftOut { .. } => Vec::new(),
            },
            verdict,
        }
    }
}

/// An empty store, whatever the case before did.
fn ready(stage: &mut Stage) -> Step<()> {
    stage.settle().map_err(|error| {
        let expected = "a store without layers to begin with";
        Mismatch::new("proto-driver.init", None, expected, &with_causes(&error))
    })
}
