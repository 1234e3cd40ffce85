//! Where a build came from and who signed it, as it is told of and as it is kept.
//!
//! Invariant: data only.

use crate::Moment;
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// Where a build came from, and who signed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Provenance {
    /// The reference that whoever loaded it named, with the digest of its manifest; absent for a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Who signed it, if it was signed by someone who is trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<SignerView>,
    /// When that was verified: RFC 3339, UTC.
    #[schema(value_type = String)]
    pub verified: Moment,
}

impl Provenance {
    /// Whether it says the same of a build, whenever that was found out.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        (&self.reference, &self.signer) == (&other.reference, &other.signer)
    }
}

/// Who signed a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignerView {
    /// `minisign` or `sigstore`: whose form the signature has.
    pub kind: String,
    /// The id of the key, or the identity in the certificate.
    pub identity: String,
    /// Who vouches for the identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// What the signer says with the signature, and signed too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

impl fmt::Display for SignerView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.identity)?;
        match &self.issuer {
            Some(issuer) => write!(f, " ({issuer})"),
            None => Ok(()),
        }
    }
}
