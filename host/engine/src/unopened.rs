//! Stores that lie on disk and could not be opened.
//!
//! Invariant: what is asked of such a store is answered with the reason, never as if the store were not there.

use crate::stores::explained;
use crate::{Engine, Error, StoreName};

impl Engine {
    /// Why a store that lies on disk could not be opened; `None` for any other.
    pub fn why_unopened(&self, name: &str) -> Option<String> {
        let name = StoreName::parse(name).ok()?;
        let unopened = self.unopened.read();
        unopened.get(&name).cloned()
    }

    /// Whether stores lie on disk that could not be opened.
    pub fn has_unopened(&self) -> bool {
        let unopened = self.unopened.read();
        !unopened.is_empty()
    }

    /// Remembers why a store could not be opened.
    pub(crate) fn note_unopened(&self, name: &StoreName, error: Error) -> Error {
        let mut unopened = self.unopened.write();
        unopened.insert(name.clone(), explained(&error));
        error
    }
}
