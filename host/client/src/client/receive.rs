//! Answers that are streams.
//!
//! Invariant: what is handed on without an error came to its end, and has the digest that the daemon tells.

use super::body::Body;
use super::hashed::Hashed;
use super::lines::Lines;
use super::marks::Marks;
use super::{Client, operation_of};
use crate::failure::Failure;
use http_body_util::BodyExt as _;
use hyper::{HeaderMap, Method};
use serde::de::DeserializeOwned;
use std::io::Write;

/// What an answer's body was.
#[derive(Debug)]
pub struct Received {
    /// Bytes that it had.
    pub count_bytes: u64,
    /// By what the daemon knows the operation that wrote it.
    pub operation: Option<String>,
    /// The digest of an archive, as the daemon tells it: `sha256:` and hexadecimal digits.
    pub digest: Option<String>,
}

impl Client {
    /// Writes an answer's body to `sink` as it comes.
    ///
    /// # Errors
    /// When the body breaks off, [`Failure::Problem`] if the daemon still knows why, else [`Failure::Connection`]: what
    /// was written until then is not complete.
    pub fn get_stream(&self, target: &str, sink: &mut dyn Write) -> Result<Received, Failure> {
        self.run(self.receive(target, &Marks::default(), sink))
    }

    /// Writes an archive to `sink` as it comes, and compares its digest with the one that the daemon tells.
    ///
    /// # Errors
    /// As [`Client::get_stream`]; [`Failure::Untrue`] when it is another one.
    pub fn get_archive(&self, target: &str, sink: &mut dyn Write) -> Result<Received, Failure> {
        let mut hashed = Hashed::new(sink);
        let received = self.run(self.receive(target, &Marks::of_archive(), &mut hashed))?;
        match (hashed.digest(), &received.digest) {
            (digest, Some(told)) if digest != *told => Err(Failure::Untrue {
                what: format!(
                    "the archive has the digest `{digest}`, and the daemon told of `{told}`"
                ),
                remedy: Some("ask for it again".to_owned()),
            }),
            _ => Ok(received),
        }
    }

    async fn receive(
        &self,
        target: &str,
        marks: &Marks,
        sink: &mut dyn Write,
    ) -> Result<Received, Failure> {
        let response = self
            .send(&Method::GET, target, Body::empty(), marks)
            .await?;
        let mut received = Received {
            count_bytes: 0,
            operation: operation_of(&response),
            digest: digest_of(response.headers()),
        };
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => {
                    let broken = self.broken("read the answer")(error);
                    let reason = self.reason(received.operation).await;
                    return Err(reason.unwrap_or(broken));
                }
            };
            if let Some(bytes) = frame.data_ref() {
                let written = sink.write_all(bytes).and_then(|()| sink.flush());
                written.map_err(Failure::io("write what was received"))?;
                received.count_bytes += bytes.len() as u64;
            }
            if let Some(trailers) = frame.trailers_ref() {
                received.digest = digest_of(trailers);
            }
        }
        Ok(received)
    }

    /// Hands on every line of an answer that has one document a line.
    ///
    /// # Errors
    /// As [`Client::get_stream`]; the first one of `each`.
    pub fn get_lines<T: DeserializeOwned>(
        &self,
        target: &str,
        each: &mut dyn FnMut(T) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut lines = Lines {
            begun: Vec::new(),
            each,
            failed: None,
        };
        let received = self.get_stream(target, &mut lines);
        match lines.failed {
            Some(failure) => Err(failure),
            None => received.map(drop),
        }
    }
}

fn digest_of(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("mica-diff-id")?;
    value.to_str().ok().map(str::to_owned)
}
