//! Why a command failed, as people and as programs read it.
//!
//! Invariant: nothing but this file writes errors to standard error: `mica: …`, where there is a remedy, a second
//! line `  try: …`, and where the daemon's log tells more, a line that says under which id.

use std::error::Error;
use std::io;

use mica_text::{SafeText, with_causes};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::exit::Exit;
use crate::output::Output;
use crate::output::printable_json;

/// Bytes of a message that are shown; the daemon's own are shorter.
const TEXT_BYTES: usize = 64 << 10;

/// An error as the daemon tells it: RFC 9457. Fields that are not known here are not lost.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Problem {
    /// The stable code.
    pub code: String,
    /// What kind of failure it is.
    #[serde(default)]
    pub class: String,
    /// What failed, and on what.
    pub detail: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// The id of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Everything else.
    #[serde(flatten)]
    rest: serde_json::Map<String, serde_json::Value>,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The daemon said so.
    #[error("{}", .0.detail)]
    Problem(Box<Problem>),
    /// Nobody answers there, or this user may not ask.
    #[error("{}", unreachable(place, source))]
    Unreachable {
        /// Where.
        place: String,
        /// What connecting said.
        source: io::Error,
    },
    /// The connection ended too early, or what came over it makes no sense.
    #[error("{doing}")]
    Connection {
        /// What was being done.
        doing: String,
        /// What went wrong.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A signal ended the command before it was done; after that, what is left.
    #[error("interrupted{0}")]
    Interrupted(String),
    /// The machine said so.
    #[error("{doing}")]
    Io {
        /// What was being done.
        doing: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The command cannot be run like this.
    #[error("{what}")]
    Usage {
        /// What is wrong.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The machine cannot do it.
    #[error("{what}")]
    NotSupported {
        /// What it cannot do.
        what: String,
        /// What to do.
        remedy: String,
    },
    /// A daemon would not load a component.
    #[error("{what}")]
    Rejected {
        /// What it would say.
        what: String,
        /// What to do.
        remedy: String,
    },
    /// An archive is not what it should be.
    #[error("{what}")]
    Archive {
        /// What is wrong with it.
        what: String,
        /// What to do.
        remedy: Option<String>,
    },
    /// Something that had to be so is not.
    #[error("{what}")]
    Untrue {
        /// What is not so.
        what: String,
        /// What to do.
        remedy: Option<String>,
    },
    /// What a daemon would say, or one that could not be started.
    #[error("{what}")]
    Told {
        /// What is not so.
        what: String,
        /// What to do.
        remedy: Option<String>,
        /// How the program ends.
        exit: Exit,
        /// The stable code of the problem, if the daemon's own part knows one.
        code: Option<&'static str>,
    },
}

/// Why nobody answers: there is nobody, or this user may not ask.
fn unreachable(place: &str, source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::NotFound => format!("there is no daemon at `{place}`"),
        io::ErrorKind::ConnectionRefused => {
            format!("no daemon listens at `{place}`, though one may have")
        }
        io::ErrorKind::PermissionDenied => {
            format!("this user may not ask the daemon at `{place}`")
        }
        _ => format!("connect to the daemon at `{place}`"),
    }
}

impl Failure {
    /// The machine's error, and what it met.
    pub fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Problem(problem) => Exit::of_problem(&problem.class, &problem.code),
            Self::Unreachable { .. } => Exit::Unreachable,
            Self::Interrupted(_) => Exit::Overloaded,
            Self::Usage { .. } => Exit::Usage,
            Self::NotSupported { .. } => Exit::NotSupported,
            // As of the problems `driver-rejected` and `invalid-archive`.
            Self::Rejected { .. } | Self::Archive { .. } => Exit::Invalid,
            Self::Told { exit, .. } => *exit,
            Self::Connection { .. } | Self::Io { .. } | Self::Untrue { .. } => Exit::Failed,
        }
    }

    /// A stable word for it, as in problem documents.
    fn code(&self) -> &str {
        match self {
            Self::Problem(problem) => &problem.code,
            Self::Unreachable { .. } => "unreachable",
            Self::Connection { .. } => "connection",
            Self::Interrupted(_) => "cancelled",
            Self::Io { .. } => "io",
            Self::Usage { .. } => "usage",
            Self::NotSupported { .. } => "not-supported",
            Self::Rejected { .. } => "driver-rejected",
            Self::Archive { .. } => "invalid-archive",
            Self::Untrue { .. } => "untrue",
            Self::Told { code, .. } => code.unwrap_or("serve"),
        }
    }

    fn remedy(&self) -> Option<String> {
        match self {
            Self::Problem(problem) => problem.remedy.clone(),
            Self::Unreachable { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => Some(
                "run it as root or as a user whom the mode of the socket and of its directories lets in".to_owned(),
            ),
            Self::Unreachable { .. } => Some(
                "start the daemon with `mica serve --root DIR`, or name its socket with --socket or MICA_SOCKET".to_owned(),
            ),
            Self::Connection { .. } => {
                Some("look at the daemon's log; `mica status` tells whether it still runs".to_owned())
            }
            Self::Usage { remedy, .. } => Some((*remedy).to_owned()),
            Self::NotSupported { remedy, .. } | Self::Rejected { remedy, .. } => {
                Some(remedy.clone())
            }
            Self::Archive { remedy, .. }
            | Self::Untrue { remedy, .. }
            | Self::Told { remedy, .. } => remedy.clone(),
            Self::Io { .. } | Self::Interrupted(_) => None,
        }
    }

    /// The id of a request of which the daemon's log tells more than the message does.
    fn logged_as(&self) -> Option<&str> {
        let Self::Problem(problem) = self else {
            return None;
        };
        let is_of_daemon = matches!(problem.class.as_str(), "internal" | "damaged" | "timed-out");
        problem.request_id.as_deref().filter(|_| is_of_daemon)
    }

    /// The message with its causes.
    #[must_use]
    pub fn text(&self) -> String {
        with_causes(self)
    }

    /// Writes it to standard error.
    #[expect(
        clippy::print_stderr,
        reason = "this is where the command line tells errors"
    )]
    pub fn tell(&self, output: Output) {
        match output {
            Output::Json => {
                eprintln!("{}", printable_json(&format!("{:#}", self.document())));
                return;
            }
            Output::Lines => {
                eprintln!("{}", printable_json(&self.document().to_string()));
                return;
            }
            Output::Table | Output::Template(_) => {}
        }
        eprintln!("mica: {}", SafeText::within(&self.text(), TEXT_BYTES));
        if let Some(remedy) = self.remedy() {
            eprintln!("  try: {}", SafeText::within(&remedy, TEXT_BYTES));
        }
        if let Some(id) = self.logged_as() {
            let id = SafeText::label(id);
            eprintln!("  the daemon's log has more as request={id}");
        }
    }

    fn document(&self) -> serde_json::Value {
        match self {
            Self::Problem(problem) => json!(problem),
            _ => json!({
                "type": format!("urn:mica:problem:{}", self.code()),
                "title": "the command failed",
                "code": self.code(),
                "detail": self.text(),
                "remedy": self.remedy(),
            }),
        }
    }
}
