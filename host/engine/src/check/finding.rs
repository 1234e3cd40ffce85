//! What can be wrong with what lies on disk: each kind of it once, with what is done about it.
//!
//! A start, `mica check` and `mica repair` find by the same functions. A start does what [`Mend::Start`] says and tells the
//! rest; `repair` does everything but what [`Mend::Person`] says.
//!
//! Invariant: a kind's id is stable, for programs wait for it; nothing is deleted but what [`Mend::Delete`] and
//! [`Mend::Start`] name, and of each of these somebody knows what it was.

use serde::{Serialize, Serializer};
use std::path::PathBuf;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Something was left half done, and nothing is lost: a start would put it right as well.
    Note,
    /// Something is damaged, and what it said is known from elsewhere.
    Damage,
    /// Something is lost, or cannot be served.
    Loss,
}

/// Who does something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mend {
    /// A start does, and so `repair` does what a start does.
    Start,
    /// The node at the path goes to the area of what is set aside.
    Aside,
    /// The node at the path is deleted: it can be made again, or was never whole.
    Delete,
    /// The record of the layer is set aside, if it is there, and written anew.
    Record,
    /// The layer is removed, as was asked for before.
    Remove,
    /// The record of a driver's builds forgets the component at the path.
    Forget,
    /// Only a person can.
    Person,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of thing it is.
    pub kind: FindingKind,
    /// How bad it is.
    pub severity: Severity,
    /// The store; none if it is about drivers or the root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// The layer, by its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
    /// The snapshot, by its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// The file or directory.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "shown")]
    pub path: Option<PathBuf>,
    /// The number of the layer's directory, for whoever finds its path.
    #[serde(skip)]
    pub(crate) number: Option<u64>,
    /// What is wrong, in words.
    pub detail: String,
    /// What `mica repair` does about it.
    pub repair: &'static str,
}

fn shown<S: Serializer>(path: &Option<PathBuf>, to: S) -> Result<S::Ok, S::Error> {
    match path {
        Some(path) => to.collect_str(&path.display()),
        None => to.serialize_none(),
    }
}

impl Finding {
    pub(crate) fn new(kind: FindingKind, detail: impl Into<String>) -> Self {
        let facts = kind.facts();
        Self {
            kind,
            severity: facts.severity,
            store: None,
            layer: None,
            snapshot: None,
            path: None,
            number: None,
            detail: detail.into(),
            repair: facts.repair,
        }
    }

    pub(crate) fn of_store(self, store: &str) -> Self {
        let store = Some(store.to_owned());
        Self { store, ..self }
    }

    pub(crate) fn of_layer(self, layer: &str) -> Self {
        let layer = Some(layer.to_owned());
        Self { layer, ..self }
    }

    pub(crate) fn of_snapshot(self, key: &str) -> Self {
        let snapshot = Some(key.to_owned());
        Self { snapshot, ..self }
    }

    pub(crate) fn at(self, path: impl Into<PathBuf>) -> Self {
        let path = Some(path.into());
        Self { path, ..self }
    }

    pub(crate) fn numbered(self, number: u64) -> Self {
        let number = Some(number);
        Self { number, ..self }
    }

    /// Whether `repair` does something about it.
    #[must_use]
    pub fn is_mendable(&self) -> bool {
        self.kind.facts().mend != Mend::Person
    }

    pub(crate) fn mend(&self) -> Mend {
        self.kind.facts().mend
    }

    /// Whether both are about the same thing.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let key = |finding: &Self| {
            let Self { store, layer, .. } = finding.clone();
            (finding.kind, store, layer)
        };
        key(self) == key(other) && self.snapshot == other.snapshot && self.path == other.path
    }
}

/// What is the same for all findings of a kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) id: &'static str,
    pub(crate) severity: Severity,
    pub(crate) mend: Mend,
    pub(crate) repair: &'static str,
    /// Whether a daemon that works leaves such things for a moment.
    pub(crate) is_passing: bool,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident, $id:literal, $severity:ident, $mend:ident, $passing:literal, $repair:literal;)*) => {
        /// What kind of thing is wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum FindingKind {
            $($(#[$doc])* $kind,)*
        }

        impl FindingKind {
            /// All of them.
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$kind,)*];

            pub(crate) fn facts(self) -> Facts {
                match self {
                    $(Self::$kind => Facts {
                        id: $id,
                        severity: Severity::$severity,
                        mend: Mend::$mend,
                        repair: $repair,
                        is_passing: $passing,
                    },)*
                }
            }
        }
    };
}

