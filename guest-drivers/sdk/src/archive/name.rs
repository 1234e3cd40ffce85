//! Paths in archives.
//!
//! Invariant: what passes here has no `..`, no NUL, no empty component, and has a bounded length.

/// Bytes of one component: the kernel's NAME_MAX.
pub const COMPONENT_BYTES: usize = 255;
/// Bytes of a path. The kernel takes 4095 at a time, but a container that steps down as it goes makes deeper trees, and
/// handles reach them; readers of PAX take paths of up to 1 MiB.
pub const PATH_BYTES: usize = 64 << 10;
/// Bytes of a symbolic link's target: the kernel's limit.
pub const TARGET_BYTES: usize = 4095;

/// Splits a path into its components; absolute ones begin at the top, `.` and empty ones are left out, and `..` takes
/// back the one before.
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
            // By the name alone, as Docker and containerd do it: what `a` is does not matter to `a/../b`.
            b".." => {
                if parts.pop().is_none() {
                    return Err("the path leads out through `..`".to_owned());
                }
            }
            part => parts.push(part),
        }
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
        let cases: [(&[u8], Option<&[u8]>); 21] = [
            (b"..", None),
            (b"../x", None),
            (b"/../x", None),
            (b"a/../../x", None),
            (b"a/..", Some(b"")),
            (b"a/../b", Some(b"b")),
            (b"a/b/../../../x", None),
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
    fn a_path_may_be_longer_than_the_kernel_takes_at_a_time() {
        assert!(split(&b"x/".repeat(2047)).is_ok());
        assert!(split(&b"x/".repeat(32 << 10)).is_ok());
        assert!(split(&b"x/".repeat((32 << 10) + 1)).is_err());
        assert!(check(&[b'x'; 256]).is_err());
    }
}
