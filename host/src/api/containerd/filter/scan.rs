//! The words of a filter.
//!
//! Invariant: goes on by at least one character for each word, and never looks at a text twice.

/// A word.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Word<'a> {
    /// Letters, digits and `_`.
    Field(&'a str),
    /// What follows an operator.
    Value(&'a str),
    /// A text in quotes, with them.
    Quoted(&'a str),
    /// `,` or `.`.
    Separator,
    /// Signs of an operator.
    Operator(&'a str),
    /// A quote that does not end.
    Open,
    /// An escape that is none; where it begins.
    BadEscape(usize),
    /// Any other character, or the end.
    Other,
}

/// Reads words.
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    input: &'a str,
    /// Where the next word may begin.
    at: usize,
    /// An operator was read: what comes is a value.
    is_value: bool,
}

fn is_quote(character: char) -> bool {
    matches!(character, '/' | '|' | '"')
}

fn is_field(character: char) -> bool {
    character == '_' || character.is_ascii_alphanumeric()
}

fn is_operator(character: char) -> bool {
    matches!(character, '=' | '!' | '~')
}

fn is_value(character: char) -> bool {
    character != ',' && !character.is_whitespace() && !character.is_control()
}

impl<'a> Scanner<'a> {
    pub(super) fn new(input: &'a str) -> Self {
        Self {
            input,
            at: 0,
            is_value: false,
        }
    }

    fn rest(&self) -> &'a str {
        &self.input[self.at..]
    }

    /// The next character, spaces included.
    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Where the next word begins at the earliest.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Takes characters as long as they fit.
    fn take(&mut self, fits: fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest
            .find(|character| !fits(character))
            .unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    /// The next word, and where it begins.
    pub(super) fn next(&mut self) -> (usize, Word<'a>) {
        self.take(char::is_whitespace);
        let start = self.at;
        let Some(first) = self.peek() else {
            return (start, Word::Other);
        };
        let word = if is_quote(first) {
            self.quoted(first)
        } else if matches!(first, ',' | '.') {
            self.at += 1;
            self.is_value = false;
            Word::Separator
        } else if is_operator(first) {
            self.is_value = true;
            Word::Operator(self.take(is_operator))
        } else if self.is_value && first != '\0' {
            self.is_value = false;
            self.at += first.len_utf8();
            self.take(is_value);
            Word::Value(&self.input[start..self.at])
        } else if is_field(first) {
            Word::Field(self.take(is_field))
        } else {
            Word::Other
        };
        (start, word)
    }

    fn quoted(&mut self, quote: char) -> Word<'a> {
        let start = self.at;
        let mut characters = self.rest().char_indices().skip(1);
        while let Some((offset, character)) = characters.next() {
            if character == quote {
                self.at = start + offset + 1;
                return Word::Quoted(&self.input[start..self.at]);
            }
            if matches!(character, '\n' | '\0') {
                return Word::Open;
            }
            if character == '\\' {
                let bad = Word::BadEscape(start + offset);
                let Some((_, sign)) = characters.next() else {
                    return Word::Open;
                };
                let (radix, further) = match sign {
                    'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' => continue,
                    _ if sign == quote => continue,
                    '0'..='7' => (8, 2),
                    'x' => (16, 2),
                    'u' => (16, 4),
                    'U' => (16, 8),
                    _ => return bad,
                };
                let mut digits = characters.by_ref().take(further);
                if !(0..further).all(|_| {
                    digits
                        .next()
                        .is_some_and(|(_, digit)| digit.is_digit(radix))
                }) {
                    return bad;
                }
            }
        }
        Word::Open
    }
}
