//! References with names.
//!
//! Whoever gives its reference a name can ask for it again without taking a second one, and give it back twice without giving back
//! another's. A reference may be bound to the life of a process: it is given back when that process ends, or at the next start if it
//! ended while no daemon ran.
//!
//! Invariant: a name is there once; there are never more named references than references.

use super::State;
use crate::view::{HolderView, MountClient, MountRequest};
use crate::{Error, Moment, Result};
use mica_sys::process_start;
use serde::{Deserialize, Serialize};
use std::io;

/// Named references to one mount: each is written anew with each change.
const MAX_HOLDERS: usize = 1024;
/// Bytes of a name.
const NAME_BYTES: usize = 255;

/// A process: its number means another one once it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    /// Its number where the daemon runs.
    pub(crate) pid: u32,
    /// When it began, as the kernel counts.
    pub(crate) started: u64,
}

/// A named reference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holder {
    /// The name.
    pub(crate) reference: String,
    /// Since when it is held.
    pub(crate) since: Moment,
    /// The client that asked first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client: Option<MountClient>,
    /// The process without which it is given back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bound: Option<Process>,
}

impl Process {
    /// The process that has this number now.
    ///
    /// # Errors
    /// [`Error::Invalid`] when there is none.
    fn find(pid: u32) -> Result<Self> {
        match process_start(pid) {
            Ok(started) => Ok(Self { pid, started }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::Invalid(format!(
                "`while_pid`: there is no process {pid} where the daemon runs"
            ))),
            Err(error) => Err(Error::io(format!("look at process {pid}"), error)),
        }
    }

    /// Whether it has ended. What cannot be seen counts as alive.
    pub(crate) fn has_ended(self) -> bool {
        match process_start(self.pid) {
            Ok(started) => started != self.started,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }
}

impl Holder {
    /// The named reference that a request asks for, if it does.
    ///
    /// # Errors
    /// [`Error::Invalid`]; [`Error::Io`].
    pub(super) fn of(request: &MountRequest) -> Result<Option<Self>> {
        let Some(reference) = &request.reference else {
            return match request.while_pid {
                None => Ok(None),
                Some(_) => Err(Error::Invalid(
                    "`while_pid` binds a reference with a name: give `reference` too".to_owned(),
                )),
            };
        };
        check_name(reference)?;
        let own = || {
            let client = request.client.as_ref();
            client.and_then(|client| client.pid).ok_or_else(|| {
                Error::Invalid(
                    "`while_pid` is 0, which means the client's own process, and that is not known here".to_owned(),
                )
            })
        };
        let pid = match request.while_pid {
            Some(0) => Some(own()?),
            pid => pid,
        };
        Ok(Some(Self {
            reference: reference.clone(),
            since: Moment::now(),
            client: request.client.clone(),
            bound: pid.map(Process::find).transpose()?,
        }))
    }

    pub(super) fn has_ended(&self) -> bool {
        self.bound.is_some_and(Process::has_ended)
    }

    pub(super) fn view(&self) -> HolderView {
        let client = self.client.as_ref();
        HolderView {
            reference: self.reference.clone(),
            since: self.since,
            pid: client.and_then(|client| client.pid),
            uid: client.and_then(|client| client.uid),
            while_pid: self.bound.map(|process| process.pid),
            has_ended: match (self.bound, client.and_then(|client| client.process())) {
                (Some(process), _) | (None, Some(process)) => process.has_ended(),
                (None, None) => false,
            },
        }
    }
}

impl MountClient {
    /// A process by its number, as it is now.
    #[must_use]
    pub fn new(pid: Option<u32>, uid: Option<u32>) -> Self {
        let started = pid.and_then(|pid| process_start(pid).ok());
        Self { pid, uid, started }
    }

    fn process(&self) -> Option<Process> {
        let (pid, started) = (self.pid?, self.started?);
        Some(Process { pid, started })
    }
}

/// Checks the name of a reference.
///
/// # Errors
/// [`Error::Invalid`].
pub(super) fn check_name(reference: &str) -> Result<()> {
    let is_name =
        (1..=NAME_BYTES).contains(&reference.len()) && !reference.contains(char::is_control);
    match is_name {
        true => Ok(()),
        false => Err(Error::Invalid(format!(
            "a reference is a text of 1 to {NAME_BYTES} bytes without control characters"
        ))),
    }
}

impl State {
    /// The place of a named reference.
    pub(super) fn place_of(&self, reference: &str) -> Option<usize> {
        let mut holders = self.holders.iter();
        holders.position(|holder| holder.reference == reference)
    }

    /// References without a name.
    pub(super) fn nameless(&self) -> u64 {
        self.references.saturating_sub(self.holders.len() as u64)
    }

    /// Takes a reference. One with a name that is there already is the same one; what it is bound to is what was asked for last.
    ///
    /// # Errors
    /// [`Error::LimitReached`].
    pub(super) fn take(&mut self, holder: Option<Holder>) -> Result<()> {
        if let Some(holder) = holder {
            let place = self.place_of(&holder.reference);
            if let Some(there) = place.and_then(|place| self.holders.get_mut(place)) {
                there.bound = holder.bound;
                return Ok(());
            }
            if self.holders.len() >= MAX_HOLDERS {
                return Err(Error::LimitReached(format!(
                    "layer `{}` has {MAX_HOLDERS} references with names",
                    self.layer
                )));
            }
            self.holders.push(holder);
        }
        self.references = self.references.saturating_add(1);
        Ok(())
    }

    /// Takes away the references of processes that have ended; says whether there were any. A mount that nobody holds any more stays
    /// attached until anyone needs its layer unmounted.
    pub(super) fn drop_ended(&mut self) -> bool {
        let before = self.holders.len();
        self.holders.retain(|holder| !holder.has_ended());
        let ended = (before - self.holders.len()) as u64;
        self.references = self.references.saturating_sub(ended);
        if ended > 0 && self.references == 0 {
            self.inherited = true;
            self.is_let_go = true;
        }
        ended > 0
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::state;
    use super::*;

    fn ask(reference: &str, while_pid: Option<u32>) -> Result<Option<Holder>> {
        Holder::of(&MountRequest {
            reference: Some(reference.to_owned()),
            while_pid,
            ..MountRequest::default()
        })
    }

    #[test]
    fn a_name_is_taken_once() {
        let mut state = state(1);
        assert_eq!(state.nameless(), 3);
        for _ in 0..2 {
            state.take(ask("one", None).unwrap()).unwrap();
        }
        state.take(None).unwrap();
        assert_eq!((state.references, state.nameless()), (5, 4));
        let long = "x".repeat(NAME_BYTES + 1);
        for wrong in ["", "a\n", &long] {
            assert!(ask(wrong, None).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_reference_lives_as_long_as_its_process() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let (own, other) = (std::process::id(), child.id());
        let mut state = state(1);
        state.references = 0;
        state.take(ask("own", Some(own)).unwrap()).unwrap();
        // It is there until it was waited for.
        state.take(ask("other", Some(other)).unwrap()).unwrap();
        assert!(!state.drop_ended());
        child.wait().unwrap();
        assert!(state.drop_ended());
        assert_eq!((state.references, state.holders.len()), (1, 1));
        assert!(ask("other", Some(other)).is_err(), "it has ended");
        assert!(ask("own", Some(0)).is_err(), "nobody is known");
        if let Some(bound) = &mut state.holders[0].bound {
            bound.started += 1;
        }
        assert!(state.drop_ended(), "another process has its number");
        assert!(state.inherited && state.is_let_go);
    }
}
