//! Errors on their way out: one table from classes to statuses, RFC 9457 documents.
//!
//! Invariant: the match over the classes of the engine's errors is exhaustive.

use crate::api::refusal::{Refusal, RequestError, told};
use crate::api::types::Problem;
use axum::http::StatusCode as Code;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use mica_engine::{Class, Error, SafeText};

/// The status code of an engine's error.
fn engine_status(error: &Error) -> Code {
    match (error.class(), error) {
        // The original's three refusals are told apart.
        (_, Error::NotSupported(_)) => Code::NOT_IMPLEMENTED,
        (_, Error::NoSpace(_)) => Code::INSUFFICIENT_STORAGE,
        (Class::Invalid, _) => Code::BAD_REQUEST,
        (Class::Unacceptable | Class::Exhausted, _) => Code::UNPROCESSABLE_ENTITY,
        (Class::NotFound, _) => Code::NOT_FOUND,
        (Class::AlreadyExists | Class::Precondition | Class::InUse, _) => Code::CONFLICT,
        (Class::NotSupported, _) => Code::PRECONDITION_FAILED,
        (Class::TimedOut, _) => Code::GATEWAY_TIMEOUT,
        (Class::Cancelled | Class::Unavailable, _) => Code::SERVICE_UNAVAILABLE,
        (Class::Damaged | Class::Internal, _) => Code::INTERNAL_SERVER_ERROR,
    }
}

/// Status code, stable code and title of what is wrong with a request in itself.
fn request_row(error: &RequestError) -> (StatusCode, &'static str, &'static str) {
    match error {
        RequestError::Invalid(_) => (Code::BAD_REQUEST, "invalid-request", "the request is wrong"),
        RequestError::NotUtf8 => (Code::BAD_REQUEST, "invalid-id", "the id is not allowed"),
        RequestError::UnknownPath(_) => (Code::NOT_FOUND, "unknown-path", "no such path"),
        RequestError::UnknownOperation(_) => {
            (Code::NOT_FOUND, "unknown-operation", "no such operation")
        }
        RequestError::Method { .. } => (
            Code::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "the method is not allowed",
        ),
        RequestError::TooLarge { .. } => (
            Code::PAYLOAD_TOO_LARGE,
            "too-large",
            "the body is too large",
        ),
        RequestError::Slow { .. } => (
            Code::REQUEST_TIMEOUT,
            "request-timeout",
            "the client is too slow",
        ),
        RequestError::BrokeOff(_) => (Code::BAD_REQUEST, "body-broke-off", "the body broke off"),
        RequestError::Encoding(_) => (
            Code::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-encoding",
            "the encoding is not known",
        ),
        RequestError::Archive { .. } => (
            Code::UNPROCESSABLE_ENTITY,
            "invalid-archive",
            "the archive cannot be applied",
        ),
        RequestError::Foreign(_) => (
            Code::FORBIDDEN,
            "foreign-host",
            "the request is meant for another host",
        ),
        RequestError::Unauthorized => (Code::UNAUTHORIZED, "unauthorized", "a secret is needed"),
        RequestError::Full(_) => (
            Code::SERVICE_UNAVAILABLE,
            "too-many-requests",
            "there is no room for the client",
        ),
        RequestError::Internal(_) => (Code::INTERNAL_SERVER_ERROR, "internal", "the daemon broke"),
    }
}

/// What kind of refusal it is, in the engine's words and one more.
fn request_class(error: &RequestError) -> &'static str {
    match error {
        RequestError::Invalid(_)
        | RequestError::NotUtf8
        | RequestError::Method { .. }
        | RequestError::TooLarge { .. }
        | RequestError::BrokeOff(_) => Class::Invalid.word(),
        RequestError::Encoding(_) | RequestError::Archive { .. } => Class::Unacceptable.word(),
        RequestError::UnknownPath(_) | RequestError::UnknownOperation(_) => Class::NotFound.word(),
        RequestError::Slow { .. } => Class::TimedOut.word(),
        RequestError::Full(_) => Class::Unavailable.word(),
        RequestError::Foreign(_) | RequestError::Unauthorized => "denied",
        RequestError::Internal(_) => Class::Internal.word(),
    }
}

fn request_remedy(error: &RequestError) -> Option<&'static str> {
    Some(match error {
        RequestError::NotUtf8 => {
            "use 1 to 255 bytes without `/`, NUL and control characters, not `.` or `..`"
        }
        RequestError::UnknownPath(_) => "see `/v1/openapi.json` for what there is",
        RequestError::UnknownOperation(_) => {
            "ask soon after the stream has ended: the last 256 are known, and none of a daemon that has ended"
        }
        RequestError::Encoding(_) => "send the archive as it is, or compressed by gzip or zstd",
        RequestError::Foreign(_) => "use the unix socket, or `localhost` as the host",
        RequestError::Unauthorized => {
            "send `Authorization: Bearer` with the content of the daemon's token file"
        }
        RequestError::Full(_) => {
            "end what is open, or ask again later; the numbers are in the section `api` of the configuration"
        }
        RequestError::Archive { remedy, .. } => return *remedy,
        _ => return None,
    })
}

