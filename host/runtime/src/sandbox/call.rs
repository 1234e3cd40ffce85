//! One operation: a fresh instance with its limits, one call, and the reason if it ends badly.
//!
//! Invariant: a store lives for one call; whatever happened in it, nothing of it is used again.

use super::generation::Generation;
use crate::Operation;
use crate::bindings::Driver;
use crate::bindings::mica::driver::types::{Error as DriverError, HostFailure};
use crate::capability::State;
use crate::capability::meter::Stop;
use crate::contract::OTHER_VERSION;
use crate::limits::Class;
use crate::trace::tape::Tape;
use crate::trace::{Outcome, Question, Trace, broke};
use crate::{Code, Culprit, Error, SafeText};
use std::sync::Arc;
use wasmtime::{Store, Trap, UpdateDeadline};

/// Bytes of the reason why an instance ended: what its author's panic said is the most of it.
const TRAP_BYTES: usize = 2048;

/// What an export returned, with the store that its handles live in.
pub(super) struct Finished<T> {
    pub(super) value: T,
    pub(super) state: State,
}

impl Generation {
    /// Runs `body` in a fresh instance.
    pub(super) fn call<T: Outcome>(
        &self,
        operation: Operation,
        class: Class,
        question: impl FnOnce() -> Question,
        body: impl FnOnce(&mut Store<State>, &Driver) -> wasmtime::Result<T>,
    ) -> Result<Finished<T>, Error> {
        let _running = self.counter.begin();
        let mut store = self.store(operation, class);
        let outcome = match self.linked.instantiate(&mut store) {
            Ok(instance) => body(&mut store, &instance).map_err(End::Call),
            Err(error) => Err(End::Begin(error)),
        };
        // The instance is gone now, with all that the guest can still do; its handles live on in the state.
        let mut state = store.into_data();
        let (meter, memory) = (&state.meter, &state.memory);
        state
            .operation
            .spent
            .set(meter.own_time(), meter.calls(), memory.bytes());
        if let (Some(times), Some(witness)) = (state.times.take(), &state.operation.witness) {
            witness.times(times);
        }
        keep_trace(&mut state, question, outcome.as_ref());
        let outcome = outcome.map_err(|end| reason(&end, &state));
        let (left_out, cut) = state.voice.end();
        if left_out + cut > 0 && self.journal.admits(&self.label, "") {
            let driver = &*self.label;
            tracing::warn!(target: "mica::driver", driver, left_out, cut, "lines were left out or cut: `log_bytes`");
        }
        outcome.map(|value| Finished { value, state })
    }

    /// Checks that all exports have the types of the contract: a component tells them only as an instance.
    pub(super) fn check_exports(&self, operation: Operation) -> Result<(), Error> {
        let _running = self.counter.begin();
        let mut store = self.store(operation, Class::Short);
        let instance = match self.linked.instance_pre().instantiate(&mut store) {
            Ok(instance) => instance,
            Err(error) => return Err(reason(&End::Begin(error), store.data())),
        };
        let fits = Driver::new(&mut store, &instance);
        fits.map(drop).map_err(|error| {
            Error::rejected(format!("its exports do not fit: {error:#}"), OTHER_VERSION)
        })
    }

    /// What an instance and its host functions live in, with the limits of an operation.
    fn store(&self, operation: Operation, class: Class) -> Store<State> {
        let label = Arc::clone(&self.label);
        let state = State::new(
            operation,
            label,
            &self.limits,
            class,
            (&self.handles, &self.journal),
            self.permit,
        );
        let mut store = Store::new(self.linked.engine(), state);
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(self.limits.call_bytes);
        store.set_max_component_handles(self.limits.component_handles as usize);
        // One tick ahead, again and again: cancellation and deadline are looked at with every tick.
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|mut context| {
            let state = context.data_mut();
            if state.operation.cancel.is_cancelled() {
                return Err(Stop::Cancelled.into());
            }
            state.meter.tick()?;
            Ok(UpdateDeadline::Continue(1))
        });
        store
    }
}

/// Where an instance ended without an answer.
enum End {
    /// While it was made.
    Begin(wasmtime::Error),
    /// In the call.
    Call(wasmtime::Error),
}

