//! Exit codes: what kind of failure it was.
//!
//! Invariant: one table from the classes of errors; what has no class is an operation that failed.

use mica_engine::Class;
use std::process::ExitCode;

/// The end of the help of `mica`, and of its manual page.
pub(crate) const HELP: &str = "\
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
pub(crate) enum Exit {
    Worked = 0,
    Failed = 1,
    Usage = 2,
    NotFound = 3,
    Conflict = 4,
    NotSupported = 5,
    Invalid = 6,
    Unreachable = 7,
    Overloaded = 8,
}

impl Exit {
    /// The exit code for the code of a problem document.
    pub(crate) fn of_problem(code: &str) -> Self {
        let Some(class) = Class::of_code(code) else {
            return Self::of_request(code);
        };
        match class {
            // A person has to do something, trying again does not help.
            _ if code == "quarantined" => Self::Failed,
            Class::NotFound => Self::NotFound,
            Class::AlreadyExists | Class::Precondition | Class::InUse => Self::Conflict,
            Class::NotSupported => Self::NotSupported,
            Class::Invalid | Class::Unacceptable => Self::Invalid,
            Class::TimedOut | Class::Cancelled | Class::Unavailable => Self::Overloaded,
            Class::Exhausted | Class::Damaged | Class::Internal => Self::Failed,
        }
    }

    /// The exit code for a request that was wrong in itself.
    fn of_request(code: &str) -> Self {
        match code {
            "unknown-path" | "unknown-operation" => Self::NotFound,
            "invalid-request" => Self::Invalid,
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
