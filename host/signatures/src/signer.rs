//! Who signed a component, once that is known.
//!
//! Invariant: its texts were made safe.

use crate::{Identity, Kind, PublicKey, Refusal, Signature, minisign, sigstore};
use mica_text::SafeText;

/// Who signed a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// Whose form the signature has.
    pub kind: Kind,
    /// The id of the key, or the identity in the certificate.
    pub identity: SafeText,
    /// Who vouches for the identity.
    pub issuer: Option<SafeText>,
    /// What the signer says with the signature, and signed too.
    pub comment: Option<SafeText>,
}

/// Who is trusted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trust {
    /// Keys of minisign.
    pub keys: Vec<PublicKey>,
    /// Identities known to sigstore.
    pub identities: Vec<Identity>,
}

impl Trust {
    /// Whether nobody is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.identities.is_empty()
    }
}

impl Signature {
    /// Finds out who signed a component, of those who are trusted.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn verify(&self, component: &[u8], trust: &Trust) -> Result<Signer, Refusal> {
        match self.kind() {
            Kind::Minisign => minisign::verify(component, self, &trust.keys),
            Kind::Sigstore => sigstore::verify(component, self, &trust.identities),
        }
    }
}
