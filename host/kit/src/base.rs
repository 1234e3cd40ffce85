//! The directory in which everything of a run lies.
//!
//! Invariant: in memory it goes with the process. In a directory of the user's it is removed at the end, when the run is
//! interrupted, and, if nobody could, by the next run there.

use crate::child::{Message, failed};
use parking_lot::Mutex;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the name of a directory begins with that a run makes; the number of its process follows.
const PREFIX: &str = ".mica-kit-";
/// How often a directory is removed in which the run that is interrupted still makes files.
const ATTEMPTS: usize = 20;
/// What a shell sees of a program that SIGINT ended.
const INTERRUPTED: i32 = 130;

/// The directory in which everything lies.
pub(crate) struct Base {
    pub(crate) path: PathBuf,
    /// What an interruption removes; taken by whoever removes it.
    to_remove: Arc<Mutex<Option<PathBuf>>>,
}

impl Base {
    /// Makes it: in memory, or in a directory. `parent` is the process whose end ends this one.
    pub(crate) fn make(directory: Option<&Path>, parent: u32) -> Result<Self, Message> {
        let Some(directory) = directory else {
            // Any directory would do that is there: nothing of it is used, and nothing is left in it.
            let path = std::env::temp_dir();
            mica_sys::mount_memory(&path).map_err(failed("mount a file system in memory"))?;
            let to_remove = Arc::default();
            return Ok(Self { path, to_remove });
        };
        remove_left(directory);
        let path = directory.join(format!("{PREFIX}{}", std::process::id()));
        let made = fs::create_dir(&path).and_then(|()| path.canonicalize());
        let path =
            made.map_err(|error| Message::Failed(format!("make `{}`: {error}", path.display())))?;
        let to_remove = Arc::new(Mutex::new(Some(path.clone())));
        let interrupted = Arc::clone(&to_remove);
        mica_sys::when_asked_to_end(parent, move || {
            if let Some(path) = interrupted.lock().take() {
                remove(&path);
            }
            std::process::exit(INTERRUPTED);
        })
        .map_err(failed("wait for signals"))?;
        Ok(Self { path, to_remove })
    }

    /// Ends it. What lies in memory goes with this process.
    pub(crate) fn remove(self) {
        if let Some(path) = self.to_remove.lock().take() {
            remove(&path);
        }
    }
}

/// Removes a directory in which mounts of this process may lie, and files may still be made.
fn remove(path: &Path) {
    for _ in 0..ATTEMPTS {
        mica_sys::detach_below(path);
        match fs::remove_dir_all(path) {
            Ok(()) => return,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
            Err(_told_by_what_is_left) => {}
        }
    }
}

/// Removes what runs have left whose processes are gone.
fn remove_left(directory: &Path) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        let number = number.and_then(|number| number.parse::<u32>().ok());
        let is_left = number.is_some_and(|number| !Path::new(&format!("/proc/{number}")).exists());
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_left && is_directory {
            let _of_someone_else = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_run_left_goes_and_what_is_of_others_stays() {
        let base = std::env::temp_dir().join(format!("kit-left-{}", std::process::id()));
        let own = format!("{PREFIX}{}", std::process::id());
        let stays = ["kept", &own, ".mica-kit-x", ".mica-kit-"];
        // No process has a number beyond the kernel's most.
        for name in stays.iter().chain(&[".mica-kit-4194305"]) {
            fs::create_dir_all(base.join(name).join("layers")).unwrap();
        }
        remove_left(&base);
        let mut left: Vec<_> = fs::read_dir(&base)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        let mut expected = stays.map(str::to_owned);
        expected.sort();
        assert_eq!(left, expected);
        fs::remove_dir_all(&base).unwrap();
    }
}
