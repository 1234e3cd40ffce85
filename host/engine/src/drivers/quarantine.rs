//! Drivers that break too often are left alone.
//!
//! Invariant: only faults of the driver count, never refusals or the caller's mistakes.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Faults that are too many: one may be bad luck, two a coincidence.
const FAULTS: usize = 3;
/// Within which time they are.
const WINDOW: Duration = Duration::from_secs(600);

/// The faults of one build.
#[derive(Debug, Default)]
pub(crate) struct Quarantine(Mutex<Record>);

#[derive(Debug, Default)]
struct Record {
    faults: VecDeque<Instant>,
    reason: Option<String>,
}

impl Quarantine {
    fn record(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the driver may not be called, if it may not.
    pub(crate) fn reason(&self) -> Option<String> {
        self.record().reason.clone()
    }

    /// Notes a fault, and says whether it was one too many.
    pub(crate) fn fault(&self, now: Instant, reason: &str) -> bool {
        let mut record = self.record();
        record.faults.push_back(now);
        while record
            .faults
            .front()
            .is_some_and(|first| now.duration_since(*first) > WINDOW)
        {
            record.faults.pop_front();
        }
        let is_new = record.reason.is_none() && record.faults.len() >= FAULTS;
        if is_new {
            record.reason = Some(format!(
                "{FAULTS} failures within {} minutes, the last: {reason}",
                WINDOW.as_secs() / 60
            ));
        }
        is_new
    }

    /// Begins anew: another build runs.
    pub(crate) fn lift(&self) {
        *self.record() = Record::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_fault_within_ten_minutes_is_one_too_many() {
        let quarantine = Quarantine::default();
        let start = Instant::now();
        let minute = Duration::from_secs(60);
        assert!(!quarantine.fault(start, "a"));
        assert!(!quarantine.fault(start + minute, "b"));
        assert!(
            !quarantine.fault(start + 11 * minute, "c"),
            "the first is too long ago"
        );
        assert_eq!(quarantine.reason(), None);
        assert!(
            !quarantine.fault(start + 12 * minute, "d"),
            "so is the second"
        );
        assert!(quarantine.fault(start + 13 * minute, "e"));
        assert!(quarantine.reason().unwrap().ends_with("the last: e"));
        quarantine.lift();
        assert_eq!(quarantine.reason(), None);
    }
}
