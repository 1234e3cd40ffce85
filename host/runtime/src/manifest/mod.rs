//! The manifest of a driver: what its author says of it, and what he asks for, in the component itself.
//!
//! A custom section called `mica:manifest` holds one JSON document. It is data of a stranger: the process that parses components
//! parses it too. What a component asks for bounds what it gets, and says nothing of what it may have: that is the operator's.
//!
//! Invariant: a [`Manifest`] was checked as a whole; each text of it is one line of printable characters, and not long.

mod difference;
mod section;

pub(crate) use difference::imported;
pub use difference::{Ask, Difference, Profile, UnknownAsk, differences};
pub(crate) use section::Sections;
pub use section::{add, has};

use crate::contract::{DRIVER, HOST, Match};
use crate::{Grant, Limits, Right, Rights, SafeText};
use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The name of the section.
pub const SECTION: &str = "mica:manifest";
/// Bytes of a manifest.
pub const MANIFEST_BYTES: usize = 64 << 10;
/// The shape of a manifest that this program reads.
const SHAPE: u32 = 1;
/// Bytes of a name, a version, a licence or an address.
const LABEL_BYTES: usize = 256;
/// Bytes of a reason: a sentence or two.
const REASON_BYTES: usize = 1024;
/// Shapes of state that a driver can name.
const STATES: usize = 64;

/// What a driver's author says of it. It is written as JSON in a component and as TOML beside one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Manifest {
    /// What the driver calls itself.
    pub name: SafeText,
    /// Its own version.
    pub version: Version,
    /// Its licence, as an SPDX expression.
    pub licence: Option<SafeText>,
    /// Where its author tells of it.
    pub homepage: Option<SafeText>,
    /// The version of the contract that it was built for.
    pub contract: Version,
    /// What it keeps in its layers' rooms, if that has a number.
    pub state: Option<StateSchema>,
    /// The interfaces that it asks for, each with its reason. The standard ones need none.
    pub capabilities: BTreeMap<Grant, SafeText>,
    /// What it asks for within them.
    pub rights: Rights,
    /// Limits that are enough for it.
    pub limits: BTreeMap<&'static str, u64>,
}

/// Which shapes of its own state a driver writes and reads. A number stands for one shape of what lies in its layers' rooms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateSchema {
    /// The one that it writes.
    pub writes: u32,
    /// Those that it reads.
    pub reads: BTreeSet<u32>,
}

/// As people read it: `writes 2, reads 1, 2`.
impl fmt::Display for StateSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reads: Vec<String> = self.reads.iter().map(ToString::to_string).collect();
        write!(f, "writes {}, reads {}", self.writes, reads.join(", "))
    }
}

/// A manifest that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadManifest(SafeText);

impl BadManifest {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into().into())
    }
}

/// A manifest as it is written. Fields that are not known are refused by their name, because one that was meant to bound the driver
/// must not be overlooked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    manifest: u32,
    name: String,
    version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    licence: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    homepage: Option<String>,
    contract: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mounts: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    xattrs: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device_nodes: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state: Option<StateSchema>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    capabilities: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    limits: BTreeMap<String, u64>,
}

impl TryFrom<Written> for Manifest {
    type Error = BadManifest;

    fn try_from(written: Written) -> Result<Self, BadManifest> {
        if written.manifest != SHAPE {
            let has = written.manifest;
            return Err(BadManifest::new(format!(
                "`manifest` is {has}; this program reads {SHAPE}"
            )));
        }
        let rights = Rights::of(
            written.mounts.as_deref(),
            written.xattrs.as_deref(),
            written.device_nodes,
        );
        Ok(Self {
            name: text("name", &written.name, LABEL_BYTES)?,
            version: version("version", &written.version)?,
            licence: optional("licence", written.licence.as_deref())?,
            homepage: optional("homepage", written.homepage.as_deref())?,
            contract: version("contract", &written.contract)?,
            state: written.state.map(checked_state).transpose()?,
            capabilities: capabilities(&written.capabilities)?,
            rights: rights.map_err(|error| BadManifest::new(error.to_string()))?,
            limits: limits(&written.limits)?,
        })
    }
}

impl From<Manifest> for Written {
    fn from(manifest: Manifest) -> Self {
        let listed = |setting: &str| {
            let all = Rights::all().values(setting);
            let values = manifest.rights.values(setting);
            let listed = (values != all).then_some(values)?;
            Some(listed.into_iter().map(str::to_owned).collect())
        };
        Self {
            manifest: SHAPE,
            mounts: listed("mounts"),
            xattrs: listed("xattrs"),
            device_nodes: (!manifest.rights.has(Right::DeviceNodes)).then_some(false),
            name: manifest.name.into(),
            version: manifest.version.to_string(),
            licence: manifest.licence.map(Into::into),
            homepage: manifest.homepage.map(Into::into),
            contract: manifest.contract.to_string(),
            state: manifest.state,
            capabilities: manifest
                .capabilities
                .into_iter()
                .map(|(grant, reason)| (grant.name().to_owned(), reason.into()))
                .collect(),
            limits: manifest
                .limits
                .into_iter()
                .map(|(name, number)| (name.to_owned(), number))
                .collect(),
        }
    }
}

