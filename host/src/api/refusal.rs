//! Why a request is refused, before any protocol puts it into its own form.
//!
//! Invariant: whatever a driver or a client put into a text, it harms neither a terminal nor a log.

use super::share::Full;
use mica_engine::{Class, ClientCall, Error, SafeText};
use mica_text::with_causes;

/// Why a request is refused.
#[derive(Debug)]
pub(in crate::api) enum Refusal {
    /// The engine refused it.
    Engine(Error),
    /// It is wrong in itself.
    Request(RequestError),
}

/// What can be wrong with a request in itself.
#[derive(Debug, thiserror::Error)]
pub(in crate::api) enum RequestError {
    /// Body, query or path cannot be read.
    #[error("{0}")]
    Invalid(String),
    /// An id in the path is no UTF-8.
    #[error("a layer id in the path is no UTF-8")]
    NotUtf8,
    /// There is nothing at this path.
    #[error("there is nothing at `{0}`")]
    UnknownPath(String),
    /// There is no such operation, or it is not known any more.
    #[error("there is no operation `{0}`")]
    UnknownOperation(String),
    /// The path does not take this method.
    #[error("`{path}` does not take {method}")]
    Method {
        /// The path.
        path: String,
        /// The method.
        method: String,
    },
    /// The body is too large.
    #[error("the body is larger than {limit_bytes} bytes")]
    TooLarge {
        /// Bytes that are allowed.
        limit_bytes: usize,
    },
    /// The client takes too long.
    #[error("nothing of the body came for {seconds} s")]
    Slow {
        /// How long it was waited for.
        seconds: u64,
    },
    /// The body ended before its end.
    #[error("the body broke off: {0}")]
    BrokeOff(String),
    /// A body is encoded in a way that is not known.
    #[error("content encoding `{0}` is not known")]
    Encoding(String),
    /// The archive cannot be decompressed, or expands too much.
    #[error("{doing}: {reason}")]
    Archive {
        /// What was being done, and to what.
        doing: String,
        /// What is wrong.
        reason: String,
        /// What would help.
        remedy: Option<&'static str>,
    },
    /// The request is meant for another host, or comes from a page of one.
    #[error("{0}")]
    Foreign(String),
    /// The client shows no secret, or a wrong one.
    #[error("the request shows no valid secret")]
    Unauthorized,
    /// The range lies behind the end.
    #[error("the range lies behind the end: there are {0} bytes")]
    Range(u64),
    /// The key came with another request before.
    #[error("the key `{0}` of `Idempotency-Key` belongs to another request")]
    KeyReused(String),
    /// The request of this key is being carried out.
    #[error("the request with the key `{0}` is being carried out")]
    KeyRunning(String),
    /// Too many requests with keys are carried out.
    #[error("as many requests with an `Idempotency-Key` run as may (`api.idempotency_keys`)")]
    NoRoomForKey,
    /// There is no room for the client's connection, request or stream.
    #[error(transparent)]
    Full(#[from] Full),
    /// The daemon runs and cannot serve all that it should.
    #[error("{0}")]
    NotReady(String),
    /// The daemon itself broke.
    #[error("the daemon broke: {0}")]
    Internal(String),
}

impl RequestError {
    /// What kind of refusal it is, in the engine's words and one more.
    fn class(&self) -> &'static str {
        match self {
            Self::Invalid(_)
            | Self::NotUtf8
            | Self::Method { .. }
            | Self::TooLarge { .. }
            | Self::Range(_)
            | Self::BrokeOff(_) => Class::Invalid.word(),
            Self::Encoding(_) | Self::Archive { .. } | Self::KeyReused(_) => {
                Class::Unacceptable.word()
            }
            Self::KeyRunning(_) => Class::InUse.word(),
            Self::UnknownPath(_) | Self::UnknownOperation(_) => Class::NotFound.word(),
            Self::Slow { .. } => Class::TimedOut.word(),
            Self::Full(_) | Self::NotReady(_) | Self::NoRoomForKey => Class::Unavailable.word(),
            Self::Foreign(_) | Self::Unauthorized => "denied",
            Self::Internal(_) => Class::Internal.word(),
        }
    }
}

impl Refusal {
    /// What kind of refusal or failure it is.
    pub(in crate::api) fn class(&self) -> &'static str {
        match self {
            Self::Engine(error) => error.class().word(),
            Self::Request(error) => error.class(),
        }
    }

    /// Tells the books how the client's call ends.
    pub(in crate::api) fn note(&self) {
        if let Some(call) = ClientCall::current() {
            call.refused(self.class());
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}

impl From<Full> for Refusal {
    fn from(full: Full) -> Self {
        Self::Request(full.into())
    }
}

impl From<RequestError> for Refusal {
    fn from(error: RequestError) -> Self {
        Self::Request(error)
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&match self {
            Self::Engine(error) => SafeText::from(with_causes(error)),
            Self::Request(error) => SafeText::from(with_causes(error)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn a_cause_is_told_and_control_characters_are_written_out() {
        let error = Error::Io {
            doing: "read `\u{1b}[31m`".into(),
            source: io::Error::other("no\nluck"),
        };
        assert_eq!(
            Refusal::from(error).to_string(),
            r"read `\u{1b}[31m`: no\nluck"
        );
        let long = Refusal::from(Error::Busy("é".repeat(100_000))).to_string();
        assert!(long.len() < 4200 && long.contains("… (cut"), "{long}");
    }
}
