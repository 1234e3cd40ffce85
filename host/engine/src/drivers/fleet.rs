//! The file of grants for a fleet: what operators say of drivers on many machines, apart from the configuration of each.
//!
//! Invariant: read when a driver is loaded, so that a new file counts for the next load; a file that cannot be read grants nothing.

use crate::disk::files;
use crate::{Error, Result};
use mica_runtime::{Grant, Granted, Rights, SafeText};
use mica_sys::filesystem;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;

/// Bytes of such a file.
const MOST_BYTES: u64 = 4 << 20;

/// The file: `[[driver]]` for each.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fleet {
    #[serde(default)]
    driver: Vec<Entry>,
}

/// What is said of a driver, or of one component of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    #[serde(default)]
    digest: Option<String>,
    #[serde(default)]
    grants: Option<BTreeSet<Grant>>,
    #[serde(default)]
    mounts: Option<Vec<String>>,
    #[serde(default)]
    xattrs: Option<Vec<String>>,
    #[serde(default)]
    device_nodes: Option<bool>,
    #[serde(default)]
    audit: bool,
}

/// What the file says of a component of a driver: an entry with its digest counts before one without. Of a directory it is the file
/// `NAME.toml`, and one that is not there says nothing.
///
/// # Errors
/// [`Error::Invalid`] with the file's name.
pub(super) fn find(path: &Path, name: &str, digest: &str) -> Result<Option<Granted>> {
    let is_directory = path.is_dir();
    // A component that is only looked at may call itself anything, and a name with a `/` would lead out of the directory.
    if is_directory && name.contains('/') {
        return Ok(None);
    }
    let path = match is_directory {
        true => path.join(format!("{name}.toml")),
        false => path.to_owned(),
    };
    let wrong = |what: String| {
        let what = SafeText::line(&what);
        Error::Invalid(format!("file of grants `{}`: {what}", path.display()))
    };
    // A pipe or a device of that name is not waited for.
    let bytes = filesystem::open_file(&path).and_then(|file| files::read_bounded(file, MOST_BYTES));
    let bytes = match bytes {
        Err(error) if is_directory && error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|error| wrong(error.to_string()))?,
    };
    let text = String::from_utf8(bytes).map_err(|error| wrong(error.to_string()))?;
    let fleet: Fleet = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let of_driver = || fleet.driver.iter().filter(|entry| entry.name == name);
    let of_component = of_driver().find(|entry| entry.digest.as_deref() == Some(digest));
    let found = of_component.or_else(|| of_driver().find(|entry| entry.digest.is_none()));
    let granted = |entry: &Entry| {
        let rights = Rights::of(
            entry.mounts.as_deref(),
            entry.xattrs.as_deref(),
            entry.device_nodes,
        );
        Ok(Granted {
            interfaces: entry.grants.clone(),
            rights: rights.map_err(|error| wrong(error.to_string()))?,
            audit: entry.audit,
        })
    };
    found.map(granted).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mica_runtime::Right;
    use std::fs;

    const TEXT: &str = r#"
        [[driver]]
        name = "a"
        grants = ["log"]
        [[driver]]
        name = "a"
        digest = "sha256:00"
        mounts = ["bind"]
        audit = true
    "#;

    #[test]
    fn a_component_that_is_named_counts_before_its_driver() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("grants.toml");
        fs::write(&path, TEXT).unwrap();
        let any = find(&path, "a", "sha256:11").unwrap().unwrap();
        assert!(any.interfaces.is_some() && !any.audit);
        let one = find(&path, "a", "sha256:00").unwrap().unwrap();
        assert!(one.audit && one.interfaces.is_none() && !one.rights.has(Right::MountOverlay));
        assert_eq!(find(&path, "b", "sha256:00").unwrap(), None);
        fs::rename(&path, place.path().join("a.toml")).unwrap();
        assert!(find(place.path(), "a", "").unwrap().is_some());
        assert_eq!(find(place.path(), "b", "").unwrap(), None);
        // What lies elsewhere is not even read.
        let inner = tempfile::tempdir_in(place.path()).unwrap();
        fs::write(place.path().join("c.toml"), "[[").unwrap();
        assert_eq!(find(inner.path(), "../c", "").unwrap(), None);
    }

    #[test]
    fn a_file_that_cannot_be_read_grants_nothing_and_is_named() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("grants.toml");
        for (text, named) in [
            (None, "No such file"),
            (
                Some("[[driver]]\nname = 'a'\ngrants = ['network']"),
                "network",
            ),
            (Some("[[driver]]\nname = 'a'\nmounts = ['loop']"), "loop"),
            (Some("[[driver]]\nname = 'a'\ncolour = 'red'"), "colour"),
            (Some("[["), "grants.toml"),
        ] {
            if let Some(text) = text {
                fs::write(&path, text).unwrap();
            }
            let error = find(&path, "a", "").unwrap_err().to_string();
            assert!(
                error.contains("grants.toml") && error.contains(named),
                "{error}"
            );
        }
    }
}
