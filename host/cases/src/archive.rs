//! Makes tar archives, right and wrong ones, header by header.
//!
//! A script line is `TYPE name key=value…`. Types: `f d l h c b p` as in [`tree`](crate::tree), `g` a global header,
//! `x` a PAX header alone, `L` `K` GNU long name and link name, `0xNN` any type flag. Fields: `mode= own= mtime= to=
//! rdev= pax:KEY=VALUE pax-fill:comment=LENGTH x:NAME=VALUE`, the content, and `size=` for a size that the content has not. `octal:FIELD=` sets
//! the bytes of a header field (`mode uid gid size mtime major minor checksum magic prefix`) as they stand.
//!
//! Invariant: shares no code with Mica. Headers are written here byte by byte.

use crate::script::{self, Line};

/// Bytes of a tar block.
pub const BLOCK: usize = 512;

/// An archive of a script, with its two blocks of zeros.
pub fn archive(text: &str) -> Vec<u8> {
    let mut bytes = entries(text);
    bytes.extend([0; 2 * BLOCK]);
    bytes
}

/// The entries of a script without the end.
pub fn entries(text: &str) -> Vec<u8> {
    script::parse(text).iter().flat_map(entry).collect()
}

/// The places and widths of the header's fields.
const FIELDS: [(&str, usize, usize); 11] = [
    ("mode", 100, 8),
    ("uid", 108, 8),
    ("gid", 116, 8),
    ("size", 124, 12),
    ("mtime", 136, 12),
    ("magic", 257, 8),
    ("uname", 265, 32),
    ("gname", 297, 32),
    ("major", 329, 8),
    ("minor", 337, 8),
    ("prefix", 345, 155),
];

fn entry(line: &Line) -> Vec<u8> {
    let mut bytes = Vec::new();
    let records = pax_records(line);
    if line.verb == "g" || line.verb == "x" {
        let flag = line.verb.as_bytes()[0];
        let data = if records.is_empty() {
            line.content()
        } else {
            records
        };
        return block(&line.path, flag, &data, line);
    }
    if !records.is_empty() {
        let plain = script::parse("x PaxHeaders/x mode=644").remove(0);
        bytes.extend(block(b"PaxHeaders/x", b'x', &records, &plain));
    }
    bytes.extend(block(&line.path, flag(&line.verb), &line.content(), line));
    bytes
}

fn flag(verb: &str) -> u8 {
    match verb {
        "f" => b'0',
        "h" => b'1',
        "l" => b'2',
        "c" => b'3',
        "b" => b'4',
        "d" => b'5',
        "p" => b'6',
        "L" => b'L',
        "K" => b'K',
        other => {
            let digits = other
                .strip_prefix("0x")
                .unwrap_or_else(|| panic!("unknown type `{other}`"));
            u8::from_str_radix(digits, 16).expect("hexadecimal digits")
        }
    }
}

/// What goes into a PAX header: what the line asks for, and what does not fit the plain one.
fn pax_records(line: &Line) -> Vec<u8> {
    let mut records = Vec::new();
    for (key, value) in line.prefixed("pax:") {
        record(&mut records, key, value);
    }
    if let Some(length) = line.number_field("pax-fill:comment") {
        record(
            &mut records,
            b"comment",
            &vec![b'c'; length.try_into().expect("a length")],
        );
    }
    for (name, value) in line.prefixed("x:") {
        record(&mut records, &[b"SCHILY.xattr.", name].concat(), value);
    }
    if line.path.len() > 100
        && !matches!(line.verb.as_str(), "g" | "x")
        && line.field("cut").is_none()
    {
        record(&mut records, b"path", &line.path);
    }
    if let Some(target) = line.field("to").filter(|target| target.len() > 100) {
        record(&mut records, b"linkpath", target);
    }
    if let Some((seconds, nanoseconds)) = line
        .mtime()
        .filter(|&(seconds, nanoseconds)| nanoseconds > 0 || seconds < 0)
    {
        record(
            &mut records,
            b"mtime",
            format!("{seconds}.{nanoseconds:09}").as_bytes(),
        );
    }
    records
}

/// Appends `LENGTH KEY=VALUE\n`, where the length counts itself.
pub fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend(length.to_string().as_bytes());
    records.push(b' ');
    records.extend(key);
    records.push(b'=');
    records.extend(value);
    records.push(b'\n');
}

fn block(name: &[u8], flag: u8, content: &[u8], line: &Line) -> Vec<u8> {
    let mut header = [0; BLOCK];
    put(&mut header, 0, 100, name);
    let (uid, gid) = line.pair("own").unwrap_or((0, 0));
    let size = line
        .number_field("size")
        .unwrap_or_else(|| content.len().try_into().expect("a size"));
    let default = if flag == b'5' { 0o755 } else { 0o644 };
    octal(&mut header, 100, 8, line.mode().unwrap_or(default).into());
    octal(&mut header, 108, 8, uid.into());
    octal(&mut header, 116, 8, gid.into());
    octal(&mut header, 124, 12, size.try_into().unwrap_or(0));
    octal(
        &mut header,
        136,
        12,
        line.mtime()
            .map_or(1_234_567_890, |(seconds, _)| seconds)
            .max(0)
            .unsigned_abs(),
    );
    header[156] = flag;
    put(&mut header, 157, 100, line.field("to").unwrap_or_default());
    put(&mut header, 257, 8, b"ustar\x0000");
    let (major, minor) = line.pair("rdev").unwrap_or((0, 0));
    octal(&mut header, 329, 8, major.into());
    octal(&mut header, 337, 8, minor.into());
    for (field, at, width) in FIELDS {
        if let Some(value) = line.field(&format!("octal:{field}")) {
            header[at..at + width].fill(0);
            put(&mut header, at, width, value);
        }
    }
    checksum(&mut header);
    if let Some(value) = line.field("octal:checksum") {
        put(&mut header, 148, 8, value);
    }
    let mut bytes = header.to_vec();
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

/// Computes a header's checksum and puts it in.
pub fn checksum(header: &mut [u8]) {
    header[148..156].fill(b' ');
    let sum: u64 = header[..BLOCK].iter().map(|&byte| u64::from(byte)).sum();
    put(header, 148, 8, format!("{sum:06o}\0 ").as_bytes());
}

fn put(header: &mut [u8], at: usize, width: usize, value: &[u8]) {
    let length = value.len().min(width);
    header[at..at + length].copy_from_slice(&value[..length]);
}

fn octal(header: &mut [u8], at: usize, width: usize, value: u64) {
    let digits = width - 1;
    put(header, at, width, format!("{value:0digits$o}\0").as_bytes());
}
