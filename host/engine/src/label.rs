//! SELinux contexts.
//!
//! Invariant: what reaches the kernel as a label has the form of one, so it cannot be read as anything else.

use crate::{Error, Result, SafeText};

/// Bytes of a context: the policies that exist need a third of it.
const MOST_BYTES: usize = 512;

/// Checks that a text has the form of a context: `user:role:type`, with or without a level.
///
/// # Errors
/// [`Error::Invalid`], which shows the text.
pub(crate) fn check(label: Option<&str>) -> Result<()> {
    match label {
        Some(label) if !is_context(label) => {
            let shown = SafeText::within(label, 64);
            Err(Error::Invalid(format!(
                "mount label `{shown}` is no SELinux context: it has the form `user:role:type:level`"
            )))
        }
        _ => Ok(()),
    }
}

fn is_context(label: &str) -> bool {
    let word = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
    };
    let mut parts = label.splitn(4, ':');
    let named = (0..3).all(|_| parts.next().is_some_and(word));
    // A level may be a range with categories: `s0-s15:c0.c1023,c7`.
    let level = parts.next().is_none_or(|level| {
        level
            .split([':', ','])
            .all(|part| word(part) && !part.starts_with(['-', '.']))
    });
    label.len() <= MOST_BYTES && named && level
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_contexts_are_labels() {
        for (label, expected) in [
            ("system_u:object_r:container_file_t:s0:c1,c2", true),
            ("system_u:object_r:container_file_t:s0-s0:c0.c1023", true),
            ("u:r:t", true),
            ("u:r", false),
            ("u:r:", false),
            ("", false),
            ("a\nb", false),
            ("system_u:object_r:a\",lowerdir=/etc", false),
            ("u:r:t:s0,upperdir=/x", false),
            ("u:r:t:s0 ", false),
        ] {
            assert_eq!(check(Some(label)).is_ok(), expected, "{label}");
        }
        assert!(check(None).is_ok() && check(Some(&"a".repeat(600))).is_err());
    }
}
