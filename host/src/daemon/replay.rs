//! An operation of a driver once more, without a daemon: what `mica driver replay` runs.
//!
//! Invariant: the component is compiled by a confined process, as a daemon has it compiled; it reaches nothing of this machine.

use crate::children::compiler;
use mica_runtime::{
    CancelToken, Compiler, Error, Grants, Limits, Line, ReplayReport, Runtime, Trace, Witness,
};
use parking_lot::Mutex;
use std::sync::Arc;

/// Lines that are told of what the driver says.
const LINES: usize = 20;

/// Runs the operation of a trace on a component; with the report come the last lines that the driver said.
///
/// # Errors
/// [`Error::Rejected`] for a component that cannot be loaded; [`Error::Runtime`].
pub(crate) fn replay(
    component: &[u8],
    trace: &Trace,
) -> Result<(ReplayReport, Vec<String>), Error> {
    let runtime = Runtime::new(mica_runtime::Settings {
        limits: Limits::default(),
        cache_dir: None,
        compiler: Compiler::Child(compiler()),
    })?;
    // No grant gives anything here, because the trace answers.
    let generation = runtime.load(component, &Grants::all(), &CancelToken::default())?;
    let heard = Arc::<Heard>::default();
    let witness: Arc<dyn Witness> = Arc::<Heard>::clone(&heard);
    let report = generation.replay(trace, Some(witness));
    let mut lines = std::mem::take(&mut *heard.0.lock());
    lines.drain(..lines.len().saturating_sub(LINES));
    Ok((report, lines))
}

/// What the driver says.
#[derive(Debug, Default)]
struct Heard(Mutex<Vec<String>>);

impl Witness for Heard {
    fn line(&self, line: Line) {
        let text = format!("{}: {}", line.source.word(), line.text);
        self.0.lock().push(text);
    }

    fn trace(&self, _: Trace) {}
}
