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
use crate::{Code, Error};
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
        let outcome = self
            .linked
            .instantiate(&mut store)
            .and_then(|instance| body(&mut store, &instance));
        let state = store.into_data();
        if state.meter.log_dropped() > 0 {
            let (driver, dropped) = (&*self.label, state.meter.log_dropped());
            tracing::warn!(target: "mica::driver", driver, dropped, "log lines were dropped: `log_bytes`");
        }
        match outcome {
            Ok(value) => Ok(Finished { value, state }),
            Err(error) => Err(reason(&error, &state)),
        }
    }
}

/// Why an instance ended without an answer.
fn reason(error: &wasmtime::Error, state: &State) -> Error {
    let what = |stop: &Stop| format!("`{}`: {stop}", state.operation.name);
    match error.downcast_ref::<Stop>() {
        Some(Stop::Cancelled) => return Error::Cancelled,
        Some(stop @ (Stop::Deadline(_) | Stop::Stalled(_))) => return Error::TimedOut(what(stop)),
        Some(stop @ (Stop::Calls(_) | Stop::Memory(_))) => return Error::LimitReached(what(stop)),
        None => {}
    }
    if let Some(stop) = state.memory.exceeded() {
        return Error::LimitReached(what(&stop));
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
