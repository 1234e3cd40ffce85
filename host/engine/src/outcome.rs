//! What came of operations, for whoever asks afterwards or cancels them.
//!
//! An answer that is a stream begins before its operation ends: if that fails, the stream breaks off without a reason, and an archive
//! has no place for what it does not hold. A client that lost its connection does not know what came of a change. So operations of both
//! kinds have an id, beside that of their request, and the last ones are kept.
//!
//! Invariant: of an operation that was begun there is an outcome when its stream has ended, even if it panicked; the
//! memory for all of them is bounded.

use crate::traffic::{CallWatch, ClientCall};
use crate::{Class, Error, Moment, Result};
use mica_runtime::{CancelToken, DiffReport, SafeText};
use mica_text::with_causes;
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Operations that are remembered after their end.
const MAX_OUTCOMES: usize = 1024;

/// Bytes of a document that is kept: with [`MAX_OUTCOMES`] they are 64 MiB at most.
const REPORT_BYTES: usize = 64 << 10;

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationKind {
    /// Writes an archive of a layer.
    Diff,
    /// Lists what differs between two layers.
    Changes,
    /// Lists files of a layer.
    Files,
    /// Tells which layers files come from.
    Origins,
    /// Reads a file of a layer.
    Content,
    /// Makes a layer.
    Create,
    /// Removes a layer.
    Remove,
    /// Removes layers that nothing keeps.
    Collect,
    /// Applies an archive to a layer.
    Apply,
    /// Mounts a layer.
    Mount,
    /// Makes a damaged layer of an archive again.
    Repair,
    /// Compares the files of a layer with their digests.
    Verify,
    /// Moves a store.
    Move,
    /// Loads a driver.
    Load,
    /// Puts another build in a driver's place.
    Swap,
    /// Puts an earlier build of a driver in its place.
    Rollback,
}

impl OperationKind {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Diff => "diff",
            Self::Changes => "changes",
            Self::Files => "files",
            Self::Origins => "origins",
            Self::Content => "content",
            Self::Create => "create",
            Self::Remove => "remove",
            Self::Collect => "collect",
            Self::Apply => "apply",
            Self::Repair => "repair",
            Self::Mount => "mount",
            Self::Verify => "verify",
            Self::Move => "move",
            Self::Load => "load",
            Self::Swap => "swap",
            Self::Rollback => "rollback",
        }
    }
}

/// What is told of an operation that succeeded.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// Of an archive that was written.
    Diff(DiffReport),
    /// What the client was answered, as JSON.
    Document(Box<str>),
    /// The client was answered more than is kept.
    TooLong,
}

impl Report {
    /// A document, of which no more than some is kept.
    pub fn document(of: &impl Serialize) -> Option<Self> {
        let text = serde_json::to_string(of).ok()?;
        Some(match text.len() {
            0..=REPORT_BYTES => Self::Document(text.into()),
            _ => Self::TooLong,
        })
    }
}

