//! In what two builds of a driver differ, for whoever decides about the newer one.
//!
//! Invariant: only looks; what a difference means for a swap is decided by the engine.

use super::Manifest;
use crate::sandbox::link::grant_of;
use crate::{Grant, Limits, Right, Rights, SafeText};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// Something that a driver can ask for, and an operator approve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ask {
    /// An interface of `mica:host`.
    Interface(Grant),
    /// Something within an interface.
    Right(Right),
    /// A larger limit, or none of its own.
    Limit(&'static str),
}

/// As it is written behind `--grant`: `btrfs`, `mounts=bind`, `limits.memory_bytes`.
impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interface(grant) => grant.fmt(f),
            Self::Right(right) => right.fmt(f),
            Self::Limit(name) => write!(f, "limits.{name}"),
        }
    }
}

/// Nothing that can be asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is nothing that can be granted; there are the interfaces {interfaces}, {rights}, and limits such as limits.memory_bytes",
    interfaces = joined(Grant::ALL),
    rights = joined(Right::ALL)
)]
pub struct UnknownAsk(SafeText);

fn joined(all: &[impl fmt::Display]) -> String {
    let texts: Vec<String> = all.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

impl FromStr for Ask {
    type Err = UnknownAsk;

    fn from_str(text: &str) -> Result<Self, UnknownAsk> {
        let interface = text.parse().ok().map(Self::Interface);
        let right = || text.parse().ok().map(Self::Right);
        let limit = || {
            let name = text.strip_prefix("limits.")?;
            let known = Limits::OWN.iter().find(|own| **own == name);
            known.map(|own| Self::Limit(own))
        };
        interface
            .or_else(right)
            .or_else(limit)
            .ok_or_else(|| UnknownAsk(SafeText::label(text)))
    }
}

/// What is compared of a build.
#[derive(Clone, Copy, Debug)]
pub struct Profile<'a> {
    /// What it imports.
    pub imports: &'a [String],
    /// The interface that makes it a driver, with the version of the contract.
    pub contract: &'a str,
    /// What it calls its own version, where that is known.
    pub version: Option<&'a str>,
    /// Its manifest.
    pub manifest: Option<&'a Manifest>,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What differs: `version`, `contract`, `state`, `licence`, or what was asked for, as [`Ask`] writes it.
    pub what: String,
    /// How it is in the old build; `-` for not at all.
    pub old: SafeText,
    /// How it is in the new one.
    pub new: SafeText,
    /// What the new one asks for and the old one did not.
    pub asks: Option<Ask>,
}

/// In what the new build differs: what it asks for more comes first.
#[must_use]
pub fn differences(old: Profile<'_>, new: Profile<'_>) -> Vec<Difference> {
    let mut found = interfaces(old, new);
    found.extend(rights(old, new));
    found.extend(limits(old, new));
    found.sort_by_key(|one| one.asks.is_none());
    let manifest = |of: fn(&Manifest) -> Option<String>| {
        let told = |profile: Profile<'_>| profile.manifest.and_then(of);
        (told(old), told(new))
    };
    let version = |profile: Profile<'_>| {
        let said = || profile.version.map(str::to_owned);
        profile
            .manifest
            .map(|manifest| manifest.version.to_string())
            .or_else(said)
    };
    let facts = [
        ("version", (version(old), version(new))),
        (
            "contract",
            (Some(old.contract.to_owned()), Some(new.contract.to_owned())),
        ),
        (
            "state",
            manifest(|one| one.state.as_ref().map(ToString::to_string)),
        ),
        (
            "licence",
            manifest(|one| Some(one.licence.as_ref()?.to_string())),
        ),
        (
            "homepage",
            manifest(|one| Some(one.homepage.as_ref()?.to_string())),
        ),
        ("manifest", manifest(|_| Some("yes".to_owned()))),
    ];
    found.extend(
        facts
            .into_iter()
            .filter(|(_, (old, new))| old != new)
            .map(|(what, (old, new))| fact(what, old, new)),
    );
    found
}

fn fact(what: &str, old: Option<String>, new: Option<String>) -> Difference {
    let told = |text: Option<String>| SafeText::from(text.unwrap_or_else(|| "-".to_owned()));
    Difference {
        what: what.to_owned(),
        old: told(old),
        new: told(new),
        asks: None,
    }
}

/// A difference in what is asked for.
fn ask(ask: Ask, old: String, new: String, is_more: bool) -> Difference {
    Difference {
        what: ask.to_string(),
        old: old.into(),
        new: new.into(),
        asks: is_more.then_some(ask),
    }
}

/// The interfaces of the host that a build imports.
pub(crate) fn imported(imports: &[String]) -> BTreeSet<Grant> {
    imports
        .iter()
        .filter_map(|import| grant_of(import))
        .collect()
}

fn interfaces(old: Profile<'_>, new: Profile<'_>) -> Vec<Difference> {
    let (had, has) = (imported(old.imports), imported(new.imports));
    let told = |profile: Profile<'_>, grants: &BTreeSet<Grant>, grant: Grant| {
        let reason = profile
            .manifest
            .and_then(|manifest| manifest.capabilities.get(&grant));
        match (grants.contains(&grant), reason) {
            (false, _) => "-".to_owned(),
            (true, Some(reason)) => reason.to_string(),
            (true, None) => "imported".to_owned(),
        }
    };
    had.symmetric_difference(&has)
        .map(|&grant| {
            ask(
                Ask::Interface(grant),
                told(old, &had, grant),
                told(new, &has, grant),
                has.contains(&grant),
            )
        })
        .collect()
}

fn asked_rights(profile: Profile<'_>) -> Rights {
    profile
        .manifest
        .map_or_else(Rights::all, |manifest| manifest.rights)
}

fn rights(old: Profile<'_>, new: Profile<'_>) -> Vec<Difference> {
    let (had, has) = (asked_rights(old), asked_rights(new));
    let told = |rights: Rights, right| if rights.has(right) { "asked" } else { "-" };
    Right::ALL
        .iter()
        .filter(|right| had.has(**right) != has.has(**right))
        .map(|&right| {
            let (old, new) = (told(had, right), told(has, right));
            ask(
                Ask::Right(right),
                old.to_owned(),
                new.to_owned(),
                has.has(right),
            )
        })
        .collect()
}

fn limits(old: Profile<'_>, new: Profile<'_>) -> Vec<Difference> {
    let wanted = |profile: Profile<'_>, name: &str| profile.manifest?.limits.get(name).copied();
    let told = |number: Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
    Limits::OWN
        .iter()
        .filter_map(|name| {
            let (had, has) = (wanted(old, name), wanted(new, name));
            // Without one of its own a driver has what the configuration says.
            let height = |number: Option<u64>| number.unwrap_or(u64::MAX);
            let is_more = height(has) > height(had);
            (had != has).then(|| ask(Ask::Limit(name), told(had), told(has), is_more))
        })
        .collect()
}
