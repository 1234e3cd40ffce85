//! Pages of lists.

use serde::Deserialize;

/// Entries of a page when nothing else is asked for, and at most.
const DEFAULT_PAGE: usize = 1000;
const MAX_PAGE: usize = 10_000;

/// Which page of a list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PageQuery {
    /// The page begins after this key.
    pub(super) after: Option<String>,
    limit: Option<usize>,
}

impl PageQuery {
    /// Entries that it may have.
    pub(super) fn limit(&self) -> usize {
        self.limit.unwrap_or(DEFAULT_PAGE).clamp(1, MAX_PAGE)
    }
}
