//! Filters from words.
//!
//! Invariant: a text of any bytes gives selectors or the place where it is wrong; regular expressions have a bounded
//! size and run in linear time.

use super::InvalidFilter;
use super::scan::{Scanner, Word};
use regex::{Regex, RegexBuilder};

/// Bytes of a compiled regular expression.
const REGEX_BYTES: usize = 1 << 20;

/// One condition.
#[derive(Debug)]
pub(super) struct Selector {
    path: Vec<String>,
    test: Test,
}

#[derive(Debug)]
enum Test {
    Present,
    Equal(String),
    NotEqual(String),
    Matches(Regex),
}

impl Selector {
    /// Whether the condition holds; `field` gives values by path.
    pub(super) fn matches<'a>(&self, field: &impl Fn(&[String]) -> Option<&'a str>) -> bool {
        let value = field(&self.path);
        match &self.test {
            Test::Present => value.is_some(),
            Test::Equal(wanted) => value == Some(wanted),
            Test::NotEqual(wanted) => value.unwrap_or_default() != wanted,
            Test::Matches(regex) => regex.is_match(value.unwrap_or_default()),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Matches,
}

type Parsed<T> = Result<T, InvalidFilter>;

struct Parser<'a> {
    input: &'a str,
    scanner: Scanner<'a>,
    /// Regular expressions that may still come.
    expressions: &'a mut usize,
}

/// Reads one filter. What it has of regular expressions is taken from `expressions`.
pub(super) fn selectors(input: &str, expressions: &mut usize) -> Parsed<Vec<Selector>> {
    let mut selectors = Vec::new();
    if input.is_empty() {
        return Ok(selectors);
    }
    let mut parser = Parser {
        input,
        scanner: Scanner::new(input),
        expressions,
    };
    loop {
        selectors.push(parser.selector()?);
        match parser.scanner.peek() {
            None => return Ok(selectors),
            Some(',') => drop(parser.scanner.next()),
            Some(_) => {
                return Err(parser.wrong(parser.scanner.position(), "something after a value"));
            }
        }
    }
}

impl Parser<'_> {
    fn wrong(&self, at: usize, reason: impl Into<String>) -> InvalidFilter {
        InvalidFilter {
            filter: self.input.to_owned(),
            at,
            reason: reason.into(),
        }
    }

    fn expression(&mut self, at: usize, text: &str) -> Parsed<Regex> {
        let Some(left) = self.expressions.checked_sub(1) else {
            let reason = "too many regular expressions: `containerd.filter_expressions`";
            return Err(self.wrong(at, reason));
        };
        *self.expressions = left;
        let built = RegexBuilder::new(text).size_limit(REGEX_BYTES).build();
        built.or(Err(
            self.wrong(at, "a regular expression that does not compile")
        ))
    }

    fn selector(&mut self) -> Parsed<Selector> {
        let path = self.path()?;
        if matches!(self.scanner.peek(), None | Some(',')) {
            let test = Test::Present;
            return Ok(Selector { path, test });
        }
        let operator = self.operator()?;
        let (at, value) = self.value(operator)?;
        let test = match operator {
            Operator::Equal => Test::Equal(value),
            Operator::NotEqual => Test::NotEqual(value),
            Operator::Matches => Test::Matches(self.expression(at, &value)?),
        };
        Ok(Selector { path, test })
    }

    fn path(&mut self) -> Parsed<Vec<String>> {
        let mut path = vec![self.field()?];
        while self.scanner.peek() == Some('.') {
            self.scanner.next();
            path.push(self.field()?);
        }
        Ok(path)
    }

    fn field(&mut self) -> Parsed<String> {
        match self.scanner.next() {
            (_, Word::Field(text)) => Ok(text.to_owned()),
            (at, Word::Quoted(text)) if text.starts_with('"') => self.unquote(at, text),
            (at, Word::Quoted(_)) => {
                Err(self.wrong(at, "this quote is for regular expressions alone"))
            }
            (at, word) => Err(self.unexpected(at, &word, "a field or a quoted one is expected")),
        }
    }

    fn operator(&mut self) -> Parsed<Operator> {
        match self.scanner.next() {
            (_, Word::Operator("==")) => Ok(Operator::Equal),
            (_, Word::Operator("!=")) => Ok(Operator::NotEqual),
            (_, Word::Operator("~=")) => Ok(Operator::Matches),
            (at, Word::Operator(signs)) => {
                let text = format!("`{signs}` is no operator; there are ==, != and ~=");
                Err(self.wrong(at, text))
            }
            (at, word) => Err(self.unexpected(at, &word, "an operator is expected")),
        }
    }

    fn value(&mut self, operator: Operator) -> Parsed<(usize, String)> {
        let (at, word) = self.scanner.next();
        let text = match word {
            Word::Value(text) | Word::Field(text) => text.to_owned(),
            Word::Quoted(text) if text.starts_with('"') || operator == Operator::Matches => {
                self.unquote(at, text)?
            }
            Word::Quoted(_) => {
                return Err(self.wrong(at, "this quote is for regular expressions alone"));
            }
            word => return Err(self.unexpected(at, &word, "a value or a quoted one is expected")),
        };
        Ok((at, text))
    }

    fn unexpected(&self, at: usize, word: &Word<'_>, expected: &str) -> InvalidFilter {
        match word {
            Word::Open => self.wrong(at, "a quote without its end"),
            Word::BadEscape(at) => self.wrong(*at, "an escape that is none"),
            _ => self.wrong(at, expected),
        }
    }

    /// The text within quotes; the scanner has checked the escapes.
    fn unquote(&self, at: usize, quoted: &str) -> Parsed<String> {
        let inner = quoted.get(1..quoted.len().saturating_sub(1));
        let inner = inner.ok_or_else(|| self.wrong(at, "a quote without its end"))?;
        let mut bytes = Vec::with_capacity(inner.len());
        let mut rest = inner;
        while let Some(escape) = rest.find('\\') {
            let (before, after) = rest.split_at(escape);
            bytes.extend(before.as_bytes());
            rest = unescape(after, &mut bytes)
                .ok_or_else(|| self.wrong(at, "an escape that is none"))?;
        }
        bytes.extend(rest.as_bytes());
        let text = String::from_utf8(bytes);
        text.or(Err(self.wrong(at, "a quoted text that is no UTF-8")))
    }
}

/// Reads one escape, and gives what follows it.
fn unescape<'a>(text: &'a str, bytes: &mut Vec<u8>) -> Option<&'a str> {
    let sign = text.chars().nth(1)?;
    let (radix, digits) = match sign {
        '0'..='7' => (8, 1..4),
        'x' => (16, 2..4),
        'u' => (16, 2..6),
        'U' => (16, 2..10),
        _ => {
            let byte = match sign {
                'a' => 7,
                'b' => 8,
                'f' => 12,
                'n' => b'\n',
                'r' => b'\r',
                't' => b'\t',
                'v' => 11,
                other => u8::try_from(other).ok()?,
            };
            bytes.push(byte);
            return text.get(2..);
        }
    };
    let end = digits.end;
    let number = u32::from_str_radix(text.get(digits)?, radix).ok()?;
    if matches!(sign, 'u' | 'U') {
        let mut buffer = [0; 4];
        bytes.extend(char::from_u32(number)?.encode_utf8(&mut buffer).as_bytes());
    } else {
        bytes.push(u8::try_from(number).ok()?);
    }
    text.get(end..)
}
