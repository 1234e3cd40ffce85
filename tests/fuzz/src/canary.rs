//! A file beside the home that no driver may reach, and the descriptors that no operation may keep.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

const TEXT: &str = "nobody may change this\n";

/// What must be the same after every operation.
#[derive(Debug)]
pub struct Canary {
    directory: PathBuf,
    facts: Vec<(u32, u32, u32, i64, i64, u64)>,
    beside: Vec<String>,
    descriptors: usize,
}

impl Canary {
    /// Makes the canary in `parent`, where the home lies too.
    ///
    /// # Panics
    /// If the file system refuses.
    pub fn new(parent: &Path) -> Self {
        let directory = parent.join("canary");
        fs::create_dir(&directory).expect("make the canary's directory");
        fs::write(directory.join("file"), TEXT).expect("write the canary");
        let private = fs::Permissions::from_mode(0o600);
        fs::set_permissions(directory.join("file"), private).expect("make it private");
        let facts = facts(&directory);
        let beside = names(parent);
        Self {
            directory,
            facts,
            beside,
            descriptors: descriptors(),
        }
    }

    /// Compares. What was made meanwhile may keep `more` descriptors open.
    ///
    /// # Panics
    /// If something changed beside the home, or descriptors were left open.
    pub fn check(&self, more: usize) {
        assert_eq!(facts(&self.directory), self.facts, "the canary changed");
        let text = fs::read_to_string(self.directory.join("file")).expect("read the canary");
        assert_eq!(text, TEXT, "the canary was written");
        let parent = self.directory.parent().expect("it has a parent");
        assert_eq!(names(parent), self.beside, "a name came beside the home");
        assert!(
            descriptors() <= self.descriptors + 8 + more,
            "descriptors are left open"
        );
    }
}

fn facts(directory: &Path) -> Vec<(u32, u32, u32, i64, i64, u64)> {
    [directory.to_owned(), directory.join("file")]
        .iter()
        .map(|path| {
            let facts = fs::symlink_metadata(path).expect("it is there");
            let (mode, uid, gid) = (facts.mode(), facts.uid(), facts.gid());
            (
                mode,
                uid,
                gid,
                facts.mtime(),
                facts.ctime_nsec(),
                facts.nlink(),
            )
        })
        .collect()
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .expect("list")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}
