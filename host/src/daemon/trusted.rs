//! Directories that only this daemon's user can change.
//!
//! What lies in the root directory decides what is mounted and run, so whoever may write there, or may put another directory
//! in its place, has the rights of the daemon. The whole way to a directory is looked at: each directory above it, and each
//! symbolic link on the way.
//!
//! Invariant: a directory is not used before the way to it was found safe. What is refused is named with the command that
//! mends it.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

/// Links on one way that are followed, as many as the kernel follows.
const MAX_SYMLINKS: usize = 40;
/// Write permission of group and others.
const WRITE_OF_OTHERS: u32 = 0o022;
/// Only owners may remove or rename what is in the directory.
const STICKY: u32 = 0o1000;

/// Why a directory is not used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Untrusted {
    /// What is wrong with which directory of the way.
    pub(super) reason: String,
    /// A command that mends it.
    pub(super) remedy: String,
}

/// Who may own a directory.
#[derive(Clone, Copy, Debug)]
struct Owners {
    own: u32,
    /// What the kernel calls owners that this user name space does not know: there, whoever set the name space up.
    unknown: Option<u32>,
}

impl Owners {
    fn find() -> Self {
        let unknown = fs::read_to_string("/proc/sys/kernel/overflowuid");
        let unknown = unknown.ok().and_then(|text| text.trim().parse().ok());
        Self {
            own: rustix::process::geteuid().as_raw(),
            unknown: unknown.filter(|_| mica_sys::mount::in_user_namespace()),
        }
    }

    /// Whether an owner could do all that this daemon can do anyway.
    fn are_trusted(self, owner: u32) -> bool {
        owner == 0 || owner == self.own || self.unknown == Some(owner)
    }
}

/// Checks the way to a directory, as far as it exists, and the directory itself if it does.
///
/// # Errors
/// The kernel's answer.
pub(super) fn check(path: &Path) -> io::Result<Result<(), Untrusted>> {
    check_for(path, Owners::find())
}

fn check_for(path: &Path, owners: Owners) -> io::Result<Result<(), Untrusted>> {
    let full = std::path::absolute(path)?;
    let mut way = PathBuf::from("/");
    let mut left: VecDeque<OsString> = parts(&full).collect();
    let mut links = 0;
    while let Some(part) = left.pop_front() {
        if part == ".." {
            way.pop();
            continue;
        }
        let next = way.join(&part);
        let found = match fs::symlink_metadata(&next) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Ok(())),
            found => found?,
        };
        if !found.is_symlink() {
            if let Err(untrusted) = directory(&next, &found, left.is_empty(), owners) {
                return Ok(Err(untrusted));
            }
            way = next;
            continue;
        }
        links += 1;
        if links > MAX_SYMLINKS {
            return Err(io::Error::from_raw_os_error(
                rustix::io::Errno::LOOP.raw_os_error(),
            ));
        }
        let target = fs::read_link(&next)?;
        if left.is_empty() || !owners.are_trusted(found.uid()) {
            return Ok(Err(link(&next, &target, &found, owners)));
        }
        if target.is_absolute() {
            way = PathBuf::from("/");
        }
        for part in parts(&target).collect::<Vec<_>>().into_iter().rev() {
            left.push_front(part);
        }
    }
    Ok(Ok(()))
}

/// The names of a path, `..` among them.
fn parts(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter_map(|part| match part {
        Component::Normal(_) | Component::ParentDir => Some(part.as_os_str().to_owned()),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    })
}

fn link(path: &Path, target: &Path, found: &Metadata, owners: Owners) -> Untrusted {
    let (shown, target) = (path.display(), target.display());
    if owners.are_trusted(found.uid()) {
        return Untrusted {
            reason: format!("`{shown}` is a symbolic link"),
            remedy: format!("name the directory itself: `{target}`"),
        };
    }
    Untrusted {
        reason: format!(
            "`{shown}` is a symbolic link of user {}, who may change it",
            found.uid()
        ),
        remedy: format!(
            "`chown -h {} {shown}`, or name the directory itself: `{target}`",
            owners.own
        ),
    }
}

