//! PAX records: `length key=value\n`.
//!
//! Invariant: a record that is not well-formed makes the whole header invalid.

use crate::{Timestamp, Xattr};
use std::io::Write as _;

/// Keys that hold an extended attribute begin with this.
pub const XATTR: &str = "SCHILY.xattr.";

/// What the records of one entry say; what is absent stays as the header has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// The path.
    pub path: Option<Vec<u8>>,
    /// The target of a link.
    pub link: Option<Vec<u8>>,
    /// Bytes of content.
    pub size: Option<u64>,
    /// Owner.
    pub uid: Option<i64>,
    /// Group.
    pub gid: Option<i64>,
    /// Last change of the content.
    pub modified: Option<Timestamp>,
    /// The access lists that `tar --acls` writes: the node's own, and the one that a directory hands down.
    pub lists: [Option<Vec<u8>>; 2],
    /// What they say of a sparse file.
    pub sparse: super::sparse::Records,
    /// Extended attributes; the last of two of the same name.
    pub xattrs: Vec<Xattr>,
}

/// Appends one record.
pub fn append(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    // The length counts its own digits.
    let mut length = rest + digits(rest);
    if digits(length) != digits(rest) {
        length = rest + digits(length);
    }
    let _ = write!(records, "{length} ");
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

fn digits(number: usize) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// Writes a time as seconds with as many decimals as it needs.
#[must_use]
pub fn format_time(time: Timestamp) -> String {
    if time.nanoseconds == 0 {
        return time.seconds.to_string();
    }
    let (sign, seconds, nanoseconds) = if time.seconds < 0 {
        (
            "-",
            (time.seconds + 1).unsigned_abs(),
            1_000_000_000 - time.nanoseconds,
        )
    } else {
        ("", time.seconds.unsigned_abs(), time.nanoseconds)
    };
    let text = format!("{sign}{seconds}.{nanoseconds:09}");
    text.trim_end_matches('0').to_owned()
}

/// Reads a time; `None` if it is not a decimal number of seconds. Digits beyond nanoseconds are dropped.
#[must_use]
pub fn parse_time(text: &[u8]) -> Option<Timestamp> {
    let text = core::str::from_utf8(text).ok()?;
    let (negative, text) = match (text.strip_prefix('-'), text.strip_prefix('+')) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => (false, text),
    };
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let only_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !only_digits(whole) || !only_digits(part) {
        return None;
    }
    let seconds: i64 = whole.parse().unwrap_or(super::reader::LATEST_SECONDS);
    let shown = part.get(..9).unwrap_or(part);
    let nanoseconds = format!("{shown:0<9}").parse::<u32>().ok()?;
    Some(match (negative, nanoseconds) {
        (false, nanoseconds) => Timestamp {
            seconds,
            nanoseconds,
        },
        (true, 0) => Timestamp {
            seconds: -seconds,
            nanoseconds: 0,
        },
        (true, nanoseconds) => Timestamp {
            seconds: -seconds - 1,
            nanoseconds: 1_000_000_000 - nanoseconds,
        },
    })
}

/// Reads the records of one header.
///
/// # Errors
/// What is wrong, in words.
pub fn parse(mut bytes: &[u8]) -> Result<Records, String> {
    let mut records = Records::default();
    // Some writers fill the block with NULs.
    while bytes.first().is_some_and(|byte| *byte != 0) {
        let (key, value, rest) = split(bytes).ok_or("a PAX record is not well-formed")?;
        records.take(key, value)?;
        bytes = rest;
    }
    Ok(records)
}

/// The first record's key and value, and what follows it.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(8).position(|byte| *byte == b' ')?;
    let digits = bytes.get(..space)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let length: usize = core::str::from_utf8(digits).ok()?.parse().ok()?;
    let record = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    let key = record.get(..equals).filter(|key| !key.is_empty())?;
    Some((key, record.get(equals + 1..)?, bytes.get(length..)?))
}

impl Records {
    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        let wrong = || {
            format!(
                "PAX `{}` is `{}`",
                key.escape_ascii(),
                crate::error::printable(value)
            )
        };
        if let Some(name) = key.strip_prefix(XATTR.as_bytes()) {
            return self.take_xattr(name, value);
        }
        if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
            return match self.sparse.take(key, value) {
                true => Ok(()),
                false => Err(wrong()),
            };
        }
        if matches!(key, b"path" | b"linkpath") && value.contains(&0) {
            return Err(wrong());
        }
        // An empty value takes an earlier record back.
        let given = !value.is_empty();
        match key {
            b"path" => self.path = given.then(|| value.to_vec()),
            b"linkpath" => self.link = given.then(|| value.to_vec()),
            b"size" => self.size = parsed(value, decimal).ok_or_else(wrong)?,
            b"uid" => self.uid = parsed(value, signed).ok_or_else(wrong)?,
            b"gid" => self.gid = parsed(value, signed).ok_or_else(wrong)?,
            b"mtime" => self.modified = parsed(value, parse_time).ok_or_else(wrong)?,
            b"SCHILY.acl.access" | b"SCHILY.acl.default" => {
                let [access, default] = &mut self.lists;
                let list = match key.ends_with(b"default") {
                    true => default,
                    false => access,
                };
                *list = given.then(|| value.to_vec());
            }
            // Access and change times, user names and programs' own records say nothing about a layer.
            _ => {}
        }
        Ok(())
    }

    fn take_xattr(&mut self, name: &[u8], value: &[u8]) -> Result<(), String> {
        /// The kernel's limit.
        const NAME_BYTES: usize = 255;
        /// The kernel's limit.
        const VALUE_BYTES: usize = 64 << 10;
        /// The kernel lists 64 KiB of names at most, which is about as many.
        const XATTR_COUNT: usize = 4096;
        if name.is_empty()
            || name.len() > NAME_BYTES
            || name.contains(&0)
            || value.len() > VALUE_BYTES
        {
            return Err(format!(
                "extended attribute `{}` has no valid name or size",
                crate::error::printable(name)
            ));
        }
        self.xattrs.retain(|xattr| xattr.name != name);
        if self.xattrs.len() >= XATTR_COUNT {
            return Err(format!("more than {XATTR_COUNT} extended attributes"));
        }
        self.xattrs.push(Xattr {
            name: name.to_vec(),
            value: value.to_vec(),
        });
        Ok(())
    }
}

/// Reads a value that is not empty; `None` if it cannot be read.
fn parsed<T>(value: &[u8], parse: impl Fn(&[u8]) -> Option<T>) -> Option<Option<T>> {
    match value.is_empty() {
        true => Some(None),
        false => parse(value).map(Some),
    }
}

/// Reads a number that is not negative, with or without a sign, as Go does.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    let text = text.strip_prefix(b"+").unwrap_or(text);
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: i64 = core::str::from_utf8(text).ok()?.parse().ok()?;
    u64::try_from(number).ok()
}

fn signed(text: &[u8]) -> Option<i64> {
    core::str::from_utf8(text).ok()?.parse().ok()
}
