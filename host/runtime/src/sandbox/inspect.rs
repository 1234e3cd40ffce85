//! What a component is, and whether it would be compiled, without compiling it.
//!
//! Invariant: the component is parsed by the process that would compile it, and compared by the code that would refuse it.

use super::admission::{ComponentFacts, Place};
use super::child;
use super::generation::World;
use super::{link, prepare};
use crate::manifest::{Manifest, Profile, imported};
use crate::{Error, Grant, Grants, Limits, Program, SafeText};
use std::collections::BTreeSet;

/// What the bytes of a component say.
#[derive(Debug)]
pub struct Inspection {
    /// What its author exported.
    pub world: World,
    /// The interface that makes it a driver, with the version of the contract that it was built for.
    pub contract: SafeText,
    /// What it imports, in its own order.
    pub imports: Vec<Import>,
    /// What is compared with limits.
    pub measures: Vec<Measure>,
    /// The full names of what it imports, as it has them.
    interfaces: Vec<String>,
    /// What its author says of it.
    pub manifest: Option<Manifest>,
}

/// An interface that a component imports.
#[derive(Debug)]
pub struct Import {
    /// The full name.
    pub name: SafeText,
    /// Why the component would be refused for it: [`Error::Rejected`].
    pub refusal: Option<Error>,
}

/// A number of a component that has a limit.
#[derive(Debug)]
pub struct Measure {
    /// The limit's name in the configuration.
    pub limit: &'static str,
    /// What the component has, with naive-diff where that is composed with it.
    pub has: u64,
    /// What is allowed.
    pub most: u64,
    /// Why the component would be refused for it: [`Error::Rejected`].
    pub refusal: Option<Error>,
}

impl Inspection {
    /// What is compared of it with another build.
    #[must_use]
    pub fn profile(&self) -> Profile<'_> {
        let manifest = self.manifest.as_ref();
        Profile {
            imports: &self.interfaces,
            contract: &self.contract,
            version: None,
            manifest,
        }
    }

    /// The interfaces of the host that it imports.
    #[must_use]
    pub fn imported(&self) -> BTreeSet<Grant> {
        imported(&self.interfaces)
    }

    /// What its manifest asks for and the component does not import.
    #[must_use]
    pub fn unused_capabilities(&self) -> Vec<Grant> {
        let imported = imported(&self.interfaces);
        let asked = self.manifest.iter().flat_map(|one| one.capabilities.keys());
        asked
            .copied()
            .filter(|one| !imported.contains(one))
            .collect()
    }

    /// Everything that a component would be refused for before it is compiled.
    pub fn refusals(&self) -> impl Iterator<Item = &Error> {
        let imports = self.imports.iter().filter_map(|one| one.refusal.as_ref());
        let measures = self.measures.iter().filter_map(|one| one.refusal.as_ref());
        imports.chain(measures)
    }
}

/// Has a component looked at by a confined process, which compiles nothing, and compares it with limits and grants.
///
/// # Errors
/// [`Error::Rejected`] for what is no driver, or too large to be looked at; [`Error::Runtime`] when no process can be started.
pub fn inspect(
    program: &Program,
    bytes: &[u8],
    limits: &Limits,
    grants: &Grants,
) -> Result<Inspection, Error> {
    super::admission::check_size(bytes, limits)?;
    let facts = child::inspect(program, bytes, limits)?;
    judge(facts, bytes.len(), limits, grants)
}

/// Compares what a component says with limits and grants.
pub(super) fn judge(
    facts: ComponentFacts,
    size_bytes: usize,
    limits: &Limits,
    grants: &Grants,
) -> Result<Inspection, Error> {
    let places = prepare::places(&facts)?;
    let ComponentFacts {
        world,
        proto,
        imports,
        manifest,
        ..
    } = facts;
    let judged = imports.iter().map(|name| Import {
        name: SafeText::label(name),
        refusal: link::check_grants(std::slice::from_ref(name), manifest.as_deref(), grants).err(),
    });
    let size = Measure {
        limit: "component_bytes",
        has: size_bytes as u64,
        most: limits.component_bytes as u64,
        refusal: None,
    };
    let measure = |place: Place| Measure {
        limit: place.setting,
        has: place.has.into(),
        most: place.most.into(),
        refusal: place.check().err(),
    };
    let measures = places.all(limits).map(measure);
    Ok(Inspection {
        world,
        contract: SafeText::label(&proto),
        imports: judged.collect(),
        measures: [size].into_iter().chain(measures).collect(),
        interfaces: imports,
        manifest: manifest.map(|manifest| *manifest),
    })
}