impl Refusal {
    /// The document.
    pub(crate) fn problem(&self) -> Problem {
        let (status, code, class, title, detail, remedy, object) = match self {
            Self::Engine(error) => (
                engine_status(error),
                error.code(),
                error.class().word(),
                error.title(),
                told(error),
                error.remedy(),
                error.object(),
            ),
            Self::Request(error) => {
                let (status, code, title) = request_row(error);
                (
                    status,
                    code,
                    request_class(error),
                    title,
                    told(error),
                    request_remedy(error).map(str::to_owned),
                    None,
                )
            }
        };
        Problem {
            kind: format!("urn:mica:problem:{code}"),
            title: title.to_owned(),
            status: status.as_u16(),
            code: code.to_owned(),
            class: class.to_owned(),
            detail: SafeText::from(detail).into(),
            remedy: remedy.map(|text| SafeText::from(text).into()),
            object: object.map(|text| SafeText::from(text).into()),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let problem = self.problem();
        // A client that is refused can come again at once, so it does not decide how long the log gets.
        let is_full = matches!(self, Self::Request(RequestError::Full(_)));
        if problem.status >= 500 && !is_full {
            tracing::warn!(
                code = problem.code,
                detail = problem.detail,
                "a request failed"
            );
        } else {
            tracing::debug!(
                code = problem.code,
                detail = problem.detail,
                "a request is refused"
            );
        }
        let status =
            StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let kind = HeaderValue::from_static("application/problem+json");
        let mut answer = (status, [(header::CONTENT_TYPE, kind)], body).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            answer
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, scheme);
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::io;

    type Row = (Error, u16, &'static str);

    fn text() -> String {
        "x".to_owned()
    }

    /// One of every variant, with its status and code.
    fn every_error() -> Vec<Row> {
        [
            about_names(),
            about_layers(),
            about_the_world(),
            about_the_host(),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn about_names() -> Vec<Row> {
        vec![
            (
                Error::InvalidId {
                    id: text(),
                    reason: "r",
                },
                400,
                "invalid-id",
            ),
            (
                Error::InvalidName {
                    name: text(),
                    reason: "r",
                },
                400,
                "invalid-name",
            ),
            (Error::Invalid(text()), 400, "invalid-option"),
            (Error::UnknownStore(text()), 404, "unknown-store"),
            (
                Error::UnknownDriver {
                    driver: text(),
                    known: vec![],
                },
                404,
                "unknown-driver",
            ),
            (
                Error::UnknownLayer {
                    store: text(),
                    layer: text(),
                },
                404,
                "unknown-layer",
            ),
            (
                Error::UnknownParent {
                    store: text(),
                    parent: text(),
                },
                404,
                "unknown-parent",
            ),
        ]
    }

    fn about_layers() -> Vec<Row> {
        vec![
            (
                Error::LayerExists {
                    store: text(),
                    layer: text(),
                },
                409,
                "layer-exists",
            ),
            (Error::StoreExists(text()), 409, "store-exists"),
            (Error::DriverExists(text()), 409, "driver-exists"),
            (
                Error::HasChildren {
                    layer: text(),
                    child: text(),
                    children: 1,
                },
                409,
                "has-children",
            ),
            (
                Error::Mounted {
                    layer: text(),
                    path: "/".into(),
                    references: 1,
                },
                409,
                "mounted",
            ),
            (
                Error::MountedOtherwise {
                    layer: text(),
                    what: text(),
                },
                409,
                "mounted",
            ),
            (
                Error::NotMounted {
                    store: text(),
                    layer: text(),
                },
                409,
                "not-mounted",
            ),
        ]
    }

    fn about_the_world() -> Vec<Row> {
        vec![
            (Error::Busy(text()), 409, "busy"),
            (
                Error::TooDeep {
                    layer: text(),
                    depth: 2,
                    limit: 1,
                },
                422,
                "too-deep",
            ),
            (Error::NotSupported(text()), 501, "not-supported"),
            (Error::Prerequisites(text()), 412, "prerequisites"),
            (Error::IncompatibleFs(text()), 412, "incompatible-fs"),
            (Error::InvalidArchive(text()), 422, "invalid-archive"),
            (Error::NoSpace(text()), 507, "no-space"),
        ]
    }

    fn about_the_host() -> Vec<Row> {
        vec![
            (
                Error::DriverRejected {
                    reason: text(),
                    remedy: text(),
                },
                422,
                "driver-rejected",
            ),
            (
                Error::DriverFailed {
                    driver: text(),
                    reason: text(),
                },
                500,
                "driver-failed",
            ),
            (
                Error::Quarantined {
                    driver: text(),
                    store: Some(text()),
                    layer: None,
                    reason: text(),
                },
                503,
                "quarantined",
            ),
            (Error::TimedOut(text()), 504, "timed-out"),
            (Error::LimitReached(text()), 422, "limit-reached"),
            (Error::Cancelled, 503, "cancelled"),
            (Error::Overloaded(text()), 503, "overloaded"),
            (Error::Locked { path: "/".into() }, 409, "locked"),
            (
                Error::Io {
                    doing: text(),
                    source: io::ErrorKind::BrokenPipe.into(),
                },
                500,
                "io",
            ),
            (
                Error::Corrupt {
                    path: "/".into(),
                    reason: text(),
                },
                500,
                "corrupt",
            ),
            (Error::Sandbox(text()), 500, "io"),
        ]
    }

    #[test]
    fn every_error_of_the_engine_has_its_status_and_code() {
        let mut titles = BTreeMap::new();
        for (error, status, code) in every_error() {
            let problem = Refusal::from(error).problem();
            assert_eq!(
                (problem.status, problem.code.as_str()),
                (status, code),
                "{problem:?}"
            );
            assert_eq!(problem.kind, format!("urn:mica:problem:{code}"));
            assert!(
                !problem.detail.is_empty() && !problem.detail.ends_with('.'),
                "{problem:?}"
            );
            let title = titles.entry(code).or_insert_with(|| problem.title.clone());
            assert_eq!(*title, problem.title, "one title for `{code}`");
        }
        let distinct: std::collections::BTreeSet<_> = titles.values().collect();
        assert_eq!(distinct.len(), titles.len(), "two codes share a title");
    }
}
