//! Reads archives header by header, as POSIX describes them.
//!
//! Invariant: independent of Mica's own reader and writer; what is not as it should be is an error.

use anyhow::{Context as _, Result, ensure};

use crate::archive::BLOCK;
use crate::script::{fingerprint, quote};

/// One entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name as it stands there.
    pub name: Vec<u8>,
    /// The type flag.
    pub flag: u8,
    /// Permission bits and whatever else the field holds.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u64, u64),
    /// Size of the content.
    pub size: u64,
    /// Time in whole seconds.
    pub seconds: u64,
    /// The target of a link.
    pub link: Option<Vec<u8>>,
    /// Device numbers.
    pub device: (u64, u64),
    /// PAX records in order.
    pub pax: Vec<(String, Vec<u8>)>,
    /// The content.
    pub content: Vec<u8>,
}

impl Entry {
    /// `TYPE name mode owner …`, without the time.
    pub fn line(&self) -> String {
        let flag = match self.flag {
            b'0' | 0 => 'f',
            b'1' => 'h',
            b'2' => 'l',
            b'3' => 'c',
            b'4' => 'b',
            b'5' => 'd',
            b'6' => 'p',
            other => char::from(other),
        };
        let mut line = format!(
            "{flag} {} {:o} {}:{}",
            quote(&self.name),
            self.mode,
            self.owner.0,
            self.owner.1
        );
        match flag {
            'f' if self.content.len() <= 48 => {
                line.push_str(&format!(" \"{}\"", self.content.escape_ascii()))
            }
            'f' => line.push_str(&format!(
                " {}:{:016x}",
                self.size,
                fingerprint(&self.content)
            )),
            'c' | 'b' => line.push_str(&format!(" {}:{}", self.device.0, self.device.1)),
            _ => {}
        }
        if let Some(link) = self.link.as_ref().filter(|link| !link.is_empty()) {
            line.push_str(&format!(" ->{}", quote(link)));
        }
        for (key, value) in self
            .pax
            .iter()
            .filter(|(key, _)| key.starts_with("SCHILY."))
        {
            line.push_str(&format!(" {key}={}", quote(value)));
        }
        line
    }
}

/// The entries of an archive, which must be whole: two blocks of zeros and nothing after them.
///
/// # Panics
/// If it is not.
#[track_caller]
pub fn list(archive: &[u8]) -> Vec<Entry> {
    try_list(archive).unwrap_or_else(|error| panic!("{error:#}"))
}

/// The entries of an archive, which must be whole: two blocks of zeros and nothing after them.
///
/// # Errors
/// What is not as it should be.
pub fn try_list(archive: &[u8]) -> Result<Vec<Entry>> {
    ensure!(archive.len().is_multiple_of(BLOCK), "not whole blocks");
    let blocks = archive
        .strip_suffix(&[0; 2 * BLOCK])
        .context("no end of the archive")?;
    let (mut entries, mut pax, mut rest) = (Vec::new(), Vec::new(), blocks);
    while let Some((header, after)) = rest.split_at_checked(BLOCK) {
        let size = match recorded("size", &pax) {
            Some(size) => decimal(&size)?,
            None => octal(header, 124, 12)?,
        };
        let length = usize::try_from(size)?;
        let padded = length.checked_next_multiple_of(BLOCK);
        let (content, next) = padded
            .and_then(|padded| after.split_at_checked(padded))
            .context("the content of an entry is cut off")?;
        let content = &content[..length];
        rest = next;
        if header[156] == b'x' {
            pax = records(content)?;
            continue;
        }
        entries.push(entry(header, std::mem::take(&mut pax), content)?);
    }
    ensure!(rest.is_empty() && pax.is_empty(), "something is left over");
    Ok(entries)
}

fn recorded(key: &str, pax: &[(String, Vec<u8>)]) -> Option<Vec<u8>> {
    let found = pax.iter().rev().find(|(name, _)| name == key);
    found.map(|(_, value)| value.clone())
}

fn entry(header: &[u8], pax: Vec<(String, Vec<u8>)>, content: &[u8]) -> Result<Entry> {
    let number = |key: &str, at: usize| match recorded(key, &pax) {
        Some(number) => decimal(&number),
        None => octal(header, at, 8),
    };
    Ok(Entry {
        name: recorded("path", &pax).unwrap_or_else(|| text(header, 0, 100)),
        flag: header[156],
        mode: octal(header, 100, 8)?.try_into()?,
        owner: (number("uid", 108)?, number("gid", 116)?),
        size: content.len() as u64,
        seconds: octal(header, 136, 12)?,
        link: Some(recorded("linkpath", &pax).unwrap_or_else(|| text(header, 157, 100))),
        device: (octal(header, 329, 8)?, octal(header, 337, 8)?),
        content: content.to_vec(),
        pax,
    })
}

fn text(header: &[u8], at: usize, width: usize) -> Vec<u8> {
    header[at..at + width]
        .split(|&byte| byte == 0)
        .next()
        .unwrap_or_default()
        .to_vec()
}

fn octal(header: &[u8], at: usize, width: usize) -> Result<u64> {
    let text = String::from_utf8(text(header, at, width)).context("octal digits")?;
    let digits = text.trim();
    if digits.is_empty() {
        return Ok(0);
    }
    u64::from_str_radix(digits, 8).with_context(|| format!("octal digits: `{digits}`"))
}

fn decimal(text: &[u8]) -> Result<u64> {
    let digits = std::str::from_utf8(text).context("decimal digits")?;
    digits
        .parse()
        .with_context(|| format!("decimal digits: `{digits}`"))
}

/// `LENGTH KEY=VALUE\n`, one after the other.
fn records(mut bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let blank = bytes.iter().position(|&byte| byte == b' ');
        let blank = blank.context("a record without a length")?;
        let length = usize::try_from(decimal(&bytes[..blank])?)?;
        let record = bytes.get(blank + 1..length);
        let record = record.and_then(|record| record.strip_suffix(b"\n"));
        let record = record.context("the end of a record")?;
        let equals = record.iter().position(|&byte| byte == b'=');
        let equals = equals.context("a record without a value")?;
        let key = String::from_utf8(record[..equals].to_vec()).context("a key")?;
        records.push((key, record[equals + 1..].to_vec()));
        bytes = &bytes[length..];
    }
    Ok(records)
}

/// The lines of an archive's entries.
///
/// # Panics
/// If the archive is not whole.
#[track_caller]
pub fn lines(archive: &[u8]) -> String {
    list(archive)
        .iter()
        .map(|entry| entry.line() + "\n")
        .collect()
}
