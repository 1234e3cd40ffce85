//! The linker is the permission system: what was granted is linked, and nothing else.
//!
//! Invariant: the only place that makes a linker.

use crate::bindings::DriverPre;
use crate::bindings::mica::host;
use crate::capability::boundary::{self, Passing};
use crate::capability::{State, is_wasi_linked};
use crate::contract::{DRIVER, HOST, Match, OTHER_VERSION};
use crate::{Error, Grant, Grants};
use std::str::FromStr;
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

/// The interface of either package that has types only, and needs no grant.
const TYPES: &str = "types";

/// Refuses a component that imports what was not granted or does not exist, before it costs any time.
pub(super) fn check_grants(imports: &[String], grants: &Grants) -> Result<(), Error> {
    imports
        .iter()
        .filter(|import| !is_wasi_linked(import))
        .try_for_each(|import| check_import(import, grants))
}

fn check_import(import: &str, grants: &Grants) -> Result<(), Error> {
    let name = match (HOST.look(import), DRIVER.look(import)) {
        (Match::Served(TYPES), _) | (_, Match::Served(TYPES)) => return Ok(()),
        (Match::Served(name), _) => name,
        (Match::Unserved(_), _) => return Err(other_version(import, &HOST.to_string())),
        (_, Match::Unserved(_)) => return Err(other_version(import, &DRIVER.to_string())),
        (Match::Other, _) => return Err(unknown(import)),
    };
    let grant = Grant::from_str(name).map_err(|_unknown| unknown(import))?;
    if grants.allows(grant) {
        return Ok(());
    }
    let list = grants.iter().chain([grant]);
    let list: Vec<_> = list.map(|grant| format!("\"{grant}\"")).collect();
    Err(Error::rejected(
        format!("it imports `{import}`, which is not granted"),
        format!(
            "add `{grant}` in the configuration, under `[drivers.NAME]`: grants = [{}]",
            list.join(", ")
        ),
    ))
}

fn unknown(import: &str) -> Error {
    Error::rejected(
        format!("it imports `{import}`, which this host does not have"),
        match import.starts_with("wasi:http/") {
            true => NO_HTTP.to_owned(),
            false => format!(
                "it can import the interfaces of `{HOST}`, and those of WASI 0.2 but for `wasi:http`"
            ),
        },
    )
}

/// What would help where a tool imports a network client that the driver never uses.
const NO_HTTP: &str =
    "build it without: `componentize-js` and `jco componentize` have `--disable http fetch-event`";

fn other_version(import: &str, own: &str) -> Error {
    Error::rejected(
        format!("it imports `{import}`, and this host has `{own}`, which does not stand for that"),
        OTHER_VERSION,
    )
}

/// Links a component, so that an instance of it can be made without any look-up.
pub(super) fn link(
    engine: &Engine,
    component: &Component,
    grants: &Grants,
) -> Result<DriverPre<State>, Error> {
    let mut linker = Linker::<State>::new(engine);
    add(&mut linker, grants).map_err(|error| Error::runtime("link", format!("{error:#}")))?;
    let remedy = "build it against the `wit` directory of this release";
    let instance = linker
        .instantiate_pre(component)
        .map_err(|error| Error::rejected(format!("it cannot be linked: {error:#}"), remedy))?;
    DriverPre::new(instance)
        .map_err(|error| Error::rejected(format!("its exports do not fit: {error:#}"), remedy))
}

fn add(linker: &mut Linker<State>, grants: &Grants) -> wasmtime::Result<()> {
    crate::capability::link_wasi(linker)?;
    host::types::add_to_linker::<State, Passing>(linker, boundary::of)?;
    grants.iter().try_for_each(|grant| grant.link(linker))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_grant_to_add() {
        let imports = [
            "wasi:io/streams@0.2.6",
            "mica:host/types@0.1.0",
            "mica:host/mounts@0.1.0",
        ]
        .map(String::from);
        let error = check_grants(&imports, &[Grant::Log].into_iter().collect()).unwrap_err();
        let Error::Rejected { reason, remedy } = error else {
            panic!("{error}")
        };
        assert!(reason.contains("mica:host/mounts@0.1.0"), "{reason}");
        assert!(
            remedy.contains("grants = [\"log\", \"mounts\"]"),
            "{remedy}"
        );
        check_grants(&imports, &Grants::standard()).unwrap();
    }

    #[test]
    fn an_unknown_import_is_named() {
        for import in [
            "mica:host/network@0.1.0",
            "mica:driver/proto-driver@0.1.0",
            "other:host/home@0.1.0",
            "wasi:http/types@0.2.10",
            "wasi:cli/environment@0.3.0",
        ] {
            let error = check_grants(&[import.to_owned()], &Grants::standard()).unwrap_err();
            let text = error.to_string();
            assert!(
                text.contains(import) && text.contains("does not have"),
                "{text}"
            );
        }
    }

    #[test]
    fn another_version_is_named_with_the_one_that_is_here() {
        for (import, own) in [
            ("mica:host/home@0.1.1", "mica:host@0.1.0"),
            ("mica:host/types@0.2.0", "mica:host@0.1.0"),
            ("mica:driver/types@0.1.1", "mica:driver@0.1.0"),
        ] {
            let error = check_grants(&[import.to_owned()], &Grants::standard()).unwrap_err();
            let text = error.to_string();
            assert!(text.contains(import) && text.contains(own), "{text}");
        }
    }
}
