//! The harness of Mica's black-box tests.
//!
//! A test enters a mount namespace of its own, makes a file system to work on, starts the real daemon and talks to it
//! as any user does: HTTP on a unix socket, or the command line. What it sees on disk is compared as text: [`tree`]
//! writes trees from a script, [`dump`] prints them, one node a line.
//!
//! Invariant: nothing here imports a crate of the host but `mica_cases`, which knows nothing of Mica. What the tests know of Mica is
//! what its documents say.

pub mod browser;
pub mod build;
pub mod client;
pub mod collector;
pub mod command;
pub mod compiled;
pub mod containerd;
pub mod containerd_daemon;
pub mod containerd_suite;
pub mod cri;
pub mod daemon;
pub mod damage;
pub mod differ;
pub mod differential;
pub mod docker;
pub mod exposition;
pub mod fault;
pub mod generate;
pub mod golden;
pub mod grpc;
pub mod grpcio;
pub mod history;
pub mod http;
pub mod image;
pub mod kubernetes;
pub mod lab;
pub mod ledger;
pub mod linear;
pub mod listing;
pub mod oci;
pub mod odd;
pub mod picture;
pub mod power;
pub mod registry;
pub mod setup;
pub mod terminal;
pub mod unpackers;
pub mod watch;

pub use mica_cases::{archive, dump, script, tree};
