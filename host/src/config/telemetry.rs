//! What is said of traces, and where they are sent.
//!
//! A collector of this machine is all that can be named: what is sent is not encrypted, and tells what this node does. The collector
//! passes it on, with the encryption and the secrets that its operator wants.
//!
//! Invariant: without an endpoint nothing is recorded.

use super::{Error, full, invalid};
use axum::http::Uri;
use mica_engine::SpanSettings;
use mica_runtime::Number;
use serde::Deserialize;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// The port that collectors listen on for OTLP over HTTP.
const PORT: u16 = 4318;
/// Where they take spans.
const PATH: &str = "/v1/traces";
const ENDPOINT: &str = "telemetry.otlp_endpoint";

/// The section of the file. What each key is for stands in `texts`, and of numbers below.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Section {
    pub(super) otlp_endpoint: Option<String>,
    pub(super) ratio: f64,
    pub(super) queue_spans: usize,
    pub(super) host_calls: usize,
}

impl Default for Section {
    fn default() -> Self {
        Self {
            otlp_endpoint: None,
            ratio: 1.0,
            queue_spans: 8192,
            host_calls: 128,
        }
    }
}

/// Traces that are sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Telemetry {
    /// Where to.
    pub(crate) endpoint: Endpoint,
    /// What is recorded.
    pub(crate) spans: SpanSettings,
}

/// Where a collector takes spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// How it is reached.
    pub(crate) place: Place,
    /// What stands in `Host`.
    pub(crate) host: String,
    /// What is asked for.
    pub(crate) path: String,
}

/// How a collector is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// By an address of this machine.
    Tcp(SocketAddr),
    /// By a unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Tcp(address) => write!(f, "http://{address}{}", self.path),
            Place::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

impl Section {
    /// The numbers of the section.
    pub(super) fn numbers(&self) -> [Number; 2] {
        let usual = Self::default();
        let wide = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let queue = "Spans that wait for the collector, a few hundred bytes each; what has no room is dropped and counted in `/metrics`.";
        let calls = "Host calls of one operation of a driver that get spans of their own, the first of them; 0 gives none to any.";
        [
            Number {
                name: "queue_spans",
                about: queue.to_owned(),
                value: wide(self.queue_spans),
                default: wide(usual.queue_spans),
                least: 512,
                most: 1 << 20,
            },
            Number {
                name: "host_calls",
                about: calls.to_owned(),
                value: wide(self.host_calls),
                default: wide(usual.host_calls),
                least: 0,
                most: 1 << 12,
            },
        ]
    }

    /// Checks the section.
    pub(super) fn check(self) -> Result<Option<Telemetry>, Error> {
        if !(0.0..=1.0).contains(&self.ratio) {
            let reason = format!("{} is not from 0 to 1", self.ratio);
            return Err(invalid("telemetry.ratio", reason));
        }
        // One operation with all its host calls has room.
        if self.host_calls >= self.queue_spans {
            let reason = format!(
                "one operation with its {} host calls has no room in `telemetry.queue_spans` = {}",
                self.host_calls, self.queue_spans
            );
            return Err(invalid("telemetry.host_calls", reason));
        }
        let Some(endpoint) = self.otlp_endpoint else {
            return Ok(None);
        };
        Ok(Some(Telemetry {
            endpoint: parse(&endpoint)?,
            spans: SpanSettings {
                ratio: self.ratio,
                queue: self.queue_spans,
                host_calls: self.host_calls,
            },
        }))
    }
}

/// An endpoint as it is written: `http://127.0.0.1:4318`, perhaps with a path before `/v1/traces`, or `unix:///run/collector.sock`.
fn parse(text: &str) -> Result<Endpoint, Error> {
    let parsed = match text.strip_prefix("unix://") {
        Some(path) if path.starts_with('/') => Ok(Endpoint {
            place: Place::Unix(full(ENDPOINT, Path::new(path))?),
            host: "localhost".to_owned(),
            path: PATH.to_owned(),
        }),
        Some(_) => Err("names no full path"),
        None => parse_address(text),
    };
    parsed.map_err(|reason| {
        let text = format!(
            "`{text}` {reason}; give `http://127.0.0.1:{PORT}` or `unix:///run/collector.sock`"
        );
        invalid(ENDPOINT, text)
    })
}

/// An address of this machine; otherwise what is wrong with it.
fn parse_address(text: &str) -> Result<Endpoint, &'static str> {
    let uri: Uri = text.parse().map_err(|_no_uri| "is no address")?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => {
            return Err(
                "asks for encryption, which the daemon does not do: let a collector of this machine pass spans on",
            );
        }
        _ => return Err("does not begin with `http://` or `unix://`"),
    }
    let authority = uri.authority();
    let authority = authority.filter(|given| !given.as_str().contains('@'));
    let authority = authority.ok_or("names no host, or a user")?;
    let host = authority.host();
    let has_port = authority.as_str().len() > host.len();
    let ip = match host.trim_start_matches('[').trim_end_matches(']') {
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        // A name is not looked up: who answers for it may change.
        host => host.parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
    };
    if !ip.is_loopback() {
        return Err(
            "is not on this machine: what is sent is not encrypted, and tells what this node does",
        );
    }
    if uri.query().is_some() {
        return Err("has a query");
    }
    let port = match (authority.port_u16(), has_port) {
        (Some(0), _) | (None, true) => return Err("has no port that can be connected to"),
        (port, _) => port.unwrap_or(PORT),
    };
    Ok(Endpoint {
        place: Place::Tcp(SocketAddr::new(ip, port)),
        host: authority.as_str().to_owned(),
        path: format!("{}{PATH}", uri.path().trim_end_matches('/')),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_of_this_machine_is_taken() {
        for (text, told) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://localhost", "http://127.0.0.1:4318/v1/traces"),
            ("http://[::1]:1/", "http://[::1]:1/v1/traces"),
            (
                "http://127.0.0.1:9/otlp/",
                "http://127.0.0.1:9/otlp/v1/traces",
            ),
            ("unix:///run/otel.sock", "unix:///run/otel.sock"),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), told, "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_what_to_give() {
        for (text, names) in [
            ("", "no address"),
            ("127.0.0.1:4318", "begin with"),
            ("https://127.0.0.1:4318", "encryption"),
            ("http://10.0.0.1:4318", "this machine"),
            ("http://registry.example", "this machine"),
            ("http://user@127.0.0.1", "a user"),
            ("http://127.0.0.1:0", "port"),
            ("http://127.0.0.1:99999", "port"),
            ("http://127.0.0.1/?x=1", "a query"),
            ("unix://run/x", "full path"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(names) && error.contains(ENDPOINT), "{error}");
        }
    }
}
