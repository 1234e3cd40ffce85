//! Paths in archives.
//!
//! Invariant: what passes here has no `..`, no NUL, no empty component, and none of the limits exceeded.

/// Bytes of one component: the kernel's NAME_MAX.
pub const COMPONENT_BYTES: usize = 255;
/// Bytes of a path: the kernel's PATH_MAX.
pub const PATH_BYTES: usize = 4096;
/// Components of a path. Deeper trees cannot be removed by every tool and serve no one.
pub const DEPTH: usize = 256;

/// Splits a path into its components; absolute ones begin at the top, `.` and empty ones are left out.
///
/// # Errors
/// What is wrong with the path, in words.
pub fn split(path: &[u8]) -> Result<Vec<&[u8]>, String> {
    if path.contains(&0) {
        return Err("the path holds a NUL byte".to_owned());
    }
    if path.len() > PATH_BYTES {
        return Err(format!("the path has over {PATH_BYTES} bytes"));
    }
    let mut parts = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err("the path leads out through `..`".to_owned()),
            part => parts.push(part),
        }
    }
    if parts.len() > DEPTH {
        return Err(format!("the path has over {DEPTH} components"));
    }
    Ok(parts)
}

/// Checks the length of one component.
///
/// # Errors
/// What is wrong with it, in words.
pub fn check(name: &[u8]) -> Result<(), String> {
    if name.len() > COMPONENT_BYTES {
        return Err(format!("a name has over {COMPONENT_BYTES} bytes"));
    }
    Ok(())
}

/// Checks the lengths of all components.
///
/// # Errors
/// What is wrong with one of them, in words.
pub fn check_all(parts: &[&[u8]]) -> Result<(), String> {
    parts.iter().try_for_each(|part| check(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cases 1, 13, 14 and 44 of the attack corpus; go-archive TestUntarInvalidFilenames, CVE-2014-6407, CVE-2014-9356.
    #[test]
    fn paths_are_normalised_or_refused() {
        let cases: [(&[u8], Option<&[u8]>); 20] = [
            (b"..", None),
            (b"../x", None),
            (b"/../x", None),
            (b"a/../../x", None),
            (b"a/..", None),
            (b"a/../b", None),
            (b"./../x", None),
            (b"a\0b", None),
            (b"", Some(b"")),
            (b"/", Some(b"")),
            (b"//", Some(b"")),
            (b".", Some(b"")),
            (b"./", Some(b"")),
            (b"/a/b", Some(b"a/b")),
            (b"./a//b/./c/", Some(b"a/b/c")),
            (b"s/.", Some(b"s")),
            (b"...", Some(b"...")),
            (b"..x", Some(b"..x")),
            (b" a\n\x1b[31m", Some(b" a\n\x1b[31m")),
            (b"\\..\\x\xff", Some(b"\\..\\x\xff")),
        ];
        for (path, expected) in cases {
            let joined = split(path).ok().map(|parts| parts.join(&b'/'));
            assert_eq!(joined.as_deref(), expected, "{}", path.escape_ascii());
        }
    }

    #[test]
    fn long_and_deep_paths_are_refused() {
        assert!(split(&vec![b'x'; 4097]).is_err());
        assert!(split(&b"x/".repeat(256)).is_ok());
        assert!(split(&b"x/".repeat(257)).is_err());
        assert!(check(&[b'x'; 256]).is_err());
    }
}
