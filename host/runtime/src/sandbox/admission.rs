//! What a component must be before anything is compiled.
//!
//! Invariant: reads the bytes and nothing else; a refusal says what was found and what would be right.

use super::generation::World;
use crate::contract::{DRIVER, Match, OTHER_VERSION};
use crate::manifest::{BadManifest, Manifest, Sections};
use crate::{Error, Limits, SafeText};
use serde::{Deserialize, Serialize};
use wasmparser::{Encoding, Instance, Parser, Payload};
use wasmtime::Engine;

/// What a driver must export.
const PROTO: &str = "proto-driver";
/// What a driver with diffs of its own exports as well.
const DIFF: &str = "diff-driver";

/// What the bytes say of a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ComponentFacts {
    pub(super) world: World,
    /// The full name under which it exports `proto-driver`.
    pub(super) proto: String,
    /// Interfaces it imports, in its own order.
    pub(super) imports: Vec<String>,
    /// What an instance of it takes of the pool.
    pub(super) places: Places,
    /// What its author says of it.
    pub(super) manifest: Option<Box<Manifest>>,
}

/// What one instance of a component takes of the pool. Where a component is instantiated more than once within itself, which
/// no tool does, it is more; the pool refuses that one after it was compiled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Places {
    /// Core instances.
    pub(super) instances: u32,
    /// Memories.
    pub(super) memories: u32,
    /// Tables.
    pub(super) tables: u32,
}

impl Places {
    /// What this and another component take together.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            instances: self.instances.saturating_add(other.instances),
            memories: self.memories.saturating_add(other.memories),
            tables: self.tables.saturating_add(other.tables),
        }
    }

    /// Each with its limit.
    pub(super) fn all(self, limits: &Limits) -> [Place; 3] {
        let place = |has, most, what, setting| Place {
            has,
            most,
            what,
            setting,
        };
        [
            place(
                self.instances,
                limits.component_instances,
                "core instances",
                "component_instances",
            ),
            place(
                self.memories,
                limits.component_memories,
                "memories",
                "component_memories",
            ),
            place(
                self.tables,
                limits.component_tables,
                "tables",
                "component_tables",
            ),
        ]
    }
}

/// One kind of place in the pool.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// What an instance of the component takes.
    pub(super) has: u32,
    /// What it may take.
    pub(super) most: u32,
    what: &'static str,
    /// The name of the limit.
    pub(super) setting: &'static str,
}

impl Place {
    /// Refuses what the pool has no room for.
    pub(super) fn check(self) -> Result<(), Error> {
        let Self {
            has,
            most,
            what,
            setting,
        } = self;
        if has <= most {
            return Ok(());
        }
        Err(Error::rejected(
            format!(
                "it has {has} {what}, with those of naive-diff if it has no diffs of its own; {most} are allowed"
            ),
            format!("link it of fewer modules, or raise `{setting}`"),
        ))
    }
}

/// Refuses a component by its size alone.
pub(super) fn check_size(bytes: &[u8], limits: &Limits) -> Result<(), Error> {
    let (has, most) = (bytes.len(), limits.component_bytes);
    if has <= most {
        return Ok(());
    }
    Err(Error::rejected(
        format!("it has {has} bytes; {most} are allowed"),
        "build it with `--release` and strip it, or raise `component_bytes`",
    ))
}

/// Checks size and shape, and reads imports and exports.
pub(super) fn check(bytes: &[u8], limits: &Limits) -> Result<ComponentFacts, Error> {
    check_size(bytes, limits)?;
    if Engine::detect_precompiled(bytes).is_some() {
        return Err(Error::rejected(
            "it is machine code that was compiled elsewhere",
            "give the `.wasm` component itself: code is compiled here only",
        ));
    }
    shape(bytes, limits)?.facts()
}

/// What one instance of any component takes of the pool.
pub(super) fn places(bytes: &[u8], limits: &Limits) -> Result<Places, Error> {
    Ok(shape(bytes, limits)?.places)
}

fn shape(bytes: &[u8], limits: &Limits) -> Result<Shape, Error> {
    let mut shape = Shape::default();
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(|error| {
            Error::rejected(format!("it is no WebAssembly component: {error}"), BUILD)
        })?;
        shape.read(payload, limits)?;
    }
    Ok(shape)
}

fn bad_manifest(error: BadManifest) -> Error {
    Error::rejected(
        format!("its manifest cannot be taken: {error}"),
        "`mica driver manifest add` writes one that can",
    )
}

const BUILD: &str = "build it with `cargo build --release --target wasm32-wasip2`";

/// Exports that a refusal names.
const SHOWN_EXPORTS: usize = 8;

/// Takes a name down.
fn note(names: &mut Vec<String>, name: &str, limits: &Limits) -> Result<(), Error> {
    if names.len() >= limits.component_names {
        let most = limits.component_names;
        return Err(Error::rejected(
            format!("it imports or exports more than {most} names"),
            "leave out what it does not use, or raise `component_names`",
        ));
    }
    if name.len() > NAME_BYTES {
        return Err(Error::rejected(
            format!(
                "a name that it imports or exports has {} bytes; {NAME_BYTES} are allowed",
                name.len()
            ),
            BUILD,
        ));
    }
    names.push(name.to_owned());
    Ok(())
}

