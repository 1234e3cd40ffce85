//! What a component is, and whether it would be compiled, without compiling it.
//!
//! Invariant: the component is parsed by the process that would compile it, and compared by the code that would refuse it.

use super::admission::{ComponentFacts, Place};
use super::child;
use super::generation::World;
use super::{link, prepare};
use crate::{Error, Grants, Limits, Program, SafeText};

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
    let places = prepare::places(&facts)?;
    let ComponentFacts {
        world,
        proto,
        imports,
        ..
    } = facts;
    let imports = imports.iter().map(|name| Import {
        name: SafeText::label(name),
        refusal: link::check_grants(std::slice::from_ref(name), grants).err(),
    });
    let size = Measure {
        limit: "component_bytes",
        has: bytes.len() as u64,
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
        imports: imports.collect(),
        measures: [size].into_iter().chain(measures).collect(),
    })
}
