//! Digests of archives that are sent: `Repr-Digest` (RFC 9530) and the diff id of OCI, which is the same digest in other letters.
//!
//! Of a layer that is kept as its archive both are known before the first byte, and so are its size and its tag. Of any other they are
//! known after the last one: they are trailers then, for clients that take trailers (`TE: trailers`).
//!
//! Invariant: a digest that is told is that of the whole archive, whatever part of it is sent.

use super::ranges::{Asked, Choice, insert};
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body::Frame;
use mica_engine::Sink;
use mica_text::hex;
use sha2::{Digest as _, Sha256};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

/// `Repr-Digest` of RFC 9530.
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
/// The digest as OCI writes the ids of layers' archives.
const DIFF_ID: HeaderName = HeaderName::from_static("mica-diff-id");

/// What is known of an archive before its first byte.
#[derive(Clone, Debug, Default)]
pub(super) struct Known(Arc<OnceLock<(Choice, [u8; 32])>>);

impl Known {
    /// Has a sink ask what of an archive is sent, if it is one that is kept.
    pub(super) fn watch(&self, sink: Sink, asked: Asked) -> Sink {
        let known = Arc::clone(&self.0);
        sink.asking(move |size, sha256| {
            let choice = asked.choose(size, &tag(&sha256));
            let sent = choice.bytes();
            // A sink asks once.
            let _told = known.set((choice, sha256));
            sent
        })
    }

    /// The answer with a body whose first bytes, if there are any, are there.
    pub(super) fn answer(&self, body: Body, takes_trailers: bool) -> Response {
        let Some((choice, sha256)) = self.0.get() else {
            return match takes_trailers {
                true => digested(body),
                false => body.into_response(),
            };
        };
        if let Some(refused) = choice.refused() {
            return refused;
        }
        let mut answer = body.into_response();
        choice.tell(&mut answer);
        tell(answer.headers_mut(), sha256);
        insert(answer.headers_mut(), header::ETAG, &tag(sha256));
        answer
    }
}

/// The tag of an archive.
fn tag(sha256: &[u8; 32]) -> String {
    format!("\"{}\"", hex(sha256))
}

fn tell(headers: &mut HeaderMap, sha256: &[u8; 32]) {
    let digest = format!("sha-256=:{}:", STANDARD.encode(sha256));
    insert(headers, REPR_DIGEST, &digest);
    insert(headers, DIFF_ID, &format!("sha256:{}", hex(sha256)));
}

/// Whether a client takes trailers.
pub(super) fn takes_trailers(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::TE).iter();
    let mut words = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    words.any(|word| word.trim().eq_ignore_ascii_case("trailers"))
}

/// An answer whose body is followed by its digest.
fn digested(body: Body) -> Response {
    let body = Digested {
        body,
        digest: Some(Sha256::new()),
    };
    let mut answer = Body::new(body).into_response();
    let names = format!("{REPR_DIGEST}, {DIFF_ID}");
    insert(answer.headers_mut(), header::TRAILER, &names);
    answer
}

/// A body, and its digest until that is told.
struct Digested {
    body: Body,
    digest: Option<Sha256>,
}

impl HttpBody for Digested {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(mut digest) = self.digest.take() else {
            return Poll::Ready(None);
        };
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
            self.digest = Some(digest);
            return Poll::Pending;
        };
        match frame {
            None => {
                let mut trailers = HeaderMap::new();
                tell(&mut trailers, &digest.finalize().into());
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
            // A body that breaks off has no digest.
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            Some(Ok(frame)) => {
                if let Some(bytes) = frame.data_ref() {
                    digest.update(bytes);
                }
                self.digest = Some(digest);
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    #[tokio::test]
    async fn a_digest_follows_a_body_that_is_whole() {
        let answer = digested(Body::from("abc"));
        assert_eq!(answer.headers()["trailer"], "repr-digest, mica-diff-id");
        let collected = answer.into_body().collect().await.unwrap();
        let trailers = collected.trailers().unwrap();
        assert_eq!(
            trailers["mica-diff-id"],
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            trailers["repr-digest"],
            "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:"
        );
        assert!(digested(broken()).into_body().collect().await.is_err());
    }

    /// A body that breaks off.
    fn broken() -> Body {
        let pieces = [
            Ok(Bytes::from_static(b"a")),
            Err(std::io::Error::other("it broke")),
        ];
        Body::from_stream(tokio_stream::iter(pieces))
    }

    #[test]
    fn a_client_says_whether_it_takes_trailers() {
        for (te, takes) in [
            ("trailers", true),
            ("gzip, Trailers", true),
            ("gzip", false),
        ] {
            let mut headers = HeaderMap::new();
            insert(&mut headers, header::TE, te);
            assert_eq!(takes_trailers(&headers), takes, "{te}");
        }
    }
}
