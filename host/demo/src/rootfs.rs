//! The root file system that the demo works on.
//!
//! Invariant: nothing of it is written anywhere but through the daemon.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use mica_client::{Failure, words};

/// Where it comes from.
#[derive(Debug)]
pub(crate) enum RootFs {
    /// A tar archive.
    Archive { path: PathBuf, size_bytes: u64 },
    /// This machine's own /usr and /etc.
    Machine,
}

/// What a program needs of the machine, and what is only large.
const PARTS: [&str; 7] = ["etc", "usr", "bin", "sbin", "lib", "lib32", "lib64"];
const LARGE: [&str; 4] = ["usr/local", "usr/src", "usr/share/doc", "usr/lib/debug"];

impl RootFs {
    /// The archive that was named, else the one that `make demo` prepared, else the machine.
    ///
    /// # Errors
    /// That the archive cannot be read.
    pub(crate) fn choose(named: Option<&Path>) -> Result<Self, Failure> {
        let path = match named {
            Some(path) => path.to_owned(),
            None => match prepared() {
                Some(path) => path,
                None => return Ok(Self::Machine),
            },
        };
        let doing = format!("read the root file system `{}`", path.display());
        let found = fs::metadata(&path).map_err(Failure::io(doing.clone()))?;
        if found.is_dir() {
            return Err(Failure::Usage {
                what: format!("`{}` is a directory", path.display()),
                remedy: "make an archive of it: `tar -C DIR --xattrs -cf rootfs.tar .`",
            });
        }
        Ok(Self::Archive {
            path,
            size_bytes: found.len(),
        })
    }

    /// What it is, for people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Archive { path, size_bytes } => {
                format!("{}, {}", path.display(), words::bytes(*size_bytes))
            }
            Self::Machine => format!(
                "/etc and /usr of this machine, without {}",
                LARGE.join(", ")
            ),
        }
    }

    /// Bytes of the archive where they are known.
    pub(crate) fn size_bytes(&self) -> Option<u64> {
        match self {
            Self::Archive { size_bytes, .. } => Some(*size_bytes),
            Self::Machine => None,
        }
    }

    /// The archive from its beginning.
    pub(crate) fn open(&self) -> Result<Box<dyn Read + Send>, Failure> {
        match self {
            Self::Archive { path, .. } => {
                let file =
                    File::open(path).map_err(Failure::io(format!("read `{}`", path.display())))?;
                Ok(Box::new(file))
            }
            Self::Machine => Ok(Box::new(
                TarProgram::start().map_err(Failure::io("start `tar`"))?,
            )),
        }
    }
}

/// The archive that `make demo` made: beside this program's directory, where cargo puts what it builds.
fn prepared() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    let path = program.parent()?.parent()?.join("demo/rootfs.tar");
    path.is_file().then_some(path)
}

/// A running `tar` that reads the machine.
struct TarProgram {
    child: Child,
    output: ChildStdout,
}

impl TarProgram {
    fn start() -> io::Result<Self> {
        let mut command = Command::new("tar");
        command.args([
            "--create",
            "--format=posix",
            "--xattrs",
            "--numeric-owner",
            "--one-file-system",
            "--directory=/",
        ]);
        command.args(LARGE.map(|path| format!("--exclude={path}")));
        command.args(
            PARTS
                .iter()
                .filter(|part| Path::new("/").join(part).symlink_metadata().is_ok()),
        );
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Self { child, output })
    }
}

impl Read for TarProgram {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.output.read(buffer)?;
        if count == 0 && !buffer.is_empty() {
            // 1: a file changed while it was read, which happens on a machine that runs.
            let status = self.child.wait()?;
            if !matches!(status.code(), Some(0 | 1)) {
                return Err(io::Error::other(format!("`tar` ended with {status}")));
            }
        }
        Ok(count)
    }
}

impl Drop for TarProgram {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
