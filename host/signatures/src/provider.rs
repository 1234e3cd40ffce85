//! What sigstore's crates need of cryptography, by the library that TLS uses.
//!
//! That library verifies messages and not their digests. The only digest by which sigstore's crates ask is that of the component, so the
//! component is lent to this file while they work, and is verified itself.
//!
//! Invariant: a digest is never taken for another message's than the one that has it.

use ring::digest::{Context, SHA256, SHA384, SHA512, digest};
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1,
    ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512,
    UnparsedPublicKey, VerificationAlgorithm,
};
use sigstore_verify::crypto::provider::{CryptoProvider, HashContext, install_default_provider};
use sigstore_verify::crypto::{Error, Result, SigningScheme};
use sigstore_verify::types::HashAlgorithm;
use std::cell::RefCell;
use std::sync::{Arc, Once};

thread_local! {
    /// The component that this thread verifies a signature of.
    static COMPONENT: RefCell<Option<Arc<[u8]>>> = const { RefCell::new(None) };
}

/// Lets sigstore's crates verify a signature of a component.
pub(crate) fn lend<T>(component: Arc<[u8]>, verify: impl FnOnce() -> T) -> T {
    static INSTALLED: Once = Once::new();
    // Nobody else in this program installs one.
    INSTALLED.call_once(|| {
        let _installed = install_default_provider(&Provider);
    });
    let _lent = Lent;
    COMPONENT.with(|place| *place.borrow_mut() = Some(component));
    verify()
}

/// Takes the component back, also if a verification panics.
struct Lent;

impl Drop for Lent {
    fn drop(&mut self) {
        COMPONENT.with(|place| *place.borrow_mut() = None);
    }
}

#[derive(Debug)]
struct Provider;

struct Hash(Context);

impl HashContext for Hash {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn finalize(self: Box<Self>) -> Vec<u8> {
        self.0.finish().as_ref().to_vec()
    }
}

impl CryptoProvider for Provider {
    fn hash(&self, algorithm: HashAlgorithm) -> Result<Box<dyn HashContext>> {
        Ok(Box::new(Hash(Context::new(hash(algorithm)?))))
    }

    fn verify_raw(
        &self,
        scheme: SigningScheme,
        key: &[u8],
        data: &[u8],
        signature: &[u8],
    ) -> Result<()> {
        let key = UnparsedPublicKey::new(algorithm(scheme)?, key);
        let verified = key.verify(data, signature);
        verified.map_err(|_unspecified| {
            Error::Verification(format!("{} signature invalid", scheme.name()))
        })
    }

    fn verify_prehashed(
        &self,
        scheme: SigningScheme,
        key: &[u8],
        given: &[u8],
        signature: &[u8],
    ) -> Result<()> {
        let unsupported = || {
            Error::UnsupportedAlgorithm(
                "the digest of something else than the component".to_owned(),
            )
        };
        let hash = hash(scheme.hash_algorithm().ok_or_else(unsupported)?)?;
        let component = COMPONENT.with(|place| place.borrow().clone());
        let component = component.filter(|component| digest(hash, component).as_ref() == given);
        self.verify_raw(scheme, key, &component.ok_or_else(unsupported)?, signature)
    }
}

fn hash(algorithm: HashAlgorithm) -> Result<&'static ring::digest::Algorithm> {
    match algorithm {
        HashAlgorithm::Sha2256 => Ok(&SHA256),
        HashAlgorithm::Sha2384 => Ok(&SHA384),
        HashAlgorithm::Sha2512 => Ok(&SHA512),
        other => Err(Error::UnsupportedAlgorithm(format!("digests of {other}"))),
    }
}

fn algorithm(scheme: SigningScheme) -> Result<&'static dyn VerificationAlgorithm> {
    Ok(match scheme {
        SigningScheme::EcdsaP256Sha256 => &ECDSA_P256_SHA256_ASN1,
        SigningScheme::EcdsaP256Sha384 => &ECDSA_P256_SHA384_ASN1,
        SigningScheme::EcdsaP384Sha256 => &ECDSA_P384_SHA256_ASN1,
        SigningScheme::EcdsaP384Sha384 => &ECDSA_P384_SHA384_ASN1,
        SigningScheme::Ed25519 => &ED25519,
        SigningScheme::RsaPssSha256 => &RSA_PSS_2048_8192_SHA256,
        SigningScheme::RsaPssSha384 => &RSA_PSS_2048_8192_SHA384,
        SigningScheme::RsaPssSha512 => &RSA_PSS_2048_8192_SHA512,
        SigningScheme::RsaPkcs1Sha256 => &RSA_PKCS1_2048_8192_SHA256,
        SigningScheme::RsaPkcs1Sha384 => &RSA_PKCS1_2048_8192_SHA384,
        SigningScheme::RsaPkcs1Sha512 => &RSA_PKCS1_2048_8192_SHA512,
        other => {
            return Err(Error::UnsupportedAlgorithm(format!(
                "{} signatures",
                other.name()
            )));
        }
    })
}
