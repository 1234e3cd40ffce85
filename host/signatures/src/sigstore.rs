//! Bundles of sigstore: a signature, the certificate of an identity, and the proof that a log has both.
//!
//! Certificate, its own log, the entry of the log of signatures and its proof are all required; what they are compared with is a root of
//! trust that an operator has as a file. Nothing is asked of a network, so a root that its owner has changed has to be fetched anew by
//! the operator.
//!
//! Invariant: a bundle is taken only for the identity and the issuer that an operator named, both.

use crate::{Kind, Refusal, Signature, Signer, provider};
use mica_text::SafeText;
use sigstore_verify::trust_root::TrustedRoot;
use sigstore_verify::types::{Bundle, SignatureContent};
use sigstore_verify::{Error, SubjectAltName, VerificationPolicy, VerificationResult, Verifier};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// An identity that is trusted.
#[derive(Clone)]
pub struct Identity {
    identity: String,
    issuer: String,
    root: Arc<TrustedRoot>,
    text: String,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("identity", &self.identity)
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        (&self.identity, &self.issuer, &self.text) == (&other.identity, &other.issuer, &other.text)
    }
}

impl Identity {
    /// An identity, who vouches for it, and a root of trust as sigstore's tools write one (`trusted_root.json`).
    ///
    /// # Errors
    /// What is wrong with the root, in words.
    pub fn new(identity: String, issuer: String, root: &str) -> Result<Self, String> {
        let parsed = TrustedRoot::from_json(root).map_err(|error| error.to_string())?;
        // Without one of these nothing could be verified, and every driver would be told so.
        for (list, is_empty) in [
            (
                "certificateAuthorities",
                parsed.certificate_authorities.is_empty(),
            ),
            ("ctlogs", parsed.ctlogs.is_empty()),
            ("tlogs", parsed.tlogs.is_empty()),
        ] {
            if is_empty {
                return Err(format!("it names none of `{list}`"));
            }
        }
        let own = Self {
            identity,
            issuer,
            root: Arc::new(parsed),
            text: root.to_owned(),
        };
        // Its keys are looked at now, and not when the first driver comes.
        let made = provider::lend(Arc::from([]), || Verifier::new(&own.root));
        made.map_err(|error| error.to_string())?;
        Ok(own)
    }
}

/// Finds out which of these identities signed a component.
///
/// # Errors
/// [`Refusal`].
pub(crate) fn verify(
    component: &[u8],
    signature: &Signature,
    trusted: &[Identity],
) -> Result<Signer, Refusal> {
    let unreadable = |reason: String| Refusal::Unreadable(SafeText::label(&reason).to_string());
    // What reads certificates is others' code, and what it reads is a stranger's.
    let looked = catch_unwind(AssertUnwindSafe(|| {
        let text = std::str::from_utf8(signature.bytes())
            .map_err(|error| unreadable(error.to_string()))?;
        let bundle = Bundle::from_json(text).map_err(|error| unreadable(error.to_string()))?;
        if !matches!(bundle.content, SignatureContent::MessageSignature(_)) {
            // It says something about a component, and not that it is good.
            return Err(unreadable(
                "it is an attestation, and no signature".to_owned(),
            ));
        }
        first(component, &bundle, trusted)
    }));
    looked.unwrap_or_else(|_panic| Err(unreadable("it made its reader fail".to_owned())))
}

fn first(component: &[u8], bundle: &Bundle, trusted: &[Identity]) -> Result<Signer, Refusal> {
    let component: Arc<[u8]> = Arc::from(component);
    let mut refusal = Refusal::Unknown("somebody known to sigstore".to_owned());
    for one in trusted {
        let policy = VerificationPolicy::new(one.identity.as_str(), one.issuer.as_str());
        let verified = provider::lend(Arc::clone(&component), || {
            Verifier::new(&one.root)?.verify(&component[..], bundle, &policy)
        });
        match verified {
            // The policy asks for all of it; here is the one place that says so without trusting a default.
            Ok(found) if is_whole(&found) => {
                return Ok(Signer {
                    kind: Kind::Sigstore,
                    identity: SafeText::label(&one.identity),
                    issuer: Some(SafeText::label(&one.issuer)),
                    comment: None,
                });
            }
            Ok(_) => {
                refusal = Refusal::Unverified("a part of its proof was not looked at".to_owned());
            }
            Err(error) => refusal = refused(&error),
        }
    }
    Err(refusal)
}

/// Whether certificate, its log, the log of signatures and the identity were all looked at.
fn is_whole(found: &VerificationResult) -> bool {
    found.certificate_verified()
        && found.sct_verified()
        && found.tlog_verified()
        && found.identity_policy_checked()
}

