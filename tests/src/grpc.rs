//! gRPC over a unix socket.
//!
//! Invariant: knows no service; a connection is made at the first call, and again after it broke.

use std::path::Path;

use hyper_util::rt::TokioIo;
use tokio::runtime::Runtime;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status};

/// What a call came to: the answer, or code and message.
pub type Answer<T> = Result<T, (Code, String)>;

/// A connection, and the thread's runtime that its calls run on.
pub fn connect(socket: &Path) -> (Runtime, Channel) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let socket = socket.to_owned();
    let connect = tower::service_fn(move |_: tonic::codegen::http::Uri| {
        let socket = socket.clone();
        async move {
            Ok::<_, std::io::Error>(TokioIo::new(tokio::net::UnixStream::connect(socket).await?))
        }
    });
    let channel = {
        let _entered = runtime.enter();
        Endpoint::from_static("http://localhost").connect_with_connector_lazy(connect)
    };
    (runtime, channel)
}

/// Sorts an answer.
pub(crate) fn sort<T>(answer: Result<Response<T>, Status>) -> Answer<T> {
    answer
        .map(Response::into_inner)
        .map_err(|status| (status.code(), status.message().to_owned()))
}