/// A text that is shown as it is.
fn text(field: &str, written: &str, most: usize) -> Result<SafeText, BadManifest> {
    let safe = SafeText::within(written, most);
    if written.trim().is_empty() {
        return Err(BadManifest::new(format!("`{field}` is empty")));
    }
    if safe.as_str() != written {
        return Err(BadManifest::new(format!(
            "`{field}` is not one line of {most} bytes of printable characters at most"
        )));
    }
    Ok(safe)
}

fn optional(field: &str, written: Option<&str>) -> Result<Option<SafeText>, BadManifest> {
    written
        .map(|written| text(field, written, LABEL_BYTES))
        .transpose()
}

fn version(field: &str, written: &str) -> Result<Version, BadManifest> {
    let checked = text(field, written, LABEL_BYTES)?;
    Version::parse(&checked).map_err(|error| {
        BadManifest::new(format!(
            "`{field}` is `{checked}`, which is no version such as 1.0.0: {error}"
        ))
    })
}

fn checked_state(state: StateSchema) -> Result<StateSchema, BadManifest> {
    if state.reads.len() > STATES {
        return Err(BadManifest::new(format!(
            "`state.reads` has more than {STATES} numbers"
        )));
    }
    if !state.reads.contains(&state.writes) {
        let writes = state.writes;
        return Err(BadManifest::new(format!(
            "`state.reads` lacks {writes}, which `state.writes` is: the driver could not read what it writes"
        )));
    }
    Ok(state)
}

fn capabilities(
    written: &BTreeMap<String, String>,
) -> Result<BTreeMap<Grant, SafeText>, BadManifest> {
    let each = written.iter().map(|(name, reason)| {
        let shown = SafeText::label(name);
        let grant = name
            .parse::<Grant>()
            .map_err(|error| BadManifest::new(format!("`capabilities.{shown}`: {error}")))?;
        let field = format!("capabilities.{grant}");
        Ok((grant, text(&field, reason, REASON_BYTES)?))
    });
    each.collect()
}

/// The limits of a driver by their names, with the numbers that they may have.
fn limits(written: &BTreeMap<String, u64>) -> Result<BTreeMap<&'static str, u64>, BadManifest> {
    let numbers = Limits::default().numbers();
    let each = written.iter().map(|(name, &wanted)| {
        let own = Limits::OWN.iter().find(|own| *own == name);
        let known = own.and_then(|own| numbers.iter().find(|number| number.name == *own));
        let Some(number) = known else {
            let shown = SafeText::label(name);
            return Err(BadManifest::new(format!(
                "`limits.{shown}` is no limit of a single driver; there are {}",
                Limits::OWN.join(", ")
            )));
        };
        if !(number.least..=number.most).contains(&wanted) {
            return Err(BadManifest::new(format!(
                "`limits.{name}` is {wanted}, and not from {} to {}",
                number.least, number.most
            )));
        }
        Ok((number.name, wanted))
    });
    each.collect()
}

impl Manifest {
    /// Reads the JSON of a section.
    ///
    /// # Errors
    /// [`BadManifest`], which names the field.
    pub fn of_json(bytes: &[u8]) -> Result<Self, BadManifest> {
        check_size(bytes.len())?;
        serde_json::from_slice(bytes).map_err(|error| BadManifest::new(error.to_string()))
    }

    /// The JSON of a section.
    ///
    /// # Errors
    /// [`BadManifest`] for one that is too large.
    pub fn to_json(&self) -> Result<Vec<u8>, BadManifest> {
        let json = serde_json::to_vec(self).map_err(|error| BadManifest::new(error.to_string()))?;
        check_size(json.len())?;
        Ok(json)
    }

    /// The interfaces that it asks for: the standard ones, which need no reason, and those with one.
    #[must_use]
    pub fn asks(&self, grant: Grant) -> bool {
        grant.is_standard() || self.capabilities.contains_key(&grant)
    }

    /// Compares it with the interfaces that its component imports and exports.
    ///
    /// # Errors
    /// [`BadManifest`] when this host does not serve the contract that it names, or the component uses a newer one than that.
    pub(crate) fn check_contract<'a>(
        &self,
        interfaces: impl IntoIterator<Item = &'a String>,
    ) -> Result<(), BadManifest> {
        let contract = &self.contract;
        if !DRIVER.serves(&contract.to_string()) {
            return Err(BadManifest::new(format!(
                "`contract` is {contract}, and this host has `{DRIVER}`, which does not stand for that"
            )));
        }
        for interface in interfaces {
            let is_ours = [HOST, DRIVER]
                .iter()
                .any(|package| package.look(interface) != Match::Other);
            let built = interface.rsplit_once('@').map_or("", |(_, built)| built);
            let fits =
                VersionReq::parse(&format!("^{built}")).is_ok_and(|asked| asked.matches(contract));
            if is_ours && !fits {
                let shown = SafeText::label(interface);
                return Err(BadManifest::new(format!(
                    "`contract` is {contract}, and the component uses `{shown}`"
                )));
            }
        }
        Ok(())
    }
}

fn check_size(bytes: usize) -> Result<(), BadManifest> {
    match bytes <= MANIFEST_BYTES {
        true => Ok(()),
        false => Err(BadManifest::new(format!(
            "it has {bytes} bytes; {MANIFEST_BYTES} are allowed"
        ))),
    }
}

#[cfg(test)]
mod tests;
