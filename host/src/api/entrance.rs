//! The one way in: what every request of every front end has, whatever it asks for.
//!
//! A request becomes a call of the engine's books, with an id: the client's own (`x-request-id`) or a new one. The id is in the
//! answer's head, in what the log says meanwhile, in problems and in events. The call ends with the last of its answer.
//!
//! Invariant: a request that was read is counted once, however it ends.

use super::share::Full;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use mica_engine::{ClientCall, ClientCalls, Front, RemoteParent};
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::{Code, Status};

/// The header with the id, both ways; in gRPC it is metadata.
const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// The headers of W3C Trace Context.
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACE_STATE: HeaderName = HeaderName::from_static("tracestate");

/// What a front end answers without its router.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manners {
    /// Names the call, and refuses what needs no router to be refused.
    pub(crate) admit: fn(&Request<Body>) -> Option<Response<Body>>,
    /// Tells a client, in its protocol's form, that there is no room for it.
    pub(crate) refuse: fn(Full) -> Response<Body>,
    /// Tells a client that a panic ended its request.
    pub(crate) defect: fn() -> Response<Body>,
}

/// Where the requests of one listener come in.
#[derive(Clone, Debug)]
pub(crate) struct Entrance {
    /// What is spoken there.
    pub(crate) front: Front,
    /// The engine's books.
    pub(crate) calls: Arc<ClientCalls>,
}

impl Entrance {
    /// Has a request answered. What `guard` holds is held until the answer was taken or its client has gone.
    pub(crate) async fn answer<B, F, G>(
        &self,
        client: &Arc<str>,
        request: Request<B>,
        handler: impl FnOnce(Request<Body>) -> F,
        guard: G,
    ) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        F: Future<Output = Response<Body>>,
        G: Send + Unpin + 'static,
    {
        let id = request.headers().get(&HEADER);
        let id = id.and_then(|id| id.to_str().ok());
        let parent = self.calls.spans();
        let parent = parent.and_then(|_recorded| remote_parent(request.headers()));
        let call = self.calls.begin(self.front, client, id, parent);
        let has_body = request.method() != Method::HEAD;
        let received = call.clone();
        let request = request.map(|body| Body::new(Received(body, received)));
        let mut answer = call.clone().scope(handler(request)).await;
        if let Ok(id) = HeaderValue::from_str(call.id()) {
            answer.headers_mut().insert(HEADER, id);
        }
        match self.failure(&answer) {
            Some(class) => call.failed(class),
            None if !has_body || answer.body().is_end_stream() => call.succeeded(),
            None => {}
        }
        answer.map(|body| {
            Body::new(Told {
                body,
                call,
                _guard: guard,
            })
        })
    }

    /// The class of an answer that is a failure, for one that did not say it.
    fn failure(&self, answer: &Response<Body>) -> Option<&'static str> {
        let status = answer.status();
        if status.is_client_error() {
            return Some("invalid");
        }
        if status.is_server_error() {
            return Some("internal");
        }
        match self.front {
            Front::Containerd => class_of(Status::from_header_map(answer.headers())?.code()),
            Front::Rest | Front::Docker | Front::Own => None,
        }
    }
}

/// The client's span that a request belongs to. More than one header that says so says nothing.
fn remote_parent(headers: &HeaderMap) -> Option<RemoteParent> {
    let mut parents = headers.get_all(TRACE_PARENT).iter();
    let (Some(parent), None) = (parents.next(), parents.next()) else {
        return None;
    };
    let state = headers.get_all(TRACE_STATE).iter();
    let state = state.filter_map(|list| list.to_str().ok());
    RemoteParent::parse(parent.to_str().ok()?, state)
}

/// The class of a gRPC status.
fn class_of(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::Ok => return None,
        Code::Cancelled => "cancelled",
        Code::InvalidArgument | Code::OutOfRange => "invalid",
        Code::DeadlineExceeded => "timed-out",
        Code::NotFound => "not-found",
        Code::AlreadyExists => "already-exists",
        Code::PermissionDenied | Code::Unauthenticated => "denied",
        Code::ResourceExhausted => "exhausted",
        Code::FailedPrecondition | Code::Aborted => "precondition",
        Code::Unimplemented => "not-supported",
        Code::Unavailable => "unavailable",
        Code::DataLoss => "damaged",
        Code::Unknown | Code::Internal => "internal",
    })
}

/// The body of a request, whose bytes are counted.
struct Received<B>(B, ClientCall);

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Received<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.0).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.1.moved(frame.data_ref().map_or(0, Bytes::len));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// A reader whose bytes are counted as the client's, for content that comes another way than in the request.
pub(in crate::api) struct Counted<R> {
    reader: R,
    call: Option<ClientCall>,
}

impl<R> Counted<R> {
    /// Counts for the call that is being answered here.
    pub(in crate::api) fn new(reader: R) -> Self {
        let call = ClientCall::current();
        Self { reader, call }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        if let Some(call) = &self.call {
            call.moved(read);
        }
        Ok(read)
    }
}

/// The body of an answer, with which its call ends.
struct Told<G> {
    body: Body,
    call: ClientCall,
    _guard: G,
}

impl<G: Unpin> HttpBody for Told<G> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let (body, call) = (&mut this.body, &this.call);
        let polled = call.within(|| Pin::new(&mut *body).poll_frame(context));
        match &polled {
            Poll::Pending => {}
            Poll::Ready(None) => call.succeeded(),
            Poll::Ready(Some(Err(_))) => call.failed("internal"),
            Poll::Ready(Some(Ok(frame))) => {
                call.moved(frame.data_ref().map_or(0, Bytes::len));
                let status = frame.trailers_ref().and_then(Status::from_header_map);
                match status.and_then(|status| class_of(status.code())) {
                    Some(class) => call.failed(class),
                    // Whoever sends it need not ask whether more comes.
                    None if body.is_end_stream() || frame.is_trailers() => call.succeeded(),
                    None => {}
                }
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
