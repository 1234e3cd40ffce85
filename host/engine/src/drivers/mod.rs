//! Drivers: what can be done with them, which build of each runs, and how it is called.
//!
//! Invariant: the answer of an operation is that of one build; a swap changes what the next one gets.

mod candidates;
mod explain;
mod judge;
mod load;
mod probe;
mod release;
mod remove;
mod view;

mod ask;
mod bake;
mod rollback;
mod shadow;
mod swap;

mod active;
mod fleet;
mod gate;
mod grants;
mod history;
mod lent;
mod quarantine;
mod question;
mod registry;
mod shelf;
mod slot;
mod ticket;
mod trial;
mod trust;

use active::Build;
pub use grants::Consent;
pub(crate) use quarantine::Subject;
pub use question::Agreement;
pub(crate) use question::{Asked, Question};
pub(crate) use registry::Registry;
pub use shadow::Shadow;
pub(crate) use shelf::{DAMAGED as DAMAGED_HISTORY, Shelf};
pub(crate) use slot::{Flow, Gates, Slot};
pub(crate) use ticket::Ticket;
pub(crate) use trial::Risk;
pub use trust::{Papers, TrustRule, Unsigned};

use crate::engine::Engine;
use crate::insight::{LogFilter, LogReading, TraceFilter};
use crate::view::{
    DriverExplanation, DriverHistory, DriverJudgement, DriverView, QuarantineView, SwapReport,
    TraceDocument, TraceView,
};
use crate::{Error, Result, Since};
use mica_runtime::{CancelToken, TraceFile};

/// What a swap is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct SwapRequest<'a> {
    /// The new component; without one that of the running build is loaded anew, from its file if it came from the drivers
    /// directory.
    pub component: Option<&'a [u8]>,
    /// What comes with the new component.
    pub papers: Option<&'a Papers>,
    /// Has calls of the running build asked of the new one too before it takes over.
    pub shadow: Option<Shadow>,
    /// Whether the new build must answer as the running one does.
    pub agreement: Agreement,
    /// What the operator agrees to of it.
    pub consent: Option<&'a Consent>,
}

/// To which build a driver goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The one before the running one.
    Before,
    /// One by its number.
    Build(u64),
    /// What ships with the program or lies in the drivers directory; so does every start from then on.
    Shipped,
}

/// What the file of a trace has in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TracePart {
    /// What was asked, the host calls, and the end.
    Calls,
    /// The component that ran as well.
    All,
}

/// The drivers of an engine.
#[derive(Clone, Copy, Debug)]
pub struct Drivers<'e> {
    engine: &'e Engine,
}

impl<'e> Drivers<'e> {
    pub(crate) fn new(engine: &'e Engine) -> Self {
        Self { engine }
    }
}

