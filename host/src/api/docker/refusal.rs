//! Errors in the protocol's form: status 500 and `{"Err": "…"}`, for dockerd shows its user the text and nothing else.
//!
//! Invariant: an error is told in the engine's words, but for the few that moby has words of its own for, or whose remedy a user
//! of Docker cannot follow.

use super::MEDIA_TYPE;
use super::messages::Reply;
use crate::api::refusal::{Refusal, RequestError};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use mica_engine::{Error, SafeText};
use mica_text::with_causes;

/// A refusal that goes to dockerd.
#[derive(Debug)]
pub(super) struct Refused(Refusal);

impl<T: Into<Refusal>> From<T> for Refused {
    fn from(refusal: T) -> Self {
        Self(refusal.into())
    }
}

/// How dockerd is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wording {
    /// By the engine's own text, and what would help.
    Own,
    /// By this text of moby's, which clients look for, before the engine's.
    Mobys(&'static str),
    /// With this remedy, for the engine's speaks of what a user of Docker cannot do.
    Remedy(&'static str),
}

/// How dockerd is told of an engine's error.
fn wording(error: &Error) -> Wording {
    match error {
        Error::NotSupported(_) => Wording::Mobys("driver not supported"),
        Error::Prerequisites(_) => {
            Wording::Mobys("prerequisites for driver not satisfied (wrong filesystem?)")
        }
        Error::IncompatibleFs(_) => {
            Wording::Mobys("backing file system is unsupported for this graph driver")
        }
        Error::UnknownStore(_) => Wording::Remedy(
            "call /GraphDriver.Init first: it makes the store; a store that was removed is made anew by a restart of dockerd",
        ),
        Error::StoreExists(_) => Wording::Remedy("call /GraphDriver.Init again"),
        Error::HoldsSnapshots(_) => {
            Wording::Remedy("name another store with `docker.store` in the configuration of mica")
        }
        _ => Wording::Own,
    }
}

/// The status of a request that is wrong in itself. dockerd takes only 404 apart: a call that is not there.
fn request_status(error: &RequestError) -> StatusCode {
    match error {
        RequestError::UnknownPath(_) => StatusCode::NOT_FOUND,
        RequestError::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
        RequestError::Full(_) | RequestError::NoRoomForKey => StatusCode::SERVICE_UNAVAILABLE,
        RequestError::Invalid(_)
        | RequestError::UnknownOperation(_)
        | RequestError::NotUtf8
        | RequestError::TooLarge { .. }
        | RequestError::Slow { .. }
        | RequestError::BrokeOff(_)
        | RequestError::Encoding(_)
        | RequestError::Archive { .. }
        | RequestError::Foreign(_)
        | RequestError::Unauthorized
        | RequestError::NotReady(_)
        | RequestError::Range(_)
        | RequestError::KeyReused(_)
        | RequestError::KeyRunning(_)
        | RequestError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl Refused {
    fn status(&self) -> StatusCode {
        match &self.0 {
            Refusal::Engine(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Refusal::Request(error) => request_status(error),
        }
    }

    /// What dockerd's user reads, in one line.
    pub(super) fn text(&self) -> String {
        let Refusal::Engine(error) = &self.0 else {
            return self.0.to_string();
        };
        let own = SafeText::from(with_causes(error)).to_string();
        match (wording(error), error.remedy()) {
            (Wording::Mobys(words), _) => match own.split_once(": ") {
                Some((_, reason)) => format!("{words}: {reason}"),
                None => format!("{words}: {own}"),
            },
            (Wording::Remedy(remedy), _) => format!("{own}; {remedy}"),
            (Wording::Own, Some(remedy)) => format!("{own}; {}", SafeText::from(remedy)),
            (Wording::Own, None) => own,
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        self.0.note();
        let text = self.text();
        tracing::debug!(error = text, "a call of Docker's is refused");
        let reply = Reply {
            err: Some(text),
            ..Reply::default()
        };
        let body = serde_json::to_vec(&reply).expect("texts and numbers are JSON");
        (self.status(), [(header::CONTENT_TYPE, MEDIA_TYPE)], body).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_errors_of_the_original_keep_their_texts() {
        for (error, text) in [
            (
                Error::NotSupported("init store `docker`: no overlay".into()),
                "driver not supported: init store `docker`: no overlay",
            ),
            (
                Error::Prerequisites("x".into()),
                "prerequisites for driver not satisfied (wrong filesystem?): x",
            ),
            (
                Error::IncompatibleFs("x".into()),
                "backing file system is unsupported for this graph driver: x",
            ),
        ] {
            assert_eq!(Refused::from(error).text(), text);
        }
    }

    #[test]
    fn a_remedy_is_what_a_user_of_docker_can_do() {
        let text = Refused::from(Error::UnknownStore("docker".into())).text();
        assert!(
            text.contains("`docker`") && text.contains("/GraphDriver.Init"),
            "{text}"
        );
        let text = Refused::from(Error::Busy("layer `a` is in use".into())).text();
        assert_eq!(text, "layer `a` is in use; end what uses it, and try again");
    }

    #[test]
    fn only_a_call_that_is_not_there_is_not_found() {
        let status = |error: RequestError| Refused::from(error).status().as_u16();
        assert_eq!(status(RequestError::UnknownPath("/x".into())), 404);
        assert_eq!(status(RequestError::TooLarge { limit_bytes: 1 }), 500);
        assert_eq!(Refused::from(Error::Cancelled).status().as_u16(), 500);
    }
}
