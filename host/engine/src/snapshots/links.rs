//! Short names for directories of layers, so that 500 of them fit into the page that `mount(2)` takes.
//!
//! ```text
//! <store>/l/<n>      a symbolic link to `../layers/<number>/d/<name>`; n is the number in base 36
//! <store>/l/<n>-<k>  the same for further directories of one layer
//! ```
//!
//! Invariant: a name leads to one directory as long as its layer exists; what is in the directory can be made anew.

use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::check::{Finding, FindingKind};
use crate::disk::files;
use mica_sys::Name;

/// Their directory in a home.
const DIRECTORY: &str = "l";
/// Directories of one layer that one view may consist of.
const MAX_DIRECTORIES: u32 = 512;

/// The short names of a store.
#[derive(Debug)]
pub(crate) struct Links {
    directory: PathBuf,
    /// Names that are known to be there, by number and target.
    made: Mutex<HashMap<(u64, Name), String>>,
}

impl Links {
    /// Whether a home has short names.
    pub(super) fn are_in(home: &Path) -> bool {
        home.join(DIRECTORY).is_dir()
    }

    pub(super) fn open(home: &Path) -> io::Result<Self> {
        let directory = home.join(DIRECTORY);
        files::make_directory(&directory)?;
        Ok(Self {
            directory,
            made: Mutex::default(),
        })
    }

    /// The short path of a directory in the room of a layer.
    pub(super) fn path(&self, number: u64, directory: &Name) -> io::Result<PathBuf> {
        let mut made = self.made.lock();
        let key = (number, directory.clone());
        if let Some(name) = made.get(&key) {
            return Ok(self.directory.join(name));
        }
        let mut target = PathBuf::from(format!("../layers/{number}/d"));
        target.push(OsStr::from_bytes(directory.as_bytes()));
        for further in 0..MAX_DIRECTORIES {
            let name = name(number, further);
            let path = self.directory.join(&name);
            match std::os::unix::fs::symlink(&target, &path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    if fs::read_link(&path)? != target {
                        continue;
                    }
                }
                made => made?,
            }
            made.insert(key, name);
            return Ok(path);
        }
        Err(io::Error::other(
            "a layer has too many directories in one view",
        ))
    }

    /// Removes the names of a layer that is gone.
    pub(crate) fn forget(&self, number: u64) {
        let mut made = self.made.lock();
        made.retain(|(of, _), name| {
            if *of == number {
                // What stays leads nowhere, and the next start removes it.
                let _removed = fs::remove_file(self.directory.join(name));
            }
            *of != number
        });
    }

    /// Removes all names but those of these layers.
    pub(super) fn keep_only(&self, numbers: &HashSet<u64>) {
        for entry in entries(&self.directory) {
            if !is_of(&entry, numbers) {
                // As above.
                let _removed = fs::remove_file(entry.path());
            }
        }
    }
}

fn entries(directory: &Path) -> impl Iterator<Item = fs::DirEntry> + use<> {
    fs::read_dir(directory).into_iter().flatten().flatten()
}

/// Whether a name is of one of these layers.
fn is_of(entry: &fs::DirEntry, numbers: &HashSet<u64>) -> bool {
    let number = entry.file_name().to_str().and_then(number_of);
    number.is_some_and(|number| numbers.contains(&number))
}

/// The names in a home that lead to no directory of their layers. A start leaves those alone that have a layer, because it would
/// follow each of them; whoever needs such a layer gets another name.
pub(super) fn find_wrong(home: &Path, numbers: &HashSet<u64>) -> Vec<Finding> {
    let wrong = entries(&home.join(DIRECTORY)).filter(|entry| {
        let number = entry.file_name().to_str().and_then(number_of);
        let room = PathBuf::from(format!("../layers/{}/d", number.unwrap_or_default()));
        let target = fs::read_link(entry.path());
        let leads = target.is_ok_and(|target| target.parent() == Some(&room));
        !(is_of(entry, numbers) && leads && entry.path().is_dir())
    });
    let found = wrong.map(|entry| {
        let path = entry.path();
        let detail = format!("`{}` does not lead to its layer", path.display());
        Finding::new(FindingKind::LinkWrong, detail).at(path)
    });
    found.collect()
}

