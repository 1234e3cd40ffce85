//! The contract, as Rust: generated for a component, or what `mica_native` has in its place for tests and native programs.
//!
//! Invariant: the same names on both, so that a driver that compiles for one compiles for the other.

#[cfg(target_family = "wasm")]
mod component;
#[cfg(target_family = "wasm")]
pub use component::{diff, host_functions, inner, proto};

/// What the host provides.
#[cfg(not(target_family = "wasm"))]
pub mod host_functions {
    pub use mica_native::mica;
}

/// A driver without diffs.
#[cfg(not(target_family = "wasm"))]
pub mod proto {
    pub use mica_native::{exports, mica};
}

/// The diffs.
#[cfg(not(target_family = "wasm"))]
pub mod diff {
    pub use mica_native::exports;
}

/// The driver that the naive-diff component is composed with.
#[cfg(not(target_family = "wasm"))]
pub mod inner {
    pub use mica_native::mica;
}
