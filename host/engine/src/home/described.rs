//! What someone else wrote down of layers that have no record of their own.
//!
//! Invariant: complete: a layer of such a store without a record that is not described here counts no more, or never did.

use super::Record;
use crate::{LayerId, Result};
use mica_runtime::LayerKind;
use std::collections::HashMap;

/// The layers of a store with snapshots, as their rows describe them.
#[derive(Debug)]
pub(crate) struct Described {
    driver: String,
    records: HashMap<u64, Record>,
}

impl Described {
    /// Takes what rows say of layers, by number.
    pub(crate) fn new(driver: &str, records: HashMap<u64, Record>) -> Self {
        Self {
            driver: driver.to_owned(),
            records,
        }
    }

    /// What is said of a layer.
    pub(super) fn of(&self, number: u64) -> Option<&Record> {
        self.records.get(&number)
    }

    /// What a layer is that no one describes: one of a snapshot that is gone, or that there was never to be.
    pub(super) fn unowned(&self, number: u64) -> Result<Record> {
        let id = LayerId::of_snapshot(&format!("{number:032x}"))?;
        Ok(Record::new(id, None, LayerKind::Content, &self.driver))
    }
}
