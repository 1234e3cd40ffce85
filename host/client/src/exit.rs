//! Exit codes: what kind of failure it was.
//!
//! Invariant: one table from the classes of problem documents; a class that is not in it is an operation that failed.

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
  8  too slow or too busy: time limit, overload, cancelled
  9  `check` found something, `repair` has left something, a layer is damaged, or wastes more than asked";

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
    /// What lies on disk does not fit together, or is not what was asked for.
    Findings = 9,
}

impl Exit {
    /// The exit code for the class of a problem document; the code tells one from others of its class.
    #[must_use]
    pub fn of_problem(class: &str, code: &str) -> Self {
        match class {
            // A person has to do something, trying again does not help.
            _ if code == "quarantined" => Self::Failed,
            "not-found" => Self::NotFound,
            "already-exists" | "precondition" | "in-use" => Self::Conflict,
            "not-supported" => Self::NotSupported,
            "invalid" | "unacceptable" => Self::Invalid,
            "timed-out" | "cancelled" | "unavailable" => Self::Overloaded,
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
    fn every_class_of_problems_has_its_exit_code() {
        for (class, code, exit) in [
            ("not-found", "unknown-layer", Exit::NotFound),
            ("already-exists", "layer-exists", Exit::Conflict),
            ("precondition", "has-children", Exit::Conflict),
            ("in-use", "busy", Exit::Conflict),
            ("not-supported", "incompatible-fs", Exit::NotSupported),
            ("unacceptable", "invalid-archive", Exit::Invalid),
            ("unavailable", "overloaded", Exit::Overloaded),
            ("unavailable", "quarantined", Exit::Failed),
            ("damaged", "corrupt", Exit::Failed),
            ("a-class-of-later", "what-is-this", Exit::Failed),
        ] {
            assert_eq!(Exit::of_problem(class, code), exit, "{code}");
        }
    }
}
