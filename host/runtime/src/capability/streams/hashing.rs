//! The digest of a stream, made beside the work on it.
//!
//! Invariant: pieces count in the order in which they came; no more than [`WAITING_PIECES`] are held for the digest.

use sha2::{Digest as _, Sha256};
use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Pieces that lie ready for the thread.
const WAITING_PIECES: usize = 2;

/// A SHA-256 under way. The first piece is taken at once, for most layers have one; the others by a thread.
pub(super) struct Hashing<P>(State<P>);

enum State<P> {
    Here { hash: Sha256, is_new: bool },
    Elsewhere(SyncSender<P>, JoinHandle<Sha256>),
}

impl<P: AsRef<[u8]> + Send + 'static> Hashing<P> {
    pub(super) fn new() -> Self {
        Self(State::Here {
            hash: Sha256::new(),
            is_new: true,
        })
    }

    /// Takes the next piece; waits where the thread is behind.
    ///
    /// # Errors
    /// The thread broke.
    pub(super) fn push(&mut self, piece: P) -> io::Result<()> {
        if let State::Here { hash, is_new } = &mut self.0 {
            if std::mem::take(is_new) {
                hash.update(piece.as_ref());
                return Ok(());
            }
            match start(hash.clone()) {
                Ok((to, thread)) => self.0 = State::Elsewhere(to, thread),
                // Without a thread it takes longer.
                Err(_none_to_have) => {
                    hash.update(piece.as_ref());
                    return Ok(());
                }
            }
        }
        match &self.0 {
            State::Here { .. } => Ok(()),
            State::Elsewhere(to, _) => to.send(piece).map_err(|_gone| broke()),
        }
    }

    /// The digest of all pieces.
    ///
    /// # Errors
    /// The thread broke.
    pub(super) fn finish(self) -> io::Result<[u8; 32]> {
        let hash = match self.0 {
            State::Here { hash, .. } => hash,
            State::Elsewhere(to, thread) => {
                drop(to);
                thread.join().map_err(|_told_by_the_hook| broke())?
            }
        };
        Ok(hash.finalize().into())
    }
}

fn broke() -> io::Error {
    io::Error::other("the thread of the digest broke")
}

fn start<P: AsRef<[u8]> + Send + 'static>(
    mut hash: Sha256,
) -> io::Result<(SyncSender<P>, JoinHandle<Sha256>)> {
    let (to, pieces) = sync_channel::<P>(WAITING_PIECES);
    let named = std::thread::Builder::new().name("mica-digest".to_owned());
    let thread = named.spawn(move || {
        for piece in pieces {
            hash.update(piece.as_ref());
        }
        hash
    })?;
    Ok((to, thread))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_of_all_pieces_in_their_order() {
        for count in [0_u8, 1, 2, 100] {
            let mut hashing = Hashing::new();
            let pieces: Vec<Vec<u8>> = (0..count).map(|byte| vec![byte; 1000]).collect();
            for piece in &pieces {
                hashing.push(piece.clone()).unwrap();
            }
            let expected: [u8; 32] = Sha256::digest(pieces.concat()).into();
            assert_eq!(hashing.finish().unwrap(), expected);
        }
    }
}
