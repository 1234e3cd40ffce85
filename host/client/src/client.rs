//! A client of the daemon: HTTP over its unix socket, or over TCP.
//!
//! Invariant: one connection for each call; bodies stream in both directions and are never held whole in memory, but
//! for JSON documents.

mod body;
mod hashed;
mod lines;
mod marks;
mod place;
mod receive;
mod settle;
mod target;

use std::io::Read;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE};
use hyper::{Method, Request, Response};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use crate::failure::{Failure, Problem};
use crate::interrupt::{self, Interrupt};
use body::Body;
use marks::{Marks, Name};
pub use place::Place;
pub use receive::Received;
use settle::Again;
pub use target::{query, segment};

/// Bytes of a JSON answer that are read: more than any page of a list, less than memory.
const ANSWER_BYTES: usize = 64 << 20;

/// A client of one daemon.
#[derive(Debug)]
pub struct Client {
    place: Place,
    runtime: Runtime,
    interrupt: Option<Interrupt>,
    /// What the ids of its requests begin with, if they are to be found by them.
    name: Option<Name>,
}

impl Client {
    /// A client; connects at each call.
    ///
    /// # Errors
    /// What making an event loop says.
    pub fn new(place: Place) -> Result<Self, Failure> {
        let runtime = Builder::new_current_thread().enable_all().build();
        Ok(Self {
            place,
            runtime: runtime.map_err(Failure::io("make an event loop"))?,
            interrupt: None,
            name: None,
        })
    }

    /// Where the daemon is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The same, whose requests have this id (1 to 40 letters, digits, `-`, `_` and `.`), or, if they change something, this id with a
    /// number behind it. By [`Client::request_ids`] they are found in the daemon's log and in what it records.
    #[must_use]
    pub fn named(self, request: Option<&str>) -> Self {
        let name = request.map(Name::new);
        Self { name, ..self }
    }

    /// The ids that requests of a named client have had, and those of clients that were made of it.
    pub fn request_ids(&self) -> Vec<String> {
        self.name.as_ref().map(Name::given).unwrap_or_default()
    }

