//! What a driver says in one operation: its standard error and output, and its log.
//!
//! A driver that says more than it may is not stopped and not told: what is too much is counted and left out.
//!
//! Invariant: nothing that a driver writes ends its operation or makes it wait.

use crate::witness::{Line, LineSource, Witness};
use crate::{Limits, SafeText};
use bytes::Bytes;
use parking_lot::Mutex;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{self, AsyncWrite};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError};

/// Bytes of a line; a longer one goes on in the next.
const LINE_BYTES: usize = 4096;
/// What a line costs of the budget beside its bytes, so that empty lines come to an end as well.
const LINE_COST_BYTES: usize = 16;
/// Bytes of standard error that explain a trap: the last that was written.
const TAIL_BYTES: usize = 2048;
/// Bytes that are taken from a guest in one call.
const WRITE_BYTES: usize = 64 << 10;
/// Lines of why an instance ended, with where the guest was.
const TRAP_LINES: usize = 64;

/// What a driver says in one operation. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Voice(Arc<Mutex<Said>>);

#[derive(Debug)]
struct Said {
    witness: Option<Arc<dyn Witness>>,
    left_bytes: usize,
    left_out: u64,
    /// Lines of the log that were told in part.
    cut: u64,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    tail: Vec<u8>,
}

impl Voice {
    pub(super) fn new(witness: Option<Arc<dyn Witness>>, limits: &Limits) -> Self {
        Self(Arc::new(Mutex::new(Said {
            witness,
            left_bytes: limits.log_bytes,
            left_out: 0,
            cut: 0,
            stdout: Vec::new(),
            stderr: Vec::new(),
            tail: Vec::new(),
        })))
    }

    /// Says a line of the log, cut where it is too long; false if it is one too many.
    pub(super) fn log(&self, source: LineSource, message: &str) -> bool {
        let mut said = self.0.lock();
        let is_told = said.say(source, SafeText::line(message));
        said.cut += u64::from(is_told && message.len() > LINE_BYTES);
        is_told
    }

    /// Says why the sandbox ended the operation. This is never left out, for there is one of it.
    pub(crate) fn trap(&self, causes: &str) {
        let mut said = self.0.lock();
        // What was begun was said before.
        said.flush(LineSource::Stdout);
        said.flush(LineSource::Stderr);
        for line in causes.lines().take(TRAP_LINES) {
            said.tell(LineSource::Trap, SafeText::line(line.trim_end()));
        }
    }

    /// What was written to standard error last: a panic's message.
    pub(crate) fn last_words(&self) -> String {
        let said = self.0.lock();
        String::from_utf8_lossy(&said.tail).trim().to_owned()
    }

    /// Says what has no end of its line, and how many lines were left out and how many were cut: their numbers.
    pub(crate) fn end(&self) -> (u64, u64) {
        let mut said = self.0.lock();
        said.flush(LineSource::Stdout);
        said.flush(LineSource::Stderr);
        if said.left_out > 0 {
            let text = format!("{} lines left out: `log_bytes`", said.left_out);
            said.tell(LineSource::Host, text.as_str().into());
        }
        if said.cut > 0 {
            let text = format!(
                "{} lines cut: a line of the log has {LINE_BYTES} bytes",
                said.cut
            );
            said.tell(LineSource::Host, text.as_str().into());
        }
        (said.left_out, said.cut)
    }

    pub(super) fn stdout(&self) -> GuestStream {
        let (voice, source) = (self.clone(), LineSource::Stdout);
        GuestStream { voice, source }
    }

    pub(super) fn stderr(&self) -> GuestStream {
        let (voice, source) = (self.clone(), LineSource::Stderr);
        GuestStream { voice, source }
    }
}

impl Said {
    fn tell(&self, source: LineSource, text: SafeText) {
        if let Some(witness) = &self.witness {
            witness.line(Line { source, text });
        }
    }

    /// Takes a line from the budget. Once one was left out all are, so that what is told has no holes.
    fn say(&mut self, source: LineSource, text: SafeText) -> bool {
        let cost = text.len() + LINE_COST_BYTES;
        match self.left_bytes.checked_sub(cost) {
            Some(left) if self.left_out == 0 => {
                self.left_bytes = left;
                self.tell(source, text);
                true
            }
            _ => {
                self.left_out += 1;
                false
            }
        }
    }

    fn begun(&mut self, source: LineSource) -> &mut Vec<u8> {
        match source {
            LineSource::Stdout => &mut self.stdout,
            _ => &mut self.stderr,
        }
    }

    fn flush(&mut self, source: LineSource) {
        let begun = std::mem::take(self.begun(source));
        if !begun.is_empty() {
            self.say(source, SafeText::line(&String::from_utf8_lossy(&begun)));
        }
    }

