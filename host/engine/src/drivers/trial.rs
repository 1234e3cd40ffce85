//! A build that bakes: which calls it gets, and what speaks against it.
//!
//! A build that was swapped in has to show with real calls that it is no worse than the one before, which stays loaded. What
//! could go wrong at once is bounded: no more than [`MOST_AT_RISK`] calls are under way on the new build or were failed by
//! it, and every other call is answered by the build before. A call that the new build fails is asked of the build before
//! where that can be done; a stream cannot be had twice, so there the next call of its kind is.
//!
//! | a call of the new build | and the build before | counts |
//! |---|---|---|
//! | fails | answers the same call | yes |
//! | fails | fails the same call too | no |
//! | reads, and answers | answers otherwise | yes |
//! | breaks a stream by its own fault | | yes |
//! | refuses a stream | answers the next of its kind | yes |
//! | refuses a stream | refuses the next of its kind in the same way | no |
//! | is slow, as the last ones were | was several times faster | at once |
//!
//! Invariant: from the moment of the last failure that is borne, no call gets the new build any more.

use super::active::Active;
use super::question::Asked;
use crate::Moment;
use crate::view::{BakeView, Evidence};
use mica_runtime::Generation;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

/// Calls that the new build may have failed or have under way: as many may fail in the worst case.
const MOST_AT_RISK: u32 = 5;
/// Streams among those that it has under way: a client may take its time over one, and nothing else would be tried meanwhile.
const MOST_STREAMS: u32 = 2;
/// Failures that end the bake: one may be bad luck, and two of one kind too.
const MOST_FAILED: u32 = 3;
/// Calls of one function before its times are compared.
const TIMES_COMPARED: usize = 8;
/// How many times as busy as the build before a build may be, and how much longer in any case: less is what a layer's size or
/// a cold cache makes.
const SLOWER: (u32, Duration) = (4, Duration::from_millis(20));

/// What the thread that watches a bake is told.
#[derive(Debug)]
pub(super) enum Job<G = Generation> {
    /// An answer of the new build is to be compared.
    Compare(Asked, Risk<G>),
    /// The build before is to take over.
    GoBack,
}

/// A build that bakes.
#[derive(Debug)]
pub(crate) struct Trial<G = Generation> {
    pub(super) new: Arc<Active<G>>,
    pub(super) old: Arc<Active<G>>,
    began: Moment,
    state: Mutex<State>,
    jobs: Sender<Job<G>>,
}

#[derive(Debug, Default)]
struct State {
    at_risk: u32,
    streams: u32,
    failed: u32,
    /// Streams that the new build refused and the build before was not asked for yet, by function: the code, and how many.
    open: HashMap<&'static str, Vec<&'static str>>,
    evidence: Option<Evidence>,
    has_ended: bool,
}

/// Which build answers a call.
#[derive(Debug)]
pub(super) enum Choice<G> {
    /// The new one.
    New(Risk<G>),
    /// The one before.
    Old,
    /// The one before, because the new one refused a stream of this kind.
    Check,
}

/// A call that the new build has under way; it went well unless something else is said.
#[derive(Debug)]
pub(crate) struct Risk<G = Generation> {
    trial: Arc<Trial<G>>,
    name: &'static str,
    is_stream: bool,
}

impl<G> Trial<G> {
    pub(super) fn new(new: Arc<Active<G>>, old: Arc<Active<G>>, jobs: Sender<Job<G>>) -> Arc<Self> {
        Arc::new(Self {
            new,
            old,
            began: Moment::now(),
            state: Mutex::default(),
            jobs,
        })
    }

    /// Chooses the build for a call.
    pub(super) fn choose(self: &Arc<Self>, name: &'static str, is_stream: bool) -> Choice<G> {
        let mut state = self.state.lock();
        if state.has_ended {
            return Choice::Old;
        }
        if is_stream && state.open.get(name).is_some_and(|open| !open.is_empty()) {
            return Choice::Check;
        }
        let is_full = state.at_risk + state.failed >= MOST_AT_RISK;
        if is_full || (is_stream && state.streams >= MOST_STREAMS) {
            return Choice::Old;
        }
        state.at_risk += 1;
        state.streams += u32::from(is_stream);
        let trial = Arc::clone(self);
        Choice::New(Risk {
            trial,
            name,
            is_stream,
        })
    }

