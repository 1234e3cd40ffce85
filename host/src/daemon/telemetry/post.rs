//! One request to a collector.
//!
//! Invariant: it ends within its time, whatever the collector does, and takes no more of an answer than a bound.

use super::otlp::ExportTraceServiceResponse;
use crate::config::{Endpoint, Place};
use axum::body::Bytes;
use axum::http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use mica_engine::SafeText;
use prost::Message as _;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// How long a collector may take to be connected to and to answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read.
const ANSWER_BYTES: usize = 64 << 10;
/// What the bytes are.
const PROTOBUF: &str = "application/x-protobuf";

/// What came of it.
#[derive(Debug)]
pub(super) enum Told {
    /// The collector took all but so many, for the reason that it told.
    Taken(u64, SafeText),
    /// It will never take them.
    Refused(SafeText),
    /// It may take them later.
    Later(SafeText),
}

/// Sends bytes to a collector.
pub(super) async fn post(endpoint: &Endpoint, bytes: Bytes) -> Told {
    let sent = async {
        match &endpoint.place {
            Place::Tcp(address) => {
                exchange(TcpStream::connect(address).await?, endpoint, bytes).await
            }
            Place::Unix(path) => exchange(UnixStream::connect(path).await?, endpoint, bytes).await,
        }
    };
    match tokio::time::timeout(TIMEOUT, sent).await {
        Ok(Ok(told)) => told,
        Ok(Err(error)) => Told::Later(SafeText::line(&error.to_string())),
        Err(_elapsed) => Told::Later(SafeText::line("it did not answer in time")),
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    endpoint: &Endpoint,
    bytes: Bytes,
) -> Result<Told, Failure> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::post(&endpoint.path)
        .header(header::HOST, &endpoint.host)
        .header(header::CONTENT_TYPE, PROTOBUF)
        .header(header::CONNECTION, "close")
        .body(Full::new(bytes))?;
    let answered = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, ANSWER_BYTES).collect().await;
        // What the collector took it took, whatever else it sends.
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        Ok::<_, Failure>(told(head.status, &body))
    };
    let mut answered = std::pin::pin!(answered);
    tokio::select! {
        answered = &mut answered => answered,
        // The connection may end with the answer, which is read then.
        _ended = connection => answered.await,
    }
}

fn told(status: StatusCode, body: &[u8]) -> Told {
    if status.is_success() {
        let answer = ExportTraceServiceResponse::decode(body).unwrap_or_default();
        let partial = answer.partial_success.unwrap_or_default();
        let rejected = u64::try_from(partial.rejected_spans).unwrap_or_default();
        return Told::Taken(rejected, SafeText::line(&partial.error_message));
    }
    let text = SafeText::line(&format!("it answered {status}"));
    // Those of which the standard says that they pass.
    match status.as_u16() {
        429 | 502 | 503 | 504 => Told::Later(text),
        _ => Told::Refused(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::telemetry::otlp::ExportTracePartialSuccess;

    #[test]
    fn what_a_collector_answers_is_sorted() {
        let answer = ExportTraceServiceResponse {
            partial_success: Some(ExportTracePartialSuccess {
                rejected_spans: 3,
                error_message: "too\nold".to_owned(),
            }),
        };
        let Told::Taken(3, reason) = told(StatusCode::OK, &answer.encode_to_vec()) else {
            panic!("it took some");
        };
        assert!(!reason.contains('\n'), "{reason}");
        assert!(matches!(told(StatusCode::OK, b"\xff"), Told::Taken(0, _)));
        assert!(matches!(told(StatusCode::ACCEPTED, b""), Told::Taken(0, _)));
        for status in [429, 502, 503, 504] {
            let status = StatusCode::from_u16(status).unwrap();
            assert!(matches!(told(status, b""), Told::Later(_)), "{status}");
        }
        for status in [301, 400, 404, 413, 500] {
            let status = StatusCode::from_u16(status).unwrap();
            assert!(matches!(told(status, b""), Told::Refused(_)), "{status}");
        }
    }
}
