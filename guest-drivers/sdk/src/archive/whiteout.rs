//! Names that say that something is deleted.
//!
//! `.wh.name` hides `name` of lower layers; `.wh..wh..opq` in a directory hides all that lower layers have in it. Other
//! names that begin with `.wh..wh.` are AUFS's own and lie at the top.
//!
//! Invariant: only the last component of a path can be a whiteout; a directory called `.wh.etc` is a directory.

use super::name;

/// What a whiteout's name begins with.
pub const PREFIX: &[u8] = b".wh.";
/// The name that makes a directory opaque.
pub const OPAQUE: &[u8] = b".wh..wh..opq";
/// What AUFS's own names begin with.
const AUFS: &[u8] = b".wh..wh.";

/// What the path of an archive's entry is about. The slices are the components.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning<'a> {
    /// The top directory itself.
    Root,
    /// A node.
    Node {
        /// The directory that holds it.
        parent: &'a [&'a [u8]],
        /// Its name.
        name: &'a [u8],
    },
    /// A name of lower layers is hidden.
    Whiteout {
        /// The directory that holds it.
        parent: &'a [&'a [u8]],
        /// The hidden name.
        name: &'a [u8],
    },
    /// All that lower layers have in a directory is hidden.
    Opaque {
        /// The directory.
        directory: &'a [&'a [u8]],
    },
    /// AUFS's own: nothing of the layer.
    Aufs,
}

/// Says what the path of an entry means.
///
/// # Errors
/// What is wrong with it, in words.
pub fn read<'a>(path: &'a [&'a [u8]]) -> Result<Meaning<'a>, String> {
    let Some((last, parent)) = path.split_last() else {
        return Ok(Meaning::Root);
    };
    let top = path.first().copied().unwrap_or_default();
    if top.starts_with(AUFS) && !(parent.is_empty() && *last == OPAQUE) {
        return Ok(Meaning::Aufs);
    }
    name::check_all(parent)?;
    if *last == OPAQUE {
        return Ok(Meaning::Opaque { directory: parent });
    }
    let Some(hidden) = last.strip_prefix(PREFIX) else {
        name::check(last)?;
        return Ok(Meaning::Node { parent, name: last });
    };
    if matches!(hidden, b"" | b"." | b"..") {
        return Err("this whiteout hides no name".to_owned());
    }
    name::check(hidden)?;
    Ok(Meaning::Whiteout {
        parent,
        name: hidden,
    })
}

/// Whether a node of this name would be taken for a whiteout.
#[must_use]
pub fn is_reserved(name: &[u8]) -> bool {
    name.starts_with(PREFIX)
}

/// The path of the entry that hides `path`.
#[must_use]
pub fn hiding(path: &[u8]) -> Vec<u8> {
    let base = path
        .iter()
        .rposition(|byte| *byte == b'/')
        .map_or(0, |slash| slash + 1);
    let (parent, name) = path.split_at(base);
    [parent, PREFIX, name].concat()
}

/// The path of the entry that makes the directory `path` opaque.
#[must_use]
pub fn opaque(path: &[u8]) -> Vec<u8> {
    if path.is_empty() {
        OPAQUE.to_vec()
    } else {
        [path, b"/", OPAQUE].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::name::split;

    /// Cases 15 to 22 of the attack corpus; moby TestOverlayUntarInvalidWhiteoutNames, containerd Whiteout*.
    #[test]
    fn names_mean_what_docker_and_containerd_take_them_for() {
        let cases: [(&[u8], &str); 22] = [
            (b".wh.", "error"),
            (b".wh..", "error"),
            (b".wh...", "error"),
            (b"d/.wh.", "error"),
            (b"d/.wh..", "error"),
            (b"d/.wh...", "error"),
            (b".wh.x", "whiteout of x"),
            (b"./.wh.x", "whiteout of x"),
            (b"d/.wh.x/", "whiteout of d/x"),
            (b"d/.wh..x", "whiteout of d/.x"),
            (b".wh..wh..opq", "opaque "),
            (b"/.wh..wh..opq", "opaque "),
            (b"d/.wh..wh..opq", "opaque d"),
            (b".wh..wh..opq/x", "aufs"),
            (b".wh..wh.plnk", "aufs"),
            (b".wh..wh.plnk/1.2", "aufs"),
            (b".wh..wh.aufs", "aufs"),
            (b".wh..wh.orph/", "aufs"),
            (b"d/.wh..wh.plnk", "whiteout of d/.wh.plnk"),
            (b".wh.etc/file", "node .wh.etc/file"),
            (b"a/b", "node a/b"),
            (b"./", "root"),
        ];
        for (path, expected) in cases {
            let parts = split(path).unwrap();
            let shown = match read(&parts) {
                Err(_) => "error".to_owned(),
                Ok(Meaning::Root) => "root".to_owned(),
                Ok(Meaning::Aufs) => "aufs".to_owned(),
                Ok(Meaning::Opaque { directory }) => format!("opaque {}", show(directory, None)),
                Ok(Meaning::Node { parent, name }) => format!("node {}", show(parent, Some(name))),
                Ok(Meaning::Whiteout { parent, name }) => {
                    format!("whiteout of {}", show(parent, Some(name)))
                }
            };
            assert_eq!(shown, expected, "{}", path.escape_ascii());
        }
    }

    fn show(parent: &[&[u8]], name: Option<&[u8]>) -> String {
        let parts: Vec<&[u8]> = parent.iter().copied().chain(name).collect();
        String::from_utf8(parts.join(&b'/')).unwrap()
    }

    #[test]
    fn a_hidden_name_may_have_255_bytes_but_not_256() {
        let path = |length: usize| [PREFIX, &vec![b'n'; length]].concat();
        assert!(read(&[&path(255)]).is_ok());
        assert!(read(&[&path(256)]).is_err());
        assert!(read(&[&[b'n'; 256]]).is_err());
    }

    #[test]
    fn written_names_are_read_back() {
        assert_eq!(hiding(b"a/b"), b"a/.wh.b");
        assert_eq!(hiding(b"b"), b".wh.b");
        assert_eq!(opaque(b"a"), b"a/.wh..wh..opq");
        assert_eq!(opaque(b""), b".wh..wh..opq");
    }
}
