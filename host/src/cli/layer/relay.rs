//! An archive that one call takes from a daemon while another sends it on.
//!
//! Invariant: an archive that breaks off on its way never looks like one that has ended.

use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use mica_client::{Client, Failure};

/// Pieces on their way; one has what a frame of the connection had, up to 64 KiB.
const PIECES: usize = 16;

enum Piece {
    Bytes(Vec<u8>),
    End,
}

/// The archive, to be read.
pub(super) struct Relay {
    pieces: Receiver<Piece>,
    current: io::Cursor<Vec<u8>>,
    is_over: bool,
}

/// The call that takes it from the daemon.
pub(super) struct Source(JoinHandle<Result<(), Failure>>);

/// Begins to take what a target answers.
pub(super) fn relay(client: &Client, target: String) -> Result<(Relay, Source), Failure> {
    let client = client.again()?;
    let (to, pieces) = sync_channel(PIECES);
    let named = thread::Builder::new().name("mica-relay".to_owned());
    let take = move || {
        let mut sink = Sink(to);
        client.get_archive(&target, &mut sink)?;
        // Nobody waits for the end any more: the other side has its own reason.
        let _gone = sink.0.send(Piece::End);
        Ok(())
    };
    let thread = named
        .spawn(take)
        .map_err(Failure::io("start a thread that reads an archive"))?;
    let relay = Relay {
        pieces,
        current: io::Cursor::default(),
        is_over: false,
    };
    Ok((relay, Source(thread)))
}

impl Source {
    /// What came of both sides. Why the archive broke off goes before what the other side made of that.
    pub(super) fn join<T>(self, other: Result<T, Failure>) -> Result<T, Failure> {
        let taken = self.0.join().unwrap_or_else(|_panic| {
            Err(Failure::Untrue {
                what: "the thread that reads an archive broke".to_owned(),
                remedy: None,
            })
        });
        match (taken, other) {
            // Its reader has gone, and says why.
            (Err(Failure::Io { source, .. }), Err(failure))
                if source.kind() == io::ErrorKind::BrokenPipe =>
            {
                Err(failure)
            }
            (Err(failure), _) => Err(failure),
            (Ok(()), other) => other,
        }
    }
}

struct Sink(SyncSender<Piece>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let gone = |_| io::ErrorKind::BrokenPipe;
        self.0.send(Piece::Bytes(bytes.to_vec())).map_err(gone)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Relay {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.current.read(buffer)?;
            if read > 0 || self.is_over || buffer.is_empty() {
                return Ok(read);
            }
            match self.pieces.recv() {
                Ok(Piece::Bytes(bytes)) => self.current = io::Cursor::new(bytes),
                Ok(Piece::End) => self.is_over = true,
                Err(_broke_off) => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }
}
