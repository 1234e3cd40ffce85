//! Errors on their way out: one table to gRPC's codes, as containerd's own snapshotters answer them.
//!
//! Invariant: the match over the engine's errors is exhaustive. NotFound and AlreadyExists are said of snapshots and of
//! nothing else: containerd takes them as facts about its own keys.

use crate::api::refusal::told;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use mica_engine::{Error, SafeText};
use tonic::{Code, Status};

/// The code of an engine's error.
fn code(error: &Error) -> Code {
    match error {
        Error::UnknownSnapshot { .. } => Code::NotFound,
        Error::SnapshotExists { .. } => Code::AlreadyExists,
        Error::Invalid(_)
        | Error::InvalidId { .. }
        | Error::InvalidName { .. }
        | Error::InvalidArchive(_) => Code::InvalidArgument,
        Error::WrongSnapshotKind { .. }
        | Error::SnapshotHasChildren { .. }
        | Error::NoSnapshots(_)
        | Error::HoldsSnapshots(_)
        | Error::TooDeep { .. }
        | Error::UnknownStore(_)
        | Error::UnknownDriver { .. }
        | Error::UnknownParent { .. }
        | Error::LayerExists { .. }
        | Error::StoreExists(_)
        | Error::DriverExists(_)
        | Error::HasChildren { .. }
        | Error::Mounted { .. }
        | Error::MountedOtherwise { .. }
        | Error::NotMounted { .. }
        | Error::NotSupported(_)
        | Error::Prerequisites(_)
        | Error::IncompatibleFs(_)
        | Error::DriverRejected { .. } => Code::FailedPrecondition,
        Error::UnknownLayer { .. } | Error::Corrupt { .. } => Code::DataLoss,
        Error::NoSpace(_) | Error::LimitReached(_) => Code::ResourceExhausted,
        Error::TimedOut(_) => Code::DeadlineExceeded,
        Error::Cancelled => Code::Cancelled,
        Error::Busy(_)
        | Error::Overloaded(_)
        | Error::Locked { .. }
        | Error::Quarantined { .. } => Code::Unavailable,
        Error::DriverFailed { .. } | Error::Io { .. } | Error::Sandbox(_) => Code::Internal,
    }
}

/// An error with its causes, for a client.
pub(super) fn status(error: &Error) -> Status {
    let text = SafeText::from(told(error));
    let code = code(error);
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
