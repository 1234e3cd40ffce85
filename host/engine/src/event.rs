//! What happens, as it happens.
//!
//! Invariant: data only; `bus.rs` is where events are told.

use crate::Moment;
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum EventKind {
    /// A layer was published.
    #[serde(rename = "layer.created")]
    LayerCreated,
    /// A layer was removed.
    #[serde(rename = "layer.removed")]
    LayerRemoved,
    /// A layer got its first mount reference.
    #[serde(rename = "layer.mounted")]
    LayerMounted,
    /// A layer lost its last mount reference.
    #[serde(rename = "layer.unmounted")]
    LayerUnmounted,
    /// An archive was applied to a layer.
    #[serde(rename = "layer.applied")]
    LayerApplied,
    /// An archive does not hold all of a layer, or a layer not all of an archive.
    #[serde(rename = "layer.left-out")]
    LayerLeftOut,
    /// A layer's directory makes no sense and was set aside.
    #[serde(rename = "layer.quarantined")]
    LayerQuarantined,
    /// Files of a layer are not what they were.
    #[serde(rename = "layer.damaged")]
    LayerDamaged,
    /// The list that tells what a layer's files were is damaged itself.
    #[serde(rename = "layer.digests-lost")]
    LayerDigestsLost,
    /// A damaged layer was made of its archive again.
    #[serde(rename = "layer.repaired")]
    LayerRepaired,
    /// A store was made.
    #[serde(rename = "store.created")]
    StoreCreated,
    /// A store was removed.
    #[serde(rename = "store.removed")]
    StoreRemoved,
    /// A store has another name now.
    #[serde(rename = "store.renamed")]
    StoreRenamed,
    /// A store lies in another directory now.
    #[serde(rename = "store.moved")]
    StoreMoved,
    /// A store cannot be used.
    #[serde(rename = "store.failed")]
    StoreFailed,
    /// A driver was loaded into a new slot.
    #[serde(rename = "driver.loaded")]
    DriverLoaded,
    /// A driver was removed, with its builds.
    #[serde(rename = "driver.removed")]
    DriverRemoved,
    /// A slot has another build now.
    #[serde(rename = "driver.swapped")]
    DriverSwapped,
    /// The build that a swap put into a slot was worse than the one before, which is there again.
    #[serde(rename = "driver.went-back")]
    DriverWentBack,
    /// The bake of a build is over, and nothing speaks against it.
    #[serde(rename = "driver.baked")]
    DriverBaked,
    /// A driver asked for what it was not granted.
    #[serde(rename = "driver.denied")]
    DriverDenied,
    /// A driver broke.
    #[serde(rename = "driver.failed")]
    DriverFailed,
    /// A driver broke so often that it is not called any more.
    #[serde(rename = "driver.quarantined")]
    DriverQuarantined,
    /// A quarantine was ended.
    #[serde(rename = "driver.released")]
    DriverReleased,
}

impl EventKind {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LayerCreated => "layer.created",
            Self::LayerRemoved => "layer.removed",
            Self::LayerMounted => "layer.mounted",
            Self::LayerUnmounted => "layer.unmounted",
            Self::LayerApplied => "layer.applied",
            Self::LayerLeftOut => "layer.left-out",
            Self::LayerQuarantined => "layer.quarantined",
            Self::LayerDamaged => "layer.damaged",
            Self::LayerDigestsLost => "layer.digests-lost",
            Self::LayerRepaired => "layer.repaired",
            Self::StoreCreated => "store.created",
            Self::StoreRemoved => "store.removed",
            Self::StoreRenamed => "store.renamed",
            Self::StoreMoved => "store.moved",
            Self::StoreFailed => "store.failed",
            Self::DriverLoaded => "driver.loaded",
            Self::DriverRemoved => "driver.removed",
            Self::DriverSwapped => "driver.swapped",
            Self::DriverWentBack => "driver.went-back",
            Self::DriverBaked => "driver.baked",
            Self::DriverDenied => "driver.denied",
            Self::DriverFailed => "driver.failed",
            Self::DriverQuarantined => "driver.quarantined",
            Self::DriverReleased => "driver.released",
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = EventView)]
pub struct Event {
    /// Its number since the start, from 1 on, without gaps.
    pub sequence: u64,
    /// When: RFC 3339, UTC.
    #[schema(value_type = String)]
    pub time: Moment,
    /// What: `layer.created`, `layer.removed`, `layer.mounted`, `layer.unmounted`, `layer.applied`,
    /// `layer.left-out`, `layer.quarantined`, `layer.damaged`, `layer.digests-lost`, `layer.repaired`, `store.created`, `store.removed`, `store.renamed`, `store.moved`, `store.failed`, `driver.loaded`, `driver.removed`, `driver.swapped`,
    /// `driver.went-back`, `driver.baked`, `driver.denied`, `driver.failed`, `driver.quarantined` or `driver.released`.
    #[schema(value_type = String)]
    pub kind: EventKind,
    /// The store it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// The layer it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
    /// The driver it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// More about it, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The id of the request that caused it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

/// An event before it is told.
#[derive(Clone, Debug)]
pub(crate) struct News {
    pub(crate) kind: EventKind,
    pub(crate) store: Option<String>,
    pub(crate) layer: Option<String>,
    pub(crate) driver: Option<String>,
    pub(crate) detail: Option<String>,
}

impl News {
    pub(crate) fn new(kind: EventKind) -> Self {
        Self {
            kind,
            store: None,
            layer: None,
            driver: None,
            detail: None,
        }
    }

    pub(crate) fn store(mut self, store: &str) -> Self {
        self.store = Some(store.to_owned());
        self
    }

    pub(crate) fn layer(mut self, layer: &str) -> Self {
        self.layer = Some(layer.to_owned());
        self
    }

    /// With the store and the layer that it is about, if it is about one.
    pub(crate) fn about(self, store: Option<&str>, layer: Option<&str>) -> Self {
        Self {
            store: store.map(str::to_owned),
            layer: layer.map(str::to_owned),
            ..self
        }
    }

    pub(crate) fn driver(mut self, driver: &str) -> Self {
        self.driver = Some(driver.to_owned());
        self
    }

    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}
