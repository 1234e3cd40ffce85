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
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

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
}

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
        }
    }
}

/// The scrub of a store.
#[derive(Debug)]
pub(crate) struct Scrub {
    path: PathBuf,
    durability: Durability,
    kept: Mutex<Kept>,
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
            false => self.write(&self.kept.lock(), Durability::None),
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

    /// Changes what is kept, and writes it down.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Kept) -> T) -> T {
        // After a power cut a pass may go on at an earlier layer.
        self.change_with(Durability::None, change)
    }

    fn change_with<T>(&self, durability: Durability, change: impl FnOnce(&mut Kept) -> T) -> T {
        let mut kept = self.kept.lock();
        let before = kept.clone();
        let told = change(&mut kept);
        if *kept != before
            && let Err(error) = self.write(&kept, durability)
        {
            // The next daemon begins the pass again, which tells of the same damage.
            tracing::warn!(path = %self.path.display(), %error, "where the scrub is cannot be written down");
        }
        told
    }

    fn write(&self, kept: &Kept, durability: Durability) -> io::Result<()> {
        let json = serde_json::to_vec_pretty(kept)?;
        files::replace(&self.path, &files::with_sum(&json), durability)
    }

    /// Layers that are damaged, of those that `is_there` says.
    pub(crate) fn damaged(&self, is_there: &dyn Fn(&DamageView) -> bool) -> Vec<DamageView> {
        let kept = self.kept.lock();
        let damaged = kept.damaged.iter();
        damaged.filter(|damage| is_there(damage)).cloned().collect()
    }

    /// What is known to be damaged of the layer with a number.
    pub(super) fn known(&self, number: u64) -> Option<DamageView> {
        let kept = self.kept.lock();
        let mut damaged = kept.damaged.iter();
        damaged.find(|damage| damage.number == number).cloned()
    }

    /// Writes down what was found of a layer. Says whether that is new.
    pub(super) fn note(&self, number: u64, damage: Option<DamageView>) -> bool {
        self.change_with(self.durability, |kept| {
            let known = kept.damaged.iter().find(|known| known.number == number);
            let files = known.map(|known| known.files.clone());
            let is_new = damage.as_ref().map(|damage| &damage.files) != files.as_ref();
            if is_new {
                kept.damaged.retain(|known| known.number != number);
                kept.damaged.extend(damage);
            }
            is_new
        })
    }

    /// How many layers are known to be damaged, also of those that are gone.
    pub(crate) fn damaged_count(&self) -> u64 {
        self.kept.lock().damaged.len() as u64
    }

    /// When a pass ended that has verified all layers, in seconds since 1970.
    pub(crate) fn last_verified(&self) -> Option<u64> {
        Some(self.kept.lock().verified?.seconds)
    }

    /// Forgets damage of layers that are gone.
    pub(super) fn forget_gone(&self, is_there: &dyn Fn(&DamageView) -> bool) {
        self.change(|kept| kept.damaged.retain(is_there));
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
