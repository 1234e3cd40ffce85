//! A client of the daemon: HTTP over its unix socket, or over TCP.
//!
//! Invariant: one connection for each call; bodies stream in both directions and are never held whole in memory, but
//! for JSON documents.

mod body;
mod place;

use std::io::{Read, Write};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE};
use hyper::{Method, Request, Response};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use crate::failure::{Failure, Problem};
use body::Body;
pub use place::Place;

/// Bytes of a JSON answer that are read: more than any page of a list, less than memory.
const ANSWER_BYTES: usize = 64 << 20;

/// What an answer's body was.
#[derive(Debug)]
pub struct Received {
    /// Bytes that it had.
    pub count_bytes: u64,
    /// By what the daemon knows the operation that wrote it.
    pub operation: Option<String>,
}

/// A client of one daemon.
#[derive(Debug)]
pub struct Client {
    place: Place,
    runtime: Runtime,
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
        })
    }

    /// Where the daemon is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Another client of the same daemon, for another thread.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn again(&self) -> Result<Self, Failure> {
        Self::new(self.place.clone())
    }

    /// Asks for a document.
    pub fn get(&self, target: &str) -> Result<Value, Failure> {
        self.document(Method::GET, target, Body::empty())
    }

    /// Sends a document, if there is one, and gets one.
    pub fn post(&self, target: &str, document: Option<&Value>) -> Result<Value, Failure> {
        let body = document.map_or_else(Body::empty, Body::json);
        self.document(Method::POST, target, body)
    }

    /// Removes a thing.
    pub fn delete(&self, target: &str) -> Result<(), Failure> {
        self.document(Method::DELETE, target, Body::empty())
            .map(drop)
    }

    /// Sends a component, gets a document.
    pub fn post_bytes(&self, target: &str, bytes: Vec<u8>) -> Result<Value, Failure> {
        self.document(Method::POST, target, Body::bytes(bytes))
    }

    /// Sends what `source` has until its end, gets a document.
    pub fn put_stream(
        &self,
        target: &str,
        source: impl Read + Send + 'static,
    ) -> Result<Value, Failure> {
        let (body, error) = Body::stream(source);
        let answer = self.document(Method::PUT, target, body);
        // The daemon sees only that the body broke off; the reason is known here.
        match error.take() {
            Some(source) if answer.is_err() => Err(Failure::Io {
                doing: "read what is to be sent".to_owned(),
                source,
            }),
            _ => answer,
        }
    }

    /// Writes an answer's body to `sink` as it comes.
    ///
    /// # Errors
    /// When the body breaks off, [`Failure::Problem`] if the daemon still knows why, else [`Failure::Connection`]: what
    /// was written until then is not complete.
    pub fn get_stream(&self, target: &str, sink: &mut dyn Write) -> Result<Received, Failure> {
        self.runtime.block_on(async {
            let response = self.send(Method::GET, target, Body::empty()).await?;
            let operation = operation_of(&response);
            let mut body = response.into_body();
            let mut count_bytes = 0;
            while let Some(frame) = body.frame().await {
                let frame = match frame {
                    Ok(frame) => frame,
                    Err(error) => {
                        let broken = self.broken("read the answer")(error);
                        return Err(self.reason(operation).await.unwrap_or(broken));
                    }
                };
                if let Some(bytes) = frame.data_ref() {
                    let written = sink.write_all(bytes).and_then(|()| sink.flush());
                    written.map_err(Failure::io("write what was received"))?;
                    count_bytes += bytes.len() as u64;
                }
            }
            Ok(Received {
                count_bytes,
                operation,
            })
        })
    }

    /// Hands on every line of an answer that has one document a line.
    ///
    /// # Errors
    /// As [`Client::get_stream`]; the first one of `each`.
    pub fn get_lines(
        &self,
        target: &str,
        each: &mut dyn FnMut(Value) -> Result<(), Failure>,
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

    /// Why a stream broke off, if the daemon knows.
    async fn reason(&self, operation: Option<String>) -> Option<Failure> {
        let target = format!("/v1/operations/{}", segment(&operation?));
        let response = self.send(Method::GET, &target, Body::empty()).await.ok()?;
        let body = http_body_util::Limited::new(response.into_body(), ANSWER_BYTES);
        let bytes = body.collect().await.ok()?.to_bytes();
        let mut document: Value = serde_json::from_slice(&bytes).ok()?;
        let problem = serde_json::from_value(document.get_mut("problem")?.take()).ok()?;
        Some(Failure::Problem(Box::new(problem)))
    }

    fn document(&self, method: Method, target: &str, body: Body) -> Result<Value, Failure> {
        self.runtime.block_on(async {
            let response = self.send(method, target, body).await?;
            let operation = operation_of(&response);
            let bytes = match self.collect(response).await {
                Ok(bytes) => bytes,
                Err(broken) => return Err(self.reason(operation).await.unwrap_or(broken)),
            };
            if bytes.is_empty() {
                return Ok(Value::Null);
            }
            serde_json::from_slice(&bytes).map_err(self.broken_by("understand the answer"))
        })
    }

    /// Sends a request and sorts its answer; an error status is a [`Failure::Problem`].
    async fn send(
        &self,
        method: Method,
        target: &str,
        body: Body,
    ) -> Result<Response<Incoming>, Failure> {
        let mut request = Request::builder().method(method).uri(target);
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

/// Takes a stream apart into its lines.
struct Lines<'a> {
    /// The beginning of a line that is not whole.
    begun: Vec<u8>,
    each: &'a mut dyn FnMut(Value) -> Result<(), Failure>,
    /// Why no further line is wanted.
    failed: Option<Failure>,
}

impl Lines<'_> {
    fn line(&mut self, line: &[u8]) -> Result<(), Failure> {
        let document = serde_json::from_slice(line).map_err(|error| Failure::Connection {
            doing: "understand a line of the answer".to_owned(),
            source: Box::new(error),
        })?;
        (self.each)(document)
    }
}

impl Write for Lines<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, behind) = rest.split_at(end);
            self.begun.extend_from_slice(line);
            let whole = std::mem::take(&mut self.begun);
            if let Err(failure) = self.line(&whole) {
                self.failed = Some(failure);
                return Err(std::io::Error::other("the reader of the lines has failed"));
            }
            rest = behind.get(1..).unwrap_or_default();
        }
        self.begun.extend_from_slice(rest);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A segment of a target: everything but letters, digits and `-_~` is percent-encoded, and so are the names `.` and
/// `..`, which would be resolved on the way.
pub fn segment(text: &str) -> String {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~' | b'.');
    let is_dots = matches!(text, "." | "..");
    let mut encoded = String::new();
    for byte in text.bytes() {
        if plain(byte) && !is_dots {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// The query of those keys that have a value.
pub fn query<const N: usize>(keys: [(&str, Option<String>); N]) -> String {
    let pairs = keys
        .into_iter()
        .filter_map(|(key, value)| Some(format!("{key}={}", segment(&value?))));
    let pairs: Vec<String> = pairs.collect();
    match pairs.is_empty() {
        true => String::new(),
        false => format!("?{}", pairs.join("&")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_stay_one_segment() {
        for (text, encoded) in [
            ("base", "base"),
            ("sha256:ab", "sha256%3Aab"),
            ("a/b?c#d", "a%2Fb%3Fc%23d"),
            ("..", "%2E%2E"),
            ("v1.2", "v1.2"),
            ("é", "%C3%A9"),
        ] {
            assert_eq!(segment(text), encoded);
        }
    }
}
