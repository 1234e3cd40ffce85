//! Signatures before anything is made of them.
//!
//! Invariant: a [`Signature`] is not large; what is in it does not matter.

use crate::Refusal;

/// Whose form a signature has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The four lines that minisign writes.
    Minisign,
    /// The JSON that sigstore's tools write.
    Sigstore,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Minisign, Self::Sigstore];

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Minisign => "minisign",
            Self::Sigstore => "sigstore",
        }
    }

    /// The kind of this word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// What stands behind the name of the file that is signed.
    #[must_use]
    pub fn ending(self) -> &'static str {
        match self {
            Self::Minisign => ".minisig",
            Self::Sigstore => ".sigstore.json",
        }
    }

    /// What it is called in a registry.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Minisign => "application/vnd.mica.signature.minisign.v1",
            Self::Sigstore => "application/vnd.dev.sigstore.bundle.v0.3+json",
        }
    }

    /// The kind of this name in a registry.
    #[must_use]
    pub fn of_media_type(media_type: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.media_type() == media_type)
    }

    /// The annotation of a layer that may hold one instead.
    #[must_use]
    pub fn annotation(self) -> &'static str {
        match self {
            Self::Minisign => "io.github.mica-drivers.signature.minisign",
            Self::Sigstore => "io.github.mica-drivers.signature.sigstore",
        }
    }

    /// The kind that an annotation holds.
    #[must_use]
    pub fn of_annotation(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.annotation() == key)
    }
}

/// A signature, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    kind: Kind,
    bytes: Vec<u8>,
}

impl Signature {
    /// Bytes that one may have: minisign bounds its two comments to 9 KiB, and [`Self::MOST`] of them in base64 have to fit into the
    /// 400 KiB that the head of a request may have.
    pub const MOST_BYTES: usize = 16 << 10;
    /// Signatures that may come with one component.
    pub const MOST: usize = 16;

    /// Takes a signature.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`].
    pub fn new(kind: Kind, bytes: Vec<u8>) -> Result<Self, Refusal> {
        match bytes.len() > Self::MOST_BYTES {
            true => Err(Refusal::TooLarge {
                has: bytes.len(),
                most: Self::MOST_BYTES,
            }),
            false => Ok(Self { kind, bytes }),
        }
    }

    /// Takes a signature whose kind follows from what is in it.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`], [`Refusal::Unreadable`].
    pub fn of_bytes(bytes: Vec<u8>) -> Result<Self, Refusal> {
        let kind = match bytes.trim_ascii_start().first() {
            Some(b'{') => Kind::Sigstore,
            _ if bytes.starts_with(b"untrusted comment:") => Kind::Minisign,
            _ => {
                let reason = "it is neither of minisign, which begins with `untrusted comment:`, nor a bundle of sigstore, which is JSON";
                return Err(Refusal::Unreadable(reason.to_owned()));
            }
        };
        Self::new(kind, bytes)
    }

    /// Whose form it has.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_known_by_each_of_its_names() {
        for kind in Kind::ALL {
            assert_eq!(Kind::of_word(kind.word()), Some(kind));
            assert_eq!(Kind::of_media_type(kind.media_type()), Some(kind));
            assert_eq!(Kind::of_annotation(kind.annotation()), Some(kind));
        }
        assert_eq!(Kind::of_word("pgp"), None);
    }

    #[test]
    fn what_is_large_is_no_signature() {
        let just = vec![0; Signature::MOST_BYTES];
        assert!(Signature::new(Kind::Minisign, just.clone()).is_ok());
        let more = [just, vec![0]].concat();
        assert!(matches!(
            Signature::new(Kind::Minisign, more),
            Err(Refusal::TooLarge { .. })
        ));
        assert!(Signature::of_bytes(b"-----BEGIN PGP SIGNATURE-----".to_vec()).is_err());
    }
}
