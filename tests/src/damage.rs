//! Damages files, and tells whether anything else changed.
//!
//! Invariant: what is done to a file depends on its name and the damage alone, so a case can be played again.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use crate::script::noise;

/// What happens to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// Nothing is left in it.
    Empty,
    /// The second half is gone.
    Cut,
    /// A bit is flipped in the byte at so many sixteenths of its length.
    Flip(u64),
    /// It is not there.
    Gone,
    /// It has other bytes, as many.
    Garbage,
}

/// All damages.
pub const DAMAGES: &[Damage] = &[
    Damage::Empty,
    Damage::Flip(0),
    Damage::Gone,
    Damage::Flip(5),
    Damage::Garbage,
    Damage::Flip(8),
    Damage::Cut,
    Damage::Flip(13),
    Damage::Flip(15),
];

impl Damage {
    /// Damages a file. A symbolic link can only go or lead elsewhere.
    pub fn harm(self, path: &Path) {
        let found = fs::symlink_metadata(path);
        let found = found.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let is_link = found.is_symlink();
        if is_link {
            fs::remove_file(path).expect("remove");
            if self != Self::Gone {
                std::os::unix::fs::symlink("../layers/1/d/nowhere", path).expect("link");
            }
            return;
        }
        let file = || File::options().write(true).open(path).expect("open");
        let length = fs::metadata(path).expect("stat").len();
        match self {
            Self::Empty => file().set_len(0).expect("cut"),
            Self::Cut => file().set_len(length / 2).expect("cut"),
            Self::Gone => fs::remove_file(path).expect("remove"),
            Self::Garbage => {
                let length = usize::try_from(length).expect("a small file");
                let bytes = noise(path.as_os_str().as_encoded_bytes(), length);
                file().write_all_at(&bytes, 0).expect("write");
            }
            Self::Flip(part) => {
                let at = length * part / 16;
                let mut byte = [0];
                let read = File::open(path).expect("open").read_at(&mut byte, at);
                if read.expect("read") == 1 {
                    byte[0] ^= 1 << (at % 7);
                    file().write_all_at(&byte, at).expect("write");
                }
            }
        }
    }
}

/// Every file and link below a directory, but those in rooms of layers that are ordinary content. In their order.
pub fn files(top: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(top, &mut |path, is_directory| {
        let text = path.display().to_string();
        let is_content = text.contains("/d/") && !text.contains("/d/sealed/");
        if !is_directory && !is_content {
            found.push(path.to_owned());
        }
    });
    found
}

/// Every node below a directory with what tells that it was not touched: one line each.
pub fn state(top: &Path) -> String {
    let mut lines = String::new();
    walk(top, &mut |path, _| {
        let found = fs::symlink_metadata(path).expect("stat");
        // Not of directories: reading them changes no time but the one of access, and whoever damages changes all.
        lines.push_str(&format!(
            "{} {:o} {} {} {}.{}\n",
            path.display(),
            found.mode(),
            found.ino(),
            found.len(),
            found.ctime(),
            found.ctime_nsec()
        ));
    });
    lines
}

fn walk(top: &Path, visit: &mut dyn FnMut(&Path, bool)) {
    let entries = match fs::read_dir(top) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        entries => entries.expect("list"),
    };
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("list").path()).collect();
    paths.sort();
    for path in paths {
        let is_directory = fs::symlink_metadata(&path).expect("stat").is_dir();
        visit(&path, is_directory);
        // What is mounted there is nobody's file here.
        if is_directory && !path.ends_with("d/image") {
            walk(&path, visit);
        }
    }
}
