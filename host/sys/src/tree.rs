//! Whole trees, of any depth, with a bounded number of descriptors and without recursion.
//!
//! Invariant: the way up is checked against what was seen on the way down, so that a tree that is
//! moved meanwhile leads nowhere else.

mod clone;
mod links;
mod measure;
mod pages;
mod remove;
mod shared;
#[cfg(test)]
mod tests;
mod trail;

pub use clone::{Cloned, clone_linked};
pub use measure::{Measured, measure};
pub use remove::remove;
pub use shared::{Seen, SharedFiles};
