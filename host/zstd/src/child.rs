//! The process that decompresses, seen from this one.
//!
//! Two pipes: one thread feeds what is compressed, and whoever reads takes the rest. A third pipe has the reason if the process
//! gives up; it says one word, so that never fills.
//!
//! Invariant: no process outlives the reader that started it; what the source says goes before what the process makes of it.

use crate::{BUFFER_BYTES, Whole, Window, damaged};
use mica_sys::{ChildProcess, Ending, Program};
use mica_text::SafeText;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::{ChildStderr, ChildStdin, ChildStdout, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bytes that a pipe holds: enough that either side works on while the other does.
const PIPE_BYTES: u32 = 1 << 20;
/// How often a wait looks whether the process stands still.
const POLL_PERIOD: Duration = Duration::from_millis(250);
/// How long a process may take nothing and give nothing while it has something to do: it is stuck, for a buffer takes it a
/// millisecond.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of a reason.
const REASON_BYTES: u64 = 500;

/// A process that runs. It is killed when this goes, if it has not ended.
#[derive(Debug)]
pub(crate) struct Running {
    child: ChildProcess,
    output: ChildStdout,
    reason: ChildStderr,
    fed: Arc<Fed>,
    is_over: bool,
}

/// What has become of the source.
#[derive(Debug, Default)]
struct Fed {
    /// Odd while the source is asked for more; it changes with each piece.
    pieces: AtomicU64,
    failed: Mutex<Option<io::Error>>,
}

impl Running {
    pub(crate) fn start(program: &Program, window: Window, source: Whole) -> io::Result<Self> {
        let job = format!("{} {}", window.0, std::process::id());
        let mut child = program.start(&job, |command| {
            let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped());
            pipes.stderr(Stdio::piped());
        })?;
        let (input, output, reason) = (child.input()?, child.output()?, child.error()?);
        let running = Self {
            child,
            output,
            reason,
            fed: Arc::default(),
            is_over: false,
        };
        for pipe in [input.as_fd(), running.output.as_fd()] {
            // A pipe of the usual size does as well.
            let _wider = mica_sys::widen_pipe(pipe, PIPE_BYTES);
        }
        let fed = Arc::clone(&running.fed);
        let named = std::thread::Builder::new().name("mica-feed".to_owned());
        named.spawn(move || fed.feed(source, input))?;
        Ok(running)
    }

    /// Waits until there is something to read, or the end.
    fn wait(&self) -> io::Result<()> {
        let (mut since, mut pieces) = (Instant::now(), self.fed.pieces());
        while !mica_sys::wait_for_input(self.output.as_fd(), POLL_PERIOD)? {
            let now = self.fed.pieces();
            // It waits for the source, or takes from it.
            if now != pieces || now % 2 == 1 {
                (since, pieces) = (Instant::now(), now);
            }
            if since.elapsed() > STALL_TIMEOUT {
                let seconds = STALL_TIMEOUT.as_secs();
                return Err(damaged(format!("it stood still for {seconds} s")));
            }
        }
        Ok(())
    }

    /// What came of it, at the end of its output.
    fn end(&mut self) -> io::Result<()> {
        // Whatever it was, it ends here, so that nothing keeps the pipe of the reason open.
        let ending = self.child.end();
        if let Some(error) = self.fed.failed() {
            return Err(error);
        }
        let mut reason = Vec::new();
        (&mut self.reason)
            .take(REASON_BYTES)
            .read_to_end(&mut reason)?;
        let said = SafeText::line(&String::from_utf8_lossy(&reason));
        Err(match ending {
            Some(Ending::Code(0)) => return Ok(()),
            Some(Ending::Code(_)) if !reason.is_empty() => {
                io::Error::new(io::ErrorKind::InvalidData, said.to_string())
            }
            // Nothing of that is the archive's doing.
            Some(Ending::Code(code)) => {
                io::Error::other(format!("zstd: the decoder ended with code {code}"))
            }
            Some(Ending::OutOfTime) => damaged("it takes the decoder too long"),
            Some(Ending::Aborted) => damaged("it takes the decoder too much memory"),
            Some(Ending::Crashed) => damaged("it made the decoder crash"),
            Some(Ending::Signal(signal)) => {
                io::Error::other(format!("zstd: the decoder ended by signal {signal}"))
            }
            None => io::Error::other("zstd: the decoder does not end"),
        })
    }
}

impl Read for Running {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_over || buffer.is_empty() {
            return Ok(0);
        }
        self.wait()?;
        let read = self.output.read(buffer)?;
        if read == 0 {
            self.is_over = true;
            self.end()?;
        }
        Ok(read)
    }
}

impl Fed {
    /// Feeds a process until the source ends or the process does. What the source says is there before the process sees its
    /// end.
    fn feed(&self, mut source: Whole, mut to: ChildStdin) {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            self.pieces.fetch_add(1, Ordering::SeqCst);
            let read = source.read(&mut buffer);
            self.pieces.fetch_add(1, Ordering::SeqCst);
            let read = match read {
                Ok(0) => return,
                Ok(read) => buffer.get(..read).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
                    *failed = Some(error);
                    return;
                }
            };
            if to.write_all(read).is_err() {
                return;
            }
        }
    }

    fn pieces(&self) -> u64 {
        self.pieces.load(Ordering::SeqCst)
    }

    fn failed(&self) -> Option<io::Error> {
        self.failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}
