//! Values of the contract as bytes: written while a driver works, read by whoever looks into a trace.
//!
//! Numbers are written in as few bytes as they need (LEB128), texts and lists behind their length. Long bytes that a driver hands
//! over are written as their length, their CRC-32 and their beginning, which is enough to tell them from others.
//!
//! Invariant: writing formats nothing and cannot fail; reading trusts no length.

use std::fmt::Write as _;

/// Bytes of one list of bytes that is written in full though it need not be: a name, a header's name.
const BRIEF_BYTES: usize = 320;
/// Bytes of the beginning of one that is longer.
const HEAD_BYTES: usize = 64;

/// A trace whose bytes make no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// What is read.
pub(crate) type Read<T> = Result<T, Malformed>;

/// Takes values.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    pub(super) bytes: Vec<u8>,
    /// Whether long bytes are written as what tells them from others.
    is_brief: bool,
}

/// Gives them again.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    /// How many bytes there were of those that were read last, if only their beginning was written.
    pub(crate) cut_from: Option<u64>,
}

/// A value of the contract.
pub(crate) trait Taped: Sized {
    /// Writes it.
    fn put(&self, to: &mut Writer);
    /// Reads it.
    fn take(from: &mut Reader<'_>) -> Read<Self>;
    /// Shows it to people.
    fn show(&self, to: &mut String);
}

impl Writer {
    /// One that writes long bytes in brief.
    pub(crate) fn brief() -> Self {
        Self {
            bytes: Vec::new(),
            is_brief: true,
        }
    }

    pub(super) fn set_brief(&mut self, is_brief: bool) {
        self.is_brief = is_brief;
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "it takes the lowest seven bits"
    )]
    pub(crate) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let is_cut = self.is_brief && bytes.len() > BRIEF_BYTES;
        self.number((bytes.len() as u64) << 1 | u64::from(is_cut));
        match is_cut {
            false => self.bytes.extend_from_slice(bytes),
            true => {
                self.number(crc32fast::hash(bytes).into());
                let head = bytes.get(..HEAD_BYTES).unwrap_or(bytes);
                self.bytes.extend_from_slice(head);
            }
        }
    }
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            cut_from: None,
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn slice(&mut self, length: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn byte(&mut self) -> Read<u8> {
        let (first, rest) = self.rest.split_first().ok_or(Malformed)?;
        self.rest = rest;
        Ok(*first)
    }

    pub(crate) fn number(&mut self) -> Read<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if part << shift >> shift != part {
                return Err(Malformed);
            }
            number |= part << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Malformed)
    }

    /// A length of what is still to be read, each at least one byte long.
    fn length(&mut self) -> Read<usize> {
        let length = usize::try_from(self.number()?).map_err(|_too_long| Malformed)?;
        match length <= self.rest.len() {
            true => Ok(length),
            false => Err(Malformed),
        }
    }

    fn bytes(&mut self) -> Read<&'a [u8]> {
        let told = self.number()?;
        let length = told >> 1;
        if told & 1 == 0 {
            self.cut_from = None;
            return self.slice(usize::try_from(length).map_err(|_too_long| Malformed)?);
        }
        self.number()?;
        self.cut_from = Some(length);
        self.slice(HEAD_BYTES)
    }
}

/// Bytes of a text after which nothing more of long values is written to it. What is shown is cut at 1 KiB anyway, and a value may
/// have megabytes, each byte of which is four when it is escaped.
const SHOWN_BYTES: usize = 960;

impl Taped for () {
    fn put(&self, _: &mut Writer) {}
    fn take(_: &mut Reader<'_>) -> Read<Self> {
        Ok(())
    }
    fn show(&self, to: &mut String) {
        to.push_str("ok");
    }
}

impl Taped for bool {
    fn put(&self, to: &mut Writer) {
        to.byte(u8::from(*self));
    }
    fn take(from: &mut Reader<'_>) -> Read<Self> {
        match from.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed),
        }
    }
    fn show(&self, to: &mut String) {
        to.push_str(if *self { "true" } else { "false" });
    }
}

impl Taped for u64 {
    fn put(&self, to: &mut Writer) {
        to.number(*self);
    }
    fn take(from: &mut Reader<'_>) -> Read<Self> {
        from.number()
    }
    fn show(&self, to: &mut String) {
        // Writing to a string cannot fail.
        let _written = write!(to, "{self}");
    }
}

