//! The traits that a driver implements.
//!
//! Invariant: a default method does what the host's records already know, and nothing else.

use crate::bindings::diff::exports::mica::driver::diff_driver::{
    ApplyReport, ArchiveForm, DiffReport,
};
use crate::host::mounts::{Access, Mount};
use crate::host::{home, streams};
use crate::{CreateOptions, Description, Doing as _, Error, Result};
use std::collections::BTreeSet;

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

    /// Describes a layer, for people. Where it lies the host tells.
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
    fn apply_diff(
        id: &str,
        parent: Option<&str>,
        form: ArchiveForm,
        source: &streams::Source,
    ) -> Result<ApplyReport>;

    /// Sums a difference up.
    ///
    /// # Errors
    /// See [`DiffDriver::diff`].
    fn diff_size(id: &str, parent: Option<&str>) -> Result<u64>;
}

/// Refuses options that are not among those that a driver knows, and one that is given twice.
///
/// # Errors
/// [`Error::Invalid`], which names the option and those there are.
pub fn known_options(known: &[(String, String)], given: &[(String, String)]) -> Result<()> {
    let mut seen = BTreeSet::new();
    if let Some((key, _)) = given.iter().find(|(key, _)| !seen.insert(key)) {
        let shown = crate::error::printable(key.as_bytes());
        return Err(Error::Invalid(format!("option `{shown}` is given twice")));
    }
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

/// Reads a size as Docker's `storage-opt` has it: digits, a fraction if it must be, and a unit of 1024s with any case
/// (`10G`, `1.5gib`, `512MB`), bytes without one; more than 0 and less than 8 EiB. `key` names the option.
///
/// # Errors
/// [`Error::Invalid`], which names the option, its value and what would be right.
pub fn parse_size(key: &str, text: &str) -> Result<u64> {
    size(text).filter(|bytes| *bytes > 0).ok_or_else(|| {
        let shown = crate::error::printable(text.as_bytes());
        Error::Invalid(format!(
            "option `{key}`: `{shown}` is no size; give a number above 0 with a unit, such as `10G` or `512M`"
        ))
    })
}

fn size(text: &str) -> Option<u64> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.');
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let power = match unit.as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        "p" | "pb" | "pib" => 5,
        _ => return None,
    };
    let factor = 1_u128 << (10 * power);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    // More digits than these mean nothing, and would overflow.
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) || whole.len() > 19 || fraction.len() > 9 {
        return None;
    }
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let parts = fraction.parse::<u128>().ok()?.checked_mul(factor)? / scale;
    let bytes = whole
        .parse::<u128>()
        .ok()?
        .checked_mul(factor)?
        .checked_add(parts)?;
    u64::try_from(bytes)
        .ok()
        .filter(|bytes| i64::try_from(*bytes).is_ok())
}

/// The report of an archive that was written.
#[must_use]
pub fn diff_report(report: crate::diff::Report) -> DiffReport {
    DiffReport {
        entries: report.entries,
        archive_bytes: report.archive_bytes,
        left_out_count: report.left_out.count,
        first_left_out: report.left_out.first,
    }
}

/// The report of an archive that was applied.
#[must_use]
pub fn apply_report(report: crate::apply::Report) -> ApplyReport {
    ApplyReport {
        size_bytes: report.size_bytes,
        entries: report.entries,
        xattrs_skipped: report.left_out.count,
        first_left_out: report.left_out.first,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_docker_does_and_nothing_else_is() {
        for (text, bytes) in [
            ("1", 1),
            ("52428800", 50 << 20),
            ("10G", 10 << 30),
            ("10g", 10 << 30),
            ("10 GB", 10 << 30),
            ("10GiB", 10 << 30),
            ("1.5k", 1536),
            ("0.5m", 512 << 10),
            ("7p", 7 << 50),
            ("20b", 20),
        ] {
            assert_eq!(parse_size("size", text).ok(), Some(bytes), "{text}");
        }
        for text in [
            "",
            "0",
            "0G",
            "-1",
            "+1",
            "1e30",
            "10Gx",
            "G",
            "1.",
            ".5",
            "1.5.2",
            "10 GB ",
            " 1",
            "1  G",
            "0x10",
            "9223372036854775808",
            "8192P",
            "99999999999999999999",
            "10Gibb",
            "\u{661}",
            "1_000",
            "10\n",
        ] {
            assert!(parse_size("size", text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_option_is_known_and_given_once() {
        let pair = |key: &str| (key.to_owned(), "1".to_owned());
        let known = [pair("a"), pair("b")];
        assert!(known_options(&known, &[pair("b"), pair("a")]).is_ok());
        let text = |given: &[(String, String)]| format!("{:?}", known_options(&known, given));
        assert!(text(&[pair("c")]).contains("known are a, b"));
        assert!(text(&[pair("a"), pair("a")]).contains("given twice"));
    }
}
