//! What programs and people are told of an error: one row for each variant.
//!
//! Invariant: the table is exhaustive; a new variant does not compile before it has a row here, and needs none elsewhere.

use super::Error;
use super::Error as E;

/// What kind of refusal or failure it is. Protocols answer by the class, and name the few errors that they tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// What was asked for makes no sense, whatever there is.
    Invalid,
    /// What was handed over can be read, and cannot be taken.
    Unacceptable,
    /// What it is about is not there.
    NotFound,
    /// What was to be made is there.
    AlreadyExists,
    /// It cannot be done as things are; someone has to change them first.
    Precondition,
    /// Somebody uses it; it can be done when they have ended.
    InUse,
    /// The driver, the kernel or the file system cannot do it.
    NotSupported,
    /// Room, or a limit, is used up.
    Exhausted,
    /// It took too long.
    TimedOut,
    /// Somebody ended it.
    Cancelled,
    /// It cannot be done now.
    Unavailable,
    /// What lies on disk makes no sense.
    Damaged,
    /// The host or a driver broke.
    Internal,
}

/// A row of the table.
struct Facts {
    code: &'static str,
    class: Class,
    title: &'static str,
}

macro_rules! table {
    ($($variant:pat => $code:literal, $class:ident, $title:literal;)*) => {
        fn facts(error: &Error) -> Facts {
            let (code, class, title) = match error {
                $($variant => ($code, Class::$class, $title),)*
            };
            Facts { code, class, title }
        }
    };
}

table! {
    E::InvalidId { .. } => "invalid-id", Invalid, "the id is not allowed";
    E::InvalidName { .. } => "invalid-name", Invalid, "the name is not allowed";
    E::Invalid(_) => "invalid-option", Invalid, "an option or argument is wrong";
    E::InvalidArchive(_) => "invalid-archive", Unacceptable, "the archive cannot be applied";
    E::DriverRejected { .. } => "driver-rejected", Unacceptable, "the component cannot be loaded";
    E::DriverUntrusted { .. } => "driver-untrusted", Unacceptable, "nobody who is trusted signed the component";
    E::WrongFile { .. } => "wrong-file", Unacceptable, "the file is of another kind";
    E::TooDeep { .. } => "too-deep", Unacceptable, "the chain is too long";
    E::UnknownStore(_) => "unknown-store", NotFound, "no such store";
    E::UnknownDriver { .. } => "unknown-driver", NotFound, "no such driver";
    E::UnknownLayer { .. } => "unknown-layer", NotFound, "no such layer";
    E::UnknownParent { .. } => "unknown-parent", NotFound, "no such parent";
    E::UnknownFile { .. } => "unknown-file", NotFound, "no such file";
    E::UnknownSnapshot { .. } => "unknown-snapshot", NotFound, "no such snapshot";
    E::UnknownTrace { .. } => "unknown-trace", NotFound, "no such record";
    E::NoSnapshots(_) => "no-snapshots", NotFound, "the store has no snapshots";
    E::LayerExists { .. } => "layer-exists", AlreadyExists, "the layer exists already";
    E::StoreExists(_) => "store-exists", AlreadyExists, "the store exists already";
    E::DriverExists(_) => "driver-exists", AlreadyExists, "the driver exists already";
    E::SnapshotExists { .. } => "snapshot-exists", AlreadyExists, "the snapshot exists already";
    E::DriverShips(_) => "driver-ships", Precondition, "the driver ships with the program";
    E::HasChildren { .. } => "has-children", Precondition, "other layers are built on it";
    E::LayerChanged { .. } => "layer-changed", Precondition, "the layer has changed";
    E::Mounted { .. } | E::MountedOtherwise { .. } => "mounted", Precondition, "the layer is mounted";
    E::NotMounted { .. } => "not-mounted", Precondition, "the layer is not mounted";
    E::HeldByName { .. } => "held-by-name", Precondition, "the references have names";
    E::NotGranted { .. } => "not-granted", Precondition, "the driver lacks a grant";
    E::WrongSnapshotKind { .. } => "wrong-snapshot-kind", Precondition, "the snapshot is of another kind";
    E::SnapshotHasChildren { .. } => "snapshot-has-children", Precondition, "other snapshots are built on it";
    E::HoldsSnapshots(_) => "holds-snapshots", Precondition, "the layers are snapshots";
    E::StoreServed { .. } => "store-served", Precondition, "the store belongs to a client";
    E::Busy(_) => "busy", InUse, "it is in use";
    E::Locked { .. } => "locked", InUse, "another daemon uses the directory";
    E::NotSupported(_) => "not-supported", NotSupported, "driver not supported";
    E::Prerequisites(_) => "prerequisites", NotSupported, "prerequisites for driver not satisfied";
    E::IncompatibleFs(_) => "incompatible-fs", NotSupported, "backing file system is unsupported";
    E::NoSpace(_) => "no-space", Exhausted, "no space left";
    E::LimitReached(_) => "limit-reached", Exhausted, "a limit of the sandbox is reached";
    E::TimedOut(_) => "timed-out", TimedOut, "the operation timed out";
    E::Cancelled => "cancelled", Cancelled, "the operation was cancelled";
    E::Overloaded(_) => "overloaded", Unavailable, "too many operations run at once";
    E::Quarantined { .. } => "quarantined", Unavailable, "the driver is quarantined";
    E::Corrupt { .. } => "corrupt", Damaged, "what lies on disk is damaged";
    E::LayerDamaged { .. } => "layer-damaged", Damaged, "the layer is damaged";
    E::DriverFailed { .. } => "driver-failed", Internal, "the driver failed";
    E::Io { .. } | E::Sandbox(_) => "io", Internal, "the host failed";
}

