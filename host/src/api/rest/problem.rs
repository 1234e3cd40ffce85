//! Errors on their way out: one table from classes to statuses, RFC 9457 documents.
//!
//! Invariant: the match over the classes of the engine's errors is exhaustive.

use crate::api::refusal::{Refusal, RequestError};
use crate::api::types::Problem;
use axum::http::StatusCode as Code;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use mica_engine::{Class, ClientCall, Error, SafeText};
use mica_text::with_causes;

/// The status code of an engine's error.
fn engine_status(error: &Error) -> Code {
    match (error.class(), error) {
        // The original's three refusals are told apart.
        (_, Error::NotSupported(_)) => Code::NOT_IMPLEMENTED,
        (_, Error::LayerChanged { .. }) => Code::PRECONDITION_FAILED,
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
        RequestError::Range(_)
        | RequestError::KeyReused(_)
        | RequestError::KeyRunning(_)
        | RequestError::AnswerNotKept { .. }
        | RequestError::StartedAnew => key_row(error),
        RequestError::Full(_) | RequestError::NoRoomForKey => (
            Code::SERVICE_UNAVAILABLE,
            "too-many-requests",
            "there is no room for the client",
        ),
        RequestError::NotReady(_) => (
            Code::SERVICE_UNAVAILABLE,
            "not-ready",
            "the daemon is not ready",
        ),
        RequestError::Internal(_) => (Code::INTERNAL_SERVER_ERROR, "internal", "the daemon broke"),
    }
}

/// The same, of what can be wrong with a request that may have come before, or asks for a part.
fn key_row(error: &RequestError) -> (StatusCode, &'static str, &'static str) {
    match error {
        RequestError::Range(_) => (
            Code::RANGE_NOT_SATISFIABLE,
            "invalid-range",
            "no such range",
        ),
        RequestError::KeyReused(_) => (Code::UNPROCESSABLE_ENTITY, "key-reused", "the key is used"),
        RequestError::KeyRunning(_) => (Code::CONFLICT, "request-running", "the request runs"),
        RequestError::AnswerNotKept { .. } => (
            Code::CONFLICT,
            "answer-not-kept",
            "the request was carried out before",
        ),
        _ => (
            Code::PRECONDITION_FAILED,
            "daemon-started-anew",
            "the daemon was started anew",
        ),
    }
}

fn request_remedy(error: &RequestError) -> Option<&'static str> {
    Some(match error {
        RequestError::NotUtf8 => {
            "use 1 to 255 bytes without `/`, NUL and control characters, not `.` or `..`"
        }
        RequestError::UnknownPath(_) => "see `/v1/openapi.json` for what there is",
        RequestError::UnknownOperation(_) => {
            "ask soon after the operation has ended: the last 1024 are known, and none of a daemon that has ended"
        }
        RequestError::Encoding(_) => "send the archive as it is, or compressed by gzip or zstd",
        RequestError::Foreign(_) => "use the unix socket, or `localhost` as the host",
        RequestError::Unauthorized => {
            "send `Authorization: Bearer` with the content of the daemon's token file"
        }
        RequestError::Full(_) => {
            "end what is open, or ask again later; the numbers are in the section `api` of the configuration"
        }
        RequestError::KeyReused(_) => {
            "send the request that had the key, or take a new key for each request that is not a repetition"
        }
        RequestError::AnswerNotKept { .. } | RequestError::StartedAnew => {
            "look whether it was done before you ask for it with another key"
        }
        RequestError::KeyRunning(_) | RequestError::NoRoomForKey => "ask again in a moment",
        RequestError::NotReady(_) => {
            "`mica status` tells more; `/healthz` tells whether the daemon lives"
        }
        RequestError::Archive { remedy, .. } => return *remedy,
        _ => return None,
    })
}

impl Refusal {
    /// The document.
    pub(crate) fn problem(&self) -> Problem {
        let (status, code, title, detail, remedy, object) = match self {
            Self::Engine(error) => (
                engine_status(error),
                error.code(),
                error.title(),
                with_causes(error),
                error.remedy(),
                error.object(),
            ),
            Self::Request(error) => {
                let (status, code, title) = request_row(error);
                (
                    status,
                    code,
                    title,
                    with_causes(error),
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
            class: self.class().to_owned(),
            detail: SafeText::from(detail).into(),
            remedy: remedy.map(|text| SafeText::from(text).into()),
            object: object.map(|text| SafeText::from(text).into()),
            request_id: ClientCall::current_id().map(|id| id.to_string()),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.note();
        let problem = self.problem();
        // A client that is refused can come again at once, so it does not decide how long the log gets.
        let is_quiet = matches!(
            self,
            Self::Request(RequestError::Full(_) | RequestError::NotReady(_))
        );
        if problem.status >= 500 && !is_quiet {
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
        let body = serde_json::to_vec(&problem).expect("texts and numbers are JSON");
        let kind = HeaderValue::from_static("application/problem+json");
        let mut answer = (status, [(header::CONTENT_TYPE, kind)], body).into_response();
        if matches!(self, Self::Request(RequestError::KeyRunning(_))) {
            let seconds = HeaderValue::from_static("1");
            answer.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
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
mod tests;