impl Taped for u32 {
    fn put(&self, to: &mut Writer) {
        to.number((*self).into());
    }
    fn take(from: &mut Reader<'_>) -> Read<Self> {
        u32::try_from(from.number()?).map_err(|_too_large| Malformed)
    }
    fn show(&self, to: &mut String) {
        let _written = write!(to, "{self}");
    }
}

impl Taped for i64 {
    fn put(&self, to: &mut Writer) {
        to.number(self.cast_unsigned());
    }
    fn take(from: &mut Reader<'_>) -> Read<Self> {
        from.number().map(u64::cast_signed)
    }
    fn show(&self, to: &mut String) {
        let _written = write!(to, "{self}");
    }
}

impl Taped for String {
    fn put(&self, to: &mut Writer) {
        to.bytes(self.as_bytes());
    }
    fn take(from: &mut Reader<'_>) -> Read<Self> {
        // The beginning of a longer text may end within a character.
        Ok(Self::from_utf8_lossy(from.bytes()?).into_owned())
    }
    fn show(&self, to: &mut String) {
        let most = SHOWN_BYTES.saturating_sub(to.len());
        let part = self.get(..self.floor_char_boundary(most)).unwrap_or(self);
        let _written = write!(to, "{part:?}");
        if part.len() < self.len() {
            let _written = write!(to, "… ({} bytes)", self.len());
        }
    }
}

impl Taped for Vec<u8> {
    fn put(&self, to: &mut Writer) {
        to.bytes(self);
    }
    fn take(from: &mut Reader<'_>) -> Read<Self> {
        from.bytes().map(<[u8]>::to_vec)
    }
    fn show(&self, to: &mut String) {
        to.push('"');
        for byte in self {
            if to.len() >= SHOWN_BYTES {
                let _written = write!(to, "\"… ({} bytes)", self.len());
                return;
            }
            to.extend(std::ascii::escape_default(*byte).map(char::from));
        }
        to.push('"');
    }
}

impl<T: Taped> Taped for Vec<T> {
    fn put(&self, to: &mut Writer) {
        to.number(self.len() as u64);
        for item in self {
            item.put(to);
        }
    }
    fn take(from: &mut Reader<'_>) -> Read<Self> {
        let length = from.length()?;
        (0..length).map(|_| T::take(from)).collect()
    }
    fn show(&self, to: &mut String) {
        to.push('[');
        for (place, item) in self.iter().enumerate() {
            to.push_str(if place > 0 { ", " } else { "" });
            if to.len() >= SHOWN_BYTES {
                let _written = write!(to, "… ({} in all)", self.len());
                break;
            }
            item.show(to);
        }
        to.push(']');
    }
}

impl<T: Taped> Taped for Option<T> {
    fn put(&self, to: &mut Writer) {
        match self {
            None => to.byte(0),
            Some(value) => {
                to.byte(1);
                value.put(to);
            }
        }
    }
    fn take(from: &mut Reader<'_>) -> Read<Self> {
        match from.byte()? {
            0 => Ok(None),
            1 => T::take(from).map(Some),
            _ => Err(Malformed),
        }
    }
    fn show(&self, to: &mut String) {
        match self {
            None => to.push_str("none"),
            Some(value) => value.show(to),
        }
    }
}

impl<A: Taped, B: Taped> Taped for (A, B) {
    fn put(&self, to: &mut Writer) {
        self.0.put(to);
        self.1.put(to);
    }
    fn take(from: &mut Reader<'_>) -> Read<Self> {
        Ok((A::take(from)?, B::take(from)?))
    }
    fn show(&self, to: &mut String) {
        to.push('(');
        self.0.show(to);
        to.push_str(", ");
        self.1.show(to);
        to.push(')');
    }
}

impl<T: Taped, E: Taped> Taped for Result<T, E> {
    fn put(&self, to: &mut Writer) {
        match self {
            Ok(value) => {
                to.byte(0);
                value.put(to);
            }
            Err(error) => {
                to.byte(1);
                error.put(to);
            }
        }
    }
    fn take(from: &mut Reader<'_>) -> Read<Self> {
        Ok(match from.byte()? {
            0 => Ok(T::take(from)?),
            1 => Err(E::take(from)?),
            _ => return Err(Malformed),
        })
    }
    fn show(&self, to: &mut String) {
        match self {
            Ok(value) => value.show(to),
            Err(error) => error.show(to),
        }
    }
}

#[cfg(test)]
mod tests;