    /// Whether the build before is to take over, and why.
    pub(super) fn verdict(&self) -> Option<Evidence> {
        let state = self.state.lock();
        state.evidence.clone().filter(|_| state.has_ended)
    }

    /// Takes the answer of the build before to a call of a kind that the new one refused: its error's code, if it is one.
    pub(super) fn checked(&self, name: &'static str, code: Option<&'static str>) {
        let mut state = self.state.lock();
        let Some(open) = state.open.get_mut(name) else {
            return;
        };
        match (code, open.pop()) {
            // It refuses too, so the first refusal was none of the new build's own.
            (Some(code), Some(refused)) if code == refused => {
                state.failed -= 1;
                if state.failed == 0 {
                    // What was refused speaks against nobody, so the first failure is still to come.
                    state.evidence = None;
                }
            }
            _ => {}
        }
        self.judge(&mut state);
    }

    /// Ends the bake if too much speaks against the build.
    fn judge(&self, state: &mut State) {
        let open: usize = state.open.values().map(Vec::len).sum();
        let sure = state.failed as usize - open.min(state.failed as usize);
        if sure >= MOST_FAILED as usize {
            self.end(state);
        }
    }

    fn end(&self, state: &mut State) {
        if let Some(evidence) = &mut state.evidence {
            evidence.calls = evidence.calls.max(u64::from(state.failed));
        }
        if !std::mem::replace(&mut state.has_ended, true) {
            // Without a thread that listens the slot has another build already.
            let _told = self.jobs.send(Job::GoBack);
        }
    }

    /// Compares how busy both builds were in the last operations of a name.
    fn compare_times(&self, name: &'static str) {
        let (new, old) = (self.new.times(name), self.old.times(name));
        if new.len() < TIMES_COMPARED || old.len() < TIMES_COMPARED {
            return;
        }
        // Even the quick ones of the new build, so that one large layer decides nothing.
        let (Some(quick), Some(usual)) = (new.get(new.len() / 4), old.get(old.len() / 2)) else {
            return;
        };
        let (times, more) = SLOWER;
        if *quick <= *usual * times + more {
            return;
        }
        let mut state = self.state.lock();
        if state.has_ended {
            return;
        }
        state.evidence = Some(Evidence {
            calls: new.len() as u64,
            what: format!("is slow in `{name}`"),
            operation: name.to_owned(),
            store: None,
            layer: None,
            first: format!(
                "three of four operations took {quick:?} and more of its own time, half of those of the build before {usual:?} and less"
            ),
        });
        self.end(&mut state);
    }

    /// How the bake stands.
    pub(super) fn view(&self) -> BakeView {
        BakeView {
            before: self.old.build.digest.clone(),
            since: self.began,
            calls: self.new.begun(),
            failed: u64::from(self.state.lock().failed),
        }
    }
}

impl<G> Risk<G> {
    /// The build before.
    pub(super) fn old(&self) -> Arc<Active<G>> {
        Arc::clone(&self.trial.old)
    }

    /// Compares how busy both builds were in the last operations of this name.
    pub(super) fn compare_times(&self) {
        self.trial.compare_times(self.name);
    }

    /// Both builds gave the same answer: how busy the one before was with it, and how busy the new one.
    pub(super) fn both_took(&self, name: &'static str, [old, new]: [Duration; 2]) {
        self.trial.old.took(name, old);
        self.trial.new.took(name, new);
        self.trial.compare_times(name);
    }

    /// The call failed, and the build before would not have.
    pub(crate) fn failed(self, evidence: Evidence) {
        self.note(evidence, None);
    }

    /// The call was refused, and whether the build before would have is not known: the error's code.
    pub(crate) fn refused(self, evidence: Evidence, code: &'static str) {
        self.note(evidence, Some(code));
    }

    fn note(self, evidence: Evidence, open: Option<&'static str>) {
        let mut state = self.trial.state.lock();
        state.failed += 1;
        let calls = u64::from(state.failed);
        if let Some(code) = open {
            state.open.entry(self.name).or_default().push(code);
        }
        let first = state.evidence.take().unwrap_or(evidence);
        state.evidence = Some(Evidence { calls, ..first });
        self.trial.judge(&mut state);
        drop(state);
    }

    /// Has the answer compared with that of the build before; the call is under way until that was done.
    pub(crate) fn compare(self, asked: Asked) {
        let jobs = self.trial.jobs.clone();
        let _told = jobs.send(Job::Compare(asked, self));
    }
}

