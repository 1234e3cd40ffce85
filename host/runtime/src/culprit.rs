//! Who made an operation end badly.
//!
//! Invariant: the only place that decides it. A driver is held responsible for what it did alone and for nothing that
//! others can make it do: what it was given, for whom it waited, and how busy the machine was.
//!
//! See docs/decisions/0026-faults-count-for-what-a-driver-did-alone.md.

use crate::capability::meter::{Meter, Stop};
use crate::{Code, Error};

/// Who made an operation end badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Culprit {
    /// The driver alone: it trapped, computed or slept on its own, took what its input does not explain, or gave
    /// the host what the contract does not allow.
    Driver,
    /// What the driver was given: an archive, the content of a layer, options.
    Input,
    /// The client: it went away, stood still, or asked for what cannot be.
    Client,
    /// Mica itself.
    Host,
    /// The kernel, the file system, or how busy the machine is.
    Machine,
}

impl Culprit {
    /// Who is behind the end of an operation that the sandbox stopped.
    pub(crate) fn of_stop(stop: &Stop, meter: &Meter) -> Self {
        match stop {
            Stop::Cancelled => Self::Client,
            // Counted in the driver's own time: neither a busy machine nor a host call makes it longer.
            Stop::Stalled(_) => Self::Driver,
            // Calls of operations that walk trees and archives are not bounded.
            Stop::Calls(_) => Self::Driver,
            Stop::Memory(_) if meter.was_fed() => Self::Input,
            Stop::Memory(_) => Self::Driver,
            Stop::Deadline(_) if meter.was_fed() || !meter.was_busy() => Self::Machine,
            Stop::Deadline(_) => Self::Driver,
        }
    }

    /// Who is behind a failed host call that a driver tells of.
    fn of_failure(code: Code) -> Self {
        match code {
            Code::Closed | Code::TimedOut => Self::Client,
            Code::Limit
            | Code::Truncated
            | Code::NameTooLong
            | Code::TooManyLinks
            | Code::Symlink => Self::Input,
            Code::NotFound
            | Code::Exists
            | Code::NotADirectory
            | Code::IsADirectory
            | Code::NotEmpty
            | Code::Busy
            | Code::CrossDevice
            | Code::ReadOnly
            | Code::Denied
            | Code::InvalidName
            | Code::Invalid
            | Code::NoSpace
            | Code::NotSupported
            | Code::Io => Self::Machine,
        }
    }
}

impl Error {
    /// Who made the operation end so.
    #[must_use]
    pub fn culprit(&self) -> Culprit {
        match self {
            Self::Trapped(_) | Self::Rejected { .. } | Self::NotGranted { .. } => Culprit::Driver,
            Self::TimedOut { culprit, .. } | Self::LimitReached { culprit, .. } => *culprit,
            Self::Host { failure, .. } => Culprit::of_failure(failure.code),
            Self::InvalidArchive(_) | Self::Implausible(_) => Culprit::Input,
            Self::Invalid(_) | Self::Busy(_) | Self::Cancelled => Culprit::Client,
            // The layer's room does not hold what it should.
            Self::NotFound(_) | Self::Exists(_) => Culprit::Input,
            Self::NotSupported(_) | Self::Prerequisites(_) | Self::IncompatibleFs(_) => {
                Culprit::Machine
            }
            Self::Runtime(_) => Culprit::Host,
        }
    }

    /// Says whether it counts against the driver.
    #[must_use]
    pub fn is_fault(&self) -> bool {
        self.culprit() == Culprit::Driver
    }
}
