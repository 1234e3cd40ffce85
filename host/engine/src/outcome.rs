//! What came of operations that are answered by a stream, for whoever asks afterwards.
//!
//! Such an answer begins before its operation ends: if that fails, the stream breaks off without a reason, and an archive
//! has no place for what it does not hold. So each of them has an id, and the last ones are kept.
//!
//! Invariant: of an operation that was begun there is an outcome when its stream has ended, even if it panicked; the
//! memory for all of them is bounded.

use crate::traffic::ClientCall;
use crate::{Class, Error, Moment, Result};
use mica_runtime::{DiffReport, SafeText};
use mica_text::with_causes;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Operations that are remembered after their end.
const MAX_OUTCOMES: usize = 256;

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationKind {
    /// Writes an archive of a layer.
    Diff,
    /// Lists what differs between two layers.
    Changes,
    /// Lists files of a layer.
    Files,
    /// Reads a file of a layer.
    Content,
}

/// How an operation stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperationState {
    /// It is not over.
    Running,
    /// It wrote all of its stream; with a report if that was an archive.
    Done(Option<DiffReport>),
    /// It broke its stream off.
    Failed {
        /// The stable word for the error: [`Error::code`].
        code: &'static str,
        /// What kind of failure it is.
        class: Class,
        /// What was being done, to what, and why it did not work.
        detail: SafeText,
        /// What would help.
        remedy: Option<SafeText>,
    },
}

/// An operation whose answer is a stream.
#[derive(Clone, Debug)]
pub struct OperationView {
    /// Its id.
    pub id: String,
    /// What it does.
    pub kind: OperationKind,
    /// The store.
    pub store: String,
    /// The layer.
    pub layer: String,
    /// When it began.
    pub began: Moment,
    /// The id of its request.
    pub request: Option<String>,
    /// How it stands.
    pub state: OperationState,
}

/// The operations of this daemon.
#[derive(Debug)]
pub(crate) struct Outcomes {
    /// Tells the ids of this daemon from those of the one before.
    start: u64,
    all: Mutex<BTreeMap<u64, OperationView>>,
}

impl Default for Outcomes {
    fn default() -> Self {
        let Moment {
            seconds,
            nanoseconds,
        } = Moment::now();
        Self {
            start: seconds << 30 | u64::from(nanoseconds),
            all: Mutex::default(),
        }
    }
}

impl Outcomes {
    /// Notes that an operation begins.
    pub(crate) fn begin(
        self: &Arc<Self>,
        kind: OperationKind,
        store: &str,
        layer: &str,
    ) -> OperationTicket {
        let mut all = self.all.lock();
        let number = all.last_key_value().map_or(1, |(last, _)| last + 1);
        let id = format!("{:x}-{number}", self.start);
        let view = OperationView {
            id: id.clone(),
            kind,
            // A client may have put any text into the path, and this one is kept.
            store: SafeText::from(store).into(),
            layer: SafeText::from(layer).into(),
            began: Moment::now(),
            request: ClientCall::current_id().map(|id| id.to_string()),
            state: OperationState::Running,
        };
        all.insert(number, view);
        let ended = all
            .iter()
            .filter(|(_, view)| view.state != OperationState::Running);
        if ended.clone().count() > MAX_OUTCOMES
            && let Some(oldest) = ended.map(|(number, _)| *number).next()
        {
            all.remove(&oldest);
        }
        OperationTicket {
            outcomes: Arc::clone(self),
            number,
            id,
            is_over: false,
        }
    }

    pub(crate) fn find(&self, id: &str) -> Option<OperationView> {
        let all = self.all.lock();
        all.values().find(|view| view.id == id).cloned()
    }

    fn end(&self, number: u64, state: OperationState) {
        let mut all = self.all.lock();
        if let Some(view) = all.get_mut(&number) {
            view.state = state;
        }
    }
}

/// An operation that was begun.
#[derive(Debug)]
pub struct OperationTicket {
    outcomes: Arc<Outcomes>,
    number: u64,
    id: String,
    is_over: bool,
}

impl OperationTicket {
    /// By what to ask for the outcome.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Notes how the operation ended, and hands that on.
    ///
    /// # Errors
    /// Those of the operation.
    pub fn end<T>(
        mut self,
        ended: Result<T>,
        report: impl FnOnce(&T) -> Option<DiffReport>,
    ) -> Result<T> {
        let state = match &ended {
            Ok(done) => OperationState::Done(report(done)),
            Err(error) => failed(error),
        };
        self.is_over = true;
        self.outcomes.end(self.number, state);
        ended
    }
}

impl Drop for OperationTicket {
    fn drop(&mut self) {
        if !self.is_over {
            let defect = Error::Sandbox("a defect ended the operation".to_owned());
            self.outcomes.end(self.number, failed(&defect));
        }
    }
}

fn failed(error: &Error) -> OperationState {
    OperationState::Failed {
        code: error.code(),
        class: error.class(),
        detail: with_causes(error).into(),
        remedy: error.remedy().map(SafeText::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diff(outcomes: &Arc<Outcomes>) -> OperationTicket {
        outcomes.begin(OperationKind::Diff, "default", "box")
    }

    fn state(outcomes: &Outcomes, id: &str) -> Option<OperationState> {
        outcomes.find(id).map(|view| view.state)
    }

    #[test]
    fn an_operation_ends_in_one_way() {
        let outcomes = Arc::<Outcomes>::default();
        let (good, bad, lost) = (diff(&outcomes), diff(&outcomes), diff(&outcomes));
        let [first, second, third] = [&good, &bad, &lost].map(|ticket| ticket.id().to_owned());
        assert_eq!(state(&outcomes, &first), Some(OperationState::Running));
        assert!(good.end(Ok(()), |()| None).is_ok());
        assert_eq!(state(&outcomes, &first), Some(OperationState::Done(None)));
        assert!(bad.end(Err::<(), _>(Error::Cancelled), |()| None).is_err());
        drop(lost);
        let expected = [("cancelled", Class::Cancelled), ("io", Class::Internal)];
        for (id, expected) in [second, third].into_iter().zip(expected) {
            let Some(OperationState::Failed { code, class, .. }) = state(&outcomes, &id) else {
                panic!("`{id}` has not failed");
            };
            assert_eq!((code, class), expected);
        }
        assert_eq!(state(&outcomes, "1"), None);
    }

    #[test]
    fn the_last_ones_are_kept_and_those_that_run() {
        let outcomes = Arc::<Outcomes>::default();
        let running = diff(&outcomes);
        let ids: Vec<String> = (0..MAX_OUTCOMES + 10)
            .map(|_| {
                let ticket = diff(&outcomes);
                let id = ticket.id().to_owned();
                ticket.end(Ok(()), |()| None).map(|()| id).unwrap()
            })
            .collect();
        let kept = ids.iter().filter(|id| outcomes.find(id).is_some()).count();
        assert!((MAX_OUTCOMES..=MAX_OUTCOMES + 1).contains(&kept), "{kept}");
        assert!(outcomes.find(&ids[ids.len() - 1]).is_some());
        assert_eq!(
            state(&outcomes, running.id()),
            Some(OperationState::Running)
        );
    }
}
