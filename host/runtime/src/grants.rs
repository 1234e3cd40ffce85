//! What an operator lets a driver import, and do with it.
//!
//! Invariant: a grant is an interface of `mica:host`; what is not granted is not linked.

use crate::capability::Grant;
use crate::manifest::Manifest;
use crate::rights::Rights;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// Makes [`Grant`] of the table of capabilities: for each the variant, the interface's name, the module of its bindings, and
/// `standard` if every driver has it, or `named` if an operator must give it by name.
macro_rules! grants {
    ($($(#[doc = $meaning:literal])* $grant:ident, $name:literal, $module:ident, $who:ident;)*) => {
        /// One interface of `mica:host`.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize, serde::Deserialize,
        )]
        pub enum Grant {
            $($(#[doc = $meaning])* #[serde(rename = $name)] $grant,)*
        }

        impl Grant {
            /// Every grant there is.
            pub const ALL: &[Self] = &[$(Self::$grant),*];

            /// The interface's name, which is the grant's.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$grant => $name,)*
                }
            }

            /// What it gives, in a sentence.
            #[must_use]
            pub fn about(self) -> &'static str {
                match self {
                    $(Self::$grant => concat!($($meaning),*).trim_ascii(),)*
                }
            }

            /// Whether every driver has it.
            pub(crate) fn is_standard(self) -> bool {
                match self {
                    $(Self::$grant => $crate::grants::is_standard!($who),)*
                }
            }

            /// Adds the interface's functions to a linker.
            pub(crate) fn link(self, linker: &mut Linker<State>) -> wasmtime::Result<()> {
                match self {
                    $(Self::$grant => {
                        host::$module::add_to_linker::<State, boundary::Passing>(
                            linker,
                            boundary::of,
                        )
                    })*
                }
            }
        }
    };
}
pub(crate) use grants;

/// Whether every driver has a capability, by the word of the table.
macro_rules! is_standard {
    (standard) => {
        true
    };
    (named) => {
        false
    };
}
pub(crate) use is_standard;

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A grant that does not exist.
#[derive(Debug, thiserror::Error)]
#[error("no grant is called `{0}`; there are {known}", known = all_names())]
pub struct UnknownGrant(String);

fn all_names() -> String {
    let names: Vec<&str> = Grant::ALL.iter().map(|grant| grant.name()).collect();
    names.join(", ")
}

impl FromStr for Grant {
    type Err = UnknownGrant;

    fn from_str(text: &str) -> Result<Self, UnknownGrant> {
        Self::ALL
            .iter()
            .copied()
            .find(|grant| grant.name() == text)
            .ok_or_else(|| UnknownGrant(text.to_owned()))
    }
}

/// What one driver may import, and what it may do with that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants {
    interfaces: BTreeSet<Grant>,
    rights: Rights,
    /// Whether what was not granted is allowed, and told.
    audit: bool,
}

/// What an operator says of one driver. What he does not say is as it is for every driver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Granted {
    /// The interfaces that it may import.
    pub interfaces: Option<BTreeSet<Grant>>,
    /// What it may do with them.
    pub rights: Rights,
    /// Whether what was not granted is allowed, and told.
    pub audit: bool,
}

impl Granted {
    /// These interfaces, and all that can be done with them.
    #[must_use]
    pub fn interfaces_of(grants: &Grants) -> Self {
        Self {
            interfaces: Some(grants.interfaces.clone()),
            ..Self::default()
        }
    }

    /// What a driver may that has `usual` unless something else was said.
    #[must_use]
    pub fn over(&self, usual: Grants) -> Grants {
        Grants {
            interfaces: self.interfaces.clone().unwrap_or(usual.interfaces),
            rights: self.rights,
            audit: self.audit,
        }
    }
}

impl Grants {
    /// What a storage driver needs and cannot harm the rest of the host with.
    #[must_use]
    pub fn standard() -> Self {
        let standard = Grant::ALL.iter().copied();
        standard.filter(|grant| grant.is_standard()).collect()
    }

