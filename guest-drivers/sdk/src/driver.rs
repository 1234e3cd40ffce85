//! The traits that a driver implements.
//!
//! Invariant: a default method does what the host's records already know, and nothing else.

use crate::bindings::diff::exports::mica::driver::diff_driver::{
    ApplyReport, ArchiveForm, DiffReport,
};
use crate::host::mounts::{Access, Mount};
use crate::host::{home, streams};
use crate::{CreateOptions, Description, Doing as _, Error, Result};

/// Docker's ProtoDriver. The functions mean what `proto-driver.wit` says of them.
pub trait Driver {
    /// Says what the driver is.
    fn describe() -> Description;

    /// Checks that the driver can work here. The default knows no options and works everywhere.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an option that the driver does not describe.
    fn init(options: &[(String, String)]) -> Result<()> {
        known_options(&Self::describe().options, options)
    }

    /// Creates a layer: stage, fill, publish.
    ///
    /// # Errors
    /// Whatever goes wrong; so for all functions.
    fn create(id: &str, parent: Option<&str>, options: &CreateOptions) -> Result<()>;

    /// Creates the writable layer of a container; by default as any other.
    ///
    /// # Errors
    /// See [`Driver::create`].
    fn create_read_write(id: &str, parent: Option<&str>, options: &CreateOptions) -> Result<()> {
        Self::create(id, parent, options)
    }

    /// Removes a layer.
    ///
    /// # Errors
    /// See [`Driver::create`].
    fn remove(id: &str) -> Result<()> {
        home::discard(id).doing(|| format!("remove layer `{id}`"))
    }

    /// Makes the view of a layer.
    ///
    /// # Errors
    /// See [`Driver::create`].
    fn get(id: &str, access: Access, label: Option<&str>) -> Result<Mount>;

    /// Told after a view is gone.
    ///
    /// # Errors
    /// See [`Driver::create`].
    fn put(id: &str) -> Result<()> {
        let _ = id;
        Ok(())
    }

    /// Says whether a layer exists.
    ///
    /// # Errors
    /// See [`Driver::create`].
    fn exists(id: &str) -> Result<bool> {
        home::exists(id).doing(|| format!("look for layer `{id}`"))
    }

    /// Describes the driver's state, for people.
    ///
    /// # Errors
    /// See [`Driver::create`].
    fn status() -> Result<Vec<(String, String)>> {
        Ok(Vec::new())
    }

    /// Describes a layer; values of keys that end in `Dir` are paths within the layer's room.
    ///
    /// # Errors
    /// See [`Driver::create`].
    fn metadata(id: &str) -> Result<Vec<(String, String)>> {
        let _ = id;
        Ok(Vec::new())
    }

    /// Told when the store is closed.
    ///
    /// # Errors
    /// See [`Driver::create`].
    fn cleanup() -> Result<()> {
        Ok(())
    }
}

/// The diffs of Docker's Driver. The functions mean what `diff-driver.wit` says of them.
pub trait DiffDriver {
    /// Writes a difference as an archive.
    ///
    /// # Errors
    /// Whatever goes wrong; so for all functions.
    fn diff(
        id: &str,
        parent: Option<&str>,
        form: ArchiveForm,
        sink: &streams::Sink,
    ) -> Result<DiffReport>;

    /// Lists a difference.
    ///
    /// # Errors
    /// See [`DiffDriver::diff`].
    fn changes(id: &str, parent: Option<&str>, sink: &streams::ChangeSink) -> Result<()>;

    /// Reads an archive into a layer.
    ///
    /// # Errors
    /// See [`DiffDriver::diff`].
    fn apply_diff(id: &str, parent: Option<&str>, source: &streams::Source) -> Result<ApplyReport>;

    /// Sums a difference up.
    ///
    /// # Errors
    /// See [`DiffDriver::diff`].
    fn diff_size(id: &str, parent: Option<&str>) -> Result<u64>;
}

/// Refuses options that are not among those that a driver describes.
///
/// # Errors
/// [`Error::Invalid`], which names the option and those there are.
pub fn known_options(known: &[(String, String)], given: &[(String, String)]) -> Result<()> {
    let Some((key, _)) = given
        .iter()
        .find(|(key, _)| !known.iter().any(|(name, _)| name == key))
    else {
        return Ok(());
    };
    let names: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
    let there = if names.is_empty() {
        "there are none".to_owned()
    } else {
        format!("known are {}", names.join(", "))
    };
    Err(Error::Invalid(format!(
        "option `{key}` is not known; {there}"
    )))
}

/// The report of an archive that was written.
#[must_use]
pub fn diff_report(report: crate::diff::Report) -> DiffReport {
    let crate::diff::Report {
        entries,
        archive_bytes,
        sockets_skipped,
        ..
    } = report;
    DiffReport {
        entries,
        archive_bytes,
        sockets_skipped,
    }
}

/// The report of an archive that was applied.
#[must_use]
pub fn apply_report(report: &crate::apply::Report) -> ApplyReport {
    ApplyReport {
        size_bytes: report.size_bytes,
        entries: report.entries,
        xattrs_skipped: report.xattrs_skipped,
    }
}
