//! One component of a path, checked once.
//!
//! Invariant: there is no other way to make a [`Name`], so no text reaches a system call unchecked.

use std::ffi::{CStr, CString};
use std::fmt;

/// The longest name that Linux file systems take, in bytes.
const MAX_BYTES: usize = 255;

/// One component of a path: 1 to 255 bytes without `/` and NUL, and neither `.` nor `..`.
/// Any other bytes are allowed; a name need not be UTF-8.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(CString);

/// Why some bytes are no [`Name`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameError {
    /// Empty, `.`, `..`, or with a slash or a NUL byte in it.
    Invalid,
    /// Over 255 bytes.
    TooLong,
}

impl Name {
    /// Checks one component.
    ///
    /// # Errors
    /// [`NameError::Invalid`] before [`NameError::TooLong`].
    pub fn new(bytes: &[u8]) -> Result<Self, NameError> {
        if matches!(bytes, b"" | b"." | b"..") || bytes.contains(&b'/') {
            return Err(NameError::Invalid);
        }
        let owned = CString::new(bytes).or(Err(NameError::Invalid))?;
        if bytes.len() > MAX_BYTES {
            return Err(NameError::TooLong);
        }
        Ok(Self(owned))
    }

    /// The bytes, without the NUL that ends them for the kernel.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The name that is a number in decimal.
    pub fn from_number(number: u64) -> Self {
        Self(CString::new(number.to_string()).expect("digits hold no NUL byte"))
    }

    /// The name as system calls want it.
    pub(crate) fn as_c_str(&self) -> &CStr {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.as_bytes().escape_ascii())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{self}`")
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Invalid => {
                "a name must not be empty, `.` or `..`, nor hold a slash or a NUL byte"
            }
            Self::TooLong => "a name must not have more than 255 bytes",
        })
    }
}

impl std::error::Error for NameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_one_component_is_invalid() {
        let hostile: [&[u8]; 12] = [
            b"", b".", b"..", b"/", b"a/", b"/a", b"a/b", b"../x", b"s\0", b"\0", b"./", b"//",
        ];
        for bytes in hostile {
            assert_eq!(Name::new(bytes), Err(NameError::Invalid), "{bytes:?}");
        }
        let mut long_path = vec![b'x'; 5000];
        long_path[300] = b'/';
        assert_eq!(Name::new(&long_path), Err(NameError::Invalid));
    }

    #[test]
    fn the_limit_is_255_bytes() {
        assert!(Name::new(&[b'x'; 255]).is_ok());
        assert_eq!(Name::new(&[b'x'; 256]), Err(NameError::TooLong));
    }

    #[test]
    fn other_bytes_are_kept() {
        for bytes in [
            &b"..."[..],
            b".a",
            b"a b,c:d\\e\n\"",
            b"\xff\xfe",
            b"-rf",
            b"\x01",
        ] {
            assert_eq!(Name::new(bytes).unwrap().as_bytes(), bytes);
        }
    }

    #[test]
    fn a_number_is_a_name() {
        assert_eq!(Name::from_number(0).as_bytes(), b"0");
        assert_eq!(
            Name::from_number(u64::MAX).as_bytes(),
            b"18446744073709551615"
        );
    }

    #[test]
    fn a_name_prints_without_control_bytes() {
        let name = Name::new(b"a\n\x1b\xff").unwrap();
        assert_eq!(name.to_string(), "a\\n\\x1b\\xff");
    }
}
