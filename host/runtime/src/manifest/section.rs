//! The section of a component that holds its manifest.
//!
//! Invariant: adding one changes no other byte of the component; whoever reads one has it from the process that parses components.

use super::{BadManifest, MANIFEST_BYTES, Manifest, SECTION};

/// What a component begins with.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
/// The number of a custom section.
const CUSTOM: u8 = 0;

/// Finds the manifest among the sections of a component as they pass: that of the outermost one, or, where it has none, the one that
/// lies least deep. A component that was composed of others keeps its manifest in one of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sections {
    found: Option<Found>,
}

#[derive(Clone, Debug)]
struct Found {
    depth: u32,
    bytes: Vec<u8>,
    /// Whether there are two as deep.
    is_double: bool,
}

impl Sections {
    /// Takes a custom section into account that lies in so many components and modules.
    ///
    /// # Errors
    /// [`BadManifest`] for one that is too large.
    pub(crate) fn note(&mut self, depth: u32, name: &str, data: &[u8]) -> Result<(), BadManifest> {
        if name != SECTION || self.found.as_ref().is_some_and(|found| found.depth < depth) {
            return Ok(());
        }
        if data.len() > MANIFEST_BYTES {
            let has = data.len();
            return Err(BadManifest::new(format!(
                "it has {has} bytes; {MANIFEST_BYTES} are allowed"
            )));
        }
        self.found = Some(Found {
            depth,
            bytes: data.to_vec(),
            is_double: self
                .found
                .as_ref()
                .is_some_and(|found| found.depth == depth),
        });
        Ok(())
    }

    /// The manifest, if there is one.
    ///
    /// # Errors
    /// [`BadManifest`] when it cannot be read, or when there are two.
    pub(crate) fn manifest(&self) -> Result<Option<Manifest>, BadManifest> {
        let Some(found) = &self.found else {
            return Ok(None);
        };
        if found.is_double {
            return Err(BadManifest::new(format!(
                "there are two sections `{SECTION}`, and it is not clear which counts"
            )));
        }
        Manifest::of_json(&found.bytes).map(Some)
    }
}

/// Whether the outermost level of a component has a manifest.
#[must_use]
pub fn has(component: &[u8]) -> bool {
    without(component).is_ok_and(|without| without.len() != component.len())
}

/// The component with this manifest in it, instead of the one that it had.
///
/// # Errors
/// [`BadManifest`] for a manifest that is too large, or bytes that are no component.
pub fn add(component: &[u8], manifest: &Manifest) -> Result<Vec<u8>, BadManifest> {
    let json = manifest.to_json()?;
    let mut made = without(component)?;
    let content = [&*number(SECTION.len()), SECTION.as_bytes(), &json].concat();
    made.push(CUSTOM);
    made.extend(number(content.len()));
    made.extend(content);
    Ok(made)
}

/// The component without the manifest of its outermost level.
fn without(component: &[u8]) -> Result<Vec<u8>, BadManifest> {
    let damaged = || BadManifest::new("the file is no WebAssembly component, or it is damaged");
    let mut rest = component.strip_prefix(COMPONENT).ok_or_else(damaged)?;
    let mut kept = COMPONENT.to_vec();
    while let Some((&kind, after)) = rest.split_first() {
        let (length, content) = read_number(after).ok_or_else(damaged)?;
        let (content, after) = content.split_at_checked(length).ok_or_else(damaged)?;
        if kind != CUSTOM || !is_called(content, SECTION) {
            let whole = rest.len() - after.len();
            kept.extend_from_slice(rest.get(..whole).ok_or_else(damaged)?);
        }
        rest = after;
    }
    Ok(kept)
}

fn is_called(content: &[u8], name: &str) -> bool {
    let Some((length, rest)) = read_number(content) else {
        return false;
    };
    rest.get(..length) == Some(name.as_bytes())
}

/// A number as WebAssembly writes it.
fn number(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or(0);
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// Reads a number of 32 bits.
fn read_number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_u64;
    for (at, &byte) in bytes.iter().enumerate().take(5) {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let value = u32::try_from(value).ok()?;
            return Some((value as usize, bytes.get(at + 1..)?));
        }
    }
    None
}
