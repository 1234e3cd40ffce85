//! Follows a path within a tree, as a process would whose root is the top of that tree.
//!
//! Invariant: each step is one name in an open directory, and `..` is the names so far from the top again, confined by the kernel:
//! no link and no exchange of names leads out of the tree.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::Name;
use crate::NameError;
use crate::node::{self, Attributes, Kind};
use crate::raw::os_error;

/// How many symbolic links a path may lead through, as in the kernel.
const MAX_LINKS: u32 = 40;

/// What lies at the end of a path.
#[derive(Debug)]
pub struct Resolved {
    /// The names that lead there from the top, without links, `.` and `..`.
    pub names: Vec<Name>,
    /// What the kernel knows of it.
    pub attributes: Attributes,
    /// The directory itself if it is one, else the directory that it is in, under the last of `names`.
    pub directory: OwnedFd,
}

impl Resolved {
    /// The names with slashes between them, and one before the first: `/` for the top.
    #[must_use]
    pub fn path(&self) -> Vec<u8> {
        let mut path = Vec::new();
        for name in &self.names {
            path.push(b'/');
            path.extend_from_slice(name.as_bytes());
        }
        if path.is_empty() {
            path.push(b'/');
        }
        path
    }
}

/// Follows `path` from `top`. A leading slash changes nothing, `..` at the top stays there, and symbolic links are followed, the
/// last one too.
///
/// # Errors
/// ENOENT, ENOTDIR, ENAMETOOLONG, EXDEV where something is mounted within; ELOOP after 40 links; EINVAL for a path with a NUL.
pub fn resolve(top: BorrowedFd<'_>, path: &[u8]) -> io::Result<Resolved> {
    // The next component last.
    let mut ahead: Vec<Box<[u8]>> = Vec::new();
    push_components(&mut ahead, path);
    let mut names: Vec<Name> = Vec::new();
    let mut directory = node::reopen(top)?;
    let mut links = 0;
    while let Some(component) = ahead.pop() {
        if *component == *b".." {
            names.pop();
            // Not by the kernel's `..`, which leads out of a directory that someone moves meanwhile.
            directory = node::open_directory_along(top, &names)?;
            continue;
        }
        let name = Name::new(&component).map_err(|error| match error {
            NameError::Invalid => os_error(libc::EINVAL),
            NameError::TooLong => os_error(libc::ENAMETOOLONG),
        })?;
        let attributes = node::stat(directory.as_fd(), &name)?;
        match attributes.kind {
            Kind::Directory => {
                directory = node::open_directory(directory.as_fd(), &name)?;
                names.push(name);
            }
            Kind::Symlink => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(os_error(libc::ELOOP));
                }
                let target = node::read_link(directory.as_fd(), &name)?;
                if target.starts_with(b"/") {
                    names.clear();
                    directory = node::reopen(top)?;
                }
                push_components(&mut ahead, &target);
            }
            _ if ahead.is_empty() && !path.ends_with(b"/") => {
                names.push(name);
                return Ok(Resolved {
                    names,
                    attributes,
                    directory,
                });
            }
            _ => return Err(os_error(libc::ENOTDIR)),
        }
    }
    let attributes = node::stat_fd(directory.as_fd())?;
    Ok(Resolved {
        names,
        attributes,
        directory,
    })
}

fn push_components(ahead: &mut Vec<Box<[u8]>>, path: &[u8]) {
    let components = path.split(|byte| *byte == b'/').rev();
    let real = components.filter(|component| !matches!(*component, b"" | b"."));
    ahead.extend(real.map(Box::from));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;

    #[test]
    fn a_path_never_leads_out_and_follows_links_within() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("secret"), "").unwrap();
        let tree = place.path().join("tree");
        fs::create_dir_all(tree.join("etc/ssl")).unwrap();
        fs::write(tree.join("etc/passwd"), "").unwrap();
        for (link, target) in [
            ("absolute", "/etc/passwd"),
            ("out", "../../secret"),
            ("up", "etc/ssl/../passwd"),
            ("again", "again"),
            ("dir", "/etc"),
            ("etc/ssl/rel", "../../dir/passwd"),
        ] {
            symlink(target, tree.join(link)).unwrap();
        }
        let top = File::open(&tree).unwrap();
        let ask = |path: &str| {
            resolve(top.as_fd(), path.as_bytes())
                .map(|found| String::from_utf8(found.path()).unwrap())
                .map_err(|error| error.raw_os_error().unwrap())
        };
        for (path, expected) in [
            ("", Ok("/")),
            ("/", Ok("/")),
            ("/../../..", Ok("/")),
            ("etc/./ssl//..", Ok("/etc")),
            ("/dir/", Ok("/etc")),
            ("dir/ssl/rel", Ok("/etc/passwd")),
            ("absolute", Ok("/etc/passwd")),
            ("up", Ok("/etc/passwd")),
            ("../tree/etc", Err(libc::ENOENT)),
            ("out", Err(libc::ENOENT)),
            ("again", Err(libc::ELOOP)),
            ("etc/passwd/", Err(libc::ENOTDIR)),
            ("etc/passwd/..", Err(libc::ENOTDIR)),
            ("etc/\0", Err(libc::EINVAL)),
        ] {
            assert_eq!(ask(path), expected.map(str::to_owned), "{path:?}");
        }
        assert_eq!(ask(&"n".repeat(256)), Err(libc::ENAMETOOLONG));
    }
}
