//! One operation of a driver, with everything around it: the right build, room among the others, what happens when
//! the driver breaks, and the engine's words for its errors.
//!
//! A call that a build fails while it bakes is answered by the build before it, so that nobody is told of a failure that need
//! not be; a stream cannot be had twice, and fails.
//!
//! Invariant: this is the only way from the engine to a driver, but for those who judge a build; an operation
//! that is begun again begins as if there had been none, for one that ends badly changes nothing.

use super::Scope;
use super::verb::Verb;
use crate::drivers::{Asked, Flow, Question, Risk, Slot, Subject, Ticket};
use crate::engine::Engine;
use crate::event::News;
use crate::insight::{Listener, Missed, Origin};
use crate::traffic::{self, ClientCall, Sample};
use crate::view::Evidence;
use crate::{Error, EventKind, LayerId, Result, driver_error};
use mica_runtime::{CancelToken, Denial, Error as DriverError, Generation, Home, Operation, Spent};
use mica_text::with_causes;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a call may take that is compared: its layer is locked for as long again, and longer.
const LONGEST_COMPARED: Duration = Duration::from_secs(2);

/// What a driver answers.
type Answer<T> = std::result::Result<T, DriverError>;

/// What is asked of a driver.
#[derive(Debug)]
pub(crate) struct Call {
    verb: Verb,
    scope: Arc<Scope>,
    cancel: CancelToken,
    flow: Flow,
    question: Option<Question>,
}

