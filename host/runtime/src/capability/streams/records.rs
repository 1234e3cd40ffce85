//! PAX records on their way: `length key=value\n`, of which only `size` is read.
//!
//! Invariant: values are counted, not kept.

/// The key that says how long an entry's content is.
const SIZE: &[u8] = b"size";
/// Digits of a record's length, and of a size: more than any number of 63 bits has.
const MAX_DIGITS: u32 = 19;

/// The records of one header.
#[derive(Debug)]
pub(super) struct Records {
    /// Bytes of the header's body that have not come yet.
    left: u64,
    step: Step,
    /// Whether they are of the whole archive.
    is_global: bool,
    size: Option<u64>,
}

/// Where in a record the next byte stands.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// In the length, of which some digits were read.
    Length { value: u64, digits: u32 },
    /// In the key, of which `matched` bytes are those of `size`, or none ever will be.
    Key { left: u64, matched: Option<usize> },
    /// In a value that is counted, `left` bytes before the newline.
    Value { left: u64 },
    /// In the value of `size`.
    Size { left: u64, value: u64, digits: u32 },
    /// Behind the last record: some writers fill with NULs.
    Fill,
}

const BEGIN: Step = Step::Length {
    value: 0,
    digits: 0,
};
const ILL_FORMED: &str = "a PAX record that is not well-formed";

impl Records {
    /// Records of the next entry, in a body of `left` bytes.
    pub(super) fn of_entry(left: u64) -> Self {
        Self {
            left,
            step: BEGIN,
            is_global: false,
            size: None,
        }
    }

    /// Records of all entries that follow.
    pub(super) fn of_archive(left: u64) -> Self {
        Self {
            is_global: true,
            ..Self::of_entry(left)
        }
    }

    /// Whether the body has come.
    pub(super) fn is_over(&self) -> bool {
        self.left == 0
    }

    /// The size that the records give.
    pub(super) fn end(&self) -> Result<Option<u64>, &'static str> {
        match self.step {
            Step::Length { digits: 0, .. } | Step::Fill => Ok(self.size),
            _ => Err(ILL_FORMED),
        }
    }

    /// Takes some of the bytes and says how many.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<usize, &'static str> {
        let most = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let mut taken = 0;
        while let Some(byte) = bytes.get(taken).filter(|_| taken < most) {
            let part = match &mut self.step {
                Step::Value { left } if *left > 0 => {
                    let part =
                        usize::try_from(*left).map_or(most - taken, |left| left.min(most - taken));
                    *left -= part as u64;
                    part
                }
                _ => {
                    let behind = self.left - taken as u64 - 1;
                    self.step = self.after(*byte, behind)?;
                    1
                }
            };
            taken += part;
        }
        self.left -= taken as u64;
        Ok(taken)
    }

    /// Where the next byte stands after this one, with `behind` bytes of the body behind it.
    fn after(&mut self, byte: u8, behind: u64) -> Result<Step, &'static str> {
        match self.step {
            Step::Length { digits: 0, .. } | Step::Fill if byte == 0 => Ok(Step::Fill),
            Step::Length { value, digits } => length(byte, value, digits, behind),
            Step::Key { left, matched } => self.key(byte, left, matched),
            Step::Value { .. } | Step::Size { left: 0, .. } => match byte {
                b'\n' => {
                    if let Step::Size { value, digits, .. } = self.step {
                        // An empty value takes an earlier record back.
                        self.size = (digits > 0).then_some(value);
                    }
                    Ok(BEGIN)
                }
                _ => Err(ILL_FORMED),
            },
            Step::Size {
                left,
                value,
                digits,
            } => match digit(byte).filter(|_| digits < MAX_DIGITS) {
                Some(digit)
                    if i64::try_from(value.saturating_mul(10).saturating_add(digit)).is_ok() =>
                {
                    Ok(Step::Size {
                        left: left - 1,
                        value: value * 10 + digit,
                        digits: digits + 1,
                    })
                }
                _ => Err("a PAX `size` that is no number of bytes"),
            },
            Step::Fill => Err(ILL_FORMED),
        }
    }

    fn key(&self, byte: u8, left: u64, matched: Option<usize>) -> Result<Step, &'static str> {
        // The value's newline at least is still to come.
        let left = left.checked_sub(1).filter(|left| *left > 0);
        let left = left.ok_or(ILL_FORMED)?;
        if byte != b'=' {
            let matched = matched.filter(|matched| SIZE.get(*matched) == Some(&byte));
            return Ok(Step::Key {
                left,
                matched: matched.map(|matched| matched + 1),
            });
        }
        let left = left - 1;
        match matched {
            Some(matched) if matched == SIZE.len() => match self.is_global {
                true => Err("a PAX `size` for all entries"),
                false => Ok(Step::Size {
                    left,
                    value: 0,
                    digits: 0,
                }),
            },
            _ => Ok(Step::Value { left }),
        }
    }
}

/// What follows a byte of a record's length.
fn length(byte: u8, value: u64, digits: u32, behind: u64) -> Result<Step, &'static str> {
    if byte != b' ' {
        let digit = digit(byte)
            .filter(|_| digits < MAX_DIGITS)
            .ok_or(ILL_FORMED)?;
        return Ok(Step::Length {
            value: value.saturating_mul(10).saturating_add(digit),
            digits: digits + 1,
        });
    }
    // The length counts its own digits and the blank.
    let left = value.checked_sub(u64::from(digits) + 1);
    match left.filter(|left| *left <= behind) {
        Some(left) => Ok(Step::Key {
            left,
            matched: Some(0),
        }),
        None => Err(ILL_FORMED),
    }
}

fn digit(byte: u8) -> Option<u64> {
    byte.is_ascii_digit().then(|| u64::from(byte - b'0'))
}
