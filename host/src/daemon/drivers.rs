//! Which drivers the engine gets at the start.
//!
//! Invariant: those of the program first, those of the drivers directory after them, so that a file overrides.

use super::Error;
use mica_engine::{DriverSource, Grants, Origin};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Every driver that the program and the directory have.
pub(super) fn sources(directory: Option<&Path>) -> Result<Vec<DriverSource>, Error> {
    let embedded = mica_artifacts::DRIVERS
        .iter()
        .map(|(name, bytes)| DriverSource {
            name: Some((*name).to_owned()),
            bytes: Cow::Borrowed(*bytes),
            origin: Origin::Embedded,
        });
    let mut sources: Vec<_> = embedded.collect();
    for path in directory.map(components).transpose()?.unwrap_or_default() {
        let bytes =
            std::fs::read(&path).map_err(|error| Error::path("read the driver", &path, error))?;
        sources.push(DriverSource {
            name: None,
            bytes: Cow::Owned(bytes),
            origin: Origin::Directory(path),
        });
    }
    Ok(sources)
}

/// What drivers of the program get unless the configuration says otherwise, where it is more than the standard.
pub(super) fn usual_grants() -> BTreeMap<String, Grants> {
    let more = |(name, grants): &(&str, &[&str])| {
        let more = grants.iter().filter_map(|grant| grant.parse().ok());
        (
            (*name).to_owned(),
            more.fold(Grants::standard(), Grants::and),
        )
    };
    mica_artifacts::GRANTS.iter().map(more).collect()
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
        let sources = sources(Some(place.path())).unwrap();
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
    fn only_btrfs_has_more_than_the_standard_grants() {
        let usual = usual_grants();
        assert_eq!(usual.keys().collect::<Vec<_>>(), ["btrfs"]);
        assert_eq!(usual["btrfs"], Grants::standard().and(Grant::Btrfs));
        assert!(!Grants::standard().allows(Grant::Btrfs));
    }

    #[test]
    fn a_directory_that_is_missing_is_named() {
        let error = sources(Some(Path::new("/nonexistent/drivers"))).unwrap_err();
        assert!(
            error.to_string().contains("/nonexistent/drivers"),
            "{error}"
        );
    }
}
