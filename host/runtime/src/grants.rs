//! What an operator lets a driver import.
//!
//! Invariant: a grant is an interface of `mica:host`; what is not granted is not linked.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// One interface of `mica:host`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grant {
    /// Confined directory and file handles.
    Directory,
    /// Sinks and sources.
    Streams,
    /// Overlay and bind mounts.
    Mounts,
    /// The store's layers.
    Home,
    /// Facts about the file system.
    Filesystem,
    /// Subvolumes, snapshots and quotas of btrfs.
    Btrfs,
    /// Layers that are their archives.
    Images,
    /// The log.
    Log,
    /// The store's options.
    Config,
}

impl Grant {
    /// Every grant there is.
    pub const ALL: [Self; 9] = [
        Self::Directory,
        Self::Streams,
        Self::Mounts,
        Self::Home,
        Self::Filesystem,
        Self::Btrfs,
        Self::Images,
        Self::Log,
        Self::Config,
    ];

    /// The interface's name, which is the grant's.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::Streams => "streams",
            Self::Mounts => "mounts",
            Self::Home => "home",
            Self::Filesystem => "filesystem",
            Self::Btrfs => "btrfs",
            Self::Images => "images",
            Self::Log => "log",
            Self::Config => "config",
        }
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A grant that does not exist.
#[derive(Debug, thiserror::Error)]
#[error(
    "no grant is called `{0}`; there are directory, streams, mounts, home, filesystem, btrfs, images, log and config"
)]
pub struct UnknownGrant(String);

impl FromStr for Grant {
    type Err = UnknownGrant;

    fn from_str(text: &str) -> Result<Self, UnknownGrant> {
        Self::ALL
            .into_iter()
            .find(|grant| grant.name() == text)
            .ok_or_else(|| UnknownGrant(text.to_owned()))
    }
}

/// What one driver may import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Grants(BTreeSet<Grant>);

impl Grants {
    /// What a storage driver needs and cannot harm the rest of the host with: everything but [`Grant::Btrfs`],
    /// for quotas make a whole file system slower, and [`Grant::Images`], for the kernel reads what the driver wrote.
    #[must_use]
    pub fn standard() -> Self {
        Grant::ALL
            .into_iter()
            .filter(|grant| !matches!(grant, Grant::Btrfs | Grant::Images))
            .collect()
    }

    /// Every grant: for `describe` alone, which has no store to use them on.
    #[must_use]
    pub fn all() -> Self {
        Grant::ALL.into_iter().collect()
    }

    /// These grants and one more.
    #[must_use]
    pub fn and(mut self, grant: Grant) -> Self {
        self.0.insert(grant);
        self
    }

    /// Says whether an interface is granted.
    #[must_use]
    pub fn allows(&self, grant: Grant) -> bool {
        self.0.contains(&grant)
    }

    /// The grants in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = Grant> + '_ {
        self.0.iter().copied()
    }
}

impl FromIterator<Grant> for Grants {
    fn from_iter<I: IntoIterator<Item = Grant>>(grants: I) -> Self {
        Self(grants.into_iter().collect())
    }
}

impl Default for Grants {
    fn default() -> Self {
        Self::standard()
    }
}
