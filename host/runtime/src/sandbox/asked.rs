//! What a build asks for, and what it was granted.
//!
//! Invariant: only tells; what is linked and permitted was decided when the build was made.

use super::generation::{Description, Generation};
use crate::manifest::{Manifest, Profile, imported};
use crate::{Error, Grant, Grants, Limits};
use std::collections::BTreeSet;

impl Generation {
    /// What its author says of it.
    #[must_use]
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// What the operator granted it, of which it has what it asks for.
    #[must_use]
    pub fn granted(&self) -> &Grants {
        &self.granted
    }

    /// The interfaces of the host that it imports.
    #[must_use]
    pub fn imported(&self) -> BTreeSet<Grant> {
        imported(&self.imports)
    }

    /// The interfaces that it imports though they were not granted, because it is audited.
    #[must_use]
    pub fn excess(&self) -> Vec<Grant> {
        let imported = imported(&self.imports).into_iter();
        imported
            .filter(|grant| !self.granted.allows(*grant))
            .collect()
    }

    /// The line of a configuration that grants an interface beside those that are granted.
    #[must_use]
    pub fn line_for(&self, grant: Grant) -> String {
        super::link::line_for(grant, &self.granted)
    }

    /// The limits of its operations: no more than it asks for.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether a line about what it does may still be written into the daemon's own log: [`Limits::journal_bytes`] counts it.
    #[must_use]
    pub fn may_log(&self, line: &str) -> bool {
        self.journal.admits(&self.label, line)
    }

    /// What is compared of it with another build.
    #[must_use]
    pub fn profile(&self) -> Profile<'_> {
        Profile {
            imports: &self.imports,
            contract: &self.contract,
            version: Some(&self.description.version),
            manifest: self.manifest.as_ref(),
        }
    }
}

/// Refuses a component whose manifest says something else than the driver itself.
pub(super) fn check_said(manifest: &Manifest, description: &Description) -> Result<(), Error> {
    let version = manifest.version.to_string();
    let compared = [
        ("name", manifest.name.as_str(), description.name.as_str()),
        ("version", version.as_str(), description.version.as_str()),
    ];
    match compared.iter().find(|(_, says, is)| says != is) {
        Some((field, says, is)) => Err(Error::rejected(
            format!(
                "its manifest says that its {field} is `{says}`, and the driver itself says `{is}`"
            ),
            "build it with the manifest that was made for it",
        )),
        None => Ok(()),
    }
}
