//! The line format that the tree and archive scripts share.
//!
//! A line is a verb, a path and fields `key=value`, separated by blanks. Double quotes keep blanks together; `\n`,
//! `\t`, `\\`, `\"` and `\xNN` work inside and outside of quotes. `#` begins a comment. Words are bytes, not text.
//!
//! Invariant: a line that cannot be read is a panic with the line in it, never a silent skip.

/// One line of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The number of the line in its script, from 1.
    pub number: u32,
    /// The first word.
    pub verb: String,
    /// The second word.
    pub path: Vec<u8>,
    /// The rest, in order.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// The line as it was written.
    pub text: String,
}

impl Line {
    /// The value of the first field of this name.
    pub fn field(&self, key: &str) -> Option<&[u8]> {
        self.fields
            .iter()
            .find(|(name, _)| name == key.as_bytes())
            .map(|(_, value)| value.as_slice())
    }

    /// A field's value as text.
    pub fn text_field(&self, key: &str) -> Option<&str> {
        self.field(key)
            .map(|value| std::str::from_utf8(value).unwrap_or_else(|_| self.wrong("not UTF-8")))
    }

    /// A field's value as a decimal number.
    pub fn number_field(&self, key: &str) -> Option<i64> {
        self.text_field(key)
            .map(|text| text.parse().unwrap_or_else(|_| self.wrong("not a number")))
    }

    /// A field's value as permission bits in octal.
    pub fn mode(&self) -> Option<u32> {
        self.text_field("mode")
            .map(|text| u32::from_str_radix(text, 8).unwrap_or_else(|_| self.wrong("not octal")))
    }

    /// A field `key=A:B` as two numbers.
    pub fn pair(&self, key: &str) -> Option<(u32, u32)> {
        self.text_field(key).map(|text| {
            let (first, second) = text
                .split_once(':')
                .unwrap_or_else(|| self.wrong("wants `a:b`"));
            let number = |part: &str| part.parse().unwrap_or_else(|_| self.wrong("not a number"));
            (number(first), number(second))
        })
    }

    /// The field `mtime=SECONDS[.NANOSECONDS]`; the fraction has nine digits or is filled up.
    pub fn mtime(&self) -> Option<(i64, u32)> {
        self.text_field("mtime").map(|text| {
            let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
            let nanoseconds = format!("{fraction:0<9}");
            let (seconds, nanoseconds) = (seconds.parse(), nanoseconds.parse());
            (
                seconds.unwrap_or_else(|_| self.wrong("not a time")),
                nanoseconds.unwrap_or_else(|_| self.wrong("not a time")),
            )
        })
    }

    /// The content: `data=` as it stands, `repeat=N` times, or `fill=N` bytes that look random and depend on the path.
    pub fn content(&self) -> Vec<u8> {
        if let Some(length) = self.number_field("fill") {
            return noise(&self.path, usize::try_from(length).expect("a length"));
        }
        let data = self.field("data").unwrap_or_default();
        data.repeat(
            self.number_field("repeat")
                .map_or(1, |count| usize::try_from(count).expect("a count")),
        )
    }

    /// The fields whose names begin with `prefix`, without it.
    pub fn prefixed<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.fields.iter().filter_map(move |(name, value)| {
            Some((name.strip_prefix(prefix.as_bytes())?, value.as_slice()))
        })
    }

    fn wrong(&self, what: &str) -> ! {
        panic!("line {}: {what}: {}", self.number, self.text)
    }
}

/// Reads a script.
pub fn parse(text: &str) -> Vec<Line> {
    let lines = text.lines().zip(1..);
    lines
        .filter_map(|(line, number)| parse_line(line, number))
        .collect()
}

fn parse_line(text: &str, number: u32) -> Option<Line> {
    let mut words = words(text, number).into_iter();
    let (verb, _) = words.next()?;
    let (path, _) = words
        .next()
        .unwrap_or_else(|| panic!("line {number}: no path: {text}"));
    let fields = words.map(|(word, split)| match split {
        Some(at) => (word[..at].to_vec(), word[at + 1..].to_vec()),
        None => (word, Vec::new()),
    });
    Some(Line {
        number,
        verb: String::from_utf8(verb).expect("a verb is text"),
        path,
        fields: fields.collect(),
        text: text.trim().to_owned(),
    })
}

/// The words of a line, each with the place of its first `=` outside of quotes.
fn words(text: &str, number: u32) -> Vec<(Vec<u8>, Option<usize>)> {
    let mut words = Vec::new();
    let mut word: Option<(Vec<u8>, Option<usize>)> = None;
    let mut quoted = false;
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            b' ' | b'\t' if !quoted => words.extend(word.take()),
            b'#' if !quoted && word.is_none() => break,
            b'=' if !quoted => {
                let word = word.get_or_insert_default();
                word.1 = word.1.or(Some(word.0.len()));
                word.0.push(byte);
            }
            b'\\' => word
                .get_or_insert_default()
                .0
                .push(escaped(&mut bytes, number)),
            other => word.get_or_insert_default().0.push(other),
        }
    }
    assert!(!quoted, "line {number}: a quote is not closed: {text}");
    words.extend(word);
    words
}

fn escaped(bytes: &mut std::str::Bytes<'_>, number: u32) -> u8 {
    let mut next = || {
        bytes
            .next()
            .unwrap_or_else(|| panic!("line {number}: ends within an escape"))
    };
    match next() {
        b'n' => b'\n',
        b't' => b'\t',
        b'x' => {
            let digits = [next(), next()];
            let digits = std::str::from_utf8(&digits).expect("hexadecimal digits");
            u8::from_str_radix(digits, 16)
                .unwrap_or_else(|_| panic!("line {number}: `\\x{digits}`"))
        }
        other => other,
    }
}

/// Writes bytes so that [`parse`] reads them back as one word.
pub fn quote(bytes: &[u8]) -> String {
    let mut text = String::new();
    for &byte in bytes {
        match byte {
            b'!'..=b'~' if !matches!(byte, b'"' | b'\\' | b'#' | b'=') => {
                text.push(char::from(byte))
            }
            other => text.push_str(&format!("\\x{other:02x}")),
        }
    }
    if text.is_empty() {
        "\"\"".to_owned()
    } else {
        text
    }
}

/// FNV-1a, 64 bits: enough to tell two contents apart in a test.
pub fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Bytes without structure, the same for the same seed.
pub fn noise(seed: &[u8], length: usize) -> Vec<u8> {
    let mut state = fingerprint(seed) | 1;
    let step = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    std::iter::repeat_with(step)
        .flat_map(u64::to_le_bytes)
        .take(length)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_quotes_and_escapes() {
        let lines =
            parse("# nothing\n\nf \"a b\"\\x2fc  data=\"x=1\\n\" x:user.a=b mtime=5.5 mode=4755\n");
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].path, b"a b/c");
        assert_eq!(lines[0].content(), b"x=1\n");
        assert_eq!(lines[0].mtime(), Some((5, 500_000_000)));
        assert_eq!(lines[0].mode(), Some(0o4755));
        assert_eq!(
            lines[0].prefixed("x:").next(),
            Some((&b"user.a"[..], &b"b"[..]))
        );
    }

    #[test]
    fn quoting_is_undone_by_parsing() {
        let all: Vec<u8> = (1..=255).collect();
        assert_eq!(parse(&format!("f {}", quote(&all)))[0].path, all);
    }
}
