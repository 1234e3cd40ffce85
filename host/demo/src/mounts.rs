//! What is mounted, as the kernel lists it.
//!
//! Invariant: reads bytes; a path need not be text.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use mica_client::Failure;

/// A mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// The kernel's number for it.
    pub(crate) id: u64,
    /// Where it is.
    pub(crate) point: Vec<u8>,
    /// The type of its file system.
    pub(crate) kind: String,
}

/// Mounts at or below a path, in the order of the kernel's list.
pub(crate) fn below(path: &Path) -> Result<Vec<Mount>, Failure> {
    let table =
        std::fs::read("/proc/self/mountinfo").map_err(Failure::io("read the list of mounts"))?;
    let lines = table.split(|&byte| byte == b'\n');
    let prefix = path.as_os_str().as_bytes();
    let inside = |mount: &Mount| {
        let rest = mount.point.strip_prefix(prefix);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    };
    Ok(lines.filter_map(parse).filter(inside).collect())
}

/// A line such as `36 35 98:0 /root /mnt rw,noatime master:1 - ext4 /dev/sda rw`.
fn parse(line: &[u8]) -> Option<Mount> {
    let fields: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    let dash = fields.iter().position(|field| *field == b"-")?;
    Some(Mount {
        id: std::str::from_utf8(fields.first()?).ok()?.parse().ok()?,
        point: unescape(fields.get(4)?),
        kind: String::from_utf8_lossy(fields.get(dash + 1)?).into_owned(),
    })
}

/// Blanks, line breaks and backslashes stand as three octal digits after a backslash.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = (byte == b'\\')
            .then(|| after.get(..3))
            .flatten()
            .and_then(octal);
        plain.push(escaped.unwrap_or(byte));
        rest = match escaped {
            Some(_) => after.get(3..).unwrap_or_default(),
            None => after,
        };
    }
    plain
}

fn octal(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_understood() {
        let line =
            br"36 35 0:29 / /var/tmp/with\040blank rw,relatime - overlay overlay rw,lowerdir+=x";
        let mount = parse(line).unwrap();
        assert_eq!(
            (mount.id, mount.point.as_slice(), mount.kind.as_str()),
            (36, &b"/var/tmp/with blank"[..], "overlay")
        );
        assert_eq!(parse(b""), None);
    }
}
