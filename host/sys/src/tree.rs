//! Whole trees, of any depth, with a bounded number of descriptors and without recursion.
//!
//! Invariant: the way up is checked against what was seen on the way down, so that a tree that is
//! moved meanwhile leads nowhere else.

mod clone;
mod links;
mod measure;
mod pages;
mod remove;
mod resolve;
mod shared;
#[cfg(test)]
mod tests;
mod trail;
mod visit;

pub use clone::{Cloned, clone_linked, clone_watched};
pub use measure::{Measured, measure};
pub use remove::remove;
pub use resolve::{Resolved, resolve};
pub use shared::{Seen, SharedFiles};
pub use visit::{Depth, Visited, visit};

use std::io;

use crate::raw::is;

/// `None` for what someone removed or replaced meanwhile.
fn unless_gone<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error)
            if [libc::ENOENT, libc::ENOTDIR, libc::ELOOP]
                .iter()
                .any(|gone| is(&error, *gone)) =>
        {
            Ok(None)
        }
        found => found.map(Some),
    }
}
