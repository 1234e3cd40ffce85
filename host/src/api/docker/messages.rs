//! What goes over the wire, by the names that moby gives it.
//!
//! Invariant: shape only. A field that is absent, `null` or empty means the same, for Go leaves out what is empty;
//! fields that are not known are let pass, for a later client may say more.

use mica_engine::{ChangeKind, Pairs};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Every call but `Init`, `ApplyDiff` and `Activate`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Request {
    /// The layer.
    #[serde(rename = "ID")]
    pub(super) id: Option<String>,
    /// The layer below, or the one to compare with.
    #[serde(rename = "Parent")]
    parent: Option<String>,
    /// An SELinux context.
    #[serde(rename = "MountLabel")]
    mount_label: Option<String>,
    /// Options of one layer: `--storage-opt` of `docker create`.
    #[serde(rename = "StorageOpt")]
    storage_options: Option<Pairs>,
}

impl Request {
    /// The layer; empty if none was named, which no layer is.
    pub(super) fn take_id(&mut self) -> String {
        self.id.take().unwrap_or_default()
    }

    /// The parent, if there is one.
    pub(super) fn take_parent(&mut self) -> Option<String> {
        self.parent.take().filter(|parent| !parent.is_empty())
    }

    /// The SELinux context, if there is one.
    pub(super) fn take_mount_label(&mut self) -> Option<String> {
        self.mount_label.take().filter(|label| !label.is_empty())
    }

    /// The options of the layer.
    pub(super) fn take_storage_options(&mut self) -> Vec<(String, String)> {
        self.storage_options.take().unwrap_or_default().0
    }
}

/// `Init`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct InitRequest {
    /// Where a driver is to keep its layers.
    pub(super) home: Option<String>,
    /// `key=value` each: `--storage-opt` of dockerd.
    pub(super) opts: Option<Vec<String>>,
    /// Owners to be shifted, for a user namespace.
    #[serde(rename = "UIDMaps")]
    pub(super) uid_maps: Option<Vec<serde_json::Value>>,
    /// Groups to be shifted.
    #[serde(rename = "GIDMaps")]
    pub(super) gid_maps: Option<Vec<serde_json::Value>>,
}

/// The query of `ApplyDiff`, whose body is the archive.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ApplyQuery {
    /// The layer. Of the parent, which the query names too, the engine knows better.
    pub(super) id: String,
}

/// Every answer but archives and lists of changes.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Reply {
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) err: Option<String>,
    /// What the plugin is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) implements: Option<[&'static str; 1]>,
    /// Where a layer is mounted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dir: Option<String>,
    /// Whether a layer is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) exists: Option<bool>,
    /// What a driver says of its state, in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<Vec<(String, String)>>,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<u64>,
    /// What a driver says of a layer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) metadata: Option<BTreeMap<String, String>>,
    /// What the driver can do beyond the calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) capabilities: Option<Capabilities>,
}

/// What a driver can do beyond the calls.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Capabilities {
    /// Whether `Diff` gives the very bytes that `ApplyDiff` was given. It does not: an archive may come in any form.
    pub(super) reproduces_exact_diffs: bool,
}

/// One path that differs; bytes that are no UTF-8 become U+FFFD, as in Go's JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Change {
    path: String,
    kind: u8,
}

impl From<mica_engine::Change> for Change {
    fn from(change: mica_engine::Change) -> Self {
        Self {
            path: String::from_utf8_lossy(&change.path).into_owned(),
            kind: match change.kind {
                ChangeKind::Modify => 0,
                ChangeKind::Add => 1,
                ChangeKind::Delete => 2,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_leaves_out_is_nothing() {
        for body in [
            "{}",
            r#"{"ID":null,"Parent":null,"MountLabel":null,"StorageOpt":null}"#,
            r#"{"ID":"","Parent":"","MountLabel":"","StorageOpt":{},"Later":[1]}"#,
        ] {
            let mut request: Request = serde_json::from_str(body).unwrap();
            assert_eq!(
                (request.take_id().as_str(), request.take_parent()),
                ("", None)
            );
            assert_eq!(request.take_mount_label(), None);
            assert!(request.take_storage_options().is_empty());
        }
    }

    #[test]
    fn an_empty_answer_is_an_empty_object() {
        assert_eq!(serde_json::to_string(&Reply::default()).unwrap(), "{}");
    }

    #[test]
    fn kinds_have_the_numbers_of_the_original() {
        let change = mica_engine::Change {
            path: b"/caf\xe9".to_vec(),
            kind: ChangeKind::Delete,
        };
        assert_eq!(
            serde_json::to_string(&Change::from(change)).unwrap(),
            "{\"Path\":\"/caf\u{fffd}\",\"Kind\":2}"
        );
    }
}
