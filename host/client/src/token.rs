//! The secret that a client of TCP shows.
//!
//! Invariant: it is read from a file that no one else can read or write, it is compared in constant time, and it is never
//! printed.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use subtle::ConstantTimeEq as _;

/// The shortest secret: 16 characters of base64 have 96 bits, which no one guesses.
const LEAST_BYTES: usize = 16;
/// The longest: what fits a header beside others.
const MOST_BYTES: usize = 4096;

/// A secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(..)")
    }
}

impl Token {
    /// Reads the secret of a file; white space around it does not count.
    ///
    /// # Errors
    /// The kernel's answer; other kinds, with a remedy, for a file that others may read or write or that is no secret.
    pub fn read(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let refuse = |reason: String| Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        let shown = path.display();
        if !metadata.is_file() {
            return refuse("it is no regular file".to_owned());
        }
        let own = rustix::process::geteuid().as_raw();
        if metadata.uid() != own && metadata.uid() != 0 {
            let owner = metadata.uid();
            return refuse(format!("user {owner} owns it; `chown {own} {shown}`"));
        }
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return refuse(format!(
                "its mode is {mode:04o}, others may use it; `chmod 600 {shown}`"
            ));
        }
        let mut text = String::new();
        file.take(MOST_BYTES as u64 + 1).read_to_string(&mut text)?;
        let secret = text.trim();
        let is_long_enough = (LEAST_BYTES..=MOST_BYTES).contains(&secret.len());
        if !is_long_enough || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            return refuse(format!(
                "it holds no secret of {LEAST_BYTES} to {MOST_BYTES} visible ASCII characters; `openssl rand -base64 32 > {shown}`"
            ));
        }
        Ok(Self(secret.to_owned()))
    }

    /// Makes one that no one can foresee: 256 random bits in hexadecimal.
    ///
    /// # Errors
    /// What reading the kernel's source says.
    pub fn random() -> io::Result<Self> {
        let mut bytes = [0; 32];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        Ok(Self(
            bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        ))
    }

    /// The secret, for whoever is to show it.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// Whether this is what a client shows. Takes the same time wherever the first difference is.
    pub fn is(&self, shown: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(shown).into()
    }

    /// The header's value that shows it.
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};

    #[test]
    fn only_a_file_of_ones_own_with_a_secret_in_it_is_taken() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("token");
        let read = |text: &str, mode: u32| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            Token::read(&path).map_err(|error| error.to_string())
        };
        let token = read(" 0123456789abcdef\n", 0o600).unwrap();
        assert!(token.is(b"0123456789abcdef"));
        for other in [
            &b""[..],
            b"0123456789abcdeg",
            b"0123456789abcdef0",
            b"0123456789abcde",
        ] {
            assert!(!token.is(other));
        }
        assert_eq!(format!("{token:?}"), "Token(..)");
        for mode in [0o640, 0o604, 0o620, 0o602, 0o666] {
            let refused = read("0123456789abcdef", mode).unwrap_err();
            assert!(refused.contains("chmod 600"), "{refused}");
        }
        for text in [
            "",
            "short",
            "0123456789 abcdef",
            "0123456789abcdef\u{7f}",
            &"x".repeat(5000),
        ] {
            let refused = read(text, 0o600).unwrap_err();
            assert!(refused.contains("openssl rand"), "{refused}");
        }
        assert!(Token::read(place.path()).is_err());
        let random = [(); 2].map(|()| Token::random().unwrap());
        assert!(random[0] != random[1] && random[0].secret().len() == 64);
        assert!(random[0].is(random[0].secret().as_bytes()));
    }
}
