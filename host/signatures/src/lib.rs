//! Who signed a component.
//!
//! A signature is about the bytes of a component and nothing else: not about where it lies or how it is named. It is verified without a
//! network, with keys that an operator has as files.
//!
//! Signatures come from anyone: what is too large is refused before anything is made of it, and what cannot be read is an error.
//!
//! Invariant: a [`Signer`] is made only by a verification that succeeded.
//!
//! See docs/decisions/0067-who-signed-a-driver-is-verified-at-its-load.md.

mod kind;
mod minisign;
mod provider;
mod refusal;
mod signer;
mod sigstore;

pub use kind::{Kind, Signature};
pub use minisign::PublicKey;
pub use refusal::Refusal;
pub use signer::{Signer, Trust};
pub use sigstore::Identity;
