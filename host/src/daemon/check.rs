//! Looks at a component as a daemon with the default limits would that is asked to load it.
//!
//! Invariant: needs no daemon and no privileges, and leaves nothing behind. A stranger's component is parsed and compiled by the
//! confined process alone.

use crate::children::compiler;
use mica_runtime::{
    CancelToken, Compiler, Error, Generation, Grants, Inspection, Limits, Runtime, inspect,
};
use std::sync::Arc;

/// What became of a component.
pub(crate) struct Checked {
    /// What its bytes say.
    pub(crate) inspection: Inspection,
    /// The loaded driver, or why it is refused; `None` if it was not to be compiled, or is refused before that.
    pub(crate) loaded: Option<Result<Arc<Generation>, Error>>,
}

/// Compares a component with limits and grants, and if `compile` says so loads it and asks it what it is.
///
/// # Errors
/// As [`inspect`].
pub(crate) fn check_component(
    bytes: &[u8],
    grants: &Grants,
    compile: bool,
) -> Result<Checked, Error> {
    let limits = Limits::default();
    let inspection = inspect(&compiler(), bytes, &limits, grants)?;
    let loaded = if compile && inspection.refusals().next().is_none() {
        let settings = mica_runtime::Settings {
            limits,
            cache_dir: None,
            compiler: Compiler::Child(compiler()),
        };
        let runtime = Runtime::new(settings)?;
        Some(runtime.load(bytes, grants, &CancelToken::default()))
    } else {
        None
    };
    Ok(Checked { inspection, loaded })
}