    /// Every grant: for `describe` alone, which has no store to use them on.
    #[must_use]
    pub fn all() -> Self {
        Grant::ALL.iter().copied().collect()
    }

    /// These grants and one more.
    #[must_use]
    pub fn and(mut self, grant: Grant) -> Self {
        self.interfaces.insert(grant);
        self
    }

    /// What may be done with the interfaces.
    #[must_use]
    pub fn rights(&self) -> Rights {
        self.rights
    }

    /// Whether what was not granted is allowed, and told.
    #[must_use]
    pub fn is_audited(&self) -> bool {
        self.audit
    }

    /// What of it a driver gets that asks for so much: no more than it was granted, and no more than it asks for.
    pub(crate) fn within(&self, manifest: Option<&Manifest>) -> Self {
        let asked = |grant: &Grant| manifest.is_none_or(|manifest| manifest.asks(*grant));
        let rights = manifest.map_or_else(Rights::all, |manifest| manifest.rights);
        let all = Grant::ALL.iter().copied();
        let granted = all.filter(|grant| self.audit || self.allows(*grant));
        Self {
            interfaces: granted.filter(asked).collect(),
            rights: self.rights.common(rights),
            audit: self.audit,
        }
    }

    /// Says whether an interface is granted.
    #[must_use]
    pub fn allows(&self, grant: Grant) -> bool {
        self.interfaces.contains(&grant)
    }

    /// The grants in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = Grant> + '_ {
        self.interfaces.iter().copied()
    }
}

impl FromIterator<Grant> for Grants {
    fn from_iter<I: IntoIterator<Item = Grant>>(grants: I) -> Self {
        Self {
            interfaces: grants.into_iter().collect(),
            rights: Rights::all(),
            audit: false,
        }
    }
}

impl Default for Grants {
    fn default() -> Self {
        Self::standard()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::HOST;

    /// The interfaces of `mica:host` that a world of the contract imports, but for the types.
    fn imports(world: &str) -> Vec<String> {
        let worlds = include_str!("../../../wit/worlds.wit");
        let (_, rest) = worlds.split_once(&format!("world {world} {{")).unwrap();
        let (body, _) = rest.split_once('}').unwrap();
        let names = body.lines().filter_map(|line| {
            let import = line.trim().strip_prefix("import ")?;
            let (_, name) = import.trim_end_matches(';').split_once('/')?;
            let (name, _) = name.split_once('@')?;
            assert!(import.contains(&HOST.interface(name)), "{import}");
            Some(name.to_owned())
        });
        names.filter(|name| name != "types").collect()
    }

    /// Tools of some languages import all of a world: every driver could be loaded that implements one of ours.
    #[test]
    fn the_worlds_import_what_is_standard_and_no_more() {
        let all = |grants: Grants| -> Vec<String> {
            grants.iter().map(|grant| grant.name().to_owned()).collect()
        };
        let sorted = |mut names: Vec<String>| {
            names.sort();
            names
        };
        let standard = imports("host-functions");
        assert_eq!(sorted(standard.clone()), sorted(all(Grants::standard())));
        let more = imports("all-host-functions");
        let every = standard.into_iter().chain(more).collect();
        assert_eq!(sorted(every), sorted(all(Grants::all())));
        for world in ["proto", "full"] {
            assert_eq!(imports(world), [""; 0], "{world}");
        }
    }

    #[test]
    fn a_grant_that_does_not_exist_is_answered_with_those_that_do() {
        let error = Grant::from_str("network").unwrap_err().to_string();
        assert!(
            Grant::ALL.iter().all(|grant| error.contains(grant.name())),
            "{error}"
        );
        for grant in Grant::ALL {
            assert_eq!(Grant::from_str(grant.name()).unwrap(), *grant);
            let json = serde_json::to_string(grant).unwrap();
            assert_eq!(json, format!("\"{}\"", grant.name()));
        }
    }
}
