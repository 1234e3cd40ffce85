//! The program that runs in a layer.
//!
//! Invariant: runs in a root of its own (chroot), by the layer's own shell and tools.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::tell::untrue;
use mica_client::Failure;
use rustix::fs::{XattrFlags, setxattr};

/// The directory that the program works in, in the layer.
pub(crate) const PLACE: &str = "srv/mica-demo";
/// A file that it makes, and what is in it.
pub(crate) const FILE: (&str, &str) = ("srv/mica-demo/hello", "made in a layer\n");

/// Adds, changes and removes; every kind of node that a layer must keep.
const SCRIPT: &str = r#"
set -eu
umask 022
mkdir -p /srv/mica-demo/deep/er
cd /srv/mica-demo
echo 'made in a layer' > hello
i=0
while [ $i -lt 2000 ]; do echo "line $i of a file that has some size"; i=$((i+1)); done > lines
ln hello hard-link
ln -s ../../etc/passwd symbolic-link
mkfifo pipe
mknod null c 1 3 2>/dev/null || true
: > 'a name with blanks and ünïcödé'
: > "deep/er/$(printf 'n%.0s' 1 2 3 4 5 6 7 8 9 10 11 12)-$(printf 'long-%.0s' 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30)"
chmod 4751 hello
chown 1234:5678 lines
chmod 0700 deep
touch -h -d '2001-02-03 04:05:06.789012345' symbolic-link 2>/dev/null || true
touch -d '2001-02-03 04:05:06.789012345' lines 2>/dev/null || true
echo 'demo:x:4242:4242:a guest:/:/bin/sh' >> /etc/passwd
chmod 0600 /etc/group
rm -rf /usr/share/doc /usr/share/info
rm -f /etc/issue
rm -rf /etc/skel
mkdir /etc/skel
echo 'only this' > /etc/skel/fresh
if [ -d /etc/default ]; then mv /etc/default /etc/default.moved; fi
"#;

/// Runs the program in the layer that is mounted here.
///
/// # Errors
/// What it said, if it fails.
pub(crate) fn run(root: &Path) -> Result<(), Failure> {
    let mut command = Command::new("chroot");
    command.arg(root).args(["/bin/sh", "-c", SCRIPT]);
    command
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("LC_ALL", "C.UTF-8");
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(Failure::io("start `chroot`"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::Untrue {
            what: format!(
                "the program in the layer ended with {}: {}",
                output.status,
                said.trim_end()
            ),
            remedy: Some(
                "take a root file system that has /bin/sh and coreutils, for this processor"
                    .to_owned(),
            ),
        });
    }
    mark(root)
}

/// Sets an extended attribute from outside: few root file systems have a program for that.
fn mark(root: &Path) -> Result<(), Failure> {
    match setxattr(
        root.join(FILE.0),
        "user.mica.demo",
        b"kept\0too",
        XattrFlags::empty(),
    ) {
        // A file system without xattrs of users; the comparison has the others.
        Err(rustix::io::Errno::OPNOTSUPP) => Ok(()),
        set => set.map_err(|error| Failure::Io {
            doing: format!(
                "set an extended attribute of `{}`",
                root.join(FILE.0).display()
            ),
            source: error.into(),
        }),
    }
}

/// Reads the file that the program made.
///
/// # Errors
/// That it is not there, or not what was written.
pub(crate) fn read_back(root: &Path) -> Result<(), Failure> {
    let path = root.join(FILE.0);
    let text = std::fs::read_to_string(&path)
        .map_err(Failure::io(format!("read `{}`", path.display())))?;
    if text == FILE.1 {
        Ok(())
    } else {
        Err(untrue(format!("`{}` has another content", path.display())))
    }
}
