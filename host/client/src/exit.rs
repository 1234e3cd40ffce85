//! Exit codes: what kind of failure it was.
//!
//! Invariant: one table from the codes of problem documents; a code that is not in it is an operation that failed.

use std::process::ExitCode;

/// The end of the help of `mica`, and of its manual page.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  it worked
  1  the operation failed
  2  the command line is wrong
  3  not found: a store, driver, layer or parent
  4  conflict: it exists, is busy, is mounted, is not mounted, or has children
  5  not supported here: by the driver, the kernel or the file system
  6  invalid input: an id, a name, an option or an archive
  7  the daemon cannot be reached
  8  too slow or too busy: time limit, overload, cancelled";

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It worked.
    Worked = 0,
    /// The operation failed.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// A store, driver, layer or parent is not there.
    NotFound = 3,
    /// It exists, is busy, is mounted, is not mounted, or has children.
    Conflict = 4,
    /// The driver, the kernel or the file system cannot do it.
    NotSupported = 5,
    /// An id, a name, an option or an archive is invalid.
    Invalid = 6,
    /// The daemon cannot be reached.
    Unreachable = 7,
    /// Too slow or too busy: time limit, overload, cancelled.
    Overloaded = 8,
}

impl Exit {
    /// The exit code for the code of a problem document.
    pub fn of_problem(code: &str) -> Self {
        match code {
            _ if code.starts_with("unknown-") => Self::NotFound,
            _ if code.starts_with("invalid-") => Self::Invalid,
            _ if code.ends_with("exists") => Self::Conflict,
            "has-children" | "mounted" | "not-mounted" | "busy" | "locked" => Self::Conflict,
            "snapshot-has-children" | "wrong-snapshot-kind" | "holds-snapshots" => Self::Conflict,
            "no-snapshots" => Self::NotFound,
            "not-supported" | "prerequisites" | "incompatible-fs" => Self::NotSupported,
            "too-deep" | "driver-rejected" => Self::Invalid,
            "timed-out" | "overloaded" | "cancelled" => Self::Overloaded,
            _ => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_problem_has_its_exit_code() {
        for (code, exit) in [
            ("unknown-layer", Exit::NotFound),
            ("unknown-parent", Exit::NotFound),
            ("layer-exists", Exit::Conflict),
            ("has-children", Exit::Conflict),
            ("not-mounted", Exit::Conflict),
            ("snapshot-exists", Exit::Conflict),
            ("no-snapshots", Exit::NotFound),
            ("incompatible-fs", Exit::NotSupported),
            ("invalid-archive", Exit::Invalid),
            ("timed-out", Exit::Overloaded),
            ("corrupt", Exit::Failed),
            ("what-is-this", Exit::Failed),
        ] {
            assert_eq!(Exit::of_problem(code), exit, "{code}");
        }
    }
}
