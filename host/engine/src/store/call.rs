//! One operation of a driver, with everything around it: the right build, room among the others, what happens when
//! the driver breaks, and the engine's words for its errors.
//!
//! Invariant: this is the only way from the engine to a driver, but for the probe of a swap.

use super::Scope;
use crate::drivers::{Flow, Slot, Subject};
use crate::engine::Engine;
use crate::event::News;
use crate::{Error, EventKind, Result, driver_error};
use mica_runtime::{CancelToken, Error as DriverError, Generation, Home, Operation};
use std::sync::Arc;

/// What is asked of a driver.
#[derive(Debug)]
pub(crate) struct Call {
    /// The driver's function.
    name: &'static str,
    scope: Arc<Scope>,
    cancel: CancelToken,
    flow: Flow,
}

impl Call {
    pub(crate) fn new(name: &'static str, scope: Arc<Scope>) -> Self {
        Self {
            name,
            scope,
            cancel: CancelToken::default(),
            flow: Flow::None,
        }
    }

    /// It moves a client's bytes.
    pub(crate) fn streaming(self) -> Self {
        let flow = Flow::Stream;
        Self { flow, ..self }
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
            client_wait: None,
        }
    }
}

impl Call {
    /// Calls the driver of the store.
    ///
    /// # Errors
    /// Everything that `driver_error` can say, and `unknown-driver`, `quarantined`, `overloaded`.
    pub(crate) fn run<T>(
        self,
        engine: &Engine,
        run: impl FnOnce(&Generation, Operation) -> std::result::Result<T, DriverError>,
    ) -> Result<T> {
        let layers = self.scope.layers();
        let slot = engine.registry.get(&layers.driver)?;
        let subject = Subject {
            store: &layers.store,
            layer: self.scope.subject(),
        };
        let ticket = slot.enter(subject, self.flow, &self.cancel)?;
        let operation = Operation {
            client_wait: Some(ticket.client_wait()),
            ..self.operation()
        };
        let answer = run(ticket.generation(), operation);
        drop(ticket);
        answer.map_err(|error| {
            let is_fault = error.is_fault();
            let doing = self.scope.describe(self.name);
            let error = driver_error::translate(&slot.name, &doing, error);
            if is_fault {
                blame(engine, &slot, subject, &error);
            }
            error
        })
    }
}

/// Counts a fault of a driver, and tells what comes of it.
fn blame(engine: &Engine, slot: &Slot, subject: Subject<'_>, error: &Error) {
    let reason = error.to_string();
    let news = |kind, store: Option<&str>, layer: Option<&str>, detail: &str| {
        let mut news = News::new(kind).driver(&slot.name).detail(detail);
        if let Some(store) = store {
            news = news.store(store);
        }
        if let Some(layer) = layer {
            news = news.layer(layer);
        }
        engine.bus.tell(news);
    };
    let (store, layer) = (Some(subject.store), subject.layer);
    news(EventKind::DriverFailed, store, layer, &reason);
    for view in slot.fault(subject, &reason) {
        tracing::error!(driver = slot.name, "the driver is quarantined{view}");
        let (store, layer) = (view.store.as_deref(), view.layer.as_deref());
        news(EventKind::DriverQuarantined, store, layer, &view.reason);
    }
}
