//! What is kept of a store's scrub, so that the next daemon goes on.
//!
//! ```text
//! <store>/scrub.json   with a checksum: since when layers are new, how far the pass is, which layers are damaged
//! ```
//!
//! Invariant: nothing depends on it but where a pass goes on and what is told: what is lost of it is found again.

use crate::disk::files;
use crate::settings::Durability;
use crate::view::{DamageView, PassView};
use crate::{LayerId, Moment};
use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Layers whose damage is told in full, with its files, the last that were found: of others it is known that they are damaged, and of how many files. A disk
/// that dies damages all of them, and the file is written anew for each.
const MOST_TOLD: usize = 128;

/// Its name in a store's directory.
pub(crate) const FILE: &str = "scrub.json";
const VERSION: u32 = 1;

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    version: u32,
    pub(super) since: Moment,
    #[serde(default)]
    pub(super) paused: bool,
    /// The last layer of the pass that was done.
    #[serde(default)]
    pub(super) after: Option<LayerId>,
    #[serde(default)]
    pub(super) pass: Option<PassView>,
    #[serde(default)]
    pub(super) last: Option<PassView>,
    /// When a pass has ended that has verified all.
    #[serde(default)]
    pub(super) verified: Option<Moment>,
    #[serde(default)]
    pub(super) lists_lost: u64,
    #[serde(default)]
    pub(super) damaged: Vec<DamageView>,
    /// Layers that are damaged besides, by their numbers.
    #[serde(default)]
    more: BTreeMap<u64, Brief>,
}

/// Damage that is not told in full: when it was found, in seconds since 1970, and of how many files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Brief(u64, u64);

impl Kept {
    fn new() -> Self {
        Self {
            version: VERSION,
            since: Moment::now(),
            paused: false,
            after: None,
            pass: None,
            last: None,
            verified: None,
            lists_lost: 0,
            damaged: Vec::new(),
            more: BTreeMap::new(),
        }
    }

    /// How many layers are damaged besides those that are told in full.
    pub(super) fn more_count(&self) -> u64 {
        self.more.len() as u64
    }

    /// Takes down what was found of a layer. Says whether that is new.
    fn note(&mut self, number: u64, damage: Option<DamageView>) -> bool {
        let known = self.damaged.iter().position(|known| known.number == number);
        let brief = self.more.remove(&number);
        let told = known.map(|at| self.damaged.remove(at));
        let Some(damage) = damage else {
            return told.is_some() || brief.is_some();
        };
        let is_new = match (&told, brief) {
            (Some(told), _) => told.files != damage.files,
            (None, Some(Brief(_, count))) => count != damage.count,
            (None, None) => true,
        };
        // What is known already keeps the time at which it was found.
        let damage = told.filter(|_| !is_new).unwrap_or(damage);
        // The last one that was looked at is told: it may be the one that someone asks for.
        self.damaged.push(damage);
        if self.damaged.len() > MOST_TOLD {
            let oldest = self.damaged.remove(0);
            let brief = Brief(oldest.found.seconds, oldest.count);
            self.more.insert(oldest.number, brief);
        }
        is_new
    }
}

/// The scrub of a store.
#[derive(Debug)]
pub(crate) struct Scrub {
    path: PathBuf,
    durability: Durability,
    kept: Mutex<Kept>,
    /// Held while the file is written, so that it never goes back. Who only looks does not wait for a disk.
    writing: Mutex<()>,
    now: Mutex<Now>,
    /// Whether it rests, for whoever may hold no lock.
    is_paused: AtomicBool,
}

/// What is known of it as long as this daemon runs.
#[derive(Debug, Default)]
pub(super) struct Now {
    /// Layers that someone wants to be verified now; `None` is all of them.
    pub(super) asked: BTreeSet<Option<LayerId>>,
    pub(super) asked_count: u64,
    pub(super) answered_count: u64,
    /// Layers of what was answered last that could not be verified.
    pub(super) skipped_count: u64,
    /// The layer that is being read.
    pub(super) layer: Option<LayerId>,
    /// Whether the background has begun with the store.
    pub(super) is_begun: bool,
}

