//! Why the engine refuses something.
//!
//! Invariant: a variant is a decision that a caller can take; every text names its object and, where there is a
//! way out, `remedy` tells it.

use crate::words::counted;
use std::io;
use std::path::{Path, PathBuf};

/// What the engine's functions return.
pub type Result<T> = std::result::Result<T, Error>;

/// Why the engine refused or could not do something.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A layer id breaks the rules of `wit/types.wit`.
    #[error("layer id `{id}` is not allowed: {reason}")]
    InvalidId {
        /// The id, made printable and cut to 64 characters.
        id: String,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// A store's name breaks the rules.
    #[error("store name `{name}` is not allowed: {reason}")]
    InvalidName {
        /// The name, made printable and cut to 64 characters.
        name: String,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// An option or argument is wrong, in the words of the driver or of the engine.
    #[error("{0}")]
    Invalid(String),
    /// There is no such store.
    #[error("there is no store `{0}`")]
    UnknownStore(String),
    /// There is no such driver.
    #[error("there is no driver `{driver}`")]
    UnknownDriver {
        /// The name that was asked for.
        driver: String,
        /// Those that are there.
        known: Vec<String>,
    },
    /// There is no such layer.
    #[error("there is no layer `{layer}` in store `{store}`")]
    UnknownLayer {
        /// The store.
        store: String,
        /// The id.
        layer: String,
    },
    /// The layer to build on, or to compare with, is not there.
    #[error("there is no parent layer `{parent}` in store `{store}`")]
    UnknownParent {
        /// The store.
        store: String,
        /// The id of the parent.
        parent: String,
    },
    /// A layer of that id is there.
    #[error("layer `{layer}` exists already in store `{store}`")]
    LayerExists {
        /// The store.
        store: String,
        /// The id.
        layer: String,
    },
    /// A store of that name is there.
    #[error("store `{0}` exists already")]
    StoreExists(String),
    /// A driver of that name is there.
    #[error("driver `{0}` is registered already")]
    DriverExists(String),
    /// Other layers are built on it.
    #[error("layer `{layer}` has {}, for instance `{child}`", counted(*children, "child layer"))]
    HasChildren {
        /// The layer.
        layer: String,
        /// One of its children.
        child: String,
        /// How many there are.
        children: u64,
    },
    /// It is mounted, and may not be for this.
    #[error("layer `{layer}` is mounted at `{path}` with {}", counted(*references, "reference"))]
    Mounted {
        /// The layer.
        layer: String,
        /// Where.
        path: PathBuf,
        /// How often.
        references: u64,
    },
    /// It is mounted, but in another way than is asked for now.
    #[error("layer `{layer}` is mounted already with {what}")]
    MountedOtherwise {
        /// The layer.
        layer: String,
        /// What it has, and what was asked for.
        what: String,
    },
    /// It is not mounted.
    #[error("layer `{layer}` of store `{store}` is not mounted")]
    NotMounted {
        /// The store.
        store: String,
        /// The layer.
        layer: String,
    },
    /// Something is in use; the text says what and by what.
    #[error("{0}")]
    Busy(String),
    /// There is no such snapshot.
    #[error("there is no snapshot `{key}` in store `{store}`")]
    UnknownSnapshot {
        /// The store.
        store: String,
        /// The key or name, made printable and cut to 256 characters, as in all errors.
        key: String,
    },
    /// A snapshot of that key or name is there.
    #[error("snapshot `{key}` exists already in store `{store}`")]
    SnapshotExists {
        /// The store.
        store: String,
        /// The key or name.
        key: String,
    },
    /// A snapshot is of another kind than is needed.
    #[error("cannot {doing} snapshot `{key}`: it is {kind}")]
    WrongSnapshotKind {
        /// What was to be done.
        doing: &'static str,
        /// The key or name.
        key: String,
        /// What it is.
        kind: &'static str,
    },
    /// Other snapshots are built on it.
    #[error("cannot remove snapshot `{key}`: {children} are built on it, for instance `{child}`")]
    SnapshotHasChildren {
        /// The name.
        key: String,
        /// One of its children.
        child: String,
        /// How many there are.
        children: u64,
    },
    /// A store has layers, and no snapshots.
    #[error("store `{0}` has no snapshots")]
    NoSnapshots(String),
    /// The layers of a store are changed only as snapshots.
    #[error("the layers of store `{0}` are snapshots of a container runtime")]
    HoldsSnapshots(String),
    /// The chain of parents would be too long.
    #[error("layer `{layer}` would be number {depth} of its chain, {limit} are allowed")]
    TooDeep {
        /// The layer.
        layer: String,
        /// Layers of the chain with it.
        depth: u64,
        /// Layers that are allowed.
        limit: u64,
    },
    /// The driver cannot work on this kernel: the original's ErrNotSupported.
    #[error("driver not supported: {0}")]
    NotSupported(String),
    /// Something the driver needs is missing: the original's ErrPrerequisites.
    #[error("prerequisites for driver not satisfied: {0}")]
    Prerequisites(String),
    /// The driver cannot work on this file system: the original's ErrIncompatibleFS.
    #[error("backing file system is unsupported for this driver: {0}")]
    IncompatibleFs(String),
    /// The archive is damaged or holds what may not be applied.
    #[error("{0}")]
    InvalidArchive(String),
    /// The file system is full or a quota is reached.
    #[error("no space left: {0}")]
    NoSpace(String),
    /// A component cannot be loaded, or not in the place of the running one.
    #[error("driver rejected: {reason}")]
    DriverRejected {
        /// What is wrong with it.
        reason: String,
        /// What would help.
        remedy: String,
    },
    /// The driver broke: a trap, or an answer that makes no sense.
    #[error("driver `{driver}` failed: {reason}")]
    DriverFailed {
        /// The driver.
        driver: String,
        /// How.
        reason: String,
    },
    /// The driver broke so often that it is not called any more: for this layer, for this store, or at all.
    #[error("driver `{driver}` is quarantined{}: {reason}", kept(store.as_deref(), layer.as_deref()))]
    Quarantined {
        /// The driver.
        driver: String,
        /// The store that may not call it; `None` for all.
        store: Option<String>,
        /// The layer that it may not be called for; `None` for all of the store.
        layer: Option<String>,
        /// How often it broke, and its last failure.
        reason: String,
    },
    /// An operation passed its deadline.
    #[error("timed out: {0}")]
    TimedOut(String),
    /// An operation reached a limit of the sandbox.
    #[error("limit reached: {0}")]
    LimitReached(String),
    /// The caller, a swap's deadline or the daemon's end cancelled the operation.
    #[error("the operation was cancelled")]
    Cancelled,
    /// Too many operations run at once.
    #[error("too many operations run at once: {0}")]
    Overloaded(String),
    /// Another daemon uses the directory.
    #[error("`{}` is in use by another mica daemon", path.display())]
    Locked {
        /// The root or run directory.
        path: PathBuf,
    },
    /// The host's own input and output failed.
    #[error("{doing}")]
    Io {
        /// What was being done, and to what.
        doing: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// What lies on disk makes no sense.
    #[error("`{}` is damaged: {reason}", path.display())]
    Corrupt {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The sandbox itself failed.
    #[error("sandbox: {0}")]
    Sandbox(String),
}

impl Error {
    /// A short stable word for programs, in kebab-case:
    ///
    /// `invalid-id`, `invalid-name`, `invalid-option`, `invalid-archive`, `unknown-store`, `unknown-driver`,
    /// `unknown-layer`, `unknown-parent`, `layer-exists`, `store-exists`, `driver-exists`, `has-children`, `mounted`,
    /// `not-mounted`, `busy`, `too-deep`, `not-supported`, `prerequisites`, `incompatible-fs`, `no-space`,
    /// `driver-rejected`, `driver-failed`, `quarantined`, `timed-out`, `limit-reached`, `cancelled`, `overloaded`,
    /// `locked`, `io`, `corrupt`, `unknown-snapshot`, `snapshot-exists`, `wrong-snapshot-kind`,
    /// `snapshot-has-children`, `no-snapshots`, `holds-snapshots`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidId { .. } => "invalid-id",
            Self::InvalidName { .. } => "invalid-name",
            Self::Invalid(_) => "invalid-option",
            Self::UnknownStore(_) => "unknown-store",
            Self::UnknownDriver { .. } => "unknown-driver",
            Self::UnknownLayer { .. } => "unknown-layer",
            Self::UnknownParent { .. } => "unknown-parent",
            Self::LayerExists { .. } => "layer-exists",
            Self::StoreExists(_) => "store-exists",
            Self::DriverExists(_) => "driver-exists",
            Self::HasChildren { .. } => "has-children",
            Self::Mounted { .. } | Self::MountedOtherwise { .. } => "mounted",
            Self::NotMounted { .. } => "not-mounted",
            Self::Busy(_) => "busy",
            Self::UnknownSnapshot { .. } => "unknown-snapshot",
            Self::SnapshotExists { .. } => "snapshot-exists",
            Self::WrongSnapshotKind { .. } => "wrong-snapshot-kind",
            Self::SnapshotHasChildren { .. } => "snapshot-has-children",
            Self::NoSnapshots(_) => "no-snapshots",
            Self::HoldsSnapshots(_) => "holds-snapshots",
            Self::TooDeep { .. } => "too-deep",
            Self::NotSupported(_) => "not-supported",
            Self::Prerequisites(_) => "prerequisites",
            Self::IncompatibleFs(_) => "incompatible-fs",
            Self::InvalidArchive(_) => "invalid-archive",
            Self::NoSpace(_) => "no-space",
            Self::DriverRejected { .. } => "driver-rejected",
            Self::DriverFailed { .. } => "driver-failed",
            Self::Quarantined { .. } => "quarantined",
            Self::TimedOut(_) => "timed-out",
            Self::LimitReached(_) => "limit-reached",
            Self::Cancelled => "cancelled",
            Self::Overloaded(_) => "overloaded",
            Self::Locked { .. } => "locked",
            Self::Io { .. } | Self::Sandbox(_) => "io",
            Self::Corrupt { .. } => "corrupt",
        }
    }

    /// What would help, as a short sentence without a final stop; `None` where nothing is known to.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        let text = match self {
            Self::InvalidId { .. } => {
                "use 1 to 255 bytes without `/`, NUL and control characters, not `.` or `..`"
            }
            Self::InvalidName { .. } => {
                "use 1 to 64 lower-case letters, digits, `-`, `_` and `.`, beginning with a letter or digit"
            }
            Self::UnknownStore(_) => "list the stores, or create it",
            Self::UnknownDriver { known, .. } => return Some(known_drivers(known)),
            Self::UnknownParent { .. } => "create the parent first",
            Self::LayerExists { .. } => "remove the layer, or choose another id",
            Self::StoreExists(_) => "use the store, or choose another name",
            Self::DriverExists(_) => "swap the driver to replace its build",
            Self::HasChildren { .. } => {
                "remove the child layers first; a layer that has some can be mounted read-only"
            }
            Self::Mounted { .. } => "unmount the layer until no reference is left",
            Self::MountedOtherwise { .. } => "ask for the same, or unmount the layer first",
            Self::NotMounted { .. } => "mount the layer first",
            Self::Busy(_) => "end what uses it, and try again",
            Self::SnapshotHasChildren { .. } => "remove the snapshots that are built on it first",
            Self::NoSnapshots(_) => {
                "give a new store's name to `containerd.store`, or look at its layers"
            }
            Self::HoldsSnapshots(_) => {
                "let the container runtime do it; layers can be looked at and mounted read-only"
            }
            Self::TooDeep { .. } => {
                "flatten the chain: write the whole layer as one archive and apply it to a new base layer"
            }
            Self::NoSpace(_) => {
                "free space on the file system of the root directory, for instance by removing layers"
            }
            Self::DriverRejected { remedy, .. } => return Some(remedy.clone()),
            Self::Quarantined { .. } => {
                "swap the driver for a build that works, or let it try again with `mica driver release`"
            }
            Self::Overloaded(_) => "try again when fewer operations run",
            Self::Locked { .. } => {
                "stop the other daemon, or choose another root and run directory"
            }
            Self::Corrupt { .. } => "restore it from a copy, or move it away and start again",
            _ => return None,
        };
        Some(text.to_owned())
    }

    /// An error of the host's own input and output. A full file system is told apart.
    pub(crate) fn io(doing: impl Into<String>, source: io::Error) -> Self {
        let doing = doing.into();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace(doing),
            _ => Self::Io { doing, source },
        }
    }

    /// As [`Error::io`], with the path that the action was about.
    pub(crate) fn path(doing: &str, path: &Path, source: io::Error) -> Self {
        Self::io(format!("{doing} `{}`", path.display()), source)
    }
}

/// An error with its causes, in one line.
pub(crate) fn explained(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// For whom a driver is quarantined, within a sentence.
pub(crate) fn kept(store: Option<&str>, layer: Option<&str>) -> String {
    match (store, layer) {
        (Some(store), Some(layer)) => format!(" for layer `{layer}` of store `{store}`"),
        (Some(store), None) => format!(" for store `{store}`"),
        (None, _) => String::new(),
    }
}

fn known_drivers(known: &[String]) -> String {
    if known.is_empty() {
        return "load a driver first".to_owned();
    }
    format!("choose one of: {}", known.join(", "))
}
