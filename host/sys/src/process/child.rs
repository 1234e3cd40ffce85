//! A child process of this program, started for one job.
//!
//! Invariant: no child outlives its [`ChildProcess`], however that goes.

use super::{Ending, ending};
use std::io;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use std::time::{Duration, Instant};

/// How long a child may take to end after its last word, and how often that is looked at.
const EXIT_TIMEOUT: Duration = Duration::from_secs(1);
const EXIT_PERIOD: Duration = Duration::from_millis(1);

/// A program, and the arguments that make it do a kind of job.
#[derive(Clone, Debug)]
pub struct Program {
    /// The program.
    pub path: PathBuf,
    /// Its first arguments; one more follows, the job.
    pub arguments: Vec<String>,
}

/// A child that runs, or has ended. It is killed when this goes.
#[derive(Debug)]
pub struct ChildProcess {
    child: Child,
}

impl Program {
    /// Starts it for a job, with an empty environment; `set` says what its standard streams are and what else it gets. The thread
    /// that starts it must stay until it has ended, where the child asks to end with it.
    ///
    /// # Errors
    /// What starting a process says.
    pub fn start(&self, job: &str, set: impl FnOnce(&mut Command)) -> io::Result<ChildProcess> {
        let mut command = Command::new(&self.path);
        command.args(&self.arguments).arg(job).env_clear();
        set(&mut command);
        let child = command.spawn()?;
        Ok(ChildProcess { child })
    }
}

impl ChildProcess {
    /// Its end of standard input, if that is a pipe and was not taken.
    ///
    /// # Errors
    /// [`io::ErrorKind::BrokenPipe`] otherwise.
    pub fn input(&mut self) -> io::Result<ChildStdin> {
        self.child.stdin.take().ok_or_else(no_pipe)
    }

    /// Its standard output, as [`ChildProcess::input`].
    ///
    /// # Errors
    /// [`io::ErrorKind::BrokenPipe`].
    pub fn output(&mut self) -> io::Result<ChildStdout> {
        self.child.stdout.take().ok_or_else(no_pipe)
    }

    /// Its standard error, as [`ChildProcess::input`].
    ///
    /// # Errors
    /// [`io::ErrorKind::BrokenPipe`].
    pub fn error(&mut self) -> io::Result<ChildStderr> {
        self.child.stderr.take().ok_or_else(no_pipe)
    }

    /// How it ended. One that has said its last word and stays is killed, and then there is no answer.
    pub fn end(&mut self) -> Option<Ending> {
        let deadline = Instant::now() + EXIT_TIMEOUT;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(ending(status));
            }
            std::thread::sleep(EXIT_PERIOD);
        }
        self.kill();
        None
    }

    fn kill(&mut self) {
        // One that has ended cannot be killed, and is only waited for; that fails only for a process that is no child.
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

fn no_pipe() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}
