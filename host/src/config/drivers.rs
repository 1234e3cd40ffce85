//! The section of drivers: what is said of all of them, and a table for each.
//!
//! Invariant: a driver's table is never mistaken for a setting of all: a driver's name has no `_`, and none is called `trust`.

use super::file::Driver;
use super::trust::{self, Rule};
use super::{check_depth, full, invalid};
use mica_engine::{Granted, TrustRule};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// The settings of all drivers.
const OF_ALL: &[&str] = &["grants_file", "require_manifest", "trust"];

/// The section of the file.
#[derive(Debug, Default)]
pub(super) struct Drivers {
    pub(super) grants_file: Option<PathBuf>,
    pub(super) require_manifest: bool,
    pub(super) trust: Vec<Rule>,
    pub(super) named: BTreeMap<String, Driver>,
}

/// What is said of drivers, checked.
#[derive(Debug, Default)]
pub(super) struct Checked {
    pub(super) grants: BTreeMap<String, Granted>,
    pub(super) depths: BTreeMap<String, usize>,
    pub(super) grants_file: Option<PathBuf>,
    pub(super) require_manifest: bool,
    pub(super) trust: Vec<TrustRule>,
}

impl Drivers {
    /// Checks what is said of each driver.
    pub(super) fn checked(&self) -> Result<Checked, super::Error> {
        let mut checked = Checked {
            require_manifest: self.require_manifest,
            trust: trust::rules(&self.trust)?,
            ..Checked::default()
        };
        if let Some(path) = &self.grants_file {
            checked.grants_file = Some(full("drivers.grants_file", path)?);
        }
        for (name, driver) in &self.named {
            let granted = driver.granted().map_err(|error| {
                invalid(
                    &format!("drivers.{name}.{}", error.setting()),
                    error.to_string(),
                )
            })?;
            if let Some(granted) = granted {
                checked.grants.insert(name.clone(), granted);
            }
            if let Some(depth) = driver.max_depth {
                check_depth(&format!("drivers.{name}.max_depth"), depth)?;
                checked.depths.insert(name.clone(), depth);
            }
        }
        Ok(checked)
    }
}

/// Read by hand, because a derived reading of both kinds of keys loses the lines that errors name.
impl<'de> Deserialize<'de> for Drivers {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Keys)
    }
}

struct Keys;

impl<'de> Visitor<'de> for Keys {
    type Value = Drivers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of drivers")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Drivers, A::Error> {
        let mut drivers = Drivers::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "grants_file" => drivers.grants_file = Some(map.next_value()?),
                "require_manifest" => drivers.require_manifest = map.next_value()?,
                "trust" => drivers.trust = map.next_value()?,
                other if other.contains('_') => return Err(Error::unknown_field(other, OF_ALL)),
                _ => {
                    let driver = map.next_value()?;
                    drivers.named.insert(key, driver);
                }
            }
        }
        Ok(drivers)
    }
}
