//! containerd's snapshot service and diff service: `containerd.services.{snapshots,diff}.v1` over gRPC, for proxy plugins.
//!
//! One store belongs to one containerd: its garbage collection removes whatever it does not know. Mounts are told, not
//! made; containerd carries them out.
//!
//! Invariant: parses, calls the engine, prints; a call of the engine that may wait has a deadline, and delays no other.

mod authority;
mod bindings;
mod blobs;
mod compare;
mod differ;
mod filter;
mod kept;
mod message;
mod metered;
mod peer;
mod service;
mod status;

pub(crate) use authority::AnyAuthority;
pub(crate) use kept::kept;

use crate::api::Manners;
use crate::api::dispatch::DEFECT;
use crate::config::{ApiLimits, Containerd};
use axum::Router;
use axum::extract::Request;
use axum::middleware;
use axum::response::Response;
use bindings::containerd::services::diff::v1::diff_server::DiffServer;
use bindings::containerd::services::snapshots::v1::snapshots_server::SnapshotsServer;
use mica_engine::{ClientCall, Engine};
use service::Service;
use std::sync::Arc;
use tonic::Status;

/// Bytes of one message, both ways: what containerd's own client and server take.
const MESSAGE_BYTES: usize = 16 << 20;

/// The methods of both services, by their paths and by the names that the books know.
const METHODS: [(&str, &str); 12] = [
    (
        "/containerd.services.snapshots.v1.Snapshots/Prepare",
        "Snapshots.Prepare",
    ),
    (
        "/containerd.services.snapshots.v1.Snapshots/View",
        "Snapshots.View",
    ),
    (
        "/containerd.services.snapshots.v1.Snapshots/Mounts",
        "Snapshots.Mounts",
    ),
    (
        "/containerd.services.snapshots.v1.Snapshots/Commit",
        "Snapshots.Commit",
    ),
    (
        "/containerd.services.snapshots.v1.Snapshots/Remove",
        "Snapshots.Remove",
    ),
    (
        "/containerd.services.snapshots.v1.Snapshots/Stat",
        "Snapshots.Stat",
    ),
    (
        "/containerd.services.snapshots.v1.Snapshots/Update",
        "Snapshots.Update",
    ),
    (
        "/containerd.services.snapshots.v1.Snapshots/List",
        "Snapshots.List",
    ),
    (
        "/containerd.services.snapshots.v1.Snapshots/Usage",
        "Snapshots.Usage",
    ),
    (
        "/containerd.services.snapshots.v1.Snapshots/Cleanup",
        "Snapshots.Cleanup",
    ),
    ("/containerd.services.diff.v1.Diff/Apply", "Diff.Apply"),
    ("/containerd.services.diff.v1.Diff/Diff", "Diff.Diff"),
];

/// What is answered without the services.
pub(crate) const MANNERS: Manners = Manners {
    admit: name,
    refuse: |full| status::answer(&Status::resource_exhausted(full.to_string())),
    defect: || Status::internal(DEFECT).into_http(),
};

/// Names the client's call.
fn name(request: &Request) -> Option<Response> {
    let path = request.uri().path();
    let known = METHODS.iter().find(|(known, _)| *known == path);
    if let (Some(call), Some((_, name))) = (ClientCall::current(), known) {
        call.name(name);
    }
    None
}

/// The interface, for HTTP/2 connections.
pub(crate) fn router(engine: Arc<Engine>, settings: &Containerd, archive: &ApiLimits) -> Router {
    let service = Service::new(engine, settings, archive);
    let differ = DiffServer::new(service.clone())
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES);
    let server = SnapshotsServer::new(service)
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES);
    Router::new()
        .route_service(
            "/containerd.services.snapshots.v1.Snapshots/{method}",
            server,
        )
        .route_service("/containerd.services.diff.v1.Diff/{method}", differ)
        .route_layer(middleware::from_fn(metered::meter))
        .fallback(status::unknown_method)
}
