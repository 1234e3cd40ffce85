//! Numbers in headers: octal digits, or GNU's base 256.
//!
//! Invariant: a number that does not fit is an error, never another number.

/// Writes a number as octal digits with leading zeros; one that is too large becomes the largest.
#[must_use]
pub fn octal<const DIGITS: usize>(value: u64) -> [u8; DIGITS] {
    let bits = 3 * DIGITS.min(21);
    let mut rest = value.min((1 << bits) - 1);
    let mut digits = [b'0'; DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest & 7).unwrap_or(0);
        rest >>= 3;
    }
    digits
}

/// The largest number that a field of this many digits holds.
#[must_use]
pub const fn largest(digits: u32) -> u64 {
    (1 << (3 * digits)) - 1
}

/// Reads a numeric field: octal digits with spaces or NULs around them, nothing at all for 0, or base 256 if the
/// first bit is set. `None` if it is neither, or does not fit.
#[must_use]
pub fn parse(field: &[u8]) -> Option<i64> {
    match field.first() {
        Some(first) if first & 0x80 != 0 => base_256(field),
        _ => octal_digits(field),
    }
}

fn octal_digits(field: &[u8]) -> Option<i64> {
    let blank = |byte: &u8| *byte == b' ' || *byte == 0;
    let Some(start) = field.iter().position(|byte| !blank(byte)) else {
        return Some(0);
    };
    let rest = field.get(start..)?;
    // What follows the first NUL or space is not part of the number.
    let end = rest.iter().position(blank).unwrap_or(rest.len());
    let (digits, tail) = rest.split_at(end);
    if tail.first() == Some(&b' ') && !tail.iter().all(blank) {
        return None;
    }
    // By shifts, because WebAssembly has no multiplication that tells an overflow.
    digits.iter().try_fold(0i64, |value, byte| match byte {
        b'0'..=b'7' if value >> 60 == 0 => Some(value << 3 | i64::from(byte - b'0')),
        _ => None,
    })
}

/// Two's complement, most significant byte first, without the first bit, which is the mark.
fn base_256(field: &[u8]) -> Option<i64> {
    let first = *field.first()?;
    let negative = first & 0x40 != 0;
    let start = if negative {
        i128::from(first | 0x80) - 256
    } else {
        i128::from(first & 0x3f)
    };
    let value = field.get(1..)?.iter().try_fold(start, |value, byte| {
        value.checked_mul(256)?.checked_add(i128::from(*byte))
    })?;
    i64::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_fields_are_read_with_any_blanks() {
        let cases: [(&[u8], Option<i64>); 10] = [
            (b"0000644\0", Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"644\0junk", Some(0o644)),
            (b"\0\0\0\0", Some(0)),
            (b"        ", Some(0)),
            (b"0000648\0", None),
            (b"-0000644", None),
            (b"12 34\0", None),
            (b"0x1\0", None),
            (b"777777777777", Some(0o777_777_777_777)),
        ];
        for (field, value) in cases {
            assert_eq!(parse(field), value, "{}", field.escape_ascii());
        }
    }

    #[test]
    fn base_256_keeps_its_sign_and_refuses_what_does_not_fit() {
        assert_eq!(parse(b"\x80\0\0\0\0\0\0\0\0\0\x01\0"), Some(256));
        assert_eq!(parse(b"\xff\xff\xff\xff\xff\xff\xff\xff"), Some(-1));
        assert_eq!(
            parse(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe"),
            Some(-2)
        );
        assert_eq!(
            parse(b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"),
            Some(i64::MAX)
        );
        assert_eq!(parse(b"\x80\0\0\0\x80\0\0\0\0\0\0\0"), None);
        assert_eq!(
            parse(b"\xbf\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
            None
        );
    }

    #[test]
    fn written_octal_is_read_back_and_clamped() {
        assert_eq!(octal::<7>(0o644), *b"0000644");
        assert_eq!(octal::<7>(u64::MAX), *b"7777777");
        assert_eq!(largest(7), 2_097_151);
    }
}
