//! `mica:host/log`: what a driver says is kept for the test.
//!
//! Invariant: without an operation it goes nowhere, as `describe` may say something too.

pub use crate::generated::host_functions::mica::host::log::Level;

/// Writes one line.
pub fn write(level: Level, message: &str) {
    if let Ok(running) = crate::store::running() {
        running.say(level, message);
    }
}
