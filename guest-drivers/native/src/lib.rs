//! The host's side of the contract for a native program, so that a driver's functions are called by `cargo test`.
//!
//! The modules [`mica`] and [`exports`] are laid out as `wit_bindgen::generate!` lays them out for a component. A driver
//! takes either by its target:
//!
//! ```text
//! #[cfg(target_family = "wasm")]
//! wit_bindgen::generate!({ path: "wit", world: "mica:driver/proto", generate_all });
//! #[cfg(not(target_family = "wasm"))]
//! use mica_native::{exports, mica};
//! ```
//!
//! | interface | here |
//! |---|---|
//! | `directory`, `streams` | system calls below a directory handle, bounded as in the host |
//! | `home` | rooms in a temporary directory, which a [`Store`] has |
//! | `mounts` | written down, not made: [`View`] says what the driver asked for, so a test needs no root |
//! | `log`, `config`, `filesystem` | what the test gave, and what the file system says |
//! | `btrfs`, `images` | every function is `not-supported` |
//!
//! `mica driver test` is what decides whether a driver is right: it plays the component in the sandbox, with real mounts.
//!
//! What the host does in `host/sys` and `host/runtime`, and the SDK generates, is written once more here, because an author takes this crate along without
//! the rest of the repository, and because the host keeps what is privileged to itself.
//!
//! Invariant: data are those of the contract, generated; only what does something is written here.

mod generated;
mod host;
mod store;

pub use host::directory::open as open_directory;
pub use host::mounts::View;
pub use store::{Refused, Store};

/// What a driver imports, by the names that its bindings have.
pub mod mica {
    /// `mica:host`.
    pub mod host {
        pub use crate::generated::host_functions::mica::host::types;
        pub use crate::host::{
            btrfs, config, directory, filesystem, home, images, log, mounts, streams,
        };
    }
    /// `mica:driver`.
    pub mod driver {
        pub use crate::generated::exported::mica::driver::types;
        /// The driver below the naive-diff component, which no native program has: none of it may be called.
        pub use crate::generated::inner::mica::driver::proto_driver;
    }
}

pub use generated::exported::exports;
