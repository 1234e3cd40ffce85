//! The packages of the contract, and which versions of them this host serves.
//!
//! Invariant: versions are matched as semantic versions, everywhere by this file: a component may ask for an
//! older version of the same major one, never for a newer one.

use semver::{Version, VersionReq};

/// A package of `wit/`, as this host has it: its name and its version, as in the names of its interfaces. It is one text, so
/// that a test can give a copy of the program another version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Package(&'static str);

/// What the host provides.
pub(crate) const HOST: Package = Package("mica:host@1.0.0");
/// What a driver exports.
pub(crate) const DRIVER: Package = Package("mica:driver@1.0.0");

/// What would help where a component was built for a version that this host does not serve.
pub(crate) const OTHER_VERSION: &str = "build it against the `wit` directory of this release, or update Mica if the component is newer";

/// What a name that a component imports or exports is to a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Match<'a> {
    /// It is of another package.
    Other,
    /// The interface of this name, in a version that this host serves.
    Served(&'a str),
    /// The interface of this name, in a version that this host does not serve.
    Unserved(&'a str),
}

impl Package {
    fn parts(self) -> (&'static str, &'static str) {
        self.0.split_once('@').unwrap_or((self.0, ""))
    }

    /// The full name of an interface, in the version of this host.
    pub(crate) fn interface(self, name: &str) -> String {
        let (package, version) = self.parts();
        format!("{package}/{name}@{version}")
    }

    /// Looks at the name of an interface as a component has it.
    pub(crate) fn look<'a>(self, full: &'a str) -> Match<'a> {
        let rest = full.strip_prefix(self.parts().0);
        let Some(rest) = rest.and_then(|rest| rest.strip_prefix('/')) else {
            return Match::Other;
        };
        let (name, version) = rest.split_once('@').unwrap_or((rest, ""));
        match self.serves(version) {
            true => Match::Served(name),
            false => Match::Unserved(name),
        }
    }

    /// Whether this host's version is compatible with the one that a component was built for. As in the component model and
    /// in cargo, 1.1.0 stands for 1.0.0 and not the other way round, and 2.0.0 for neither.
    pub(crate) fn serves(self, asked: &str) -> bool {
        let (own, asked) = (Version::parse(self.parts().1), Version::parse(asked));
        match (own, asked) {
            (Ok(own), Ok(asked)) => VersionReq::parse(&format!("^{asked}"))
                .is_ok_and(|compatible| compatible.matches(&own)),
            _ => false,
        }
    }
}

impl std::fmt::Display for Package {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_patch_is_served_and_nothing_newer() {
        let package = |version| Package(String::leak(format!("mica:host@{version}")));
        for (own, asked, served) in [
            ("0.1.0", "0.1.0", true),
            ("0.1.1", "0.1.0", true),
            ("0.1.0", "0.1.1", false),
            ("0.2.0", "0.1.0", false),
            ("0.1.0", "0.2.0", false),
            ("1.2.0", "1.0.3", true),
            ("1.0.3", "1.2.0", false),
            ("2.0.0", "1.0.0", false),
            ("0.1.0", "", false),
            ("0.1.0", "0.1", false),
            ("0.1.0", "0.1.0 ", false),
            ("0.1.0", "*", false),
        ] {
            let full = format!("mica:host/home@{asked}");
            let expected = match served {
                true => Match::Served("home"),
                false => Match::Unserved("home"),
            };
            assert_eq!(package(own).look(&full), expected, "{own} {asked}");
        }
        for other in [
            "mica:hosts/home@0.1.0",
            "mica:host",
            "wasi:io/streams@0.2.6",
        ] {
            assert_eq!(HOST.look(other), Match::Other, "{other}");
        }
    }

    #[test]
    fn the_versions_are_those_of_the_contract() {
        for (package, text) in [
            (HOST, include_str!("../../../wit/deps/host/types.wit")),
            (DRIVER, include_str!("../../../wit/types.wit")),
        ] {
            assert!(
                text.starts_with(&format!("package {package};")),
                "{package}"
            );
        }
    }
}
