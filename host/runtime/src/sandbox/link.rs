//! The linker is the permission system: what was granted is linked, and nothing else.
//!
//! Invariant: the only place that adds a host function to a linker.

use crate::bindings::FullPre;
use crate::bindings::mica::host;
use crate::capability::State;
use crate::{Error, Grant, Grants};
use std::str::FromStr;
use wasmtime::Engine;
use wasmtime::component::{Component, HasSelf, Linker};

/// What every import of the contract begins with.
const HOST: &str = "mica:host/";
const VERSION: &str = "@0.1.0";
/// Interfaces with types only, which need no grant.
const TYPES: [&str; 2] = ["mica:host/types@0.1.0", "mica:driver/types@0.1.0"];

/// Refuses a component that imports what was not granted or does not exist, before it costs any time.
pub(super) fn check_grants(imports: &[String], grants: &Grants) -> Result<(), Error> {
    for import in imports {
        if import.starts_with("wasi:") || TYPES.contains(&import.as_str()) {
            continue;
        }
        let name = import
            .strip_prefix(HOST)
            .and_then(|rest| rest.strip_suffix(VERSION));
        let Some(grant) = name.and_then(|name| Grant::from_str(name).ok()) else {
            return Err(Error::rejected(
                format!("it imports `{import}`, which this host does not have"),
                format!("it can import the interfaces of `mica:host{VERSION}` and WASI 0.2"),
            ));
        };
        if !grants.allows(grant) {
            let list: Vec<_> = grants.iter().map(|grant| format!("\"{grant}\"")).collect();
            let more = list
                .into_iter()
                .chain([format!("\"{grant}\"")])
                .collect::<Vec<_>>()
                .join(", ");
            return Err(Error::rejected(
                format!("it imports `{import}`, which is not granted"),
                format!(
                    "add `{grant}` in the configuration, under `[drivers.NAME]`: grants = [{more}]"
                ),
            ));
        }
    }
    Ok(())
}

/// Links a component, so that an instance of it can be made without any look-up.
pub(super) fn link(
    engine: &Engine,
    component: &Component,
    grants: &Grants,
) -> Result<FullPre<State>, Error> {
    let mut linker = Linker::<State>::new(engine);
    add(&mut linker, grants).map_err(|error| Error::runtime("link", format!("{error:#}")))?;
    let remedy = "build it against the `wit` directory of this release";
    let instance = linker
        .instantiate_pre(component)
        .map_err(|error| Error::rejected(format!("it cannot be linked: {error:#}"), remedy))?;
    FullPre::new(instance)
        .map_err(|error| Error::rejected(format!("its exports do not fit: {error:#}"), remedy))
}

fn add(linker: &mut Linker<State>, grants: &Grants) -> wasmtime::Result<()> {
    type Own = HasSelf<State>;
    crate::capability::link_wasi(linker)?;
    host::types::add_to_linker::<State, Own>(linker, |state| state)?;
    for grant in grants.iter() {
        match grant {
            Grant::Directory => {
                host::directory::add_to_linker::<State, Own>(linker, |state| state)?
            }
            Grant::Streams => host::streams::add_to_linker::<State, Own>(linker, |state| state)?,
            Grant::Mounts => host::mounts::add_to_linker::<State, Own>(linker, |state| state)?,
            Grant::Home => host::home::add_to_linker::<State, Own>(linker, |state| state)?,
            Grant::Filesystem => {
                host::filesystem::add_to_linker::<State, Own>(linker, |state| state)?
            }
            Grant::Btrfs => host::btrfs::add_to_linker::<State, Own>(linker, |state| state)?,
            Grant::Images => host::images::add_to_linker::<State, Own>(linker, |state| state)?,
            Grant::Log => host::log::add_to_linker::<State, Own>(linker, |state| state)?,
            Grant::Config => host::config::add_to_linker::<State, Own>(linker, |state| state)?,
        }
    }
    Ok(())
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
        let imports = ["mica:host/network@0.1.0".to_owned()];
        let error = check_grants(&imports, &Grants::standard()).unwrap_err();
        assert!(error.to_string().contains("mica:host/network@0.1.0"));
    }
}
