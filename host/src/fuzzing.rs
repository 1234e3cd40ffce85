//! The three protocols over an engine of their own, and what stands before one of them, for the fuzz targets of `tests/fuzz`.
//!
//! Only a fuzz build has this module (`--cfg fuzzing`). Requests go to the routers as they come from a connection, so
//! everything but the framing of HTTP is under test.

mod wire;

pub use wire::{Passed, pass};

use crate::api::rest::{self, Api};
use crate::api::share::{Client, Shares, Visitor};
use crate::api::{containerd, docker};
use crate::config::{Config, Flags};
use crate::daemon;
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tower::ServiceExt as _;

/// Bytes of an answer that a target looks at.
const ANSWER_BYTES: usize = 1 << 20;

/// Which protocol a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// REST.
    Rest,
    /// Docker's plugin protocol.
    Docker,
    /// containerd's gRPC services.
    Containerd,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body, or what of it arrived before it broke off, up to 1 MiB.
    pub body: Vec<u8>,
}

/// The routers, and the threads that their calls run on.
#[derive(Debug)]
pub struct Interfaces {
    threads: tokio::runtime::Runtime,
    rest: Router,
    docker: Router,
    containerd: Router,
    visitor: Visitor,
    _stop: tokio::sync::watch::Sender<bool>,
}

impl Interfaces {
    /// Opens an engine in an empty directory, with vfs as the driver of all stores.
    ///
    /// # Panics
    /// If it does not open: there is nothing to fuzz then.
    #[must_use]
    #[expect(clippy::unwrap_used, reason = "a fuzz target has no one to tell")]
    pub fn open(directory: &Path) -> Self {
        let flags = Flags {
            root: Some(directory.join("root")),
            run_dir: Some(directory.join("run")),
            driver: Some("vfs".to_owned()),
            docker_socket: Some(directory.join("docker.sock")),
            containerd_socket: Some(directory.join("containerd.sock")),
            ..Flags::default()
        };
        let config = Config::load(flags).unwrap();
        let (engine, sandbox) = daemon::open_in_process(&config).unwrap();
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let limits = config.api.clone();
        let api = Api {
            engine: Arc::clone(&engine),
            runtime: Arc::clone(&sandbox),
            kernel: daemon::kernel(),
            memory: || None,
            confinement: None,
            limits: limits.clone(),
            answers: limits.answers(),
            listeners: Arc::default(),
            started: Instant::now(),
            stop: stopped,
        };
        let docker = docker::Docker {
            engine: Arc::clone(&engine),
            stream_idle: sandbox.limits().stream_idle(),
            limits,
            settings: config.docker.clone().unwrap(),
        };
        Self {
            threads: tokio::runtime::Runtime::new().unwrap(),
            rest: rest::router(Arc::new(api)),
            docker: docker::router(Arc::new(docker)),
            containerd: containerd::router(
                engine,
                config.containerd.as_ref().unwrap(),
                &config.api,
            ),
            visitor: Visitor {
                client: Client::User(0),
                streams: Shares::new("streams", "streams", 8, 8),
                memory: Shares::new("mebibytes", "memory", 8, 8),
            },
            _stop: stop,
        }
    }

    /// Asks, and reads the answer to its end. `None` if the parts make no HTTP request at all.
    #[must_use]
    pub fn ask(
        &self,
        protocol: Protocol,
        method: &[u8],
        target: &[u8],
        headers: &[(&str, &[u8])],
        body: Vec<u8>,
    ) -> Option<Answer> {
        let router = match protocol {
            Protocol::Rest => &self.rest,
            Protocol::Docker => &self.docker,
            Protocol::Containerd => &self.containerd,
        };
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::from(body)).ok()?;
        // As a connection does.
        request.extensions_mut().insert(self.visitor.clone());
        Some(self.threads.block_on(answer(router.clone(), request)))
    }
}

async fn answer(router: Router, request: Request<Body>) -> Answer {
    let response = match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let status = response.status().as_u16();
    let mut incoming = response.into_body();
    let mut body = Vec::new();
    while body.len() < ANSWER_BYTES {
        match incoming.frame().await {
            Some(Ok(frame)) => body.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
            Some(Err(_)) | None => break,
        }
    }
    Answer { status, body }
}
