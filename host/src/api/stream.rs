//! Answers that are written while the engine still works on them.
//!
//! Nothing is answered before the first piece or the result is there, so that an error has its status code. After
//! that an error can only break the body off: the connection closes without the last chunk.
//!
//! Invariant: a body ends properly only after the operation has succeeded; a client that goes away cancels it.

use super::dispatch::ended;
use super::refusal::Refusal;
use axum::body::{Body, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};
use mica_engine::{CancelToken, OperationTicket};
use serde::Serialize;
use std::future::Future as _;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinHandle;

/// Cancels an operation when it goes.
#[derive(Debug, Default)]
pub(in crate::api) struct CancelOnDrop(CancelToken);

impl CancelOnDrop {
    /// For an operation that was begun, which others may ask to end too.
    pub(in crate::api) fn of(ticket: &OperationTicket) -> Self {
        Self(ticket.token())
    }

    /// The token for the operation.
    pub(in crate::api) fn token(&self) -> CancelToken {
        self.0.clone()
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// How pieces become bytes.
pub(in crate::api) trait Encoder: Send + Unpin + 'static {
    /// What the engine hands out.
    type Piece: Send;

    /// The bytes of one piece.
    fn encode(&mut self, piece: Self::Piece) -> Bytes;

    /// What comes after the last piece.
    fn finish(&mut self) -> Bytes;
}

/// Pieces as they are.
pub(in crate::api) struct Raw;

impl Encoder for Raw {
    type Piece = Bytes;

    fn encode(&mut self, piece: Bytes) -> Bytes {
        piece
    }

    fn finish(&mut self) -> Bytes {
        Bytes::new()
    }
}

/// Pages of values, one JSON document a line.
pub(in crate::api) struct JsonLines<T>(PhantomData<fn(T)>);

impl<T> JsonLines<T> {
    pub(in crate::api) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T: Serialize + Send + 'static> Encoder for JsonLines<T> {
    type Piece = Vec<T>;

    fn encode(&mut self, page: Vec<T>) -> Bytes {
        let mut text = Vec::with_capacity(page.len() * 128);
        for value in page {
            // Writing strings to memory does not fail; half a line would be seen by who reads it.
            if let Err(error) = serde_json::to_writer(&mut text, &value) {
                tracing::error!(%error, "a line cannot be written");
            }
            text.push(b'\n');
        }
        text.into()
    }

    fn finish(&mut self) -> Bytes {
        Bytes::new()
    }
}

/// Waits for the first piece or the result, and makes the body.
///
/// # Errors
/// Those of the operation, if it ends before the first piece.
pub(in crate::api) async fn body<E: Encoder>(
    mut encoder: E,
    mut pieces: Receiver<E::Piece>,
    result: JoinHandle<Result<(), Refusal>>,
    cancel: CancelOnDrop,
) -> Result<Body, Refusal> {
    let Some(first) = pieces.recv().await else {
        ended(result.await)?;
        return Ok(Body::from(encoder.finish()));
    };
    let first = encoder.encode(first);
    Ok(Body::new(Streamed {
        first: Some(first),
        encoder,
        pieces,
        result: Some(result),
        _cancel: cancel,
    }))
}

struct Streamed<E: Encoder> {
    first: Option<Bytes>,
    encoder: E,
    pieces: Receiver<E::Piece>,
    result: Option<JoinHandle<Result<(), Refusal>>>,
    _cancel: CancelOnDrop,
}

/// Breaks a body off.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Broken(String);

impl<E: Encoder> HttpBody for Streamed<E> {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = &mut *self;
        if let Some(first) = this.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        if let Some(piece) = std::task::ready!(this.pieces.poll_recv(context)) {
            return Poll::Ready(Some(Ok(Frame::data(this.encoder.encode(piece)))));
        }
        let Some(result) = &mut this.result else {
            return Poll::Ready(None);
        };
        let result = std::task::ready!(Pin::new(result).poll(context));
        this.result = None;
        if let Err(refusal) = ended(result) {
            refusal.note();
            let detail = refusal.to_string();
            tracing::warn!(detail, "a stream broke off");
            return Poll::Ready(Some(Err(Broken(detail))));
        }
        let last = this.encoder.finish();
        Poll::Ready((!last.is_empty()).then(|| Ok(Frame::data(last))))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.result.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;
    use mica_engine::Error;
    use tokio::sync::mpsc;

    type Outcome = Result<Vec<u8>, String>;

    /// What a client gets of pieces and a result: the refusal, or the body, or what broke it off.
    fn answer(pieces: &[&'static str], result: Result<(), Error>) -> Result<Outcome, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (sender, receiver) = mpsc::channel(8);
            for piece in pieces {
                sender
                    .try_send(Bytes::from_static(piece.as_bytes()))
                    .unwrap();
            }
            drop(sender);
            let result = tokio::spawn(async { result.map_err(Refusal::Engine) });
            let body = body(Raw, receiver, result, CancelOnDrop::default()).await;
            let body = body.map_err(|refusal| refusal.to_string())?;
            let collected = body.collect().await.map_err(|error| error.to_string());
            Ok(collected.map(|all| all.to_bytes().to_vec()))
        })
    }

    #[test]
    fn a_stream_that_succeeds_is_whole() {
        assert_eq!(answer(&["a", "b"], Ok(())).unwrap().unwrap(), b"ab");
        assert_eq!(answer(&[], Ok(())).unwrap().unwrap(), b"");
    }

    #[test]
    fn an_early_error_is_a_problem_and_a_late_one_breaks_the_body_off() {
        assert_eq!(
            answer(&[], Err(Error::Cancelled)).unwrap_err(),
            "the operation was cancelled"
        );
        assert!(answer(&["a"], Err(Error::Cancelled)).unwrap().is_err());
    }

    #[test]
    fn a_body_that_is_dropped_cancels_the_operation() {
        let cancel = CancelOnDrop::default();
        let token = cancel.token();
        assert!(!token.is_cancelled());
        drop(cancel);
        assert!(token.is_cancelled());
    }

    #[test]
    fn lines_are_documents() {
        let mut lines = JsonLines::new();
        let page = vec![Some("a\nb"), None];
        assert_eq!(lines.encode(page), "\"a\\nb\"\nnull\n");
        assert_eq!(lines.encode(Vec::new()), "");
        assert_eq!(lines.finish(), "");
    }
}
