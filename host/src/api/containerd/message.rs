//! Messages to the engine's words and back.
//!
//! Invariant: an empty text is absence, as proto3 has no other; times that a client sends are never read.

use super::bindings::containerd::services::snapshots::v1 as wire;
use super::bindings::containerd::types::Mount;
use super::status::invalid;
use mica_engine::{
    Error, IdMapping, LabelChange, Moment, SafeText, Snapshot, SnapshotKind, SnapshotMount,
    SnapshotRequest,
};
use prost_types::{FieldMask, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use tonic::Status;

/// Snapshots of one message of a list: as containerd's own service has.
const PAGE_SNAPSHOTS: usize = 100;
/// Bytes of keys and labels of one message of a list; a client takes 4 MiB at least.
const PAGE_BYTES: usize = 1 << 20;

/// Names the content that is to be unpacked, by its chain of digests.
pub(super) const REFERENCE: &str = "containerd.io/snapshot.ref";
/// Names the parent of content that is unpacked apart from it; with a parent it only repeats what is said.
const CHAIN: &str = "containerd.io/snapshot/parent-chain-id";
/// Ask for other owners than the files have: users and groups.
const MAPPINGS: [&str; 2] = [
    "containerd.io/snapshot/uidmapping",
    "containerd.io/snapshot/gidmapping",
];

/// What is asked of a new snapshot.
///
/// # Errors
/// `InvalidArgument` for a mapping of owners that makes no sense.
pub(super) fn asked(
    key: String,
    parent: String,
    labels: BTreeMap<String, String>,
) -> Result<SnapshotRequest, Status> {
    let value = |label: &str| labels.get(label).filter(|value| !value.is_empty());
    let mapping = mapping(MAPPINGS.map(value)).map_err(|error| {
        let key = SafeText::label(&key);
        invalid(format!("snapshot `{key}`: {error}"))
    })?;
    Ok(SnapshotRequest {
        late_parent: parent.is_empty() && value(CHAIN).is_some(),
        replaceable: is_for_content(&key, &labels),
        mapping,
        key,
        parent: some(parent),
        labels,
        unless_held: None,
    })
}

/// Whether a snapshot is prepared for content. Clients that give it no label have a key of this form:
/// `<namespace>/<number>/extract-<unique> <digest>`; names of containers have no spaces.
pub(super) fn is_for_content(key: &str, labels: &BTreeMap<String, String>) -> bool {
    let name = key.splitn(3, '/').nth(2);
    let is_named = |name: &str| name.starts_with("extract-") && name.contains(' ');
    labels.contains_key(REFERENCE) || name.is_some_and(is_named)
}

fn mapping([users, groups]: [Option<&String>; 2]) -> Result<Option<IdMapping>, Error> {
    match (users, groups) {
        (None, None) => Ok(None),
        (Some(users), Some(groups)) => IdMapping::parse(users, groups).map(Some),
        _ => Err(Error::Invalid(format!(
            "labels `{}` and `{}` belong together",
            MAPPINGS[0], MAPPINGS[1]
        ))),
    }
}

/// A text that may be absent.
pub(super) fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

pub(super) fn mounts(mounts: &[SnapshotMount]) -> Vec<Mount> {
    let mount = |mount: &SnapshotMount| Mount {
        r#type: mount.kind.to_owned(),
        source: mount.source.clone(),
        target: String::new(),
        options: mount.options.clone(),
    };
    mounts.iter().map(mount).collect()
}

fn timestamp(moment: Moment) -> Timestamp {
    Timestamp {
        seconds: moment.seconds.try_into().unwrap_or(i64::MAX),
        nanos: moment.nanoseconds.try_into().unwrap_or_default(),
    }
}

fn kind(kind: SnapshotKind) -> wire::Kind {
    match kind {
        SnapshotKind::View => wire::Kind::View,
        SnapshotKind::Active => wire::Kind::Active,
        SnapshotKind::Committed => wire::Kind::Committed,
    }
}

pub(super) fn info(snapshot: &Snapshot) -> wire::Info {
    wire::Info {
        name: snapshot.key.clone(),
        parent: snapshot.parent.clone().unwrap_or_default(),
        kind: kind(snapshot.kind).into(),
        created_at: Some(timestamp(snapshot.created)),
        updated_at: Some(timestamp(snapshot.updated)),
        labels: snapshot.labels.clone(),
    }
}

/// What an update changes: `labels`, `labels.KEY`, or without a mask all labels.
pub(super) fn change(
    name: &str,
    mut labels: BTreeMap<String, String>,
    mask: Option<FieldMask>,
) -> Result<LabelChange, Status> {
    let paths = mask.map(|mask| mask.paths).unwrap_or_default();
    let mut some = BTreeMap::new();
    for path in &paths {
        match path.strip_prefix("labels.") {
            Some(label) => {
                let value = labels.get(label).cloned();
                some.insert(label.to_owned(), value);
            }
            None if path == "labels" => {}
            None => {
                let (name, path) = (SafeText::label(name), SafeText::label(path));
                let text = format!(
                    "cannot update field `{path}` of snapshot `{name}`: only `labels` can change"
                );
                return Err(invalid(text));
            }
        }
    }
    if paths.is_empty() || paths.iter().any(|path| path == "labels") {
        labels.retain(|_, value| !value.is_empty());
        return Ok(LabelChange::All(labels));
    }
    Ok(LabelChange::Some(some))
}

/// A list, cut into messages.
#[derive(Debug)]
pub(super) struct Pages(std::vec::IntoIter<Arc<Snapshot>>);

impl Pages {
    pub(super) fn new(snapshots: Vec<Arc<Snapshot>>) -> Self {
        Self(snapshots.into_iter())
    }
}

impl Iterator for Pages {
    type Item = Result<wire::ListSnapshotsResponse, Status>;

    fn next(&mut self) -> Option<Self::Item> {
        let (mut page, mut bytes) = (Vec::new(), 0);
        while page.len() < PAGE_SNAPSHOTS && bytes < PAGE_BYTES {
            let Some(snapshot) = self.0.next() else { break };
            let labels = snapshot.labels.iter();
            bytes += snapshot.key.len() + snapshot.parent.as_ref().map_or(0, String::len);
            bytes += labels
                .map(|(name, value)| name.len() + value.len())
                .sum::<usize>();
            page.push(info(&snapshot));
        }
        (!page.is_empty()).then_some(Ok(wire::ListSnapshotsResponse { info: page }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(labels: &[(&str, &str)], paths: &[&str]) -> Result<LabelChange, Status> {
        let labels = labels
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        change("k", labels.collect(), Some(FieldMask { paths }))
    }

    #[test]
    fn a_mask_names_labels_with_dots_and_slashes_and_a_missing_value_deletes() {
        let name = "containerd.io/snapshot/x.y";
        let some = |value: Option<&str>| {
            LabelChange::Some(BTreeMap::from([(
                name.to_owned(),
                value.map(str::to_owned),
            )]))
        };
        let path = format!("labels.{name}");
        assert_eq!(
            changed(&[(name, "1"), ("z", "2")], &[&path]).unwrap(),
            some(Some("1"))
        );
        assert_eq!(changed(&[], &[&path]).unwrap(), some(None));
        let all = LabelChange::All(BTreeMap::from([("z".into(), "2".into())]));
        assert_eq!(changed(&[("z", "2"), ("e", "")], &[]).unwrap(), all);
        assert_eq!(changed(&[("z", "2")], &["labels", &path]).unwrap(), all);
        for path in ["name", "parent", "kind", "created_at", "label", ""] {
            let error = changed(&[], &[path]).unwrap_err();
            assert_eq!(error.code(), tonic::Code::InvalidArgument, "{path}");
            assert!(error.message().contains("`k`"));
        }
    }
}
