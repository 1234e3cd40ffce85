//! What is left out of an archive or a layer, and told.
//!
//! Invariant: all of it is counted; memory for the first few.

use crate::bindings::diff::exports::mica::driver::diff_driver;

pub use diff_driver::LeftOutReason as Reason;

/// How many are told by name.
const SHOWN_COUNT: usize = 16;

/// What was left out.
#[derive(Clone, Debug, Default)]
pub struct LeftOut {
    /// How many.
    pub count: u64,
    /// The first of them.
    pub first: Vec<diff_driver::LeftOut>,
}

impl LeftOut {
    /// Adds a node.
    pub fn node(&mut self, reason: Reason, path: &[u8]) {
        self.add(reason, path, b"");
    }

    /// Adds an attribute of a node.
    pub fn attribute(&mut self, path: &[u8], name: &[u8]) {
        self.add(Reason::Attribute, path, name);
    }

    /// Adds what was left out elsewhere.
    pub fn extend(&mut self, other: Self) {
        self.count += other.count;
        let room = SHOWN_COUNT.saturating_sub(self.first.len());
        self.first.extend(other.first.into_iter().take(room));
    }

    fn add(&mut self, reason: Reason, path: &[u8], attribute: &[u8]) {
        self.count += 1;
        if self.first.len() < SHOWN_COUNT {
            self.first.push(diff_driver::LeftOut {
                reason,
                path: path.to_vec(),
                attribute: attribute.to_vec(),
            });
        }
    }
}