// The kind, its id, how bad it is, who mends it, whether a daemon that works leaves such things, what `repair` does.
kinds! {
    /// A store has no description that can be read.
    StoreUnreadable, "store-unreadable", Loss, Person, false,
        "nothing, because nobody else knows the driver's options: restore `store.json`, or move the store's directory away";
    /// One of the two files that describe a store cannot be read.
    DescriptionDamaged, "description-damaged", Damage, Start, false, "writes it anew from its copy";
    /// One of them that a start could not read and kept.
    DescriptionKept, "description-kept", Note, Aside, false, "moves it to what is set aside";
    /// A directory of a home is missing.
    AreaMissing, "area-missing", Damage, Start, false, "makes the directory, and looks again";
    /// The directory of all layers is missing.
    LayersMissing, "layers-missing", Loss, Person, false,
        "nothing: bring the directory back, because a start makes an empty one and forgets the layers";
    /// Something lies where nothing of Mica's has its name.
    Stray, "stray", Damage, Aside, false, "sets it aside";
    /// A file that was being written when the daemon was killed.
    DraftLeft, "draft-left", Note, Delete, true, "deletes it: it was never whole, and nobody was told of it";
    /// A directory beside the stores in which something was tried.
    ScratchLeft, "scratch-left", Note, Delete, true, "deletes it: nobody was told of it";
    /// A layer that was being made.
    StagedLeft, "staged-left", Note, Start, true, "deletes it: nobody was told of it";
    /// A layer that was being deleted.
    TrashLeft, "trash-left", Note, Start, true, "deletes it: its removal was asked for";
    /// The file of rows is damaged.
    RowsDamaged, "rows-damaged", Damage, Start, false,
        "sets it aside, and makes it anew of what can be read and of the layers' records";
    /// The file of rows is lost.
    RowsLost, "rows-lost", Damage, Start, false, "makes it anew of the layers' records";
    /// The file of rows is older than what was committed.
    RowsBehind, "rows-behind", Damage, Start, false, "takes what newer records of layers say";
    /// The file of rows cannot be used as it is.
    RowsUnreadable, "rows-unreadable", Loss, Person, false, "nothing: start the program that wrote it, or restore it";
    /// A row makes no sense.
    RowDamaged, "row-damaged", Damage, Start, false, "takes what the record of its layer says";
    /// The number of the last transaction cannot be read.
    MarkDamaged, "mark-damaged", Damage, Start, false, "writes it anew";
    /// Damaged files of rows that a start set aside.
    RowsKept, "rows-kept", Note, Aside, false, "moves it to what is set aside";
    /// The file of numbers cannot be read.
    NumbersDamaged, "numbers-damaged", Damage, Start, false, "writes it anew, above all numbers in use";
    /// The record of a layer is damaged, and its row is not.
    RecordDamaged, "record-damaged", Damage, Record, false, "sets the file aside, and writes it anew from the layer's row";
    /// A layer that nobody can say anything of.
    LayerUnknown, "layer-unknown", Loss, Aside, false, "sets the layer aside";
    /// An older revision of a layer.
    LayerSuperseded, "layer-superseded", Note, Start, true, "deletes it: a newer revision has its id";
    /// A layer is built on one that is lost.
    ParentLost, "parent-lost", Loss, Person, false,
        "nothing: bring its parent back, for instance from what was set aside, or remove the layer";
    /// A subvolume of a layer is lost.
    SubvolumesLost, "subvolumes-lost", Loss, Person, false, "nothing: bring the subvolume back, or remove the layer";
    /// A layer whose removal was asked for.
    RemovalPending, "removal-pending", Note, Remove, true, "removes the layer";
    /// A layer of a store of snapshots that no snapshot claims.
    LayerUnclaimed, "layer-unclaimed", Loss, Aside, false, "sets the layer aside";
    /// A layer that no snapshot claims, and on which others are built.
    ParentUnclaimed, "parent-unclaimed", Loss, Person, false, "nothing: remove the layers that are built on it first";
    /// A snapshot whose layer is lost.
    SnapshotLost, "snapshot-lost", Loss, Start, false, "drops the snapshot: nothing is built on it";
    /// A snapshot whose layer is lost, and on which others are built.
    SnapshotBroken, "snapshot-broken", Loss, Person, false,
        "nothing: bring its layer back, or remove the snapshots that are built on it";
    /// A snapshot that only the record of its layer knows.
    SnapshotUnlisted, "snapshot-unlisted", Damage, Start, true, "writes its row anew from the record of its layer";
    /// A short name that leads elsewhere.
    LinkWrong, "link-wrong", Note, Delete, true, "removes it: it is made again when it is needed";
    /// Something is mounted that no state knows.
    MountUnknown, "mount-unknown", Damage, Start, true, "unmounts it";
    /// A state of a mount that is not there.
    MountGone, "mount-gone", Note, Start, true, "forgets it";
    /// A reference to a mount is bound to a process that has ended.
    HolderEnded, "holder-ended", Note, Start, true, "gives it back";
    /// A state of a mount that cannot be read.
    StateUnreadable, "state-unreadable", Damage, Start, false, "forgets it, and unmounts what it was about";
    /// Something cannot be unmounted.
    MountStuck, "mount-stuck", Loss, Person, false, "nothing: end the processes that use it";
    /// The index of a sealed layer is damaged.
    IndexDamaged, "index-damaged", Loss, Person, false,
        "nothing: remove the layer and apply its archive again, or restore the file";
    /// The archive of a sealed layer is damaged.
    ArchiveDamaged, "archive-damaged", Loss, Person, false,
        "nothing: remove the layer and apply its archive again, or restore the file";
    /// What is known of the verification of a store's layers.
    ScrubDamaged, "scrub-damaged", Note, Delete, false, "deletes it: what layers are damaged is found again";
    /// The digests of a layer's files.
    DigestsDamaged, "digests-damaged", Damage, Delete, false, "deletes it: digests are taken of the files as they are now";
    /// Files of a layer.
    ContentDamaged, "content-damaged", Loss, Person, false,
        "nothing: repair the layer with `mica layer repair` while a daemon runs, or remove it and make it again";
    /// The record of a driver's builds is damaged.
    HistoryDamaged, "history-damaged", Damage, Aside, false,
        "sets it aside with the components beside it: the build that ships is taken";
    /// The component of a build is not what it was.
    BuildDamaged, "build-damaged", Damage, Aside, false,
        "sets the component aside: no rollback can take it any more, and for the active build what ships is taken";
    /// The component of the active build is missing.
    BuildMissing, "build-missing", Damage, Person, false,
        "nothing: what ships is taken until a component is loaded again";
    /// The component of a build is missing that a rollback might have taken.
    BuildLost, "build-lost", Note, Forget, false, "notes that no rollback can take it any more";
    /// A component that no record names.
    BuildUnnamed, "build-unnamed", Note, Delete, true, "deletes it: its build was given up, or never became active";
    /// Compiled code that is not what it was.
    CodeDamaged, "code-damaged", Damage, Delete, true, "deletes it: the driver is compiled anew";
    /// Something could not be looked at.
    Unseen, "unseen", Loss, Person, false, "nothing: see why it cannot be read";
}

impl FindingKind {
    /// The stable word for it.
    #[must_use]
    pub fn id(self) -> &'static str {
        self.facts().id
    }

    pub(crate) fn is_passing(self) -> bool {
        self.facts().is_passing
    }
}

impl Serialize for FindingKind {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_kind_has_an_id_of_its_own_and_tells_what_is_done() {
        let ids: BTreeSet<_> = FindingKind::ALL.iter().map(|kind| kind.id()).collect();
        assert_eq!(ids.len(), FindingKind::ALL.len());
        for kind in FindingKind::ALL {
            let facts = kind.facts();
            let is_left = facts.repair.starts_with("nothing");
            assert_eq!(is_left, facts.mend == Mend::Person, "{}", facts.id);
            assert!(facts.severity != Severity::Note || !is_left, "{}", facts.id);
        }
    }
}
