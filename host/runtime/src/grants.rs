//! What an operator lets a driver import.
//!
//! Invariant: a grant is an interface of `mica:host`; what is not granted is not linked.

use crate::capability::Grant;
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

/// What one driver may import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Grants(BTreeSet<Grant>);

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
