//! Why a signature says nothing.
//!
//! Invariant: what a stranger wrote is in no text unless it was made safe.

/// Why a signature says nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is larger than signatures are.
    #[error("it has {has} bytes, and {most} are allowed")]
    TooLarge {
        /// Bytes that it has.
        has: usize,
        /// Bytes that are allowed.
        most: usize,
    },
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// What vouches for it does not hold.
    #[error("what vouches for it does not hold: {0}")]
    Unverified(String),
    /// It is by someone whom nobody trusts.
    #[error("it is by {0}, which is not trusted")]
    Unknown(String),
    /// It is about other bytes, or was forged.
    #[error(
        "it is not by {0} about this component: another component was signed, or it was forged"
    )]
    Forged(String),
}