    fn write(&mut self, source: LineSource, bytes: &[u8]) {
        if source == LineSource::Stderr {
            self.tail.extend_from_slice(bytes);
            let most = self.tail.len().saturating_sub(TAIL_BYTES);
            self.tail.drain(..most);
        }
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.left_out > 0 {
                self.left_out += u64::from(part.ends_with(b"\n"));
                continue;
            }
            let (line, ends) = match part.strip_suffix(b"\n") {
                Some(line) => (line, true),
                None => (part, false),
            };
            for piece in line.chunks(LINE_BYTES) {
                if self.begun(source).len() + piece.len() > LINE_BYTES {
                    self.flush(source);
                }
                self.begun(source).extend_from_slice(piece);
            }
            if ends {
                // An empty line says nothing.
                self.flush(source);
            }
        }
    }
}

/// Standard error or standard output of a guest.
#[derive(Clone, Debug)]
pub(super) struct GuestStream {
    voice: Voice,
    source: LineSource,
}

impl IsTerminal for GuestStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for GuestStream {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        self.voice.0.lock().write(self.source, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(WRITE_BYTES)
    }
}

impl Pollable for GuestStream {
    // What the macro `async_trait` makes of an `async fn`.
    fn ready<'this, 'future>(&'this mut self) -> Pin<Box<dyn Future<Output = ()> + Send + 'future>>
    where
        'this: 'future,
        Self: 'future,
    {
        Box::pin(async {})
    }
}

impl AsyncWrite for GuestStream {
    fn poll_write(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.voice.0.lock().write(self.source, bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Witness for Heard {
        fn line(&self, line: Line) {
            let text = format!("{}: {}", line.source.word(), line.text);
            self.0.lock().push(text);
        }

        fn trace(&self, _: crate::Trace) {}
    }

    fn voice(log_bytes: usize) -> (Voice, Arc<Heard>) {
        let heard = Arc::<Heard>::default();
        let limits = Limits {
            log_bytes,
            ..Limits::default()
        };
        (
            Voice::new(Some(Arc::<Heard>::clone(&heard)), &limits),
            heard,
        )
    }

    fn write(voice: &Voice, source: LineSource, bytes: &[u8]) {
        voice.0.lock().write(source, bytes);
    }

    #[test]
    fn lines_are_told_whole_whatever_the_pieces_they_came_in() {
        let (voice, heard) = voice(64 << 10);
        write(&voice, LineSource::Stderr, b"on");
        write(&voice, LineSource::Stdout, b"out\n\nx");
        write(&voice, LineSource::Stderr, b"e\ntwo\x1b\n");
        assert!(voice.log(LineSource::Warn, "left"));
        let long = vec![b'a'; 5000];
        write(&voice, LineSource::Stderr, &long);
        assert_eq!(voice.end(), (0, 0));
        let heard = heard.0.lock();
        let told: Vec<_> = heard.iter().map(String::as_str).collect();
        let (first, second) = (
            format!("stderr: {}", "a".repeat(4096)),
            format!("stderr: {}", "a".repeat(904)),
        );
        let expected = [
            "stdout: out",
            "stderr: one",
            "stderr: two\\u{1b}",
            "warn: left",
            &first,
            "stdout: x",
            &second,
        ];
        assert_eq!(told, expected);
        assert_eq!(voice.last_words(), "a".repeat(TAIL_BYTES));
    }

    #[test]
    fn a_flood_is_counted_and_a_trap_is_told_all_the_same() {
        let (voice, heard) = voice(256);
        for _ in 0..1000 {
            write(&voice, LineSource::Stderr, b"0123456789\n");
        }
        assert!(!voice.log(LineSource::Info, "too late"));
        voice.trap("boom\nat x\n");
        assert_eq!(voice.end(), (992, 0));
        let heard = heard.0.lock();
        assert_eq!(heard.len(), 9 + 3);
        let last: Vec<_> = heard.iter().skip(9).map(String::as_str).collect();
        assert_eq!(
            last,
            [
                "trap: boom",
                "trap: at x",
                "host: 992 lines left out: `log_bytes`"
            ]
        );
    }

    #[test]
    fn a_line_of_the_log_that_is_cut_is_counted() {
        let (voice, heard) = voice(64 << 10);
        for length in [LINE_BYTES, LINE_BYTES + 1] {
            assert!(voice.log(LineSource::Info, &"a".repeat(length)));
        }
        assert_eq!(voice.end(), (0, 1));
        let heard = heard.0.lock();
        let [whole, cut, told] = heard.as_slice() else {
            panic!("{heard:?}")
        };
        assert_eq!(whole.len(), "info: ".len() + LINE_BYTES);
        assert!(cut.ends_with("… (cut, it has 4097 bytes)"), "{cut}");
        assert_eq!(told, "host: 1 lines cut: a line of the log has 4096 bytes");
    }

    #[test]
    fn what_was_begun_is_told_before_the_trap() {
        let (voice, heard) = voice(256);
        write(&voice, LineSource::Stderr, b"without end");
        voice.trap("boom");
        assert_eq!(voice.end(), (0, 0));
        assert_eq!(*heard.0.lock(), ["stderr: without end", "trap: boom"]);
    }
}
