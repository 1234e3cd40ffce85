//! What comes with a component, as headers: `Mica-Reference`, and `Mica-Signature` for each signature.
//!
//! Invariant: it is bounded before it is decoded; what cannot be read is refused, and never left out of account.

use crate::api::refusal::{Refusal, RequestError};
use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mica_engine::{Papers, SafeText};
use mica_signatures::{Kind, Signature};
use serde::Deserialize;

/// The header with the reference that a component was pulled by.
const REFERENCE: &str = "mica-reference";
/// The header with a signature: its kind, and its bytes in base64.
const SIGNATURE: &str = "mica-signature";
/// Bytes of a reference: a host, a name of 255, a tag of 128 and a digest.
const MOST_REFERENCE: usize = 1024;

/// Whether a component without a signature is taken, where the daemon's rules leave that to the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum UnsignedQuery {
    /// It is not.
    #[default]
    Refuse,
    /// It is.
    Allow,
}

/// What comes with a component.
#[derive(Clone, Debug)]
pub(super) struct PapersOf(Papers);

impl PapersOf {
    /// The whole, with what the query says.
    pub(super) fn with(self, unsigned: UnsignedQuery) -> Papers {
        Papers {
            takes_unsigned: unsigned == UnsignedQuery::Allow,
            ..self.0
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PapersOf {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        read(&parts.headers).map_err(|reason| RequestError::Invalid(reason).into())
    }
}

fn read(headers: &HeaderMap) -> Result<PapersOf, String> {
    let mut signatures = Vec::new();
    for header in headers.get_all(SIGNATURE) {
        if signatures.len() == Signature::MOST {
            return Err(format!(
                "there are more than {} headers `Mica-Signature`",
                Signature::MOST
            ));
        }
        signatures.push(signature(header.to_str().unwrap_or_default())?);
    }
    let reference = headers.get(REFERENCE).map(|header| {
        let text = header.to_str().unwrap_or_default();
        let is_one =
            (1..=MOST_REFERENCE).contains(&text.len()) && text.contains('/') && !text.contains(' ');
        match is_one {
            true => Ok(SafeText::within(text, MOST_REFERENCE)),
            false => Err("the header `Mica-Reference` is not HOST/NAME:TAG@DIGEST".to_owned()),
        }
    });
    Ok(PapersOf(Papers {
        reference: reference.transpose()?,
        signatures,
        takes_unsigned: false,
    }))
}

fn signature(header: &str) -> Result<Signature, String> {
    let wrong = |reason: &str| format!("a header `Mica-Signature` {reason}");
    let (kind, text) = header
        .split_once(' ')
        .ok_or_else(|| wrong("is not `minisign` or `sigstore` and base64 behind a blank"))?;
    let kind = Kind::of_word(kind)
        .ok_or_else(|| wrong("is of no kind that is known: give `minisign` or `sigstore`"))?;
    // Four characters for each three bytes.
    if text.len() > Signature::MOST_BYTES.div_ceil(3) * 4 {
        return Err(wrong("is longer than signatures are"));
    }
    let bytes = STANDARD
        .decode(text.trim())
        .map_err(|_wrong| wrong("is no base64"))?;
    Signature::new(kind, bytes).map_err(|refusal| wrong(&format!("cannot be taken: {refusal}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn of(headers: &[(&'static str, &str)]) -> Result<Papers, String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        read(&map).map(|papers| papers.with(UnsignedQuery::Refuse))
    }

    #[test]
    fn papers_are_read_from_headers() {
        let reference = "registry.example/a:1@sha256:00";
        let papers = of(&[
            (REFERENCE, reference),
            (SIGNATURE, "minisign YQ=="),
            (SIGNATURE, "minisign Yg=="),
        ]);
        let papers = papers.unwrap();
        assert_eq!(papers.reference.unwrap().as_str(), reference);
        let bytes: Vec<_> = papers
            .signatures
            .iter()
            .map(|one| one.bytes().to_vec())
            .collect();
        assert_eq!(bytes, [b"a", b"b"]);
        assert!(of(&[]).unwrap().signatures.is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        let long = format!("minisign {}", "A".repeat(100_000));
        for (name, value, reason) in [
            (SIGNATURE, "", "behind a blank"),
            (SIGNATURE, "pgp YQ==", "no kind"),
            (SIGNATURE, "minisign %", "no base64"),
            (SIGNATURE, &long, "longer"),
            (REFERENCE, "", "HOST/NAME"),
            (REFERENCE, "a b/c", "HOST/NAME"),
            (REFERENCE, "nothing", "HOST/NAME"),
        ] {
            let refusal = of(&[(name, value)]).unwrap_err();
            assert!(refusal.contains(reason), "{value}: {refusal}");
        }
        let many = [(SIGNATURE, "minisign YQ=="); 17];
        assert!(of(&many).unwrap_err().contains("more than 16"));
    }
}
