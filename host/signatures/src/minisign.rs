//! Keys and signatures of minisign.
//!
//! Only signatures of the hashed form are taken, which minisign has written since 2020 by itself.
//!
//! Invariant: a key verifies only what names it.

use crate::{Kind, Refusal, Signature, Signer};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mica_text::SafeText;
use minisign_verify::Error;

/// Bytes of a file with a key.
const MOST_KEY_BYTES: usize = 4096;
/// Bytes before a key's own: two for the algorithm, eight for the id.
const ID: std::ops::Range<usize> = 2..10;

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    key: minisign_verify::PublicKey,
    id: String,
}

impl PublicKey {
    /// Reads a key, as minisign writes it to a file, or its second line alone.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MOST_KEY_BYTES {
            return Err(format!("it has more than {MOST_KEY_BYTES} bytes"));
        }
        let lines = text.lines().map(str::trim);
        let mut lines =
            lines.filter(|line| !line.is_empty() && !line.starts_with("untrusted comment:"));
        let (Some(line), None) = (lines.next(), lines.next()) else {
            return Err("it is not one public key of minisign".to_owned());
        };
        let key = minisign_verify::PublicKey::from_base64(line);
        let key = key.map_err(|_wrong| "it is not a public key of minisign".to_owned())?;
        let id = id_in(line).ok_or_else(|| "it has no id".to_owned())?;
        Ok(Self { key, id })
    }

    /// The id by which signatures name it, as minisign prints it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// Finds out which of these keys signed a component.
///
/// # Errors
/// [`Refusal`].
pub(crate) fn verify(
    component: &[u8],
    signature: &Signature,
    keys: &[PublicKey],
) -> Result<Signer, Refusal> {
    let unreadable = |reason: &str| Refusal::Unreadable(reason.to_owned());
    let text =
        std::str::from_utf8(signature.bytes()).map_err(|_wrong| unreadable("it is no text"))?;
    let read = minisign_verify::Signature::decode(text);
    let read = read.map_err(|_wrong| unreadable("it is not what minisign writes"))?;
    let id = text.lines().nth(1).and_then(id_in);
    let id = id.ok_or_else(|| unreadable("it names no key"))?;
    let key = keys.iter().find(|key| key.id == id);
    let key = key.ok_or_else(|| Refusal::Unknown(format!("the key {id}")))?;
    match key.key.verify(component, &read, false) {
        Ok(()) => Ok(Signer {
            kind: Kind::Minisign,
            identity: SafeText::label(&id),
            issuer: None,
            comment: Some(SafeText::label(read.trusted_comment())),
        }),
        Err(
            Error::UnexpectedAlgorithm | Error::UnsupportedAlgorithm | Error::UnsupportedLegacyMode,
        ) => Err(unreadable(
            "it is of the form without a hash; sign with `minisign -S -H`",
        )),
        Err(_forged) => Err(Refusal::Forged(format!("the key {id}"))),
    }
}

