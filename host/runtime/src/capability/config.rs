//! `mica:host/config`: what the operator set for the store.

use super::State;
use crate::bindings::mica::host::config as wit;

impl wit::Host for State {
    fn options(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        self.meter.count_question()?;
        Ok(self.operation.options.to_vec())
    }
}