impl Call {
    pub(crate) fn new(verb: Verb, scope: Arc<Scope>) -> Self {
        Self {
            verb,
            scope,
            cancel: CancelToken::default(),
            flow: Flow::None,
            question: None,
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

    /// It asks about its layer what two builds must answer alike.
    pub(crate) fn asking(self, question: Question) -> Self {
        let question = Some(question);
        Self { question, ..self }
    }

    /// The operation that the sandbox runs.
    pub(crate) fn operation(&self) -> Operation {
        let layers = self.scope.layers();
        let home: Arc<dyn Home> = Arc::<Scope>::clone(&self.scope);
        Operation {
            store: layers.store.clone(),
            name: self.verb.word(),
            home,
            options: Arc::clone(&layers.options),
            cancel: self.cancel.clone(),
            client_wait: None,
            spent: Spent::default(),
            witness: None,
            replay: None,
        }
    }
}

impl Call {
    /// Calls the driver of the store; `run` may be called a second time.
    ///
    /// # Errors
    /// Everything that `driver_error` can say, and `unknown-driver`, `quarantined`, `overloaded`.
    pub(crate) fn run<T>(
        self,
        engine: &Engine,
        run: impl Fn(&Generation, Operation) -> Answer<T>,
    ) -> Result<T> {
        let slot = engine.registry.get(&self.scope.layers().driver)?;
        let mut ticket = slot.enter(self.verb.word(), self.subject(), self.flow)?;
        let started = Instant::now();
        let answer = self.on(engine, &slot, &mut ticket, &run);
        let answer = match (answer, ticket.take_risk()) {
            (Err(failed), Some(risk)) if failed.is_told() => {
                self.scope.begin_again();
                ticket.step_back(&risk);
                let again = self.on(engine, &slot, &mut ticket, &run);
                if failed.is_worse_than(again.as_ref().err()) {
                    self.accuse(engine, &slot, &failed);
                    risk.failed(
                        self.evidence("failed calls that the build before answers", &failed),
                    );
                }
                again
            }
            (answer, risk) => {
                if answer.is_ok() {
                    self.have_compared(&slot, started.elapsed(), risk);
                }
                answer
            }
        };
        drop(ticket);
        answer.map_err(|failed| self.blame(engine, &slot, failed))
    }

    /// Calls the driver of the store once, for the answer or the question is a stream.
    ///
    /// # Errors
    /// As [`Call::run`].
    pub(crate) fn run_once<T>(
        self,
        engine: &Engine,
        run: impl FnOnce(&Generation, Operation) -> Answer<T>,
    ) -> Result<T> {
        let slot = engine.registry.get(&self.scope.layers().driver)?;
        let mut ticket = slot.enter(self.verb.word(), self.subject(), self.flow)?;
        let started = Instant::now();
        let answer = self.on(engine, &slot, &mut ticket, run);
        let risk = ticket.take_risk();
        drop(ticket);
        match (answer, risk) {
            (Err(failed), Some(risk)) if failed.is_told() => {
                self.accuse(engine, &slot, &failed);
                match failed.is_fault {
                    true => risk.failed(self.evidence("broke in calls with streams", &failed)),
                    false => {
                        let what = "refused streams such as the build before takes";
                        risk.refused(self.evidence(what, &failed), failed.error.code());
                    }
                }
                Err(failed.error)
            }
            (answer, risk) => {
                if answer.is_ok() {
                    self.have_compared(&slot, started.elapsed(), risk);
                }
                answer.map_err(|failed| self.blame(engine, &slot, failed))
            }
        }
    }

    fn subject(&self) -> Subject<'_> {
        Subject {
            store: &self.scope.layers().store,
            layer: self.scope.subject(),
        }
    }

    /// Runs it on the build of a ticket.
    fn on<T>(
        &self,
        engine: &Engine,
        slot: &Slot,
        ticket: &mut Ticket,
        run: impl FnOnce(&Generation, Operation) -> Answer<T>,
    ) -> std::result::Result<T, Failed> {
        let listener = self.listener(slot, ticket);
        let operation = Operation {
            client_wait: Some(ticket.client_wait()),
            witness: Some(Arc::<Listener>::clone(&listener)),
            ..self.operation()
        };
        let spent = operation.spent.clone();
        let (began, waited) = (Instant::now(), ticket.waited());
        ClientCall::note_generation(ticket.generation_number());
        let answer = run(ticket.generation(), operation);
        let denied = self.tell_denials(engine, ticket.generation(), &listener);
        let answer = answer.map_err(|error| self.failed(error, denied));
        let error = answer.as_ref().err().map(|failed| &failed.error);
        listener.conclude(&slot.name, &spent, error);
        let class = answer.as_ref().err().map(|failed| failed.error.class());
        let sample = Sample {
            front: ClientCall::current_front(),
            verb: self.verb,
            outcome: class.map_or(traffic::OK, traffic::place_of_class),
            took: began.elapsed().saturating_sub(ticket.waited() - waited),
            spent: &spent,
        };
        ticket.count(&slot.tally, &sample);
        let code = |failed: &Failed| failed.error.code();
        if answer.as_ref().err().is_none_or(Failed::is_told) {
            ticket.ended(answer.as_ref().map(|_| spent.own_time()).map_err(code));
        }
        answer
    }

    /// Why it failed, in the engine's words.
    fn failed(&self, error: DriverError, denied: Option<Denial>) -> Failed {
        let (is_fault, is_of_client) = (error.is_fault(), error.is_of_client());
        let driver = &self.scope.layers().driver;
        let doing = self.scope.describe(self.verb.word());
        let error = driver_error::translate(driver, &doing, error);
        let error = match (denied, &error) {
            // Whatever else a driver says when something is refused is its own decision.
            (Some(denial), Error::Io { .. }) => Error::NotGranted {
                driver: driver.clone(),
                right: denial.right,
                cause: with_causes(&error),
                remedy: denial.remedy,
            },
            _ => error,
        };
        Failed {
            is_fault,
            is_of_client,
            error,
        }
    }

    /// Tells what the driver did in it and was not granted, as far as the daemon's log has room for it; says of what it failed.
    fn tell_denials(
        &self,
        engine: &Engine,
        generation: &Generation,
        listener: &Listener,
    ) -> Option<Denial> {
        let missed = listener.take_denials();
        for Missed { denial, is_first } in &missed {
            let (driver, Subject { store, layer }) = (&self.scope.layers().driver, self.subject());
            let Denial { right, remedy, .. } = denial;
            let audited = if denial.is_allowed { "audited: " } else { "" };
            let detail = format!("{audited}`{right}` is not granted: {remedy}");
            // The first of each right is always told, so that a driver hides none by saying much; there are few rights.
            if !is_first && !generation.may_log(&detail) {
                continue;
            }
            tracing::warn!(driver, store, layer, detail, "denied");
            let news = News::new(EventKind::DriverDenied).driver(driver);
            engine
                .bus
                .tell(news.about(Some(store), layer).detail(detail));
        }
        let mut denials = missed.into_iter().map(|missed| missed.denial);
        denials.find(|denial| !denial.is_allowed)
    }

    /// Who keeps what the driver says in it.
    fn listener(&self, slot: &Slot, ticket: &Ticket) -> Arc<Listener> {
        let Subject { store, layer } = self.subject();
        let origin = Origin {
            operation: self.verb.word(),
            store: store.to_owned(),
            layer: layer.map(str::to_owned),
            generation: ticket.generation_number(),
            digest: ticket.digest(),
            request: ClientCall::current_id(),
        };
        Listener::new(&slot.insight, origin)
    }

    /// Hands an answered call to those who compare builds, if it is one that can be compared.
    fn have_compared(&self, slot: &Slot, took: Duration, risk: Option<Risk>) {
        if self.question.is_none() || took > LONGEST_COMPARED {
            return;
        }
        let asked = || {
            Some(Asked {
                store: self.scope.layers().store.clone(),
                layer: LayerId::parse(self.scope.subject()?).ok()?,
                question: self.question.clone()?,
            })
        };
        slot.tell_shadow(asked);
        if let (Some(risk), Some(asked)) = (risk, asked()) {
            risk.compare(asked);
        }
    }

    /// What speaks against the build that bakes.
    fn evidence(&self, what: &str, failed: &Failed) -> Evidence {
        Evidence {
            calls: 1,
            what: what.to_owned(),
            operation: self.verb.word().to_owned(),
            store: Some(self.scope.layers().store.clone()),
            layer: self.scope.subject().map(str::to_owned),
            first: with_causes(&failed.error),
        }
    }

    /// Tells that a build which bakes failed. It is not counted for layer and store, for it is the build that is judged.
    fn accuse(&self, engine: &Engine, slot: &Slot, failed: &Failed) {
        if failed.is_fault {
            slot.count_fault();
            self.tell_failure(engine, &failed.error);
        }
    }

    fn tell_failure(&self, engine: &Engine, error: &Error) {
        let Subject { store, layer } = self.subject();
        let news = News::new(EventKind::DriverFailed).driver(&self.scope.layers().driver);
        let news = news.about(Some(store), layer);
        engine.bus.tell(news.detail(error.to_string()));
    }

    /// Counts a fault of the driver, and tells what comes of it.
    fn blame(&self, engine: &Engine, slot: &Slot, failed: Failed) -> Error {
        if !failed.is_fault {
            return failed.error;
        }
        self.tell_failure(engine, &failed.error);
        for view in slot.fault(self.subject(), &failed.error.to_string()) {
            tracing::error!(driver = slot.name, "the driver is quarantined{view}");
            let news = News::new(EventKind::DriverQuarantined).driver(&slot.name);
            let news = news.about(view.store.as_deref(), view.layer.as_deref());
            engine.bus.tell(news.detail(view.reason));
        }
        failed.error
    }
}

/// A call that did not succeed.
#[derive(Debug)]
struct Failed {
    error: Error,
    is_fault: bool,
    /// The client let a stream stand still.
    is_of_client: bool,
}

impl Failed {
    /// Whether it says anything of a build: a call that was cancelled, or whose client stood still, does not.
    fn is_told(&self) -> bool {
        !matches!(self.error, Error::Cancelled) && !self.is_of_client
    }

    /// Whether another build does better with the same call.
    fn is_worse_than(&self, other: Option<&Self>) -> bool {
        other.is_none_or(|other| self.is_fault && !other.is_fault && other.is_told())
    }
}
