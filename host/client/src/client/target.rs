//! Targets of requests.
//!
//! Invariant: no text becomes more than one segment or one value.

/// A segment of a target: everything but letters, digits and `-_~` is percent-encoded, and so are the names `.` and
/// `..`, which would be resolved on the way.
pub fn segment(text: &str) -> String {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~' | b'.');
    let is_dots = matches!(text, "." | "..");
    let mut encoded = String::new();
    for byte in text.bytes() {
        if plain(byte) && !is_dots {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// The query of those keys that have a value.
pub fn query<const N: usize>(keys: [(&str, Option<String>); N]) -> String {
    let pairs = keys
        .into_iter()
        .filter_map(|(key, value)| Some(format!("{key}={}", segment(&value?))));
    let pairs: Vec<String> = pairs.collect();
    match pairs.is_empty() {
        true => String::new(),
        false => format!("?{}", pairs.join("&")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_stay_one_segment() {
        for (text, encoded) in [
            ("base", "base"),
            ("sha256:ab", "sha256%3Aab"),
            ("a/b?c#d", "a%2Fb%3Fc%23d"),
            ("..", "%2E%2E"),
            ("v1.2", "v1.2"),
            ("é", "%C3%A9"),
        ] {
            assert_eq!(segment(text), encoded);
        }
    }
}
