//! A component's bytes to checked machine code.
//!
//! Everything that parses what a stranger wrote happens here: admission, composition, compilation, and the comparison of its
//! types with the host's. It is run by the compiler process, and in this process only for components that are trusted as
//! this program is.
//!
//! Invariant: bytes in, facts and code out; no file, no clock, no state.

use super::admission::{self, ComponentFacts, Place, Places};
use super::generation::World;
use super::{compose, link};
use crate::{Error, Grants, Limits};
use mica_artifacts::NAIVE_DIFF;
use wasmtime::Engine;
use wasmtime::component::Component;

/// A component that has passed every check.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) facts: ComponentFacts,
    /// Machine code for engines with the settings of the one that compiled it.
    pub(super) code: Vec<u8>,
}

/// Checks a component and compiles it. What costs least is checked first: a component that imports what is not granted is
/// refused before anything is compiled.
pub(super) fn prepare(
    engine: &Engine,
    bytes: &[u8],
    limits: &Limits,
    grants: &Grants,
) -> Result<Prepared, Error> {
    let facts = admission::check(bytes, limits)?;
    link::check_grants(&facts.imports, facts.manifest.as_deref(), grants)?;
    let mut taken = places(&facts)?.all(limits).into_iter();
    taken.try_for_each(Place::check)?;
    let composed = match facts.world {
        World::Full => None,
        World::Proto => Some(compose::with_naive_diff(bytes, &facts.proto)?),
    };
    let component = Component::new(engine, composed.as_deref().unwrap_or(bytes))
        .map_err(|error| refused(&error))?;
    // With everything linked: which imports are granted was looked at above, here their types count.
    link::link(engine, &component, &Grants::all())?;
    let code = component.serialize().map_err(|error| refused(&error))?;
    if code.len() > limits.compiled_bytes {
        let (has, most) = (code.len(), limits.compiled_bytes);
        return Err(Error::rejected(
            format!("its code has {has} bytes; {most} are allowed"),
            "leave out what it does not use, or raise `compiled_bytes`",
        ));
    }
    Ok(Prepared { facts, code })
}

/// What an instance of a component takes, as it is run: with naive-diff if it has no diffs of its own.
pub(super) fn places(facts: &ComponentFacts) -> Result<Places, Error> {
    Ok(match facts.world {
        World::Full => facts.places,
        World::Proto => {
            // It is part of this program: what an operator allows strangers does not concern it.
            let naive_diff = admission::places(NAIVE_DIFF, &Limits::default())?;
            facts.places.and(naive_diff)
        }
    })
}

fn refused(error: &wasmtime::Error) -> Error {
    let reason = format!("it does not compile: {error:#}");
    let remedy = match reason.contains("component model async") {
        true => NO_ASYNC,
        false => {
            "build it with `cargo build --release --target wasm32-wasip2` and without proposals beyond the component model"
        }
    };
    Error::rejected(reason, remedy)
}

/// What would help where a tool makes calls asynchronous unless it is told otherwise.
const NO_ASYNC: &str = "build it without asynchronous calls: `jco componentize --backend qjs` has `--backend-qjs-disable-async`";