/// How an operation stands.
#[derive(Clone, Debug, PartialEq)]
pub enum OperationState {
    /// It is not over.
    Running,
    /// It did what it was to do, and wrote all of its stream.
    Done(Option<Report>),
    /// It has changed nothing, or broke its stream off.
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

/// An operation.
#[derive(Clone, Debug)]
pub struct OperationView {
    /// Its id.
    pub id: String,
    /// What it does.
    pub kind: OperationKind,
    /// The store; empty where it is about a driver.
    pub store: String,
    /// The layer, or the driver.
    pub layer: String,
    /// When it began.
    pub began: Moment,
    /// The id of its request.
    pub request: Option<String>,
    /// Bytes that came from the client or went to it.
    pub bytes: u64,
    /// Whether somebody asked it to end.
    pub is_cancelled: bool,
    /// When it ended.
    pub ended: Option<Moment>,
    /// How it stands.
    pub state: OperationState,
}

/// An operation that is remembered.
#[derive(Debug)]
struct Remembered {
    number: u64,
    view: OperationView,
    cancel: CancelToken,
    call: Option<CallWatch>,
}

impl Remembered {
    fn view(&self) -> OperationView {
        let mut view = self.view.clone();
        // A stream is written for longer than its operation takes.
        if let Some(call) = &self.call {
            view.bytes = call.bytes();
        }
        view
    }
}

#[derive(Debug, Default)]
struct All {
    operations: BTreeMap<u64, Remembered>,
    /// Those that have ended, in the order in which they did.
    ended: VecDeque<u64>,
}

/// The operations of this daemon.
#[derive(Debug)]
pub(crate) struct Outcomes {
    /// Tells the ids of this daemon from those of the one before.
    start: u64,
    all: Mutex<All>,
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
        let last = all.operations.last_key_value();
        let number = last.map_or(1, |(last, _)| last + 1);
        let id = format!("{:x}-{number}", self.start);
        let view = OperationView {
            id: id.clone(),
            kind,
            // A client may have put any text into the path, and this one is kept.
            store: SafeText::from(store).into(),
            layer: SafeText::from(layer).into(),
            began: Moment::now(),
            request: ClientCall::current_id().map(|id| id.to_string()),
            bytes: 0,
            is_cancelled: false,
            ended: None,
            state: OperationState::Running,
        };
        let cancel = CancelToken::default();
        let call = ClientCall::current().map(|call| call.watch());
        let remembered = Remembered {
            number,
            view,
            cancel: cancel.clone(),
            call,
        };
        all.operations.insert(number, remembered);
        OperationTicket {
            outcomes: Arc::clone(self),
            number,
            id,
            cancel,
            is_over: false,
        }
    }

    pub(crate) fn find(&self, id: &str) -> Option<OperationView> {
        let all = self.all.lock();
        all.find(id).map(Remembered::view)
    }

    /// Asks an operation to end; tells how it stood then.
    pub(crate) fn cancel(&self, id: &str) -> Option<OperationView> {
        let mut all = self.all.lock();
        let number = all.find(id)?.number;
        let found = all.operations.get_mut(&number)?;
        if found.view.state == OperationState::Running {
            // Its own client may end it too, by going away; that is not told as this.
            found.view.is_cancelled = true;
            found.cancel.cancel();
        }
        Some(found.view())
    }

    fn end(&self, number: u64, state: OperationState) {
        let mut all = self.all.lock();
        if let Some(found) = all.operations.get_mut(&number) {
            found.view.state = state;
            found.view.ended = Some(Moment::now());
            all.ended.push_back(number);
        }
        if all.ended.len() > MAX_OUTCOMES
            && let Some(oldest) = all.ended.pop_front()
        {
            all.operations.remove(&oldest);
        }
    }
}

impl All {
    /// By the operation's own id, or by that of its request: of that the last one.
    fn find(&self, id: &str) -> Option<&Remembered> {
        let is_own = |found: &&Remembered| found.view.id == id;
        let is_of_request = |found: &&Remembered| found.view.request.as_deref() == Some(id);
        let own = self.operations.values().find(is_own);
        own.or_else(|| self.operations.values().rev().find(is_of_request))
    }
}

/// An operation that was begun.
#[derive(Debug)]
pub struct OperationTicket {
    outcomes: Arc<Outcomes>,
    number: u64,
    id: String,
    cancel: CancelToken,
    is_over: bool,
}

impl OperationTicket {
    /// By what to ask for the outcome.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// By what it is asked to end.
    #[must_use]
    pub fn token(&self) -> CancelToken {
        self.cancel.clone()
    }

    /// Notes how the operation ended, and hands that on.
    ///
    /// # Errors
    /// Those of the operation.
    pub fn end<T>(
        mut self,
        ended: Result<T>,
        report: impl FnOnce(&T) -> Option<Report>,
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
            let error = match std::thread::panicking() {
                true => Error::Sandbox("a defect ended the operation".to_owned()),
                // Its client went away before anything was done.
                false => Error::Cancelled,
            };
            self.outcomes.end(self.number, failed(&error));
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
mod tests;
