//! What an engine is opened with.
//!
//! Invariant: data only.

use crate::drivers::TrustRule;
use crate::scrub::{Blobs, ScrubSettings};
use crate::traffic::SpanSettings;
use crate::view::Provenance;
use mica_runtime::{Granted, Grants};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// When a layer counts as published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Durability {
    /// When its files and its record are on the device.
    #[default]
    Commit,
    /// When the kernel has them: a power cut may take the newest layers. For scratch machines.
    None,
}

/// Where a driver's component came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// From this program.
    Embedded,
    /// From a file of the drivers directory.
    Directory(PathBuf),
    /// From a caller; kept in `<root>/drivers`.
    Uploaded,
}

/// A component to load at the start.
#[derive(Clone, Debug)]
pub struct DriverSource {
    /// The driver's name if it is known before the component is asked; another answer is an error.
    pub name: Option<String>,
    /// The component.
    pub bytes: Cow<'static, [u8]>,
    /// Where it came from.
    pub origin: Origin,
    /// Where it came from before, and who signed it, if that was found out when it came.
    pub provenance: Option<Provenance>,
}

/// What drivers that have layers already mean for a store that names no driver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PriorDrivers {
    /// A single one is taken, and fails or works; several are an error. As Docker does today.
    #[default]
    Choose,
    /// The first that works is taken, and others are warned of. As Docker did in 2015.
    Warn,
}

/// How the driver of a store that names none is found.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Drivers that someone named for all such stores, each with where: the first is taken, and fails or works.
    pub named: Vec<(String, String)>,
    /// What drivers that have layers already mean.
    pub prior: PriorDrivers,
    /// Drivers in the order in which they are tried, each with its place in the list of Docker's graphdriver package. Layers
    /// of the last one say nothing about a machine, because it is what is taken where nothing else works.
    pub order: Vec<(u32, String)>,
}

/// What an engine is opened with.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// Holds `stores/` and `drivers/`; made if it is missing.
    pub root: PathBuf,
    /// Holds mounts and their state; made if it is missing, best on a file system that ends with the boot.
    pub run_dir: PathBuf,
    /// When a layer counts as published.
    pub durability: Durability,
    /// Layers that a chain may have, itself included; overlay takes 500 at most.
    pub max_depth: usize,
    /// Layers that a chain of a driver's stores may have, by driver name; the smaller of the two limits counts.
    pub driver_depths: BTreeMap<String, usize>,
    /// Drivers in the order of rising precedence: of two with one name the later is used, and the earlier if the
    /// later cannot be loaded.
    pub drivers: Vec<DriverSource>,
    /// Components that were to be loaded and cannot even be read: which, and why.
    pub unreadable_drivers: Vec<String>,
    /// Grants by driver name that the operator gave.
    pub grants: BTreeMap<String, Granted>,
    /// A file of grants for a fleet, or a directory of such files by the names of drivers. It says something of drivers that `grants`
    /// says nothing of.
    pub grants_file: Option<PathBuf>,
    /// Whether a component that is loaded or swapped must have a manifest.
    pub require_manifest: bool,
    /// Grants by driver name of drivers without an entry in `grants`; the others get [`Grants::standard`].
    pub usual_grants: BTreeMap<String, Grants>,
    /// Who has to have signed which drivers; the first that is about a driver counts.
    pub trust: Vec<TrustRule>,
    /// How the driver of a store that names none is found.
    pub selection: Selection,
    /// How long a build is watched after a swap; zero watches none.
    pub bake: Duration,
    /// What is done about the content of layers.
    pub scrub: ScrubSettings,
    /// Gives blobs that a container runtime keeps, to repair layers; `None` if there is no such runtime.
    pub blobs: Option<Arc<dyn Blobs>>,
    /// Calls of clients that take longer than this are told in the log; `None` tells none.
    pub slow_call: Option<Duration>,
    /// What is recorded of calls for a collector of traces; `None` records nothing.
    pub spans: Option<SpanSettings>,
}

impl EngineSettings {
    /// Settings with the usual values and no drivers.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>, run_dir: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            run_dir: run_dir.into(),
            durability: Durability::default(),
            max_depth: 500,
            driver_depths: BTreeMap::new(),
            drivers: Vec::new(),
            unreadable_drivers: Vec::new(),
            grants: BTreeMap::new(),
            grants_file: None,
            require_manifest: false,
            usual_grants: BTreeMap::new(),
            trust: Vec::new(),
            selection: Selection::default(),
            bake: Duration::from_secs(60),
            scrub: ScrubSettings::default(),
            blobs: None,
            slow_call: None,
            spans: None,
        }
    }

    /// Layers that a chain of a store with this driver may have.
    pub(crate) fn depth_of(&self, driver: &str) -> u64 {
        let own = self.driver_depths.get(driver).copied();
        own.map_or(self.max_depth, |own| own.min(self.max_depth)) as u64
    }
}
