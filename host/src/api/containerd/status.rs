//! Errors on their way out: one table from classes to gRPC's codes, as containerd's own snapshotters answer them.
//!
//! Invariant: the match over the classes of the engine's errors is exhaustive. NotFound and AlreadyExists are said of snapshots and of
//! nothing else: containerd takes them as facts about its own keys.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use mica_engine::{Class, ClientCall, Error, SafeText};
use mica_text::with_causes;
use tonic::{Code, Status};

/// The code of an engine's error.
fn code(error: &Error) -> Code {
    match (error.class(), error) {
        (_, Error::UnknownSnapshot { .. }) => Code::NotFound,
        (_, Error::SnapshotExists { .. }) => Code::AlreadyExists,
        // A snapshot without its layer.
        (_, Error::UnknownLayer { .. }) => Code::DataLoss,
        (_, Error::InvalidArchive(_)) => Code::InvalidArgument,
        (Class::Invalid, _) => Code::InvalidArgument,
        (
            Class::NotFound
            | Class::AlreadyExists
            | Class::Precondition
            | Class::NotSupported
            | Class::Unacceptable,
            _,
        ) => Code::FailedPrecondition,
        (Class::Damaged, _) => Code::DataLoss,
        (Class::Exhausted, _) => Code::ResourceExhausted,
        (Class::TimedOut, _) => Code::DeadlineExceeded,
        (Class::Cancelled, _) => Code::Cancelled,
        (Class::InUse | Class::Unavailable, _) => Code::Unavailable,
        (Class::Internal, _) => Code::Internal,
    }
}

/// An error with its causes, for a client.
pub(super) fn status(error: &Error) -> Status {
    let text = SafeText::from(with_causes(error));
    let code = code(error);
    if let Some(call) = ClientCall::current() {
        call.refused(error.class().word());
    }
    if code == Code::Internal || code == Code::DataLoss {
        tracing::warn!(error = &*text, "a call of containerd fails");
    }
    Status::new(code, text)
}

/// What a request says makes no sense.
pub(super) fn invalid(text: String) -> Status {
    Status::invalid_argument(SafeText::from(text))
}

/// The answer to a call of something else.
pub(super) async fn unknown_method() -> Response {
    answer(&Status::unimplemented(
        "only containerd.services.snapshots.v1.Snapshots and containerd.services.diff.v1.Diff are here",
    ))
}

/// A status as an answer of its own, without a message.
pub(super) fn answer(status: &Status) -> Response {
    let mut headers = HeaderMap::new();
    let grpc = HeaderValue::from_static("application/grpc");
    headers.insert(header::CONTENT_TYPE, grpc);
    // What cannot be written into a header is left out, and then the client sees no gRPC status: an error as well.
    let _written = status.add_header(&mut headers);
    (StatusCode::OK, headers).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_cut_at_a_character() {
        let long = status(&Error::Invalid("ü".repeat(5000)));
        assert!(long.message().len() < 4200, "{long}");
        assert!(long.message().contains("… (cut, it has"), "{long}");
        assert_eq!(long.code(), Code::InvalidArgument);
    }

    #[test]
    fn the_refusal_to_remove_says_so() {
        let error = Error::SnapshotHasChildren {
            key: "a".into(),
            child: "b".into(),
            children: 1,
        };
        let refused = status(&error);
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert!(refused.message().contains("remove"));
    }
}