/// The id in a line of base64, as minisign prints it.
fn id_in(line: &str) -> Option<String> {
    let bytes = STANDARD.decode(line.trim()).ok()?;
    let id: [u8; 8] = bytes.get(ID)?.try_into().ok()?;
    Some(format!("{:016X}", u64::from_le_bytes(id)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Trust;

    // Made by minisign 0.11: `minisign -G -W`, and `-S` of a file with the nine letters of "component".
    const KEY: &str = "untrusted comment: minisign public key 17DC1464F1376A05\n\
        RWQFajfxZBTcF3NfdgkiXq3Xzh8r1RHt6jL+sqhTEOqSWb+Rso+C61JR\n";
    const OTHER: &str = "RWSiDPVoDlizNdYzSx7ib5vv4kqRtdkQtGRQcYyJUKQbI1XlShU7W0db";
    const SIGNATURE: &str = "untrusted comment: signature from minisign secret key\n\
        RUQFajfxZBTcF3Hc66w7WNpmiXp37qgpmtS29wR+u/QWXrxHsBhMlSzL6c6K1ldPdOrIBqoNNJ8+oewzt2z+qCgI49m8dZAZ8gI=\n\
        trusted comment: driver hello 1.0\n\
        Ml4bmL/uWK9QqS0DCKWUQc44ColgzTyvjqUxwsfphnob0eEPDVPvbCMm5T3gaG2C05zQbsoKvzsaYXR92DmiAw==\n";
    const UNHASHED: &str = "untrusted comment: signature from minisign secret key\n\
        RWQFajfxZBTcF+i4c/kGM2qdlWn4NT+VD+005IJuLL6g6ufiPUhaAJOYS9oqCIGhtd7o01gKvahR5Z9ZKVUTlDvSbJhDL8wX7Ao=\n\
        trusted comment: timestamp:1796058194\tfile:c\n\
        b2rG/2IyjDBFns9qIdpXFk/UWpNYBWHoqFrWjuB8ul7sStjEYrGelDC0GDluyLSIwXPE+IpuYQhu2vKaEGvHCg==\n";

    fn verify(component: &[u8], signature: &str, keys: &[&str]) -> Result<Signer, Refusal> {
        let keys = keys
            .iter()
            .map(|key| PublicKey::parse(key).unwrap())
            .collect();
        let signature = Signature::new(Kind::Minisign, signature.as_bytes().to_vec())?;
        signature.verify(
            component,
            &Trust {
                keys,
                ..Trust::default()
            },
        )
    }

    #[test]
    fn the_key_that_signed_is_found_among_those_that_are_trusted() {
        let signer = verify(b"component", SIGNATURE, &[OTHER, KEY]).unwrap();
        assert_eq!(signer.identity, "17DC1464F1376A05");
        assert_eq!(signer.comment.unwrap(), "driver hello 1.0");
    }

    #[test]
    fn what_does_not_fit_is_refused_for_what_it_is() {
        let unknown = verify(b"component", SIGNATURE, &[OTHER]);
        assert!(matches!(unknown, Err(Refusal::Unknown(key)) if key.contains("17DC1464F1376A05")));
        assert!(matches!(
            verify(b"component", SIGNATURE, &[]),
            Err(Refusal::Unknown(_))
        ));
        let another = verify(b"another", SIGNATURE, &[KEY]);
        assert!(matches!(another, Err(Refusal::Forged(_))), "{another:?}");
        let told = SIGNATURE.replace("hello 1.0", "hello 2.0");
        assert!(matches!(
            verify(b"component", &told, &[KEY]),
            Err(Refusal::Forged(_))
        ));
        let unhashed = verify(b"component", UNHASHED, &[KEY]).unwrap_err();
        assert!(unhashed.to_string().contains("-H"), "{unhashed}");
    }

    #[test]
    fn any_change_of_any_byte_is_found() {
        for at in 0..SIGNATURE.len() {
            // The first line is nobody's word, and neither are the ends of lines.
            let is_open = at < SIGNATURE.find('\n').unwrap() || SIGNATURE.as_bytes()[at] == b'\n';
            let mut bytes = SIGNATURE.as_bytes().to_vec();
            bytes[at] ^= 1;
            let signature = Signature::new(Kind::Minisign, bytes).unwrap();
            let trust = Trust {
                keys: vec![PublicKey::parse(KEY).unwrap()],
                ..Trust::default()
            };
            let found = signature.verify(b"component", &trust);
            assert!(is_open || found.is_err(), "byte {at}: {found:?}");
        }
    }

    #[test]
    fn what_is_cut_or_odd_is_an_error() {
        for end in 0..SIGNATURE.len() - 1 {
            assert!(
                verify(b"component", &SIGNATURE[..end], &[KEY]).is_err(),
                "{end}"
            );
        }
        for odd in ["", "\n\n\n\n", "a\nb\nc\nd", "\u{1b}"] {
            assert!(verify(b"component", odd, &[KEY]).is_err(), "{odd:?}");
        }
        for key in [
            "",
            "RWQ",
            SIGNATURE,
            &format!("{KEY}{KEY}"),
            &"A".repeat(5000),
        ] {
            assert!(PublicKey::parse(key).is_err(), "{key}");
        }
    }
}
