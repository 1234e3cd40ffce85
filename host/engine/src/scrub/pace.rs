//! How fast a layer is read, and when not any further.
//!
//! Invariant: nobody waits longer for the end of a walk than for one piece of a file and one pause.

use crate::traffic::ClientCall;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Bytes that a node counts as, whatever is in it: to find and open it takes a disk as long as to read them.
const NODE_BYTES: u64 = 4 << 10;
/// The longest pause: whoever stops the walk waits for it.
const MOST_PAUSE: Duration = Duration::from_millis(100);

/// The pace of a walk.
pub(super) struct Pace<'a> {
    stop: &'a dyn Fn() -> bool,
    read: &'a AtomicU64,
    bytes_per_second: Option<u64>,
    began: Instant,
    /// What the pace is counted by.
    bytes: u64,
    read_bytes: u64,
    buffer: Vec<u8>,
}

impl<'a> Pace<'a> {
    /// As fast as it goes, until `stop` says so; `read` counts the bytes.
    pub(super) fn new(stop: &'a dyn Fn() -> bool, read: &'a AtomicU64) -> Self {
        Self {
            stop,
            read,
            bytes_per_second: None,
            began: Instant::now(),
            bytes: 0,
            read_bytes: 0,
            buffer: Vec::new(),
        }
    }

    /// No faster than that.
    pub(super) fn bounded(self, bytes_per_second: Option<u64>) -> Self {
        Self {
            bytes_per_second,
            ..self
        }
    }

    /// Memory for pieces of files.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Bytes that were read.
    pub(super) fn read_bytes(&self) -> u64 {
        self.read_bytes
    }

    /// Notes that a node was met, and waits as [`Pace::advance`].
    ///
    /// # Errors
    /// As there.
    pub(super) fn meet(&mut self) -> io::Result<()> {
        self.bytes += NODE_BYTES;
        self.advance(0)
    }

    /// Notes that so many bytes were read, and waits if that was too fast.
    ///
    /// # Errors
    /// `Interrupted` when the walk is to end.
    pub(super) fn advance(&mut self, bytes: u64) -> io::Result<()> {
        self.bytes += bytes;
        self.read_bytes += bytes;
        self.read.fetch_add(bytes, Ordering::Relaxed);
        if bytes > 0 {
            ClientCall::note_done(bytes);
        }
        loop {
            if (self.stop)() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let Some(rate) = self.bytes_per_second else {
                return Ok(());
            };
            let due = Duration::from_secs_f64(self.bytes as f64 / rate as f64);
            let early = due.saturating_sub(self.began.elapsed());
            if early.is_zero() {
                return Ok(());
            }
            std::thread::sleep(early.min(MOST_PAUSE));
        }
    }
}