impl Scrub {
    /// Reads what is kept of the store in a directory. A file that makes no sense is as good as none.
    pub(crate) fn open(home: &Path, durability: Durability) -> Self {
        let path = home.join(FILE);
        let kept = match read(&path) {
            Ok(kept) => kept,
            // Of a store of an earlier build: all its layers were there before.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Kept::new(),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "what was known of damaged layers is lost, and found again by the next pass");
                Kept::new()
            }
        };
        let is_paused = AtomicBool::new(kept.paused);
        Self {
            path,
            durability,
            kept: Mutex::new(kept),
            writing: Mutex::default(),
            now: Mutex::default(),
            is_paused,
        }
    }

    /// Writes the file of a new store, or of one that has none.
    ///
    /// # Errors
    /// What writing says.
    pub(crate) fn make(&self) -> io::Result<()> {
        match self.path.exists() {
            true => Ok(()),
            false => {
                let _writing = self.writing.lock();
                let kept = self.kept.lock().clone();
                self.write(&kept, Durability::None)
            }
        }
    }

    pub(super) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock()
    }

    pub(super) fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock()
    }

    /// Lets it rest, or go on.
    pub(super) fn rest(&self, paused: bool) {
        self.is_paused.store(paused, Ordering::Release);
        self.change(|kept| kept.paused = paused);
    }

    pub(super) fn is_paused(&self) -> bool {
        self.is_paused.load(Ordering::Acquire)
    }

    /// Has whoever reads a layer stop after the piece of a file that it is at, because the store is about to be opened again.
    pub(crate) fn interrupt(&self) {
        self.is_paused.store(true, Ordering::Release);
    }

    /// Takes [`Scrub::interrupt`] back.
    pub(crate) fn resume(&self) {
        let paused = self.kept.lock().paused;
        self.is_paused.store(paused, Ordering::Release);
    }

    /// Changes what is kept, and writes it down.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Kept) -> T) -> T {
        let (told, is_other) = {
            let mut kept = self.kept.lock();
            let before = kept.clone();
            let told = change(&mut kept);
            (told, *kept != before)
        };
        if is_other {
            // After a power cut a pass may go on at an earlier layer.
            self.write_down(Durability::None);
        }
        told
    }

    fn write_down(&self, durability: Durability) {
        let _writing = self.writing.lock();
        // What is known by now, which may be more than what this was called for.
        let kept = self.kept.lock().clone();
        if let Err(error) = self.write(&kept, durability) {
            // The next daemon begins the pass again, which tells of the same damage.
            tracing::warn!(path = %self.path.display(), %error, "where the scrub is cannot be written down");
        }
    }

    fn write(&self, kept: &Kept, durability: Durability) -> io::Result<()> {
        let json = serde_json::to_vec_pretty(kept)?;
        files::replace(&self.path, &files::with_sum(&json), durability)
    }

    /// Layers that are damaged, of those whose numbers `is_there` says: the first of them, and how many there are besides.
    pub(crate) fn damaged(&self, is_there: &dyn Fn(u64) -> bool) -> (Vec<DamageView>, u64) {
        let kept = self.kept.lock();
        let told = kept.damaged.iter();
        let told = told.filter(|damage| is_there(damage.number)).cloned();
        let more = kept.more.keys().filter(|number| is_there(**number));
        (told.collect(), more.count() as u64)
    }

    /// What is known to be damaged of the layer with a number and an id.
    pub(super) fn known(&self, number: u64, id: &LayerId) -> Option<DamageView> {
        let kept = self.kept.lock();
        let mut told = kept.damaged.iter();
        if let Some(damage) = told.find(|damage| damage.number == number) {
            return Some(damage.clone());
        }
        let Brief(seconds, count) = *kept.more.get(&number)?;
        Some(DamageView {
            layer: id.to_string(),
            number,
            found: Moment {
                seconds,
                nanoseconds: 0,
            },
            files: Vec::new(),
            count,
        })
    }

    /// Notes what was found of a layer. Says whether that is new; then [`Scrub::write_noted`] is to follow, once no lock is held.
    pub(super) fn note(&self, number: u64, damage: Option<DamageView>) -> bool {
        self.kept.lock().note(number, damage)
    }

    /// Writes down what was noted.
    pub(super) fn write_noted(&self) {
        self.write_down(self.durability);
    }

    /// How many layers are known to be damaged, also of those that are gone.
    pub(crate) fn damaged_count(&self) -> u64 {
        let kept = self.kept.lock();
        (kept.damaged.len() + kept.more.len()) as u64
    }

    /// When a pass ended that has verified all layers, in seconds since 1970.
    pub(crate) fn last_verified(&self) -> Option<u64> {
        Some(self.kept.lock().verified?.seconds)
    }

    /// Forgets damage of layers that are gone.
    pub(super) fn forget_gone(&self, is_there: &dyn Fn(u64) -> bool) {
        self.change(|kept| {
            kept.damaged.retain(|damage| is_there(damage.number));
            kept.more.retain(|number, _| is_there(*number));
        });
    }
}

