//! Bytes read as a program: numbers, names and handles for host calls.
//!
//! Invariant: any bytes are a program; it ends where they end.

/// Names that drivers and attackers use.
const NAMES: [&[u8]; 12] = [
    b"a",
    b"b",
    b"c",
    b"link",
    b"up",
    b".",
    b"..",
    b"",
    b"a/b",
    b"../canary",
    b"/",
    b"nul\0byte",
];

/// Numbers at the edges of what a call takes.
const NUMBERS: [u64; 8] = [
    0,
    1,
    4096,
    256 << 10,
    u32::MAX as u64,
    i64::MAX as u64,
    i64::MAX as u64 + 1,
    u64::MAX,
];

/// What is left of a program.
pub(crate) struct Program<'a>(&'a [u8]);

impl<'a> Program<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// Up to 255 bytes.
    pub(crate) fn bytes(&mut self) -> Option<Vec<u8>> {
        let length = usize::from(self.byte()?).min(self.0.len());
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        Some(taken.to_vec())
    }

    /// A known name or any bytes.
    pub(crate) fn name(&mut self) -> Option<Vec<u8>> {
        let choice = usize::from(self.byte()?);
        match NAMES.get(choice) {
            Some(name) => Some(name.to_vec()),
            None if choice == 255 => Some(vec![b'n'; 300]),
            None => self.bytes(),
        }
    }

    /// A number at an edge, or any.
    pub(crate) fn number(&mut self) -> Option<u64> {
        let choice = self.byte()?;
        match NUMBERS.get(usize::from(choice)) {
            Some(number) => Some(*number),
            None if choice < 128 => Some(choice.into()),
            None => Some(u64::from(self.byte()?) << (choice % 64)),
        }
    }

    /// One of `count` handles; none if there are none.
    pub(crate) fn index(&mut self, count: usize) -> Option<usize> {
        let choice = usize::from(self.byte()?);
        (count > 0).then(|| choice % count)
    }
}
