//! What of a driver's lines reaches the daemon's own log, which all drivers and the daemon share.
//!
//! A driver may say much in one operation, and there may be many operations. What is kept for `mica driver logs` pushes out what
//! the driver itself said before; what is in the daemon's log would push out what others say.
//!
//! Invariant: so many bytes in a minute, whatever the number of operations; what is left out is counted, and told.

use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// The time in which bytes are counted together.
const WINDOW: Duration = Duration::from_secs(60);
/// What a line costs beside its text: the time, the level and the names that the log puts before it.
const LINE_COST_BYTES: usize = 128;

/// What one driver may have written into the daemon's log.
#[derive(Debug)]
pub(crate) struct Journal {
    most_bytes: usize,
    window: Mutex<Window>,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    left_bytes: usize,
    left_out: u64,
}

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is written, after so many that were not.
    Written(u64),
    /// It is the first that is left out.
    First,
    /// It is left out as those before it.
    LeftOut,
}

impl Journal {
    pub(crate) fn new(most_bytes: usize) -> Self {
        Self {
            most_bytes,
            window: Mutex::new(Window {
                began: Instant::now(),
                left_bytes: most_bytes,
                left_out: 0,
            }),
        }
    }

    /// Whether a line may be written. Tells when lines are left out, and how many were.
    pub(crate) fn admits(&self, driver: &str, text: &str) -> bool {
        match self.fate(text.len(), Instant::now()) {
            Fate::Written(0) => true,
            Fate::Written(left_out) => {
                tracing::warn!(target: "mica::driver", driver, left_out, "lines were left out of this log: `journal_bytes`");
                true
            }
            Fate::First => {
                tracing::warn!(
                    target: "mica::driver", driver,
                    "it says too much for this log, and is left out for a minute: `journal_bytes`; `mica driver logs` has it"
                );
                false
            }
            Fate::LeftOut => false,
        }
    }

    fn fate(&self, bytes: usize, now: Instant) -> Fate {
        let mut window = self.window.lock();
        if now.saturating_duration_since(window.began) >= WINDOW {
            window.began = now;
            window.left_bytes = self.most_bytes;
        }
        match window.left_bytes.checked_sub(bytes + LINE_COST_BYTES) {
            Some(left) => {
                window.left_bytes = left;
                Fate::Written(std::mem::take(&mut window.left_out))
            }
            None => {
                // Nothing shorter slips through behind it, so what is told has one hole and not many.
                window.left_bytes = 0;
                window.left_out += 1;
                match window.left_out {
                    1 => Fate::First,
                    _ => Fate::LeftOut,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_bytes_in_a_minute_are_written_and_the_rest_is_counted() {
        let journal = Journal::new(1000);
        let begun = Instant::now();
        let line = 100;
        let fates: Vec<_> = (0..6).map(|_| journal.fate(line, begun)).collect();
        let written = Fate::Written(0);
        let expected = [
            written,
            written,
            written,
            written,
            Fate::First,
            Fate::LeftOut,
        ];
        assert_eq!(fates, expected);
        assert_eq!(journal.fate(0, begun), Fate::LeftOut);
        // Later all is as it was, and it is told what is missing.
        let later = begun + WINDOW + Duration::from_secs(1);
        assert_eq!(journal.fate(line, later), Fate::Written(3));
        assert_eq!(journal.fate(line, later), Fate::Written(0));
    }

    #[test]
    fn nothing_is_written_where_nothing_may_be() {
        let journal = Journal::new(0);
        assert_eq!(journal.fate(0, Instant::now()), Fate::First);
        assert_eq!(journal.fate(0, Instant::now()), Fate::LeftOut);
    }
}
