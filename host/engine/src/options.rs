//! Options of stores and layers, before any driver sees them.
//!
//! Invariant: what a driver gets as options is bounded and says each thing once; what they mean is the driver's.

use crate::{Error, Result};
use mica_runtime::Limits;
use std::collections::HashSet;

/// Checks options that a client gave; `what` says which: storage option.
///
/// # Errors
/// [`Error::Invalid`], which names the first that cannot be.
pub(crate) fn check(what: &str, options: &[(String, String)], limits: &Limits) -> Result<()> {
    if options.len() > limits.options {
        return Err(Error::Invalid(format!(
            "{} {what}s, {} are allowed: `limits.options`",
            options.len(),
            limits.options
        )));
    }
    let mut seen = HashSet::new();
    for (name, value) in options {
        let shown: String = name.escape_debug().take(64).collect();
        let refuse = |reason: String| Err(Error::Invalid(format!("{what} `{shown}` {reason}")));
        if name.is_empty() || name.len() > limits.option_name_bytes {
            let most = limits.option_name_bytes;
            return refuse(format!(
                "has a name of {} bytes, 1 to {most} are allowed: `limits.option_name_bytes`",
                name.len()
            ));
        }
        if value.len() > limits.option_value_bytes {
            let most = limits.option_value_bytes;
            return refuse(format!(
                "has a value of {} bytes, {most} are allowed: `limits.option_value_bytes`",
                value.len()
            ));
        }
        if !seen.insert(name) {
            return refuse("is given twice".to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_few_short_and_different() {
        let limits = Limits::default();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let fine = [pair("size", "10G"), pair("a.b", "")];
        assert!(check("option", &fine, &limits).is_ok());
        let many: Vec<_> = (0..60_000)
            .map(|number| pair(&number.to_string(), ""))
            .collect();
        for (bad, told) in [
            (many.as_slice(), "`limits.options`"),
            (
                &[pair("size", "1"), pair("size", "1")],
                "`size` is given twice",
            ),
            (&[pair("", "1")], "`limits.option_name_bytes`"),
            (&[pair(&"x".repeat(257), "1")], "`limits.option_name_bytes`"),
            (
                &[pair("x", &"y".repeat(4097))],
                "`x` has a value of 4097 bytes",
            ),
        ] {
            let refused = check("option", bad, &limits).unwrap_err().to_string();
            assert!(refused.contains(told), "{refused}");
        }
    }
}