/// Bytes of a name; those of WASI have fifty.
const NAME_BYTES: usize = 256;

#[derive(Default)]
struct Shape {
    /// How many components and modules are open around what is read.
    depth: u32,
    component: bool,
    functions: u32,
    places: Places,
    imports: Vec<String>,
    exports: Vec<String>,
    manifest: Sections,
}

impl Shape {
    fn read(&mut self, payload: Payload<'_>, limits: &Limits) -> Result<(), Error> {
        let malformed = |error| Error::rejected(format!("it is damaged: {error}"), BUILD);
        match payload {
            Payload::Version { encoding, .. } => {
                if self.depth == 0 {
                    self.component = encoding == Encoding::Component;
                }
                self.depth += 1;
            }
            Payload::End(_) => self.depth = self.depth.saturating_sub(1),
            Payload::CodeSectionEntry(body) => {
                self.count_function(body.as_bytes().len(), limits)?
            }
            Payload::CustomSection(section) => {
                let noted = self
                    .manifest
                    .note(self.depth, section.name(), section.data());
                noted.map_err(bad_manifest)?;
            }
            Payload::InstanceSection(section) => {
                for instance in section {
                    // Another kind names what is there already.
                    if let Instance::Instantiate { .. } = instance.map_err(malformed)? {
                        self.places.instances = self.places.instances.saturating_add(1);
                    }
                }
            }
            Payload::MemorySection(section) => {
                self.places.memories = self.places.memories.saturating_add(section.count());
            }
            Payload::TableSection(section) => {
                self.places.tables = self.places.tables.saturating_add(section.count());
            }
            Payload::ComponentImportSection(section) if self.depth == 1 => {
                for import in section {
                    let name = import.map_err(malformed)?.name.name;
                    note(&mut self.imports, name, limits)?;
                }
            }
            Payload::ComponentExportSection(section) if self.depth == 1 => {
                for export in section {
                    let name = export.map_err(malformed)?.name.name;
                    note(&mut self.exports, name, limits)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn count_function(&mut self, bytes: usize, limits: &Limits) -> Result<(), Error> {
        self.functions += 1;
        if self.functions > limits.component_functions {
            let reason = format!("it has more than {} functions", limits.component_functions);
            return Err(Error::rejected(
                reason,
                "leave out what it does not use, or raise `component_functions`",
            ));
        }
        if bytes > limits.function_bytes {
            let reason = format!(
                "a function of it has {bytes} bytes; {} are allowed",
                limits.function_bytes
            );
            return Err(Error::rejected(
                reason,
                "split the function, or raise `function_bytes`",
            ));
        }
        Ok(())
    }

    fn facts(self) -> Result<ComponentFacts, Error> {
        if !self.component {
            return Err(Error::rejected(
                "it is a core module, not a component",
                BUILD,
            ));
        }
        let exported = |name| {
            let mut exports = self.exports.iter();
            exports.find(|export| DRIVER.look(export) == Match::Served(name))
        };
        let Some(proto) = exported(PROTO).cloned() else {
            return Err(self.wrong_world());
        };
        let facts = ComponentFacts {
            world: match exported(DIFF) {
                Some(_) => World::Full,
                None => World::Proto,
            },
            proto,
            manifest: self
                .manifest
                .manifest()
                .map_err(bad_manifest)?
                .map(Box::new),
            imports: self.imports,
            places: self.places,
        };
        if let Some(manifest) = &facts.manifest {
            let used = facts.imports.iter().chain([&facts.proto]);
            manifest.check_contract(used).map_err(bad_manifest)?;
        }
        Ok(facts)
    }

    fn wrong_world(&self) -> Error {
        let is_near = |name: &str| DRIVER.look(name) != Match::Other;
        let near = self.exports.iter().any(|name| is_near(name));
        let shown = self
            .exports
            .iter()
            .filter(|name| !near || is_near(name))
            .take(SHOWN_EXPORTS)
            .map(|name| SafeText::label(name).to_string());
        let shown = shown.collect::<Vec<_>>().join(", ");
        let found = if shown.is_empty() {
            "nothing".to_owned()
        } else {
            format!("`{shown}`")
        };
        Error::rejected(
            format!("it exports {found}, not `{}`", DRIVER.interface(PROTO)),
            match near {
                true => OTHER_VERSION.to_owned(),
                false => format!("implement the world `proto` or `full` of `{DRIVER}`"),
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(bytes: &[u8]) -> String {
        check(bytes, &Limits::default()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_driver_is_refused_by_what_it_is() {
        assert!(reason(b"#!/bin/sh\n").contains("no WebAssembly component"));
        assert!(reason(b"").contains("no WebAssembly component"));
        assert!(reason(b"\0asm\x01\0\0\0").contains("core module"));
        assert!(reason(b"\0asm\x0d\0\x01\0").contains("exports nothing"));
        assert!(reason(&vec![0; (32 << 20) + 1]).contains("33554433 bytes"));
    }

    #[test]
    fn the_drivers_that_ship_are_admitted_with_diffs_of_their_own() {
        for (driver, bytes) in mica_artifacts::components() {
            let facts = check(bytes, &Limits::default()).unwrap();
            assert_eq!(facts.world, World::Full, "{}", driver.name);
        }
    }
}
