//! Parts of what is sent: `Range`, `If-Range`, 206 and 416 (RFC 9110).
//!
//! Invariant: a part is sent only of what the client has the tag of, and says of what it is a part.

use crate::api::refusal::RequestError;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use std::ops::Range;

/// What of something a request asks for.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    range: Option<String>,
    if_range: Option<String>,
}

/// What of it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// All, so many bytes.
    Whole(u64),
    /// These bytes, of so many.
    Part(Range<u64>, u64),
    /// Nothing: it has only so many bytes.
    Nothing(u64),
}

impl Asked {
    /// Reads the headers. Those that are no text ask for nothing.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let text = |name: HeaderName| Some(headers.get(name)?.to_str().ok()?.trim().to_owned());
        Self {
            range: text(header::RANGE),
            if_range: text(header::IF_RANGE),
        }
    }

    /// What is sent of something of this size and tag. A range that is none of RFC 9110's, and more than one, ask for all of it, which a
    /// server may always send; and so does one of something else than the client knows.
    pub(super) fn choose(&self, size: u64, tag: &str) -> Choice {
        let is_known = |known: &String| known == tag && !tag.starts_with("W/");
        let range = self
            .range
            .as_deref()
            .filter(|_| self.if_range.as_ref().is_none_or(is_known));
        let Some((first, last)) = range.and_then(parse) else {
            return Choice::Whole(size);
        };
        let range = match (first, last) {
            (Some(first), last) => {
                first..last.map_or(size, |last| last.saturating_add(1).min(size))
            }
            (None, Some(count)) => size.saturating_sub(count)..size,
            (None, None) => return Choice::Whole(size),
        };
        match range.is_empty() {
            true => Choice::Nothing(size),
            false => Choice::Part(range, size),
        }
    }
}

/// The first and the last byte of one range; a last one alone is a number of bytes before the end.
fn parse(range: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| {
        let text = text.trim();
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse().unwrap_or(u64::MAX))
    };
    match (number(first), number(last)) {
        (Some(first), Some(last)) if last < first => None,
        (Some(_), None) if !last.trim().is_empty() => None,
        (None, _) if !first.trim().is_empty() => None,
        range => Some(range),
    }
}

impl Choice {
    /// The bytes that are sent.
    pub(super) fn bytes(&self) -> Range<u64> {
        match self {
            Self::Whole(size) => 0..*size,
            Self::Part(range, _) => range.clone(),
            Self::Nothing(_) => 0..0,
        }
    }

    /// Tells in an answer of what its body is a part, and that parts can be asked for. A range behind the end is answered by
    /// [`Choice::refused`].
    pub(super) fn tell(&self, answer: &mut Response) {
        let sent = self.bytes();
        let headers = answer.headers_mut();
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(
            header::CONTENT_LENGTH,
            HeaderValue::from(sent.end - sent.start),
        );
        if let Self::Part(_, size) = self {
            let told = format!("bytes {}-{}/{size}", sent.start, sent.end - 1);
            insert(headers, header::CONTENT_RANGE, &told);
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
    }

    /// The answer to a range that lies behind the end; none to any other.
    pub(super) fn refused(&self) -> Option<Response> {
        let Self::Nothing(size) = self else {
            return None;
        };
        let refusal = crate::api::refusal::Refusal::from(RequestError::Range(*size));
        let mut answer = refusal.into_response();
        insert(
            answer.headers_mut(),
            header::CONTENT_RANGE,
            &format!("bytes */{size}"),
        );
        Some(answer)
    }
}

/// Adds a header whose value is made of digits and letters.
pub(super) fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(range: &str, if_range: Option<&str>) -> Choice {
        let asked = Asked {
            range: Some(range.to_owned()),
            if_range: if_range.map(str::to_owned),
        };
        asked.choose(10, "\"1\"")
    }

    #[test]
    fn one_range_is_sent_and_what_is_none_asks_for_all() {
        for (range, sent) in [
            ("bytes=0-3", 0..4),
            ("bytes=4-", 4..10),
            ("bytes=4-99999999999999999999", 4..10),
            ("bytes=-3", 7..10),
            ("bytes=-30", 0..10),
            ("bytes=9-9", 9..10),
        ] {
            assert_eq!(choose(range, None), Choice::Part(sent, 10), "{range}");
        }
        for range in ["bytes=10-", "bytes=11-12", "bytes=-0"] {
            assert_eq!(choose(range, None), Choice::Nothing(10), "{range}");
        }
        for range in [
            "bytes=-",
            "bytes=3-1",
            "bytes=a-",
            "bytes=0-b",
            "lines=0-1",
            "bytes=0-1,3-4",
            "bytes=+1-2",
        ] {
            assert_eq!(choose(range, None), Choice::Whole(10), "{range}");
        }
    }

    #[test]
    fn a_range_of_something_else_asks_for_all() {
        assert_eq!(choose("bytes=1-2", Some("\"1\"")), Choice::Part(1..3, 10));
        for other in ["\"2\"", "W/\"1\"", "Mon, 30 Nov 2026 12:00:00 GMT"] {
            assert_eq!(
                choose("bytes=1-2", Some(other)),
                Choice::Whole(10),
                "{other}"
            );
        }
    }
}