#[expect(
    clippy::indexing_slicing,
    reason = "a remainder of 36: another digit would be another layer's link"
)]
fn name(number: u64, further: u32) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut digits = Vec::new();
    let mut rest = number;
    while digits.is_empty() || rest > 0 {
        digits.push(char::from(DIGITS[(rest % 36) as usize]));
        rest /= 36;
    }
    let text: String = digits.into_iter().rev().collect();
    match further {
        0 => text,
        _ => format!("{text}-{further}"),
    }
}

/// The layer's number that a name was made from.
fn number_of(name: &str) -> Option<u64> {
    let digits = name.split_once('-').map_or(name, |(digits, _)| digits);
    u64::from_str_radix(digits, 36).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_tell_their_number() {
        for (number, further, expected) in [
            (0, 0, "0"),
            (35, 0, "z"),
            (36, 2, "10-2"),
            (46_655, 0, "zzz"),
        ] {
            assert_eq!(name(number, further), expected);
            assert_eq!(number_of(expected), Some(number));
        }
        assert_eq!(name(u64::MAX, 0).len(), 13);
        assert_eq!(number_of("x/y"), None);
    }

    #[test]
    fn a_name_leads_to_its_directory_until_the_layer_goes() {
        let place = tempfile::tempdir().unwrap();
        for path in ["layers/7/d/upper", "layers/7/d/other", "layers/8/d/upper"] {
            fs::create_dir_all(place.path().join(path)).unwrap();
        }
        let links = Links::open(place.path()).unwrap();
        let directory = |name: &str| Name::new(name.as_bytes()).unwrap();
        let paths = [(7, "upper"), (7, "other"), (8, "upper")]
            .map(|(number, name)| links.path(number, &directory(name)).unwrap());
        assert_eq!(paths[1].file_name().unwrap(), "7-1");
        assert_eq!(
            fs::canonicalize(&paths[2]).unwrap(),
            fs::canonicalize(place.path().join("layers/8/d/upper")).unwrap()
        );
        // Another process finds the same names.
        let again = Links::open(place.path()).unwrap();
        assert_eq!(again.path(7, &directory("other")).unwrap(), paths[1]);
        links.forget(7);
        assert!(fs::symlink_metadata(&paths[0]).is_err());
        again.keep_only(&HashSet::new());
        assert_eq!(fs::read_dir(place.path().join("l")).unwrap().count(), 0);
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_told_and_another_is_made_beside_it() {
        let place = tempfile::tempdir().unwrap();
        let home = place.path();
        for path in ["layers/7/d/upper", "layers/8/d/upper", "l"] {
            fs::create_dir_all(home.join(path)).unwrap();
        }
        for (name, target) in [
            ("7", "../layers/7/d/upper"),
            ("8", "../layers/7/d/upper"),
            ("8-1", "../layers/8/d/gone"),
            ("8-2", "../layers/8"),
            ("9", "../layers/9/d/upper"),
            ("What", "../layers/7/d/upper"),
        ] {
            std::os::unix::fs::symlink(target, home.join("l").join(name)).unwrap();
        }
        fs::write(home.join("l/7-1"), "no link").unwrap();
        let found = find_wrong(home, &HashSet::from([7, 8]));
        let mut names: Vec<_> = found
            .iter()
            .map(|finding| finding.path.as_ref().unwrap().file_name().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["7-1", "8", "8-1", "8-2", "9", "What"]);
        let links = Links::open(home).unwrap();
        let path = links.path(8, &Name::new(b"upper").unwrap()).unwrap();
        assert_eq!(path.file_name().unwrap(), "8-3");
    }
}