impl Class {
    /// The word for it, as problem documents have it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Unacceptable => "unacceptable",
            Self::NotFound => "not-found",
            Self::AlreadyExists => "already-exists",
            Self::Precondition => "precondition",
            Self::InUse => "in-use",
            Self::NotSupported => "not-supported",
            Self::Exhausted => "exhausted",
            Self::TimedOut => "timed-out",
            Self::Cancelled => "cancelled",
            Self::Unavailable => "unavailable",
            Self::Damaged => "damaged",
            Self::Internal => "internal",
        }
    }
}

impl Error {
    /// A short stable word for programs, in kebab-case, which never changes its meaning.
    #[must_use]
    pub fn code(&self) -> &'static str {
        facts(self).code
    }

    /// What kind of refusal or failure it is.
    #[must_use]
    pub fn class(&self) -> Class {
        facts(self).class
    }

    /// A few words for people that depend on the code alone.
    #[must_use]
    pub fn title(&self) -> &'static str {
        facts(self).title
    }

    /// What would help, as a short sentence without a final stop; `None` where nothing is known to.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        match self {
            E::UnknownDriver { known, .. } => Some(known_drivers(known)),
            E::DriverRejected { remedy, .. }
            | E::DriverUntrusted { remedy, .. }
            | E::NotGranted { remedy, .. } => Some(remedy.clone()),
            _ => self.usual_remedy().map(str::to_owned),
        }
    }

    /// What helps whatever the object is.
    fn usual_remedy(&self) -> Option<&'static str> {
        Some(match self {
            E::InvalidId { .. } => {
                "use 1 to 255 bytes without `/`, NUL and control characters, not `.` or `..`"
            }
            E::InvalidName { .. } => {
                "use 1 to 64 lower-case letters, digits, `-`, `_` and `.`, beginning with a letter or digit"
            }
            E::UnknownStore(_) => "list the stores, or create it",
            E::UnknownParent { .. } => "create the parent first",
            E::LayerExists { .. } => "remove the layer, or choose another id",
            E::StoreExists(_) => "use the store, or choose another name",
            E::DriverExists(_) => "swap the driver to replace its build",
            E::DriverShips(_) => {
                "go back to the build that ships with `mica driver rollback --shipped`, or take its file out of the drivers directory"
            }
            E::UnknownTrace { .. } => {
                "list what is recorded with `mica driver traces`; the oldest make room for new ones"
            }
            E::HasChildren { .. } => {
                "remove the child layers first; a layer that has some can be mounted read-only"
            }
            E::Mounted { .. } => "unmount the layer until no reference is left",
            E::MountedOtherwise { .. } => "ask for the same, or unmount the layer first",
            E::LayerChanged { .. } => "look at the layer again, and decide anew",
            E::LayerDamaged { .. } => "repair the layer with `mica layer repair`, or remove it",
            E::NotMounted { .. } => "mount the layer first",
            E::HeldByName { .. } => {
                "name the reference that is given back, or give all of them back"
            }
            E::Busy(_) => "end what uses it, and try again",
            E::SnapshotHasChildren { .. } => "remove the snapshots that are built on it first",
            E::NoSnapshots(_) => {
                "give a new store's name to `containerd.store`, or look at its layers"
            }
            E::HoldsSnapshots(_) => {
                "let the container runtime do it; layers can be looked at and mounted read-only"
            }
            E::StoreServed { .. } => {
                "let that client do it, because it alone knows what it needs; of Docker that is `docker system prune`"
            }
            E::TooDeep { .. } => {
                "flatten the chain: write the whole layer as one archive and apply it to a new base layer"
            }
            E::NoSpace(_) => {
                "free space on the file system of the root directory, for instance by removing layers"
            }
            E::Quarantined { .. } => {
                "swap the driver for a build that works, or let it try again with `mica driver release`"
            }
            E::Overloaded(_) => "try again when fewer operations run",
            E::Locked { .. } => "stop the other daemon, or choose another root and run directory",
            E::Corrupt { .. } => "restore it from a copy, or move it away and start again",
            _ => return None,
        })
    }

    /// What it is about: an id, a name or a path.
    #[must_use]
    pub fn object(&self) -> Option<String> {
        match self {
            E::InvalidId { id, .. } => Some(id.clone()),
            E::InvalidName { name, .. }
            | E::UnknownStore(name)
            | E::StoreExists(name)
            | E::DriverExists(name)
            | E::DriverShips(name) => Some(name.clone()),
            E::UnknownDriver { driver, .. }
            | E::UnknownTrace { driver, .. }
            | E::DriverFailed { driver, .. }
            | E::NotGranted { driver, .. }
            | E::Quarantined { driver, .. } => Some(driver.clone()),
            E::StoreServed { store, .. } => Some(store.clone()),
            E::UnknownFile { path, .. } | E::WrongFile { path, .. } => Some(path.clone()),
            E::UnknownParent { parent, .. } => Some(parent.clone()),
            E::UnknownLayer { layer, .. }
            | E::LayerExists { layer, .. }
            | E::HasChildren { layer, .. }
            | E::Mounted { layer, .. }
            | E::MountedOtherwise { layer, .. }
            | E::NotMounted { layer, .. }
            | E::HeldByName { layer, .. }
            | E::LayerChanged { layer }
            | E::LayerDamaged { layer, .. }
            | E::TooDeep { layer, .. } => Some(layer.clone()),
            E::Locked { path } | E::Corrupt { path, .. } => Some(path.display().to_string()),
            _ => None,
        }
    }
}

fn known_drivers(known: &[String]) -> String {
    if known.is_empty() {
        return "load a driver first".to_owned();
    }
    format!("choose one of: {}", known.join(", "))
}
