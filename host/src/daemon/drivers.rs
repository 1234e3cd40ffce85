//! Which drivers the engine gets at the start.
//!
//! Invariant: those of the program first, those of the drivers directory after them, so that a file overrides.

use super::Error;
use mica_engine::{DriverSource, EngineSettings, Grants, Origin, Selection, read_component};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Every driver that the program and the directory have, and what is wrong with files of the directory that are none.
pub(super) fn sources(
    directory: Option<&Path>,
    most: usize,
) -> Result<(Vec<DriverSource>, Vec<String>), Error> {
    let embedded = mica_artifacts::components().map(|(driver, bytes)| DriverSource {
        name: Some(driver.name.to_owned()),
        bytes: Cow::Borrowed(bytes),
        origin: Origin::Embedded,
        provenance: None,
    });
    let mut sources: Vec<_> = embedded.collect();
    let mut unreadable = Vec::new();
    for path in directory.map(components).transpose()?.unwrap_or_default() {
        // One file that is no component must not keep the others from being loaded, or the daemon from starting.
        let bytes = match read_component(&path, most) {
            Ok(bytes) => bytes,
            Err(error) => {
                unreadable.push(format!("`{}` is not loaded: {error}", path.display()));
                continue;
            }
        };
        sources.push(DriverSource {
            name: None,
            bytes: Cow::Owned(bytes),
            origin: Origin::Directory(path),
            provenance: None,
        });
    }
    Ok((sources, unreadable))
}

/// Settings with what the program's drivers may import and in which order they are tried.
pub(super) fn settled(settings: EngineSettings) -> EngineSettings {
    EngineSettings {
        usual_grants: usual_grants(),
        selection: Selection {
            order: order(),
            ..settings.selection
        },
        ..settings
    }
}

/// Drivers of the program that are tried in turn for a store that names none.
pub(crate) fn tried_drivers() -> Vec<String> {
    order().into_iter().map(|(_, name)| name).collect()
}

/// What drivers of the program get unless the configuration says otherwise, where it is more than the standard.
fn usual_grants() -> BTreeMap<String, Grants> {
    let more = mica_artifacts::DRIVERS
        .iter()
        .filter(|driver| !driver.grants.is_empty());
    more.map(|driver| {
        let grants = driver.grants.iter();
        let grants = grants.map(|grant| {
            grant
                .parse()
                .expect("the table names grants that there are")
        });
        let all = grants.fold(Grants::standard(), Grants::and);
        (driver.name.to_owned(), all)
    })
    .collect()
}

/// The order in which drivers of the program are tried for a store that names none: places with names.
fn order() -> Vec<(u32, String)> {
    let placed = mica_artifacts::DRIVERS.iter();
    let mut order: Vec<_> = placed
        .filter_map(|driver| Some((driver.place?, driver.name.to_owned())))
        .collect();
    order.sort();
    order
}

/// The `*.wasm` of a directory, by name.
fn components(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |error| Error::path("read the drivers directory", directory, error);
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "wasm")
        {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mica_engine::Grant;

    #[test]
    fn files_come_by_name_after_what_is_embedded() {
        let place = tempfile::tempdir().unwrap();
        for name in ["b.wasm", "a.wasm", "README"] {
            std::fs::write(place.path().join(name), name).unwrap();
        }
        let (sources, unreadable) = sources(Some(place.path()), 100).unwrap();
        assert!(unreadable.is_empty());
        let (embedded, files) = sources.split_at(mica_artifacts::DRIVERS.len());
        assert!(
            embedded
                .iter()
                .all(|source| source.origin == Origin::Embedded)
        );
        let files: Vec<_> = files.iter().map(|source| source.bytes.to_vec()).collect();
        assert_eq!(files, [b"a.wasm", b"b.wasm"]);
    }

    #[test]
    fn what_is_no_file_or_too_large_keeps_no_other_from_being_read() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        let made = std::process::Command::new("mkfifo")
            .arg(at("a.wasm"))
            .status();
        assert!(made.unwrap().success());
        std::fs::create_dir(at("b.wasm")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", at("c.wasm")).unwrap();
        std::os::unix::fs::symlink("nowhere", at("d.wasm")).unwrap();
        std::fs::write(at("e.wasm"), [0; 101]).unwrap();
        std::fs::write(at("real"), [1; 100]).unwrap();
        std::os::unix::fs::symlink("real", at("f.wasm")).unwrap();
        let (sources, unreadable) = sources(Some(place.path()), 100).unwrap();
        for (told, name) in unreadable
            .iter()
            .zip(["a.wasm", "b.wasm", "c.wasm", "d.wasm", "e.wasm"])
        {
            assert!(told.contains(name), "{told}");
        }
        assert_eq!(unreadable.len(), 5);
        let found: Vec<_> = sources.iter().skip(mica_artifacts::DRIVERS.len()).collect();
        assert_eq!(found.len(), 1, "only what the last link leads to");
        assert_eq!(found[0].origin, Origin::Directory(at("f.wasm")));
    }

    #[test]
    fn the_table_of_drivers_names_grants_that_there_are_and_each_place_once() {
        let usual = usual_grants();
        for driver in mica_artifacts::DRIVERS {
            let grants = usual.get(driver.name).cloned().unwrap_or_default();
            for name in driver.grants {
                let grant = name.parse().unwrap();
                assert!(!Grants::standard().allows(grant), "`{name}` is standard");
                assert!(grants.allows(grant), "{}: {name}", driver.name);
            }
            let more = grants.iter().count() - Grants::standard().iter().count();
            assert_eq!(more, driver.grants.len(), "{}", driver.name);
        }
        assert!(usual["btrfs"].allows(Grant::Btrfs) && !usual["btrfs"].allows(Grant::Images));
        let order = order();
        assert!(order.is_sorted_by(|a, b| a.0 < b.0), "{order:?}");
        let names: Vec<_> = order.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["btrfs", "overlay", "vfs"]);
    }

    #[test]
    fn a_directory_that_is_missing_is_named() {
        let error = sources(Some(Path::new("/nonexistent/drivers")), 100).unwrap_err();
        assert!(
            error.to_string().contains("/nonexistent/drivers"),
            "{error}"
        );
    }
}
