//! One round of group commit: what waits is written in one transaction.
//!
//! Invariant: a failure that leaves open what is on the device ends all changes until a restart.
//!
//! See docs/decisions/0024-a-failed-commit-is-undone-or-ends-changes.md.

use super::file::{RowFile, Unwritten};
use super::{After, Batch, LATER_COUNT, Later, RowChange, Rows};
use crate::settings::Durability;
use mica_sys::filesystem;
use mica_sys::node::{self, Timestamp};
use rusqlite::ErrorCode;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

/// Why changes were not made; many callers get the same.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) kind: io::ErrorKind,
    pub(super) text: String,
}

impl Rows {
    /// Writes what several callers want in one transaction. If that cannot be, each is tried alone, because one may need
    /// more space than there is, and another less.
    pub(super) fn write_all(&self, all: Vec<Batch>) -> Vec<std::result::Result<(), Failure>> {
        let mut file = self.file();
        let is_waited = all.iter().any(Batch::is_waited);
        let has_names = all.iter().any(|batch| batch.after != After::Nothing);
        let waits = is_waited && (has_names || self.unwaited.are_left());
        // Taken, not locked: changes may be noted while the transaction runs.
        let mut later = std::mem::take(&mut *self.later());
        // Names first: after a power cut a row must not speak of a layer whose name is lost.
        let synced = if waits { self.sync_layers() } else { Ok(()) };
        let outcomes = match synced {
            Err(error) => vec![Err(Failure::of(&error)); all.len()],
            Ok(()) => {
                let changes = all.iter().flat_map(|batch| &batch.changes);
                let mut changes = changes.chain(&later.settled);
                match self.write(&mut file, &mut changes, is_waited) {
                    Ok(()) => {
                        // The file is locked, so no other round comes between.
                        self.unwaited.count(is_waited);
                        later.settled.clear();
                        if waits {
                            // Their layers are gone on the device only since this sync, so the next transaction may forget
                            // them.
                            later.settled = std::mem::take(&mut later.fresh);
                        }
                        vec![Ok(()); all.len()]
                    }
                    Err(_) => {
                        let alone = all.iter();
                        alone
                            .map(|batch| self.write_alone(&mut file, batch))
                            .collect()
                    }
                }
            }
        };
        self.put_back(later);
        outcomes
    }

    /// Keeps for another time what was not written, as far as there is room for it.
    fn put_back(&self, kept: Later) {
        let mut later = self.later();
        let came = std::mem::replace(&mut *later, kept);
        later.fresh.extend(came.fresh);
        // While nothing can be written they only grow; the next start finds out what is lost here.
        later.fresh.truncate(2 * LATER_COUNT);
    }

    /// Writes what one caller wants; what frees space gets what the reserve has.
    fn write_alone(&self, file: &mut RowFile, batch: &Batch) -> std::result::Result<(), Failure> {
        let is_waited = batch.is_waited();
        if !is_waited {
            self.unwaited.count(false);
        }
        let written = self.write(file, &mut batch.changes.iter(), is_waited);
        let is_full =
            matches!(&written, Err(failure) if failure.kind == io::ErrorKind::StorageFull);
        if !is_full || !batch.changes.iter().all(RowChange::frees) {
            return written;
        }
        let mut again = || {
            // What the write-ahead log has taken is free again once the file has it.
            if let Err(error) = file.checkpoint() {
                tracing::warn!(path = %self.path.display(), %error, "the write-ahead log cannot be emptied");
            }
            self.write(file, &mut batch.changes.iter(), is_waited)
        };
        match self.reserve() {
            Some(reserve) => reserve.lend(again),
            None => again(),
        }
    }

    fn write(
        &self,
        file: &mut RowFile,
        changes: &mut dyn Iterator<Item = &RowChange>,
        is_waited: bool,
    ) -> std::result::Result<(), Failure> {
        if let Some(reason) = self.refusal() {
            let text = reason.to_owned();
            return Err(Failure {
                kind: io::ErrorKind::Other,
                text,
            });
        }
        match file.write(changes, is_waited) {
            Ok(()) => {
                self.written.store(file.written, Ordering::Release);
                // After a power cut the mark may be on the device and the transaction not.
                if is_waited {
                    self.mark.set(file.written);
                }
                if let Some(reserve) = self.reserve() {
                    reserve.refill();
                }
                Ok(())
            }
            Err(Unwritten::Undone(error)) => Err(Failure::of(&told(error))),
            Err(Unwritten::Unknown(error)) => {
                let text = format!(
                    "its last transaction failed in a way that leaves open whether it is on the device ({error}): restart \
                     Mica, which finds out; until then nothing of the store is changed"
                );
                tracing::error!(path = %self.path.display(), text, "the rows change no more");
                // The first failure is the cause; later ones only follow from it.
                let text = self.refusal.get_or_init(|| text).clone();
                Err(Failure {
                    kind: io::ErrorKind::Other,
                    text,
                })
            }
        }
    }

    /// Brings the names in `layers/` to the device, at the latest with the sync that ends the next transaction.
    fn sync_layers(&self) -> io::Result<()> {
        if self.durability == Durability::None {
            return Ok(());
        }
        let layers = self.layers.as_fd();
        match filesystem::name_of(filesystem::statfs(layers)?.magic) {
            // A journal is written in its order: the sync of a file whose inode changed after the names takes them along,
            // and so one sync is enough. SQLite's is a full one (`fsync`), which waits for times as well.
            Some("extfs" | "xfs") if self.touch_log().is_ok() => Ok(()),
            // A sync of the directory does not carry a new subvolume below it.
            Some("btrfs") => filesystem::sync(layers),
            _ => filesystem::sync_file(layers),
        }
    }

    /// Changes the inode of the write-ahead log.
    fn touch_log(&self) -> io::Result<()> {
        let passed = SystemTime::now().duration_since(UNIX_EPOCH);
        let passed = passed.map_err(io::Error::other)?;
        let now = Timestamp {
            seconds: i64::try_from(passed.as_secs()).map_err(io::Error::other)?,
            nanoseconds: passed.subsec_nanos(),
        };
        node::set_modified(self.home.as_fd(), &self.log, now)
    }
}

impl Batch {
    fn is_waited(&self) -> bool {
        self.after != After::Unwaited
    }
}

impl Failure {
    fn of(error: &io::Error) -> Self {
        Self {
            kind: error.kind(),
            text: error.to_string(),
        }
    }
}

/// The database's error in the kernel's words.
pub(super) fn told(error: rusqlite::Error) -> io::Error {
    let kind = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => io::ErrorKind::StorageFull,
        Some(ErrorCode::ReadOnly) => io::ErrorKind::ReadOnlyFilesystem,
        Some(ErrorCode::PermissionDenied) => io::ErrorKind::PermissionDenied,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}
