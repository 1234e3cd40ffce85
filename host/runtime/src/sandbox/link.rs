//! The linker is the permission system: what was granted is linked, and nothing else.
//!
//! Invariant: the only place that makes a linker.

use crate::bindings::DriverPre;
use crate::bindings::mica::host;
use crate::capability::boundary::{self, Passing};
use crate::capability::{State, is_wasi_linked};
use crate::contract::{DRIVER, HOST, Match, OTHER_VERSION};
use crate::manifest::Manifest;
use crate::{Error, Grant, Grants};
use std::str::FromStr;
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

/// The interface of either package that has types only, and needs no grant.
const TYPES: &str = "types";

/// Refuses a component that imports what was not granted, what it does not ask for, or what does not exist, before it costs any
/// time.
pub(super) fn check_grants(
    imports: &[String],
    manifest: Option<&Manifest>,
    grants: &Grants,
) -> Result<(), Error> {
    let looked_at = || imports.iter().filter(|import| !is_wasi_linked(import));
    looked_at().try_for_each(|import| check_import(import, grants))?;
    looked_at().try_for_each(|import| check_asked(import, manifest))
}

/// The interface of `mica:host` that has this full name, if it needs a grant.
pub(crate) fn grant_of(import: &str) -> Option<Grant> {
    match HOST.look(import) {
        Match::Served(name) => name.parse().ok(),
        Match::Unserved(_) | Match::Other => None,
    }
}

/// Refuses an import that the component's own manifest does not ask for: nobody has been told of it.
fn check_asked(import: &str, manifest: Option<&Manifest>) -> Result<(), Error> {
    match (grant_of(import), manifest) {
        (Some(grant), Some(manifest)) if !manifest.asks(grant) => Err(Error::rejected(
            format!("it imports `{import}`, which its manifest does not ask for"),
            format!("give the reason in the manifest, as `{grant}` of its `capabilities`"),
        )),
        _ => Ok(()),
    }
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
    if grants.allows(grant) || grants.is_audited() {
        return Ok(());
    }
    Err(Error::NotGranted {
        reason: format!("it imports `{import}`, which is not granted").into(),
        remedy: format!(
            "approve it with `--grant {grant}`, or add it in the configuration, under `[drivers.NAME]`: {}",
            line_for(grant, grants)
        )
        .into(),
    })
}

/// The line of a configuration that grants an interface beside those that are granted.
pub(crate) fn line_for(grant: Grant, grants: &Grants) -> String {
    let list = grants.iter().chain([grant]);
    let list: Vec<_> = list.map(|grant| format!("\"{grant}\"")).collect();
    format!("grants = [{}]", list.join(", "))
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
            "mica:host/types@1.0.0",
            "mica:host/mounts@1.0.0",
        ]
        .map(String::from);
        let error = check_grants(&imports, None, &[Grant::Log].into_iter().collect()).unwrap_err();
        let Error::NotGranted { reason, remedy } = error else {
            panic!("{error}")
        };
        assert!(reason.contains("mica:host/mounts@1.0.0"), "{reason}");
        assert!(
            remedy.contains("grants = [\"log\", \"mounts\"]"),
            "{remedy}"
        );
        check_grants(&imports, None, &Grants::standard()).unwrap();
    }

    #[test]
    fn an_unknown_import_is_named() {
        for import in [
            "mica:host/network@1.0.0",
            "mica:driver/proto-driver@1.0.0",
            "other:host/home@0.1.0",
            "wasi:http/types@0.2.10",
            "wasi:cli/environment@0.3.0",
        ] {
            let error = check_grants(&[import.to_owned()], None, &Grants::standard()).unwrap_err();
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
            ("mica:host/home@1.0.1", "mica:host@1.0.0"),
            ("mica:host/types@2.0.0", "mica:host@1.0.0"),
            ("mica:driver/types@1.1.0", "mica:driver@1.0.0"),
        ] {
            let error = check_grants(&[import.to_owned()], None, &Grants::standard()).unwrap_err();
            let text = error.to_string();
            assert!(text.contains(import) && text.contains(own), "{text}");
        }
    }
}
