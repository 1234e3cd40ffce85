//! Points in time as people and programs read them.
//!
//! Invariant: the text form is RFC 3339 in UTC with nanoseconds, and reads back to the same moment.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

/// A point in time: seconds since 1970-01-01 00:00:00 UTC, and nanoseconds past the second. Its text form is
/// RFC 3339: `2026-01-31T12:00:00.000000000Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment {
    /// Seconds since the epoch.
    pub seconds: u64,
    /// Nanoseconds past the second.
    pub nanoseconds: u32,
}

impl Moment {
    /// The present.
    #[must_use]
    pub fn now() -> Self {
        let passed = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            seconds: passed.as_secs(),
            nanoseconds: passed.subsec_nanos(),
        }
    }
}

/// Year, month and day of a day since the epoch, after Hinnant's `civil_from_days`: years begin in March there, so
/// that the leap day is the last.
fn date(day: u64) -> (u64, u64, u64) {
    let shifted = day + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (year + era * 400 + next, month, day)
}

/// The day since the epoch of a date, the inverse of [`date`].
fn day_of(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = if month <= 2 {
        year.checked_sub(1)?
    } else {
        year
    };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day.checked_sub(1)?;
    (era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year).checked_sub(719_468)
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date(self.seconds / 86_400);
        let (hour, minute, second) = (
            self.seconds / 3600 % 24,
            self.seconds / 60 % 60,
            self.seconds % 60,
        );
        let nanoseconds = self.nanoseconds;
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanoseconds:09}Z"
        )
    }
}

/// The text is no moment as [`Moment`] writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a time reads like 2026-01-31T12:00:00.000000000Z")]
pub struct InvalidMoment;

impl FromStr for Moment {
    type Err = InvalidMoment;

    fn from_str(text: &str) -> Result<Self, InvalidMoment> {
        let numbers: Option<Vec<u64>> = text
            .trim_end_matches('Z')
            .split(['-', 'T', ':', '.'])
            .map(|part| part.parse().ok())
            .collect();
        let Some([year, month, day, hour, minute, second, nanoseconds]) = numbers.as_deref() else {
            return Err(InvalidMoment);
        };
        // Before anything is multiplied: it may be a client's.
        let is_large = |part: &&u64| **part > 60;
        if *year > 9999 || [month, day, hour, minute, second].iter().any(is_large) {
            return Err(InvalidMoment);
        }
        let day = day_of(*year, *month, *day).ok_or(InvalidMoment)?;
        let nanoseconds = u32::try_from(*nanoseconds).or(Err(InvalidMoment))?;
        let moment = Self {
            seconds: day * 86_400 + hour * 3600 + minute * 60 + second,
            nanoseconds,
        };
        // Whatever does not print as it was read was out of some range.
        if moment.to_string() == text {
            Ok(moment)
        } else {
            Err(InvalidMoment)
        }
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_print_as_they_should() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000000Z"),
            (1_767_225_599, "2025-12-31T23:59:59.000000000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000000Z"),
        ] {
            let moment = Moment {
                seconds,
                nanoseconds: 0,
            };
            assert_eq!(moment.to_string(), text);
            assert_eq!(text.parse(), Ok(moment));
        }
    }

    #[test]
    fn what_is_out_of_range_is_no_moment() {
        for bad in [
            "",
            "x",
            "2025-02-30T00:00:00.000000000Z",
            "2025-01-01T25:00:00.000000000Z",
            "1-1-1T1:1:1.1Z",
        ] {
            assert_eq!(bad.parse::<Moment>(), Err(InvalidMoment), "{bad}");
        }
    }
}
