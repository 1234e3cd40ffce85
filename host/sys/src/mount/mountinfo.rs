//! The mount table as text: `/proc/self/mountinfo`, read as bytes.
//!
//! Invariant: no line, however long or broken, ends the reading of the others.

use super::MountEntry;
use super::roots::Shown;

/// Reads all lines. A line that is no mount is left out.
pub(super) fn parse(text: &[u8]) -> Vec<MountEntry> {
    text.split(|byte| *byte == b'\n')
        .filter_map(parse_line)
        .collect()
}

/// One line: `id parent major:minor root point options [tags...] - type source options`.
fn parse_line(line: &[u8]) -> Option<MountEntry> {
    let mut fields = line.split(|byte| *byte == b' ');
    let mount_id = number(fields.next()?)?;
    let parent_id = number(fields.next()?)?;
    let _device = fields.next()?;
    let root = unescape(fields.next()?);
    let mount_point = unescape(fields.next()?);
    // The options and the optional tags end at a lone hyphen.
    fields.find(|field| *field == b"-")?;
    let fs_type = unescape(fields.next()?);
    let source = unescape(fields.next()?);
    Some(MountEntry {
        mount_id,
        parent_id,
        root,
        mount_point,
        fs_type,
        source,
    })
}

/// What a line shows, and where: `id parent major:minor root point …`.
pub(super) fn tree_of(line: &[u8]) -> Option<(Vec<u8>, Shown)> {
    let mut fields = line.split(|byte| *byte == b' ').skip(2);
    let device = fields.next()?.to_vec();
    let root = unescape(fields.next()?);
    let mount_point = unescape(fields.next()?);
    Some((mount_point, Shown { device, root }))
}

fn number(field: &[u8]) -> Option<u64> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

/// The kernel writes space, tab, newline and backslash as a backslash and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let escaped = if *first == b'\\' {
            after.first_chunk::<3>().and_then(octal)
        } else {
            None
        };
        plain.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() {
            after.get(3..).unwrap_or_default()
        } else {
            after
        };
    }
    plain
}

/// The byte that three octal digits mean.
fn octal(digits: &[u8; 3]) -> Option<u8> {
    let text = std::str::from_utf8(digits).ok()?;
    if !text.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    u8::from_str_radix(text, 8).ok()
}