fn refused(error: &Error) -> Refusal {
    // What stands in a certificate is its owner's text.
    let named = |name: Option<&str>, what: &str| match name {
        Some(name) => Refusal::Unknown(format!("{what}`{}`", SafeText::label(name))),
        None => Refusal::Unknown(format!("{what}nobody whom its certificate names")),
    };
    match error {
        Error::IdentityMismatch { actual, .. } => {
            named(actual.as_ref().map(SubjectAltName::as_str), "")
        }
        Error::IssuerMismatch { actual, .. } => {
            named(actual.as_deref(), "that name in the words of ")
        }
        Error::ArtifactMismatch(_) | Error::SignatureInvalid(_) => {
            Refusal::Forged("the identity that it names".to_owned())
        }
        error => Refusal::Unverified(SafeText::line(&error.to_string()).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Trust;

    // Of `tests/fixtures/sigstore/make.py`, about `component`.
    const GOOD: &str = include_str!("../../../tests/fixtures/sigstore/good.sigstore.json");
    const LATE: &str = include_str!("../../../tests/fixtures/sigstore/late.sigstore.json");
    const ROOT: &str = include_str!("../../../tests/fixtures/sigstore/trusted_root.json");
    const AUTHOR: &str = "author@driver.test";
    const ISSUER: &str = "https://issuer.test";

    fn trusted(identity: &str, issuer: &str) -> Trust {
        let one = Identity::new(identity.to_owned(), issuer.to_owned(), ROOT).unwrap();
        Trust {
            identities: vec![one],
            ..Trust::default()
        }
    }

    fn looked(bundle: &[u8], component: &[u8], trust: &Trust) -> Result<Signer, Refusal> {
        Signature::new(Kind::Sigstore, bundle.to_vec())?.verify(component, trust)
    }

    #[test]
    fn a_bundle_is_good_after_its_certificate_has_ended() {
        let signer = looked(GOOD.as_bytes(), b"component", &trusted(AUTHOR, ISSUER)).unwrap();
        assert_eq!(signer.kind, Kind::Sigstore);
        assert_eq!(&*signer.identity, AUTHOR);
        assert_eq!(signer.issuer.as_deref(), Some(ISSUER));
    }

    #[test]
    fn one_that_was_made_after_its_certificate_had_ended_is_not() {
        let found = looked(LATE.as_bytes(), b"component", &trusted(AUTHOR, ISSUER));
        assert!(
            matches!(&found, Err(Refusal::Unverified(_))),
            "it says why: {found:?}"
        );
    }

    #[test]
    fn identity_and_issuer_must_be_these() {
        for (identity, issuer, shown) in [
            ("author@driver.tes", ISSUER, AUTHOR),
            ("Author@driver.test", ISSUER, AUTHOR),
            ("*", ISSUER, AUTHOR),
            ("", ISSUER, AUTHOR),
            (AUTHOR, "https://issuer.test/", ISSUER),
            (AUTHOR, "", ISSUER),
        ] {
            let found = looked(GOOD.as_bytes(), b"component", &trusted(identity, issuer));
            match found {
                Err(Refusal::Unknown(whom)) => assert!(whom.contains(shown), "{whom}"),
                other => panic!("{identity}, {issuer}: {other:?}"),
            }
        }
    }

    #[test]
    fn it_is_about_these_bytes_alone() {
        for component in [&b""[..], b"componen", b"component2"] {
            let found = looked(GOOD.as_bytes(), component, &trusted(AUTHOR, ISSUER));
            assert!(matches!(found, Err(Refusal::Forged(_))), "{found:?}");
        }
    }

    #[test]
    fn nothing_that_is_cut_or_changed_is_taken() {
        let trust = trusted(AUTHOR, ISSUER);
        for end in (0..GOOD.trim_end().len()).step_by(7) {
            let found = looked(&GOOD.as_bytes()[..end], b"component", &trust);
            assert!(matches!(found, Err(Refusal::Unreadable(_))), "{end}");
        }
        // What a signature covers stands in these; a bit of each byte of base64 that counts.
        for name in [
            "rawBytes",
            "signature",
            "signedEntryTimestamp",
            "envelope",
            "canonicalizedBody",
        ] {
            let start = GOOD.rfind(&format!("\"{name}\": \"")).unwrap() + name.len() + 5;
            for at in (start..start + 80).step_by(9) {
                let mut bytes = GOOD.as_bytes().to_vec();
                bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
                let found = looked(&bytes, b"component", &trust);
                assert!(found.is_err(), "{name} {at}: {found:?}");
            }
        }
    }

    #[test]
    fn a_deep_one_and_a_large_one_are_refused() {
        let trust = trusted(AUTHOR, ISSUER);
        let deep = "{\"a\":".repeat(3_000);
        let found = looked(deep.as_bytes(), b"component", &trust);
        assert!(matches!(found, Err(Refusal::Unreadable(_))), "{found:?}");
        let large = vec![b'{'; Signature::MOST_BYTES + 1];
        let found = looked(&large, b"component", &trust);
        assert!(matches!(found, Err(Refusal::TooLarge { .. })), "{found:?}");
    }

    #[test]
    fn a_root_that_is_none_is_an_error() {
        for root in ["", "{}", "[]", &ROOT[..ROOT.len() / 2]] {
            let found = Identity::new(AUTHOR.to_owned(), ISSUER.to_owned(), root);
            assert!(found.is_err(), "{root}: {found:?}");
        }
    }
}
