//! moby's own overlay2 driver, in a process that does what it is told.
//!
//! Invariant: it is asked one thing at a time, and what it answers is waited for.

use crate::place::run;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Where it is built.
const BUILT: &str = "target/peers/docker-bench";

/// A running driver.
pub(super) struct Moby {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Moby {
    /// Builds it if need be, and starts it in a new directory.
    pub(super) fn start(home: &Path) -> Result<Self> {
        let built = Path::new(BUILT);
        if !built.join("bench").is_file() {
            run(Command::new("tests/peers/docker/build.sh").arg(built))?;
        }
        fs::create_dir(home)?;
        let mut child = Command::new(built.join("bench"))
            .arg(home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start moby's driver")?;
        let output = child.stdout.take().context("its output")?;
        Ok(Self {
            input: child.stdin.take(),
            output: BufReader::new(output),
            child,
        })
    }

    /// Has it do something.
    pub(super) fn ask(&mut self, words: &str) -> Result<()> {
        let input = self.input.as_mut().context("it has ended")?;
        writeln!(input, "{words}")?;
        let mut answer = String::new();
        self.output.read_line(&mut answer)?;
        ensure!(answer == "ok\n", "moby's driver: `{words}` failed");
        Ok(())
    }
}

impl Drop for Moby {
    fn drop(&mut self) {
        drop(self.input.take());
        // What it left is told by the directory that cannot be removed.
        let _ended = self.child.wait();
    }
}
