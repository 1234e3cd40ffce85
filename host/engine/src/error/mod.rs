//! Why the engine refuses something.
//!
//! Invariant: a variant is a decision that a caller can take; every text names its object and, where there is a
//! way out, `remedy` tells it.

mod facts;

pub use facts::Class;

use crate::words::counted;
use mica_runtime::Right;
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
    /// There is no such file in a layer.
    #[error("there is no file `{path}` in layer `{layer}`")]
    UnknownFile {
        /// The layer.
        layer: String,
        /// The path, made printable and cut to 256 bytes.
        path: String,
    },
    /// A file of a layer is of another kind than is needed.
    #[error("`{path}` in layer `{layer}` is {what}")]
    WrongFile {
        /// The layer.
        layer: String,
        /// The path, made printable and cut to 256 bytes.
        path: String,
        /// What it is.
        what: &'static str,
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
    /// Its files are not what they were, and such layers are to be refused.
    #[error("layer `{layer}` is damaged: {what}")]
    LayerDamaged {
        /// The id.
        layer: String,
        /// What is damaged of it.
        what: String,
    },
    /// It is not as the caller expects any more.
    #[error("layer `{layer}` has changed since it was looked at")]
    LayerChanged {
        /// The id.
        layer: String,
    },
    /// A store of that name is there.
    #[error("store `{0}` exists already")]
    StoreExists(String),
    /// A driver of that name is there.
    #[error("driver `{0}` is registered already")]
    DriverExists(String),
    /// It ships with the program or lies in the drivers directory.
    #[error(
        "driver `{0}` ships with this program or lies in the drivers directory, and would be there again at the next start"
    )]
    DriverShips(String),
    /// No operation of that request is recorded.
    #[error("no operation of driver `{driver}` for the request `{request}` is recorded")]
    UnknownTrace {
        /// The driver.
        driver: String,
        /// The id of the request, made printable and cut to 256 bytes.
        request: String,
    },
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
    /// All its references have names, so that it is not clear which one is given back.
    #[error("layer `{layer}` is held by references with names only: {names}")]
    HeldByName {
        /// The layer.
        layer: String,
        /// The first of them.
        names: String,
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
    /// The layers of a store are a client's, which alone decides about them.
    #[error("the layers of store `{store}` belong to {by}")]
    StoreServed {
        /// The store.
        store: String,
        /// The client.
        by: String,
    },
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
    /// The driver did what it was not granted, and the operation failed.
    #[error("driver `{driver}` was not granted `{right}`: {cause}")]
    NotGranted {
        /// The driver.
        driver: String,
        /// What.
        right: Right,
        /// How the operation failed.
        cause: String,
        /// What would grant it.
        remedy: String,
    },
    /// Nobody who is trusted has signed a component.
    #[error("driver not trusted: {reason}")]
    DriverUntrusted {
        /// What is wrong with its signatures, or that there are none.
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
    /// The caller or the daemon's end cancelled the operation.
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

/// For whom a driver is quarantined, within a sentence.
pub(crate) fn kept(store: Option<&str>, layer: Option<&str>) -> String {
    match (store, layer) {
        (Some(store), Some(layer)) => format!(" for layer `{layer}` of store `{store}`"),
        (Some(store), None) => format!(" for store `{store}`"),
        (None, _) => String::new(),
    }
}
