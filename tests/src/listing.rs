//! Reads archives: header by header as POSIX describes them, and whole trees with GNU tar.
//!
//! Invariant: independent of Mica's own reader and writer; what is not as it should be is a panic.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

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
#[track_caller]
pub fn list(archive: &[u8]) -> Vec<Entry> {
    assert_eq!(archive.len() % BLOCK, 0, "not whole blocks");
    let Some(blocks) = archive.strip_suffix(&[0; 2 * BLOCK]) else {
        panic!("no end of the archive")
    };
    let (mut entries, mut pax, mut rest) = (Vec::new(), Vec::new(), blocks);
    while let Some((header, after)) = rest.split_at_checked(BLOCK) {
        let recorded = |key: &str, pax: &[(String, Vec<u8>)]| {
            let found = pax.iter().rev().find(|(name, _)| name == key);
            found.map(|(_, value)| value.clone())
        };
        let size =
            recorded("size", &pax).map_or_else(|| octal(header, 124, 12), |size| decimal(&size));
        let length = usize::try_from(size).expect("a size");
        let (content, _) = after
            .split_at_checked(length)
            .expect("the content of an entry");
        rest = &after[length.next_multiple_of(BLOCK)..];
        if header[156] == b'x' {
            pax = records(content);
            continue;
        }
        entries.push(Entry {
            name: recorded("path", &pax).unwrap_or_else(|| text(header, 0, 100)),
            flag: header[156],
            mode: octal(header, 100, 8).try_into().expect("a mode"),
            owner: (
                recorded("uid", &pax).map_or_else(|| octal(header, 108, 8), |uid| decimal(&uid)),
                recorded("gid", &pax).map_or_else(|| octal(header, 116, 8), |gid| decimal(&gid)),
            ),
            size,
            seconds: octal(header, 136, 12),
            link: Some(recorded("linkpath", &pax).unwrap_or_else(|| text(header, 157, 100))),
            device: (octal(header, 329, 8), octal(header, 337, 8)),
            pax: std::mem::take(&mut pax),
            content: content.to_vec(),
        });
    }
    assert!(rest.is_empty() && pax.is_empty(), "something is left over");
    entries
}

fn text(header: &[u8], at: usize, width: usize) -> Vec<u8> {
    header[at..at + width]
        .split(|&byte| byte == 0)
        .next()
        .unwrap_or_default()
        .to_vec()
}

#[track_caller]
fn octal(header: &[u8], at: usize, width: usize) -> u64 {
    let text = String::from_utf8(text(header, at, width)).expect("octal digits");
    let digits = text.trim();
    if digits.is_empty() {
        0
    } else {
        u64::from_str_radix(digits, 8).expect("octal digits")
    }
}

#[track_caller]
fn decimal(text: &[u8]) -> u64 {
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .expect("decimal digits")
}

/// `LENGTH KEY=VALUE\n`, one after the other.
#[track_caller]
fn records(mut bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let blank = bytes
            .iter()
            .position(|&byte| byte == b' ')
            .expect("a length");
        let length = usize::try_from(decimal(&bytes[..blank])).expect("a length");
        let record = bytes[blank + 1..length]
            .strip_suffix(b"\n")
            .expect("the end of a record");
        let equals = record
            .iter()
            .position(|&byte| byte == b'=')
            .expect("a value");
        let key = String::from_utf8(record[..equals].to_vec()).expect("a key");
        records.push((key, record[equals + 1..].to_vec()));
        bytes = &bytes[length..];
    }
    records
}

/// The lines of an archive's entries.
#[track_caller]
pub fn lines(archive: &[u8]) -> String {
    list(archive)
        .iter()
        .map(|entry| entry.line() + "\n")
        .collect()
}

/// Unpacks an archive with GNU tar, with all that it can keep.
#[track_caller]
pub fn extract(archive: &[u8], into: &Path) {
    fs::create_dir_all(into).expect("make a directory");
    let mut command = Command::new("tar");
    command.args([
        "--extract",
        "--preserve-permissions",
        "--same-owner",
        "--numeric-owner",
        "--delay-directory-restore",
    ]);
    command
        .args(["--xattrs", "--xattrs-include=*", "--directory"])
        .arg(into)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("start tar");
    let mut stdin = child.stdin.take().expect("a pipe");
    let output = std::thread::scope(|scope| {
        scope.spawn(move || std::io::Write::write_all(&mut stdin, archive));
        child.wait_with_output().expect("wait for tar")
    });
    assert!(
        output.status.success(),
        "tar: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