/// Looks at one directory of the way; the last one is the one that is to be used.
fn directory(
    path: &Path,
    found: &Metadata,
    is_last: bool,
    owners: Owners,
) -> Result<(), Untrusted> {
    let shown = path.display();
    let refuse = |reason: String, remedy: String| Err(Untrusted { reason, remedy });
    if !found.is_dir() {
        return refuse(
            format!("`{shown}` is no directory"),
            "name another".to_owned(),
        );
    }
    if !owners.are_trusted(found.uid()) {
        return refuse(
            format!("`{shown}` belongs to user {}", found.uid()),
            format!("`chown {} {shown}`", owners.own),
        );
    }
    let mode = found.mode() & 0o7777;
    // Root's own group has no members beside root.
    let others = if found.gid() == 0 {
        WRITE_OF_OTHERS & 0o007
    } else {
        WRITE_OF_OTHERS
    };
    // Above the last one it is enough that no one else can rename what is in it.
    let is_safe = mode & others == 0 || !is_last && mode & STICKY != 0;
    if is_safe {
        return Ok(());
    }
    let (who, less) = if mode & 0o002 != 0 {
        ("everyone", "go-w")
    } else {
        ("its group", "g-w")
    };
    refuse(
        format!("`{shown}` has mode {mode:04o}: {who} may write in it"),
        format!("`chmod {less} {shown}`"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    const STRANGER: u32 = 4711;

    struct Way {
        _place: tempfile::TempDir,
        above: PathBuf,
        path: PathBuf,
    }

    /// `above/root` below a directory that only the tests' user can write.
    fn way() -> Way {
        let place = tempfile::tempdir().unwrap();
        let above = place.path().join("above");
        let path = above.join("root");
        fs::create_dir_all(&path).unwrap();
        Way {
            _place: place,
            above,
            path,
        }
    }

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[track_caller]
    fn refused(path: &Path, reason: &str, remedy: &str) {
        let untrusted = check(path).unwrap().unwrap_err();
        assert!(untrusted.reason.contains(reason), "{untrusted:?}");
        assert!(untrusted.remedy.contains(remedy), "{untrusted:?}");
    }

    #[test]
    fn a_directory_of_ones_own_is_taken_whether_it_is_there_or_not() {
        let way = way();
        for set in [0o700, 0o755, 0o711] {
            mode(&way.path, set);
            assert_eq!(check(&way.path).unwrap(), Ok(()));
        }
        assert_eq!(check(&way.path.join("a/b/c")).unwrap(), Ok(()));
        assert_eq!(check(&way.path.join("../root")).unwrap(), Ok(()));
        mode(&way.above, 0o1777);
        assert_eq!(check(&way.path).unwrap(), Ok(()), "as in /tmp");
    }

    #[test]
    fn what_others_may_write_in_is_refused_there_and_above() {
        let way = way();
        mode(&way.path, 0o757);
        refused(&way.path, "everyone may write", "chmod go-w");
        mode(&way.path, 0o1777);
        refused(&way.path, "everyone may write", "chmod go-w");
        mode(&way.path, 0o755);
        mode(&way.above, 0o777);
        refused(&way.path, "above`", "chmod go-w");
        refused(&way.path.join("not/there"), "above`", "chmod go-w");
    }

    #[test]
    fn what_others_own_is_refused_there_and_above() {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: only root gives files away");
            return;
        }
        let way = way();
        chown(&way.path, None, Some(STRANGER)).unwrap();
        mode(&way.path, 0o775);
        refused(&way.path, "its group may write", "chmod g-w");
        chown(&way.path, Some(STRANGER), Some(0)).unwrap();
        refused(&way.path, "belongs to user 4711", "chown 0");
        chown(&way.path, Some(0), None).unwrap();
        mode(&way.path, 0o775);
        assert_eq!(check(&way.path).unwrap(), Ok(()), "root's group is root");
        chown(&way.above, Some(STRANGER), None).unwrap();
        refused(&way.path, "above` belongs to user 4711", "chown 0");
    }

    #[test]
    fn a_link_is_followed_above_if_no_stranger_can_change_it_and_never_at_the_end() {
        let way = way();
        let link = way.above.with_file_name("link");
        symlink(&way.path, &link).unwrap();
        refused(&link, "is a symbolic link", "name the directory itself");
        assert_eq!(check(&link.join("below")).unwrap(), Ok(()));
        mode(&way.path, 0o777);
        refused(&link.join("below"), "root` has mode 0777", "chmod go-w");
        mode(&way.path, 0o755);
        let round = way.above.join("round");
        symlink(&round, &round).unwrap();
        assert!(check(&round.join("x")).is_err());
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::lchown(&link, Some(STRANGER), None).unwrap();
            refused(&link.join("below"), "link of user 4711", "chown -h 0");
        }
    }

    #[test]
    fn owners_that_a_user_name_space_does_not_know_set_it_up() {
        let owners = Owners {
            own: 0,
            unknown: Some(65534),
        };
        assert!(owners.are_trusted(65534) && owners.are_trusted(0));
        assert!(!owners.are_trusted(STRANGER));
        assert!(
            !Owners {
                unknown: None,
                ..owners
            }
            .are_trusted(65534)
        );
    }
}
