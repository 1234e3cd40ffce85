//! Why a registry cannot be used.
//!
//! Invariant: what a registry said is in no text unless it was made safe; each error names what it was about.

use mica_text::SafeText;
use std::io;
use std::path::PathBuf;

/// What kind of failure it is, for whoever decides how to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What was asked for makes no sense.
    Invalid,
    /// It is not there.
    NotFound,
    /// The registry cannot be reached, or breaks off.
    Unreachable,
    /// The registry does not let this client.
    Denied,
    /// What the registry has cannot be taken.
    Unacceptable,
}

/// Why a registry cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The reference makes no sense.
    #[error("`{reference}` is no reference: {reason}")]
    Reference {
        /// What was given.
        reference: SafeText,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody is there, or nobody who can be trusted to be it.
    #[error("connect to the registry `{registry}`")]
    Unreachable {
        /// Its host.
        registry: String,
        /// What connecting said.
        source: io::Error,
    },
    /// The connection broke, or what came over it is no HTTP.
    #[error("{doing}")]
    Broken {
        /// What was being done.
        doing: String,
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It would need a connection that everyone on its way can read and change.
    #[error("`{0}` would have to be asked without encryption, and that was not allowed")]
    Plain(String),
    /// The registry wants to know who asks, or does not like the answer.
    #[error("the registry `{registry}` refuses access to `{repository}`{}", told(*was_given))]
    Denied {
        /// Its host.
        registry: String,
        /// The name there.
        repository: String,
        /// Whether it was shown a name and a password.
        was_given: bool,
        /// A program that has the password, and was not asked.
        helper: Option<SafeText>,
    },
    /// There is no such thing.
    #[error("the registry has no {0}")]
    NotFound(String),
    /// It answered otherwise than the protocol has it.
    #[error("{doing}: the registry answers {status}{}", behind(said))]
    Answer {
        /// What was being done.
        doing: String,
        /// The status.
        status: u16,
        /// What it said.
        said: SafeText,
    },
    /// It sends other bytes than it named.
    #[error("the registry sends another {what} than it should: wanted {wanted}, got {found}")]
    Lies {
        /// What it is.
        what: String,
        /// The digest or size that it must have.
        wanted: String,
        /// The one that it has.
        found: String,
    },
    /// What is there is something else.
    #[error("`{reference}` is no driver: {what}")]
    NoDriver {
        /// Where.
        reference: String,
        /// What it is.
        what: String,
    },
    /// What lies where clients keep the list of a manifest's signatures is no such list, so that none can be added.
    #[error("`{reference}` is no list of signatures: {reason}")]
    NoList {
        /// Where.
        reference: String,
        /// What is wrong with it.
        reason: SafeText,
    },
    /// It is larger than allowed.
    #[error("{what} has {has} bytes; {most} are allowed")]
    TooLarge {
        /// What it is.
        what: String,
        /// Bytes that it has, or says to have.
        has: u64,
        /// Bytes that are allowed.
        most: u64,
    },
    /// The file with passwords cannot be used.
    #[error("read credentials from `{}`: {reason}", path.display())]
    Credentials {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

fn told(was_given: bool) -> &'static str {
    match was_given {
        true => " to the user whose name and password it was shown",
        false => " to a client without name and password",
    }
}

fn behind(said: &SafeText) -> String {
    match said.is_empty() {
        true => String::new(),
        false => format!(": {said}"),
    }
}

impl Error {
    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Reference { .. } | Self::Plain(_) | Self::Credentials { .. } => Kind::Invalid,
            Self::Unreachable { .. } | Self::Broken { .. } => Kind::Unreachable,
            Self::Denied { .. } => Kind::Denied,
            Self::NotFound(_) => Kind::NotFound,
            Self::Answer { .. }
            | Self::Lies { .. }
            | Self::NoDriver { .. }
            | Self::NoList { .. }
            | Self::TooLarge { .. } => Kind::Unacceptable,
        }
    }

    /// A stable word for it.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Reference { .. } => "invalid-reference",
            Self::Plain(_) => "registry-plain",
            Self::Credentials { .. } => "invalid-credentials",
            Self::Unreachable { .. } => "registry-unreachable",
            Self::Broken { .. } => "registry-broken",
            Self::Denied { .. } => "registry-denied",
            Self::NotFound(_) => "unknown-reference",
            Self::Answer { .. } => "registry-answer",
            Self::Lies { .. } => "digest-mismatch",
            Self::NoDriver { .. } => "no-driver",
            Self::NoList { .. } => "no-signature-list",
            Self::TooLarge { .. } => "too-large",
        }
    }

    /// What would help.
    #[must_use]
    pub fn remedy(&self) -> String {
        let text = match self {
            Self::Reference { .. } => {
                "give HOST/NAME:TAG, HOST/NAME@sha256:DIGITS or both, as in oci://registry.example/team/driver:1.0"
            }
            Self::Unreachable { .. } => {
                "see whether the registry runs and its name is right; a registry without TLS needs --plain-http, and the certificate of a private one is found by SSL_CERT_FILE"
            }
            Self::Broken { .. } => "try again; nothing was changed here",
            Self::Plain(_) => {
                "use a registry with TLS, or say --plain-http where the way to it is safe"
            }
            Self::Denied {
                helper: Some(helper),
                ..
            } => {
                return format!(
                    "its password is with the program `docker-credential-{helper}`, which Mica does not start: pass it with --username and --password-stdin"
                );
            }
            Self::Denied { .. } => {
                "pass --username and --password-stdin, or have the registry in ~/.docker/config.json or in the file that REGISTRY_AUTH_FILE names"
            }
            Self::NotFound(_) => {
                "see whether name and tag are right; a pinned digest may have been deleted there"
            }
            Self::Answer { .. } => "see the registry's log",
            Self::Lies { .. } => {
                "do not use it: registry, or someone on the way to it, gives something else for what was asked"
            }
            Self::NoDriver { .. } => {
                "name a driver that `mica driver push`, `wkg oci push` or `oras push` with the layout of wasm components has put there"
            }
            Self::NoList { .. } => {
                "see what it is; if nobody needs it, delete that tag at the registry and push again: the driver's own tag is as it was"
            }
            Self::TooLarge { .. } => {
                "build it smaller, or raise `limits.component_bytes` of the daemon where it is a component"
            }
            Self::Credentials { .. } => {
                "correct the file, name another with REGISTRY_AUTH_FILE, or pass --username and --password-stdin"
            }
        };
        text.to_owned()
    }
}
