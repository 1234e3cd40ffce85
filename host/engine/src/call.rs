//! One operation of a driver, with everything around it: the right build, room among the others, what happens when
//! the driver breaks, and the engine's words for its errors.
//!
//! Invariant: this is the only way from the engine to a driver, but for the probe of a swap.

use crate::engine::Engine;
use crate::event::News;
use crate::scope::Scope;
use crate::{EventKind, Result, driver_error};
use mica_runtime::{CancelToken, Error as DriverError, Generation, Home, Operation};
use std::sync::Arc;

/// What is asked of a driver.
#[derive(Debug)]
pub(crate) struct Call {
    /// The driver's function.
    name: &'static str,
    scope: Arc<Scope>,
    cancel: CancelToken,
}

impl Call {
    pub(crate) fn new(name: &'static str, scope: Arc<Scope>) -> Self {
        Self {
            name,
            scope,
            cancel: CancelToken::default(),
        }
    }

    /// Lets the caller end it.
    pub(crate) fn with_cancel(self, cancel: CancelToken) -> Self {
        Self { cancel, ..self }
    }

    /// The operation that the sandbox runs.
    pub(crate) fn operation(&self) -> Operation {
        let layers = self.scope.layers();
        let home: Arc<dyn Home> = Arc::<Scope>::clone(&self.scope);
        Operation {
            store: layers.store.clone(),
            name: self.name,
            home,
            options: Arc::clone(&layers.options),
            cancel: self.cancel.clone(),
        }
    }
}

impl Engine {
    /// Calls the driver of a store.
    ///
    /// # Errors
    /// Everything that `driver_error` can say, and `unknown-driver`, `quarantined`, `overloaded`.
    pub(crate) fn call<T>(
        &self,
        call: Call,
        run: impl FnOnce(&Generation, Operation) -> std::result::Result<T, DriverError>,
    ) -> Result<T> {
        let layers = call.scope.layers();
        let slot = self.registry.get(&layers.driver)?;
        let ticket = slot.enter(&call.cancel)?;
        let answer = run(ticket.generation(), call.operation());
        drop(ticket);
        answer.map_err(|error| {
            let is_fault = error.is_fault();
            let doing = call.scope.describe(call.name);
            let error = driver_error::translate(&slot.name, &doing, error);
            if is_fault {
                let news = |kind| {
                    News::new(kind)
                        .store(&layers.store)
                        .driver(&slot.name)
                        .detail(error.to_string())
                };
                self.bus.tell(news(EventKind::DriverFailed));
                if slot.fault(&error.to_string()) {
                    tracing::error!(driver = slot.name, %error, "the driver is quarantined");
                    self.bus.tell(news(EventKind::DriverQuarantined));
                }
            }
            error
        })
    }
}