impl<G> Drop for Risk<G> {
    fn drop(&mut self) {
        let mut state = self.trial.state.lock();
        state.at_risk -= 1;
        state.streams -= u32::from(self.is_stream);
    }
}

#[cfg(test)]
mod tests {
    use super::super::active::Build;
    use super::*;
    use crate::settings::Origin;
    use std::borrow::Cow;
    use std::sync::mpsc::{self, Receiver};

    type Rig = (Arc<Trial<u8>>, Receiver<Job<u8>>);

    fn trial() -> Rig {
        let build = || Build {
            bytes: Cow::Borrowed(&[]),
            origin: Origin::Uploaded,
            provenance: None,
            digest: String::new(),
        };
        let active = |number| Active::new(Arc::new(0), build(), number);
        let (sender, jobs) = mpsc::channel();
        (Trial::new(active(2), active(1), sender), jobs)
    }

    fn evidence(first: &str) -> Evidence {
        Evidence {
            calls: 1,
            what: "calls failed".to_owned(),
            operation: "create".to_owned(),
            store: None,
            layer: None,
            first: first.to_owned(),
        }
    }

    fn risk(trial: &Arc<Trial<u8>>, name: &'static str, is_stream: bool) -> Option<Risk<u8>> {
        match trial.choose(name, is_stream) {
            Choice::New(risk) => Some(risk),
            Choice::Old | Choice::Check => None,
        }
    }

    #[test]
    fn whatever_happens_at_once_no_more_than_five_calls_fail() {
        let (trial, jobs) = trial();
        let under_way: Vec<_> = std::iter::from_fn(|| risk(&trial, "create", false)).collect();
        assert_eq!(under_way.len(), 5);
        for risk in under_way {
            risk.failed(evidence("boom"));
        }
        assert!(risk(&trial, "create", false).is_none());
        assert_eq!(trial.verdict().unwrap().first, "boom");
        assert_eq!(jobs.try_iter().count(), 1);
    }

    #[test]
    fn what_goes_well_makes_room_and_two_failures_are_borne() {
        let (trial, jobs) = trial();
        for _ in 0..2 {
            risk(&trial, "create", false).unwrap().failed(evidence("1"));
        }
        for _ in 0..20 {
            drop(risk(&trial, "create", false).unwrap());
        }
        assert!(trial.verdict().is_none());
        risk(&trial, "create", false).unwrap().failed(evidence("3"));
        let verdict = trial.verdict().unwrap();
        assert_eq!((verdict.calls, &*verdict.first), (3, "1"));
        assert_eq!(jobs.try_iter().count(), 1);
    }

    #[test]
    fn a_slow_client_keeps_no_other_call_from_being_tried() {
        let (trial, _jobs) = trial();
        let streams: Vec<_> = std::iter::from_fn(|| risk(&trial, "diff", true)).collect();
        assert_eq!(streams.len(), 2);
        assert!(risk(&trial, "create", false).is_some());
    }

    #[test]
    fn a_refused_stream_counts_when_the_build_before_takes_the_next() {
        let (trial, _jobs) = trial();
        let refuse = || {
            let risk = risk(&trial, "apply", true).unwrap();
            risk.refused(evidence("no"), "invalid-archive");
        };
        for answer in [Some("invalid-archive"), Some("invalid-archive")] {
            refuse();
            assert!(matches!(trial.choose("apply", true), Choice::Check));
            trial.checked("apply", answer);
        }
        assert_eq!(trial.view().failed, 0);
        for answer in [None, Some("no-space"), None] {
            assert!(trial.verdict().is_none());
            refuse();
            trial.checked("apply", answer);
        }
        assert!(trial.verdict().is_some());
    }

    #[test]
    fn a_build_that_is_slow_each_time_ends_its_bake_and_one_that_is_slow_once_does_not() {
        let (trial, _jobs) = trial();
        for number in 0..TIMES_COMPARED as u64 {
            trial
                .old
                .took("mount", Duration::from_millis(2 + number % 2));
            let time = if number == 0 { 900 } else { 4 };
            trial.new.took("mount", Duration::from_millis(time));
        }
        trial.compare_times("mount");
        assert!(trial.verdict().is_none());
        for _ in 0..32 {
            trial.new.took("mount", Duration::from_millis(60));
        }
        trial.compare_times("mount");
        assert!(trial.verdict().unwrap().what.contains("is slow in `mount`"));
    }
}
