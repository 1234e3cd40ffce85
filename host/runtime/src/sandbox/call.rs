//! One operation: a fresh instance with its limits, one call, and the reason if it ends badly.
//!
//! Invariant: a store lives for one call; whatever happened in it, nothing of it is used again.

use super::generation::Generation;
use crate::Operation;
use crate::bindings::Full;
use crate::bindings::mica::driver::types::{Error as DriverError, HostFailure};
use crate::capability::meter::Stop;
use crate::capability::{State, truncate};
use crate::limits::Class;
use crate::{Code, Culprit, Error};
use std::sync::Arc;
use wasmtime::{Store, Trap, UpdateDeadline};

/// What an export returned, with the store that its handles live in.
pub(super) struct Finished<T> {
    pub(super) value: T,
    pub(super) state: State,
}

impl Generation {
    /// Runs `body` in a fresh instance.
    pub(super) fn call<T>(
        &self,
        operation: Operation,
        class: Class,
        body: impl FnOnce(&mut Store<State>, &Full) -> wasmtime::Result<T>,
    ) -> Result<Finished<T>, Error> {
        let _running = self.counters.begin();
        let state = State::new(operation, Arc::clone(&self.label), &self.limits, class);
        let mut store = Store::new(self.linked.engine(), state);
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(self.limits.call_bytes);
        store.set_max_component_handles(self.limits.component_handles as usize);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|mut context| {
            let state = context.data_mut();
            if state.operation.cancel.is_cancelled() {
                return Err(Stop::Cancelled.into());
            }
            state.meter.tick()?;
            Ok(UpdateDeadline::Continue(1))
        });
        let outcome = match self.linked.instantiate(&mut store) {
            Ok(instance) => body(&mut store, &instance).map_err(End::Call),
            Err(error) => Err(End::Begin(error)),
        };
        let state = store.into_data();
        if state.meter.log_dropped() > 0 {
            let (driver, dropped) = (&*self.label, state.meter.log_dropped());
            tracing::warn!(target: "mica::driver", driver, dropped, "log lines were dropped: `log_bytes`");
        }
        match outcome {
            Ok(value) => Ok(Finished { value, state }),
            Err(end) => Err(reason(&end, &state)),
        }
    }
}

/// Where an instance ended without an answer.
enum End {
    /// While it was made.
    Begin(wasmtime::Error),
    /// In the call.
    Call(wasmtime::Error),
}

/// An operation that the sandbox stopped.
fn stopped(stop: &Stop, state: &State) -> Error {
    let what = format!("`{}`: {stop}", state.operation.name);
    let culprit = Culprit::of_stop(stop, &state.meter);
    match stop {
        Stop::Cancelled => Error::Cancelled,
        Stop::Deadline(_) | Stop::Stalled(_) => Error::TimedOut { what, culprit },
        Stop::Calls(_) | Stop::Memory(_) => Error::LimitReached { what, culprit },
    }
}

/// Why an instance ended without an answer.
fn reason(end: &End, state: &State) -> Error {
    let (End::Begin(error) | End::Call(error)) = end;
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return stopped(stop, state);
    }
    if let Some(stop) = state.memory.exceeded() {
        return stopped(&stop, state);
    }
    if let (End::Begin(error), None) = (end, error.downcast_ref::<Trap>()) {
        // Nothing of the guest ran: there was no room for one more instance.
        return Error::Runtime(format!("make an instance: {error:#}"));
    }
    let cause = error
        .downcast_ref::<Trap>()
        .map_or_else(|| format!("{:#}", error.root_cause()), Trap::to_string);
    let said = state.stderr();
    let mut text = match said.lines().next() {
        Some(_) => format!(
            "`{}`: {cause}; it said: {}",
            state.operation.name,
            said.escape_debug()
        ),
        None => format!("`{}`: {cause}", state.operation.name),
    };
    truncate(&mut text, 2048);
    tracing::warn!(target: "mica::driver", driver = &*state.driver, "{error:#}");
    Error::Trapped(text)
}

/// The driver's own errors to ours.
pub(super) fn refused(error: DriverError) -> Error {
    let clean = |mut text: String| {
        truncate(&mut text, 4096);
        text.escape_debug()
            .to_string()
            .replace("\\'", "'")
            .replace("\\\"", "\"")
    };
    match error {
        DriverError::NotSupported(text) => Error::NotSupported(clean(text)),
        DriverError::Prerequisites(text) => Error::Prerequisites(clean(text)),
        DriverError::IncompatibleFs(text) => Error::IncompatibleFs(clean(text)),
        DriverError::NotFound(text) => Error::NotFound(clean(text)),
        DriverError::Exists(text) => Error::Exists(clean(text)),
        DriverError::Busy(text) => Error::Busy(clean(text)),
        DriverError::Invalid(text) => Error::Invalid(clean(text)),
        DriverError::InvalidArchive(text) => Error::InvalidArchive(clean(text)),
        DriverError::Host(HostFailure { doing, mut failure }) => {
            failure.message = clean(failure.message);
            // A stream that ends within an entry is the archive's defect, whatever the driver makes of it.
            if failure.code == Code::Truncated {
                return Error::InvalidArchive(format!("{}: {}", clean(doing), failure.message));
            }
            Error::Host {
                doing: clean(doing),
                failure,
            }
        }
    }
}
