//! A file that is complete or not there.
//!
//! It has no name until it is complete, so that a program that is killed leaves nothing. Where a file system has no files without names
//! (`O_TMPFILE`: network file systems, some of FUSE), it has another name beside its own, and is removed if it is given up.
//!
//! Invariant: what lay under the name before stays until the new file takes its place, unless that is a link.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, openat};

/// A file that is being written.
#[derive(Debug)]
pub struct NewFile {
    file: File,
    /// What is written to directly, a pipe, a device or where a link leads, has no such name: nothing can take its place.
    partial: Option<PathBuf>,
    has_name: bool,
}

impl NewFile {
    /// Begins a file that shall lie at `path`.
    ///
    /// # Errors
    /// What making a file says.
    pub fn create(path: &Path) -> io::Result<Self> {
        Self::of_mode(path, 0o666)
    }

    /// The same for what is its owner's alone.
    ///
    /// # Errors
    /// As [`NewFile::create`].
    pub fn create_private(path: &Path) -> io::Result<Self> {
        Self::of_mode(path, 0o600)
    }

    fn of_mode(path: &Path, mode: u32) -> io::Result<Self> {
        // A link stays one, and leads where it led.
        if path.symlink_metadata().is_ok_and(|found| !found.is_file()) {
            let is_file = fs::metadata(path).is_ok_and(|found| found.is_file());
            let mut options = File::options();
            options.write(true).create(is_file).truncate(is_file);
            return Ok(Self {
                file: options.open(path)?,
                partial: None,
                has_name: false,
            });
        }
        let mut partial = path.as_os_str().to_owned();
        partial.push(format!(".partial-{}", std::process::id()));
        let partial = PathBuf::from(partial);
        let above = match path.parent() {
            Some(above) if above.as_os_str().is_empty() => Path::new("."),
            Some(above) => above,
            None => Path::new("/"),
        };
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let (file, has_name) = match openat(CWD, above, flags, Mode::from_raw_mode(mode)) {
            Ok(unnamed) => (unnamed.into(), false),
            // The parent's own errors come again, with the name that was asked for.
            Err(_) => {
                let mut options = File::options();
                options.write(true).create(true).truncate(true).mode(mode);
                (options.open(&partial)?, true)
            }
        };
        Ok(Self {
            file,
            partial: Some(partial),
            has_name,
        })
    }

    /// To write to.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Puts it where it shall lie.
    ///
    /// # Errors
    /// What linking and renaming say.
    pub fn complete(mut self, path: &Path) -> io::Result<()> {
        let Some(partial) = &self.partial else {
            return Ok(());
        };
        if !self.has_name {
            let unnamed = format!("/proc/self/fd/{}", self.file.as_raw_fd());
            linkat(CWD, unnamed, CWD, partial, AtFlags::SYMLINK_FOLLOW)?;
            self.has_name = true;
        }
        fs::rename(partial, path)?;
        self.has_name = false;
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let (true, Some(partial)) = (self.has_name, &self.partial) {
            // Its name says what it is if it cannot be removed.
            let _removed = fs::remove_file(partial);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn what_is_not_complete_has_no_name_and_leaves_what_was_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let names = || fs::read_dir(directory.path()).unwrap().count();
        fs::write(&path, "before").unwrap();
        let given_up = NewFile::create(&path).unwrap();
        given_up.file().write_all(b"half").unwrap();
        assert_eq!(names(), 1);
        drop(given_up);
        assert_eq!((names(), fs::read(&path).unwrap()), (1, b"before".to_vec()));
        let whole = NewFile::create(&path).unwrap();
        whole.file().write_all(b"whole").unwrap();
        whole.complete(&path).unwrap();
        assert_eq!((names(), fs::read(&path).unwrap()), (1, b"whole".to_vec()));
        let error = NewFile::create(&directory.path().join("no/file")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
