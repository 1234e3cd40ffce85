//! What a driver may do with the interfaces that it has: the rights that an operator bounds.
//!
//! Invariant: the only place where a right is missed. A right that is there costs one test of a bit, and no safety depends on any.

use super::State;
use crate::bindings::mica::host::directory::AttributeChanges;
use crate::manifest::Manifest;
use crate::{Code, Denial, Failure, Grants, Right, Rights};

/// The rights of a driver, in one operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Permit {
    rights: Rights,
    /// What of them the operator grants, whatever the driver asks for.
    granted: Rights,
    /// Whether what is not granted is allowed, and told.
    audit: bool,
    /// What was told in this operation.
    told: Rights,
}

impl Permit {
    /// The rights of a driver that was granted so much, and asks for what this manifest says.
    pub(crate) fn new(granted: &Grants, manifest: Option<&Manifest>) -> Self {
        Self {
            rights: granted.within(manifest).rights(),
            granted: granted.rights(),
            audit: granted.is_audited(),
            told: Rights::NONE,
        }
    }
}

impl State {
    /// Refuses what the driver was not granted. It is told once for each right of an operation.
    pub(super) fn permit(&mut self, right: Right) -> Result<(), Failure> {
        match self.permit.rights.has(right) {
            true => Ok(()),
            false => self.miss(right),
        }
    }

    /// Refuses a change that sets extended attributes which the driver may not set.
    pub(super) fn permit_xattrs(&mut self, changes: &AttributeChanges) -> Result<(), Failure> {
        let rights = changes.xattrs.iter().map(|one| Right::of_xattr(&one.name));
        // Of the others no operator decides: nobody may set them.
        rights.flatten().try_for_each(|right| self.permit(right))
    }

    #[cold]
    fn miss(&mut self, right: Right) -> Result<(), Failure> {
        let Permit {
            granted,
            audit,
            told,
            ..
        } = self.permit;
        let driver = &self.driver;
        let line = match granted.has(right) {
            true => format!("the manifest of driver `{driver}` does not ask for it"),
            false => format!(
                "add in the configuration, under `[drivers.{driver}]`: {}",
                right.line(granted)
            ),
        };
        if !told.has(right) {
            self.permit.told = told.and(right);
            if let Some(witness) = &self.operation.witness {
                witness.denied(Denial {
                    right,
                    remedy: line.clone(),
                    is_allowed: audit,
                });
            }
        }
        if audit {
            return Ok(());
        }
        Err(Failure::new(
            Code::Denied,
            format!("`{right}` is not granted: {line}"),
        ))
    }
}
