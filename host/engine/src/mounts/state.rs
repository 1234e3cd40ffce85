//! What is remembered of a mount.
//!
//! Invariant: a state counts only within the boot that it was written in.

use super::references::Holder;
use crate::disk::files;
use crate::{LayerId, settings::Durability, words};
use mica_runtime::Access;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;
use std::sync::LazyLock;

/// Who holds a mounted layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// The layer.
    pub(crate) layer: LayerId,
    /// The number of its directory.
    pub(crate) number: u64,
    /// How often it was asked for and not given back.
    pub(crate) references: u64,
    /// Those of them that have a name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) holders: Vec<Holder>,
    /// Whether the processes that held it had all ended when a daemon started.
    #[serde(skip)]
    pub(crate) is_let_go: bool,
    /// Whether it is attached for processes of a client that has gone, beyond all references.
    #[serde(default)]
    pub(crate) inherited: bool,
    /// What processes may do.
    #[serde(with = "words::access")]
    pub(crate) access: Access,
    /// The SELinux context of its files.
    pub(crate) label: Option<String>,
    /// The kernel's number of the mount.
    pub(crate) mount_id: u64,
    /// The boot that the number belongs to.
    pub(crate) boot_id: String,
}

impl State {
    /// Reads a state.
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        let bytes = files::read(path)?;
        files::check_sum(&bytes)?;
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// Writes it. The run directory ends with the boot, so nothing is synced.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let bytes = files::with_sum(&serde_json::to_vec_pretty(self)?);
        files::replace(path, &bytes, Durability::None)
    }
}

/// The kernel's name for this boot; empty where it does not tell.
pub(crate) fn boot_id() -> &'static str {
    static BOOT_ID: LazyLock<String> = LazyLock::new(|| {
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .unwrap_or_default()
            .trim()
            .to_owned()
    });
    &BOOT_ID
}
