//! What is told of a driver's manifest, and of a component before it is taken.
//!
//! Invariant: data only; each text of a stranger was made safe to show before it came here.

use super::{Pairs, Provenance, SignerView};
use mica_runtime::manifest::{Difference, Manifest};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// What a driver's author says of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ManifestView {
    /// What the driver calls itself.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// Its licence, as an SPDX expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// Where its author tells of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub homepage: Option<String>,
    /// The version of the contract that it was built for.
    pub contract: String,
    /// The shape of its own state that it writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writes: Option<u32>,
    /// The shapes that it reads.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub reads: BTreeSet<u32>,
    /// The interfaces that it asks for, each with its reason.
    #[schema(value_type = BTreeMap<String, String>)]
    pub capabilities: Pairs,
    /// Kinds of mounts that it asks for.
    pub mounts: Vec<String>,
    /// Extended attributes that it asks for.
    pub xattrs: Vec<String>,
    /// Whether it asks to make devices.
    pub device_nodes: bool,
    /// Limits that are enough for it.
    pub limits: BTreeMap<String, u64>,
}

impl From<&Manifest> for ManifestView {
    fn from(manifest: &Manifest) -> Self {
        let values = |setting| {
            let values = manifest.rights.values(setting).into_iter();
            values.map(str::to_owned).collect()
        };
        let state = manifest.state.as_ref();
        Self {
            name: manifest.name.to_string(),
            version: manifest.version.to_string(),
            licence: manifest.licence.as_ref().map(ToString::to_string),
            homepage: manifest.homepage.as_ref().map(ToString::to_string),
            contract: manifest.contract.to_string(),
            writes: state.map(|state| state.writes),
            reads: state.map(|state| state.reads.clone()).unwrap_or_default(),
            capabilities: Pairs(
                manifest
                    .capabilities
                    .iter()
                    .map(|(grant, reason)| (grant.name().to_owned(), reason.to_string()))
                    .collect(),
            ),
            mounts: values("mounts"),
            xattrs: values("xattrs"),
            device_nodes: !manifest.rights.values("device_nodes").is_empty(),
            limits: manifest
                .limits
                .iter()
                .map(|(name, number)| ((*name).to_owned(), *number))
                .collect(),
        }
    }
}

/// Something that a component asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AskView {
    /// What, as it is approved: `btrfs`, `mounts=bind`, `limits.memory_bytes`.
    pub what: String,
    /// What it gives.
    pub about: String,
    /// Why, in the words of the driver's author.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether the driver has it without anyone's approval.
    pub granted: bool,
}

/// A difference between two builds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DifferenceView {
    /// What differs.
    pub what: String,
    /// How it is in the old build; `-` for not at all.
    pub old: String,
    /// How it is in the new one.
    pub new: String,
    /// Whether the new one asks for it and the old one did not.
    pub asks_for_more: bool,
}

impl From<&Difference> for DifferenceView {
    fn from(one: &Difference) -> Self {
        Self {
            what: one.what.clone(),
            old: one.old.to_string(),
            new: one.new.to_string(),
            asks_for_more: one.asks.is_some(),
        }
    }
}

/// Why a component would be refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusalView {
    /// What is wrong with it.
    pub reason: String,
    /// What would help.
    pub remedy: String,
}

/// What is known of a component's signature.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignatureView {
    /// What came of looking.
    pub state: SignatureState,
    /// Who signed it, where somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<SignerView>,
    /// Why it would not be taken, where it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What came of looking for a component's signature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SignatureState {
    /// It ships with the program, or is kept from before there were signatures.
    #[default]
    NotChecked,
    /// There is none that somebody is trusted for, and none is needed.
    Unsigned,
    /// Somebody who is trusted signed it.
    Signed,
    /// It would not be taken.
    Refused,
}

impl SignatureView {
    pub(crate) fn of(known: Option<&Provenance>) -> Self {
        let signer = known.and_then(|known| known.signer.clone());
        let state = match (known, &signer) {
            (None, _) => SignatureState::NotChecked,
            (Some(_), None) => SignatureState::Unsigned,
            (Some(_), Some(_)) => SignatureState::Signed,
        };
        Self {
            state,
            signer,
            reason: None,
        }
    }

    pub(crate) fn refused(reason: String) -> Self {
        Self {
            state: SignatureState::Refused,
            signer: None,
            reason: Some(reason),
        }
    }
}

/// The build of a driver that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunningBuildView {
    /// Its version.
    pub version: String,
    /// Its digest.
    pub digest: String,
}

/// What an operator is told of a component before it is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DriverJudgement {
    /// What it calls itself, by its manifest or as was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `sha256:` and the hexadecimal digest of the component.
    pub digest: String,
    /// Bytes of the component.
    pub size_bytes: u64,
    /// `proto` or `full`.
    pub world: String,
    /// The interface that makes it a driver, with the version of the contract.
    pub contract: String,
    /// What its author says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<ManifestView>,
    /// What is known of its signature.
    pub signature: SignatureView,
    /// What it asks for.
    pub asks: Vec<AskView>,
    /// What someone has to agree to before it is taken, as it is approved.
    pub needs: Vec<String>,
    /// Why it would be a step back; then only `force` has it taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_back: Option<String>,
    /// Why it would be refused whatever someone agrees to.
    pub refusals: Vec<RefusalView>,
    /// The build that it would replace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<RunningBuildView>,
    /// In what it differs from that.
    pub differences: Vec<DifferenceView>,
}