/// Reads the file.
pub(super) fn read(path: &Path) -> io::Result<Kept> {
    let bytes = files::read(path)?;
    files::check_sum(&bytes)?;
    let kept: Kept = serde_json::from_slice(&bytes)?;
    match kept.version {
        VERSION => Ok(kept),
        other => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("it has version {other}, this program reads {VERSION}"),
        )),
    }
}

/// Whether what is kept of a store's scrub can be read; a store without it is well.
///
/// # Errors
/// Why it cannot.
pub(crate) fn look(home: &Path) -> io::Result<()> {
    match read(&home.join(FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        read => read.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::{Difference, FileDamage};

    fn damage(number: u64, path: &str) -> Option<DamageView> {
        Some(DamageView {
            layer: format!("l{number}"),
            number,
            found: Moment::now(),
            files: vec![FileDamage {
                path: path.to_owned(),
                what: Difference::Content,
                detail: String::new(),
            }],
            count: 1,
        })
    }

    #[test]
    fn of_many_damaged_layers_the_first_are_told_and_all_are_known() {
        let place = tempfile::tempdir().unwrap();
        let scrub = Scrub::open(place.path(), Durability::None);
        let most = MOST_TOLD as u64;
        for number in 1..=most + 2 {
            assert!(scrub.note(number, damage(number, "a")));
            assert!(!scrub.note(number, damage(number, "a")), "it is known");
        }
        scrub.write_noted();
        let scrub = Scrub::open(place.path(), Durability::None);
        let (told, more) = scrub.damaged(&|_| true);
        assert_eq!((told.len(), more), (MOST_TOLD, 2));
        assert_eq!(scrub.damaged_count(), most + 2);
        let first = LayerId::parse("first").unwrap();
        let known = scrub.known(1, &first).unwrap();
        assert_eq!((known.layer.as_str(), known.count), ("first", 1));
        // Whoever asks for one gets it told, and it is not new for that.
        assert!(!scrub.note(1, damage(1, "a")));
        assert!(!scrub.known(1, &first).unwrap().files.is_empty());
        assert_eq!(scrub.damaged(&|_| true).1, 2);
        assert!(scrub.note(1, damage(1, "b")), "another file");
        assert!(scrub.note(2, None) && !scrub.note(2, None));
        assert!(scrub.known(2, &first).is_none());
        scrub.forget_gone(&|number| number == 1);
        assert_eq!(scrub.damaged_count(), 1);
    }
}