/// Hands on what was written down of an operation.
fn keep_trace(
    state: &mut State,
    question: impl FnOnce() -> Question,
    outcome: Result<&impl Outcome, &End>,
) {
    let end = |state: &State| match outcome {
        Ok(value) => value.end(),
        Err(end) => broke(&why(end, state)),
    };
    match std::mem::take(&mut state.tape) {
        Tape::Off => {}
        Tape::Playing(playing) => playing.lock().end = Some(end(state)),
        Tape::Recording(recording) => {
            let trace = Trace {
                question: question(),
                recorded: recording.finish(),
                end: end(state),
                chance: state.chance.drawn(),
                is_question_cut: false,
                was_stopped: outcome.is_err_and(was_stopped),
            };
            if let Some(witness) = &state.operation.witness {
                witness.trace(trace);
            }
        }
    }
}

/// Whether the host ended an instance at a moment that no call of it chose.
fn was_stopped(end: &End) -> bool {
    let (End::Begin(error) | End::Call(error)) = end;
    let stop = error.downcast_ref::<Stop>();
    matches!(stop, Some(Stop::Cancelled | Stop::Deadline(_)))
}

/// An operation that the sandbox stopped.
fn stopped(stop: &Stop, state: &State) -> Error {
    let what = format!("`{}`: {stop}", state.operation.name).into();
    let culprit = Culprit::of_stop(stop, &state.meter);
    match stop {
        Stop::Cancelled => Error::Cancelled,
        Stop::Deadline(_) | Stop::Stalled(_) => Error::TimedOut { what, culprit },
        Stop::Calls(_) | Stop::Memory(_) => Error::LimitReached { what, culprit },
    }
}

/// Why an instance ended without an answer, without the name of the operation: the same in every operation that ends so.
fn why(end: &End, state: &State) -> String {
    let (End::Begin(error) | End::Call(error)) = end;
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return stop.to_string();
    }
    if let Some(stop) = state.memory.exceeded() {
        return stop.to_string();
    }
    let cause = error
        .downcast_ref::<Trap>()
        // The root alone: what stands above it are names of functions, which the component's author chose.
        .map_or_else(|| format!("{:#}", error.root_cause()), Trap::to_string);
    match state.voice.last_words() {
        said if said.is_empty() => cause,
        said => format!("{cause}; it said: {said}"),
    }
}

/// Why an instance ended without an answer.
fn reason(end: &End, state: &State) -> Error {
    let (End::Begin(error) | End::Call(error)) = end;
    if let Some(stop) = error.downcast_ref::<Stop>() {
        let stopped = stopped(stop, state);
        state.voice.trap(&format!("{stopped}\n{error:#}"));
        return stopped;
    }
    // A guest that is refused memory traps in its allocator, with a trap that says nothing of memory.
    if let Some(stop) = state.memory.exceeded() {
        let stopped = stopped(&stop, state);
        state.voice.trap(&format!("{stopped}\n{error:#}"));
        return stopped;
    }
    if let (End::Begin(error), None) = (end, error.downcast_ref::<Trap>()) {
        // Nothing of the guest ran: there was no room for one more instance.
        return Error::runtime("make an instance", error);
    }
    let name = state.operation.name;
    let text = format!("`{name}`: {}", why(end, state));
    // The chain of causes has the names of the component's functions, which its author chose.
    let causes = SafeText::line(&format!("{error:#}"));
    if state.journal.admits(&state.driver, &causes) {
        tracing::warn!(target: "mica::driver", driver = &*state.driver, "{causes}");
    }
    // What it said is in its log already, before this.
    let first = text.lines().next().unwrap_or_default();
    state.voice.trap(&format!("{first}\n{error:#}"));
    Error::Trapped(SafeText::within(&text, TRAP_BYTES))
}

/// The driver's own errors to ours.
pub(super) fn refused(error: DriverError) -> Error {
    match error {
        DriverError::NotSupported(text) => Error::NotSupported(text.into()),
        DriverError::Prerequisites(text) => Error::Prerequisites(text.into()),
        DriverError::IncompatibleFs(text) => Error::IncompatibleFs(text.into()),
        DriverError::NotFound(text) => Error::NotFound(text.into()),
        DriverError::Exists(text) => Error::Exists(text.into()),
        DriverError::Busy(text) => Error::Busy(text.into()),
        DriverError::Invalid(text) => Error::Invalid(text.into()),
        DriverError::InvalidArchive(text) => Error::InvalidArchive(text.into()),
        DriverError::Host(HostFailure { doing, mut failure }) => {
            failure.message = SafeText::from(failure.message).into();
            // A stream that ends within an entry is the archive's defect, whatever the driver makes of it.
            if failure.code == Code::Truncated {
                return Error::InvalidArchive(format!("{doing}: {}", failure.message).into());
            }
            Error::Host {
                doing: doing.into(),
                failure,
            }
        }
    }
}