    /// Another client of the same daemon, for another thread. What interrupts this one interrupts it too.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn again(&self) -> Result<Self, Failure> {
        let mut again = self.undisturbed()?;
        again.interrupt.clone_from(&self.interrupt);
        Ok(again)
    }

    /// Another client of the same daemon that goes on whatever comes, to put things right.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn undisturbed(&self) -> Result<Self, Failure> {
        let name = self.name.clone();
        Ok(Self {
            name,
            ..Self::new(self.place.clone())?
        })
    }

    /// From now on SIGINT and SIGTERM end calls with [`Failure::Interrupted`] instead of the program, and the second one the program.
    ///
    /// # Errors
    /// What starting a thread says.
    pub fn heed_interrupts(&mut self) -> Result<(), Failure> {
        self.interrupt = Some(Interrupt::listen()?);
        Ok(())
    }

    /// From now on SIGINT and SIGQUIT do nothing to this program; programs that it starts get them as ever.
    ///
    /// # Errors
    /// What listening for signals says.
    pub fn leave_interrupts_to_others(&self) -> Result<(), Failure> {
        self.runtime.block_on(async { interrupt::disregard() })
    }

    /// Whether a signal has come.
    pub fn is_interrupted(&self) -> bool {
        self.interrupt.as_ref().is_some_and(Interrupt::has_come)
    }

    /// Works, unless a signal comes.
    fn run<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        self.runtime.block_on(async {
            let Some(interrupt) = &self.interrupt else {
                return work.await;
            };
            let done = tokio::select! {
                biased;
                done = work => done,
                () = interrupt.came() => Err(Failure::Interrupted(String::new())),
            };
            if matches!(done, Err(Failure::Interrupted(_))) {
                // The connection is a task, which ends when it sees that nobody waits for it; otherwise the daemon would wait for the
                // rest of a body for as long as this program goes on.
                tokio::task::yield_now().await;
            }
            done
        })
    }

    /// Asks for a document.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn get(&self, target: &str) -> Result<Value, Failure> {
        self.document(&Method::GET, target, Again::Anywhere, Body::empty)
    }

    /// Sends a document, if there is one, and gets one. What breaks on its way is sent again, and done once.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn post(&self, target: &str, document: Option<&Value>) -> Result<Value, Failure> {
        let body = || document.map_or_else(Body::empty, Body::json);
        let again = Again::of(target, document);
        self.document(&Method::POST, target, again, body)
    }

    /// Removes a thing, or ends an operation, as [`Client::post`].
    ///
    /// # Errors
    /// [`Failure`].
    pub fn delete(&self, target: &str) -> Result<Value, Failure> {
        self.document(&Method::DELETE, target, Again::Anywhere, Body::empty)
    }

    /// Sends a component, with headers about it, gets a document, as [`Client::post`].
    ///
    /// # Errors
    /// [`Failure`].
    pub fn post_bytes(
        &self,
        target: &str,
        bytes: Bytes,
        about: &[(&'static str, String)],
    ) -> Result<Value, Failure> {
        let again = Again::of(target, None);
        let body = || Body::bytes(bytes.clone()).about(about.to_vec());
        self.document(&Method::POST, target, again, body)
    }

    /// Sends what `source` has until its end, gets a document. If the connection breaks, or a signal comes, the daemon is asked what came
    /// of it.
    ///
    /// # Errors
    /// [`Failure`]; [`Failure::Interrupted`] when nothing was changed.
    pub fn put_stream(
        &self,
        target: &str,
        source: impl Read + Send + 'static,
    ) -> Result<Value, Failure> {
        let (body, error) = Body::stream(source);
        let marks = Marks::of_stream(self.name.as_ref());
        let answer = self.run(self.once(&Method::PUT, target, body, &marks));
        // The daemon sees only that the body broke off; the reason is known here.
        match (error.take(), answer) {
            // A signal ends what the archive is read from as well.
            (_, Err(failure @ Failure::Interrupted(_))) => self.settle(failure, &marks),
            (Some(source), Err(_)) => Err(Failure::Io {
                doing: "read what is to be sent".to_owned(),
                source,
            }),
            (_, Err(failure)) => self.settle(failure, &marks),
            (_, answer) => answer,
        }
    }

    /// Why a stream broke off, if the daemon knows.
    async fn reason(&self, operation: Option<String>) -> Option<Failure> {
        self.outcome(&operation?).await?.err()
    }

    /// Sends a request until it is answered, and gets a document.
    fn document(
        &self,
        method: &Method,
        target: &str,
        again: Again,
        body: impl Fn() -> Body,
    ) -> Result<Value, Failure> {
        let mut marks = match *method {
            Method::GET => Marks::default(),
            _ => Marks::of_change(self.name.as_ref()),
        };
        let done = self.run(async {
            let send = async |marks: &Marks| self.once(method, target, body(), marks).await;
            self.until_answered(&mut marks, again, send).await
        });
        match done {
            Err(failure @ Failure::Interrupted(_)) if marks.has_key() => {
                self.settle(failure, &marks)
            }
            done => done,
        }
    }

    /// Sends a request, and gets a document.
    async fn once(
        &self,
        method: &Method,
        target: &str,
        body: Body,
        marks: &Marks,
    ) -> Result<Value, Failure> {
        let response = self.send(method, target, body, marks).await?;
        let operation = operation_of(&response);
        let bytes = match self.collect(response).await {
            Ok(bytes) => bytes,
            Err(broken) => return Err(self.reason(operation).await.unwrap_or(broken)),
        };
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(self.broken_by("understand the answer"))
    }

    /// Sends a request and sorts its answer; an error status is a [`Failure::Problem`].
    async fn send(
        &self,
        method: &Method,
        target: &str,
        body: Body,
        marks: &Marks,
    ) -> Result<Response<Incoming>, Failure> {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in marks.headers() {
            request = request.header(name, value);
        }
        // One that has an id of its own has sent it.
        if let Some(name) = self.name.as_ref().filter(|_| marks.id().is_none()) {
            request = request.header(marks::REQUEST_ID, name.base());
        }
        for (name, value) in body.headers() {
            request = request.header(name, value);
        }
        if let Some(content_type) = body.content_type() {
            request = request.header(CONTENT_TYPE, content_type);
        }
        if let Some(length) = body.length() {
            request = request.header(CONTENT_LENGTH, length);
        }
        let request = request
            .body(body)
            .map_err(self.broken_by("ask the daemon"))?;
        let response = self.place.send(request).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let bytes = self.collect(response).await?;
        let problem: Result<Problem, _> = serde_json::from_slice(&bytes);
        match problem {
            Ok(problem) => Err(Failure::Problem(Box::new(problem))),
            Err(error) => Err(Failure::Connection {
                doing: format!("understand the daemon's answer {status}"),
                source: error.into(),
            }),
        }
    }

    async fn collect(&self, response: Response<Incoming>) -> Result<Bytes, Failure> {
        let body = http_body_util::Limited::new(response.into_body(), ANSWER_BYTES);
        let collected = body.collect().await;
        Ok(collected
            .map_err(self.broken_boxed("read the answer"))?
            .to_bytes())
    }

    fn broken(&self, doing: &str) -> impl FnOnce(hyper::Error) -> Failure {
        self.broken_by(doing)
    }

    fn broken_by<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        &self,
        doing: &str,
    ) -> impl FnOnce(E) -> Failure + use<E> {
        let doing = format!("{doing} at `{}`", self.place);
        move |source| Failure::Connection {
            doing,
            source: source.into(),
        }
    }

    fn broken_boxed(
        &self,
        doing: &str,
    ) -> impl FnOnce(Box<dyn std::error::Error + Send + Sync>) -> Failure {
        self.broken_by(doing)
    }
}

fn operation_of(response: &Response<Incoming>) -> Option<String> {
    let value = response.headers().get("mica-operation")?;
    value.to_str().ok().map(str::to_owned)
}
