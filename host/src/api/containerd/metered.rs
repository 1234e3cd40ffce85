//! Request messages as they come in: how much of them one client may have the daemon hold, and how long it may take.
//!
//! A message is held whole before it is understood, and one connection has many at once. Without this a client that begins
//! many large messages and ends none of them takes memory and request slots for good.
//!
//! Invariant: memory is counted before it is used, and given back when the message is understood or its client has gone.

use crate::api::refusal::RequestError;
use crate::api::share::{Share, Visitor};
use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http_body::{Body as HttpBody, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep};
use tonic::Status;

/// How long a client may be silent within a message.
const MESSAGE_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a message that are not counted: ordinary ones have fewer.
const FREE_BYTES: usize = 64 << 10;
/// Bytes that are counted as one.
const PIECE_BYTES: usize = 1 << 20;

/// Bounds the body of a request.
pub(super) async fn meter(
    Extension(visitor): Extension<Visitor>,
    request: Request,
    next: Next,
) -> Response {
    let metered = |body| {
        Body::new(Metered {
            body,
            visitor,
            received: 0,
            shares: Vec::new(),
            silence: Box::pin(sleep(MESSAGE_IDLE_TIMEOUT)),
        })
    };
    next.run(request.map(metered)).await
}

struct Metered {
    body: Body,
    visitor: Visitor,
    received: usize,
    /// One for each piece.
    shares: Vec<Share>,
    silence: Pin<Box<Sleep>>,
}

impl Metered {
    /// Counts what has come.
    fn count(&mut self, bytes: usize) -> Result<(), Status> {
        self.received += bytes;
        let counted = self
            .received
            .saturating_sub(FREE_BYTES)
            .div_ceil(PIECE_BYTES);
        while self.shares.len() < counted {
            let share = self.visitor.memory();
            let share = share.map_err(|full| Status::resource_exhausted(full.to_string()))?;
            self.shares.push(share);
        }
        Ok(())
    }
}

impl HttpBody for Metered {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) else {
            ready!(this.silence.as_mut().poll(context));
            let seconds = MESSAGE_IDLE_TIMEOUT.as_secs();
            let slow = RequestError::Slow { seconds };
            return Poll::Ready(Some(
                Err(Status::deadline_exceeded(slow.to_string()).into()),
            ));
        };
        this.silence
            .as_mut()
            .reset(Instant::now() + MESSAGE_IDLE_TIMEOUT);
        let Some(frame) = frame.transpose()? else {
            return Poll::Ready(None);
        };
        this.count(frame.data_ref().map_or(0, Bytes::len))?;
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::share::{Client, Shares};
    use http_body_util::BodyExt as _;

    fn metered(body: Body, visitor: &Visitor) -> Metered {
        Metered {
            body,
            visitor: visitor.clone(),
            received: 0,
            shares: Vec::new(),
            silence: Box::pin(sleep(MESSAGE_IDLE_TIMEOUT)),
        }
    }

    fn visitor(most: usize) -> Visitor {
        let shares = |what| Shares::new(what, what, most, most);
        Visitor {
            client: Client::User(1),
            streams: shares("streams"),
            memory: shares("memory"),
            request: None,
        }
    }

    fn code(error: &(dyn std::error::Error + Send + Sync + 'static)) -> tonic::Code {
        error.downcast_ref::<Status>().expect("a status").code()
    }

    #[tokio::test]
    async fn what_is_held_is_bounded_for_all_messages_of_a_client() {
        let visitor = visitor(2);
        let large = || Body::from(vec![0; FREE_BYTES + PIECE_BYTES]);
        let mut held = [metered(large(), &visitor), metered(large(), &visitor)];
        for body in &mut held {
            body.frame().await.unwrap().unwrap();
        }
        let refused = metered(large(), &visitor)
            .frame()
            .await
            .unwrap()
            .unwrap_err();
        assert_eq!(code(&*refused), tonic::Code::ResourceExhausted);
        // Ordinary messages always pass, and what has gone makes room.
        let small = metered(Body::from(vec![0; FREE_BYTES]), &visitor);
        assert_eq!(small.collect().await.unwrap().to_bytes().len(), FREE_BYTES);
        drop(held);
        metered(large(), &visitor).frame().await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_message_that_stands_still_ends() {
        struct Silent;
        impl HttpBody for Silent {
            type Data = Bytes;
            type Error = std::convert::Infallible;

            fn poll_frame(
                self: Pin<&mut Self>,
                _context: &mut Context<'_>,
            ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
                Poll::Pending
            }
        }
        let mut body = metered(Body::new(Silent), &visitor(1));
        body.silence = Box::pin(sleep(Duration::from_millis(1)));
        let ended = body.frame().await.unwrap();
        assert_eq!(code(&*ended.unwrap_err()), tonic::Code::DeadlineExceeded);
    }
}