impl Drivers<'_> {
    /// Describes every driver, in order of their names; one that cannot be compiled is a problem of the status. The first
    /// call after a start without compiled code takes as long as compiling those that no store has needed yet.
    #[must_use]
    pub fn list(self) -> Vec<DriverView> {
        let slots = self.engine.registry.all();
        let views = slots.iter().filter_map(|slot| self.view(slot).ok());
        views.collect()
    }

    /// Describes one driver.
    ///
    /// # Errors
    /// [`crate::Error::UnknownDriver`]; [`crate::Error::DriverRejected`] when it cannot be compiled.
    pub fn get(self, name: &str) -> Result<DriverView> {
        self.view(&*self.engine.registry.get(name)?)
    }

    /// Loads a component into a new slot and keeps it for later starts. It is tried in a scratch store as in a swap.
    ///
    /// # Errors
    /// [`crate::Error::DriverRejected`]; [`crate::Error::DriverUntrusted`] when nobody who is trusted signed it;
    /// [`crate::Error::DriverExists`] when a driver has its name: that one is to be swapped;
    /// [`crate::Error::Cancelled`] when that is asked before the component is compiled.
    pub fn load(
        self,
        bytes: &[u8],
        papers: Papers,
        expected_name: Option<&str>,
        consent: &Consent,
        cancel: &CancelToken,
    ) -> Result<DriverView> {
        self.engine.check_open()?;
        self.load_new(bytes, papers, (expected_name, consent), cancel)
    }

    /// Tells what a component is and asks for, who signed it, what its load would be refused for, and in what it differs from the build of
    /// that name that runs. Without a name that of its manifest is taken.
    ///
    /// # Errors
    /// [`crate::Error::DriverRejected`] for what is no driver at all.
    pub fn judge(
        self,
        bytes: &[u8],
        papers: Papers,
        name: Option<&str>,
    ) -> Result<DriverJudgement> {
        self.engine.check_open()?;
        self.judge_component(bytes, papers, name)
    }

    /// Puts another build in a driver's place: at once, and for later starts. Operations that run end on the build that they
    /// began with. The new one is watched for a while, and the old one takes over again if it does worse.
    ///
    /// # Errors
    /// [`crate::Error::UnknownDriver`]; [`crate::Error::DriverRejected`] when the component cannot be loaded, is another
    /// driver, exports another world, asks for more than was agreed to, is a step back, fails in a scratch store, or cannot show, describe or answer for layers that
    /// are there: the old build then goes on, and nothing has changed. [`crate::Error::TimedOut`] when too few calls could be
    /// compared. [`crate::Error::Cancelled`] when that is asked before the new build takes over.
    pub fn swap(
        self,
        name: &str,
        request: SwapRequest<'_>,
        cancel: &CancelToken,
    ) -> Result<SwapReport> {
        self.engine.check_open()?;
        self.replace_build(name, request, cancel)
    }

    /// Puts a build that the driver had in its place again: the last three are kept, over restarts too.
    ///
    /// # Errors
    /// As [`Drivers::swap`]; [`crate::Error::Invalid`] when there is no such build any more.
    pub fn rollback(self, name: &str, target: Target, cancel: &CancelToken) -> Result<SwapReport> {
        self.engine.check_open()?;
        self.go_back_to(name, target, cancel)
    }

    /// Tells which builds a driver had.
    ///
    /// # Errors
    /// As [`Drivers::get`].
    pub fn history(self, name: &str) -> Result<DriverHistory> {
        self.tell_history(name)
    }

    /// Removes a driver that was loaded, with its builds and their compiled code.
    ///
    /// # Errors
    /// [`crate::Error::UnknownDriver`]; [`crate::Error::DriverShips`] for one that would be there again; [`crate::Error::Busy`], with their
    /// names, if stores have it. Nothing has changed then.
    pub fn remove(self, name: &str) -> Result<()> {
        self.engine.check_open()?;
        self.remove_driver(name)
    }

    /// Tells all that is known of a driver, for an operator.
    ///
    /// # Errors
    /// As [`Drivers::get`].
    pub fn explain(self, name: &str) -> Result<DriverExplanation> {
        self.explain_driver(name)
    }

    /// Lists the operations of a driver that are recorded, the last first.
    ///
    /// # Errors
    /// [`crate::Error::UnknownDriver`].
    pub fn traces(self, name: &str, filter: &TraceFilter) -> Result<Vec<TraceView>> {
        Ok(self.engine.registry.get(name)?.insight.traces.list(filter))
    }

    /// Tells the host calls of an operation that a request needed: of the one of this number, or else of the last that failed, or
    /// else of the last.
    ///
    /// # Errors
    /// [`crate::Error::UnknownDriver`], [`crate::Error::UnknownTrace`].
    pub fn trace(self, name: &str, request: &str, number: Option<u64>) -> Result<TraceDocument> {
        let slot = self.engine.registry.get(name)?;
        let trace = slot.insight.traces.find(name, request, number)?;
        Ok(trace.document())
    }

    /// The same as a file that can be replayed; with the component that ran, if that is wanted and kept.
    ///
    /// # Errors
    /// As [`Drivers::trace`].
    pub fn export_trace(
        self,
        name: &str,
        (request, number): (&str, Option<u64>),
        part: TracePart,
    ) -> Result<Vec<u8>> {
        let slot = self.engine.registry.get(name)?;
        let trace = slot.insight.traces.find(name, request, number)?;
        let component = match part {
            TracePart::Calls => None,
            TracePart::All => self.component_by_digest(&slot, trace.digest()),
        };
        let component = component.as_deref().unwrap_or_default();
        TraceFile::write(&trace.facts(name), &trace.trace, component)
            .map_err(|error| Error::Sandbox(format!("write the trace: {error}")))
    }

    /// Reads what a driver said: all that is kept of it, or what came after `since`.
    ///
    /// # Errors
    /// [`crate::Error::UnknownDriver`].
    pub fn log(self, name: &str, filter: LogFilter, since: Option<Since>) -> Result<LogReading> {
        let slot = self.engine.registry.get(name)?;
        Ok(LogReading::new(&slot.insight, filter, since))
    }

    /// Lets a driver be called again: for a layer, for a store and its layers, or, if neither is named, for everyone.
    /// Its faults count from zero there. Says what was ended; that may be nothing.
    ///
    /// # Errors
    /// [`crate::Error::UnknownDriver`]; [`crate::Error::Invalid`] for a layer without a store.
    pub fn release(
        self,
        name: &str,
        store: Option<&str>,
        layer: Option<&str>,
    ) -> Result<Vec<QuarantineView>> {
        self.engine.check_open()?;
        self.end_quarantine(name, store, layer)
    }

    /// Asks the driver of stores that it could not work on whether it can now.
    fn try_stores_again(self, name: &str) {
        for store in self.engine.stores().of_driver(name) {
            // One that cannot be used says so when it is asked for.
            let _ready = store.make_ready(self.engine);
        }
    }
}
