//! What the demo says.
//!
//! Invariant: results go to standard output, one line each.

use mica_client::Failure;

/// Tells what happens.
#[expect(clippy::print_stdout, reason = "the demo is for people who watch")]
pub(crate) fn say(text: &str) {
    println!("{text}");
}

/// A count with thousands set apart.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Something that had to be so is not.
pub(crate) fn untrue(what: impl Into<String>) -> Failure {
    Failure::Untrue {
        what: what.into(),
        remedy: None,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn thousands_are_set_apart() {
        for (count, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(super::grouped(count), text);
        }
    }
}
