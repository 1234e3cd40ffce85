//! An operation once more, against the host calls that were recorded.
//!
//! Invariant: no capability is reached: every host call is answered from the trace, or ends the operation.

use super::generation::Generation;
use crate::capability::home::NoHome;
use crate::trace::tape::{Difference, Playing};
use crate::trace::{Chance, Question, Trace, describe_call};
use crate::{
    CancelToken, ChangeSink, CreateOptions, Operation, SafeText, Sink, Source, Spent, Witness,
};
use parking_lot::Mutex;
use serde::Serialize;
use std::io;
use std::sync::Arc;

/// What answers the host calls of an operation that is replayed.
#[derive(Clone, Debug)]
pub struct Replay {
    pub(crate) playing: Arc<Mutex<Playing>>,
    pub(crate) chance: Chance,
}

/// What came of a replay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReplayReport {
    /// How it compares.
    pub verdict: ReplayVerdict,
    /// Host calls that were recorded.
    pub recorded_calls: u64,
    /// Host calls that were the same.
    pub same_calls: u64,
    /// What the operation came to when it was recorded.
    pub recorded: SafeText,
    /// What it came to now, or what the driver called instead of what was recorded.
    pub replayed: SafeText,
}

/// How a replay compares with what was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplayVerdict {
    /// The same host calls, and the same end.
    Same,
    /// The driver calls something else.
    OtherCall,
    /// The same host calls, and another end.
    OtherEnd,
}

impl Generation {
    /// Runs the operation of a trace again, whose host calls are answered from it. `witness` hears what the driver says.
    #[must_use]
    pub fn replay(&self, trace: &Trace, witness: Option<Arc<dyn Witness>>) -> ReplayReport {
        let playing = Playing::new(trace.recorded.bytes.clone());
        let replay = Replay {
            playing: Arc::new(Mutex::new(playing)),
            chance: Chance::again(trace.chance.clone()),
        };
        let operation = Operation {
            store: "-".into(),
            name: trace.question.function(),
            home: Arc::new(NoHome),
            options: Arc::new([]),
            cancel: CancelToken::default(),
            client_wait: None,
            spent: Spent::default(),
            witness,
            replay: Some(replay.clone()),
        };
        self.ask_again(operation, &trace.question);
        let playing = replay.playing.lock();
        compared(trace, &playing)
    }

    /// Calls what the question calls. What a client would be told is of no interest: the end is noted by the tape, before
    /// anything is made of it that needs the streams and mounts of the original.
    fn ask_again(&self, operation: Operation, question: &Question) {
        let no_bytes = || Source::from_reader(Box::new(io::empty()));
        match question {
            Question::Describe => drop(self.describe()),
            Question::Init { options } => drop(self.init(operation, options)),
            Question::Create {
                id,
                parent,
                kind,
                mount_label,
                storage_options,
                view,
            } => {
                let options = CreateOptions {
                    mount_label: mount_label.clone(),
                    storage_options: storage_options.clone(),
                };
                let parent = parent.as_deref();
                drop(self.create(operation, id, parent, *kind, &options, *view));
            }
            Question::Remove { id } => drop(self.remove(operation, id)),
            Question::Get {
                id,
                access,
                planned: true,
                ..
            } => drop(self.plan(operation, id, *access)),
            Question::Get {
                id,
                access,
                mount_label,
                ..
            } => drop(self.get(operation, id, *access, mount_label.as_deref())),
            Question::Put { id } => drop(self.put(operation, id)),
            Question::Exists { id } => drop(self.exists(operation, id)),
            Question::Status => drop(self.status(operation)),
            Question::Metadata { id } => drop(self.metadata(operation, id)),
            Question::Cleanup => drop(self.cleanup(operation)),
            Question::Diff { id, parent, form } => {
                let sink = Sink::to_writer(Box::new(io::sink()));
                drop(self.diff(operation, id, parent.as_deref(), *form, sink));
            }
            Question::Changes { id, parent } => {
                let (sink, _pages) = ChangeSink::channel(1);
                drop(self.changes(operation, id, parent.as_deref(), sink));
            }
            Question::ApplyDiff { id, parent, form } => {
                drop(self.apply_diff(operation, id, parent.as_deref(), *form, no_bytes()));
            }
            Question::DiffSize { id, parent } => {
                drop(self.diff_size(operation, id, parent.as_deref()));
            }
        }
    }
}

fn compared(trace: &Trace, playing: &Playing) -> ReplayReport {
    let question = &trace.question;
    let recorded = question.show_end(&trace.end);
    let end = playing.end.as_deref().unwrap_or_default();
    let report = |verdict, same_calls, recorded, replayed| ReplayReport {
        verdict,
        recorded_calls: trace.recorded.kept,
        same_calls,
        recorded,
        replayed,
    };
    // Where the host ended the operation between two calls, the replay goes on from there, or ends by itself.
    if trace.was_stopped && playing.is_played() {
        let same = trace.recorded.kept;
        let text = format!("the same up to where the host ended it: {recorded}");
        return report(ReplayVerdict::Same, same, recorded, text.into());
    }
    if let Some(Difference {
        number,
        expected,
        got,
    }) = &playing.difference
    {
        let expected = match expected {
            Some((function, arguments)) => describe_call(*function, arguments).into(),
            None => format!("the end of the operation: {recorded}").into(),
        };
        let got = describe_call(got.0, &got.1).into();
        return report(ReplayVerdict::OtherCall, number - 1, expected, got);
    }
    let replayed = question.show_end(end);
    if let Some((function, arguments)) = playing.next_call() {
        let expected = describe_call(function, &arguments).into();
        let got = format!("the end of the operation: {replayed}").into();
        return report(ReplayVerdict::OtherCall, playing.asked, expected, got);
    }
    // Where the host ended the operation in a call, it is that call that counts, and the replay has come to it.
    let verdict = match end == trace.end || playing.was_ended() {
        true => ReplayVerdict::Same,
        false => ReplayVerdict::OtherEnd,
    };
    report(verdict, playing.asked, recorded, replayed)
}
