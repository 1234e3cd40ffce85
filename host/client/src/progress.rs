//! Progress on long work.
//!
//! Invariant: nothing is drawn unless standard error is a terminal.

use std::io::{self, IsTerminal as _, Read, Write};

pub use indicatif::ProgressBar;
use indicatif::{ProgressDrawTarget, ProgressStyle};

const KNOWN: &str = "{msg} {wide_bar:.cyan/238} {decimal_bytes:>10}/{decimal_total_bytes} {decimal_bytes_per_sec:>12} {eta:>4}";
const UNKNOWN: &str =
    "{msg} {spinner} {decimal_bytes:>10} {decimal_bytes_per_sec:>12} {elapsed:>4}";

/// A bar for bytes that move; without a number of bytes it only counts.
pub fn bytes_bar(message: String, total_bytes: Option<u64>) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(total_bytes, ProgressDrawTarget::stderr());
    let template = if total_bytes.is_some() {
        KNOWN
    } else {
        UNKNOWN
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("━╸─"));
    }
    bar.with_message(message)
}

/// A reader or writer that moves a bar.
#[derive(Debug)]
pub struct Watched<T> {
    inner: T,
    bar: ProgressBar,
}

impl<T> Watched<T> {
    /// Bytes that pass move `bar`.
    pub fn new(inner: T, bar: &ProgressBar) -> Self {
        Self {
            inner,
            bar: bar.clone(),
        }
    }
}

impl<T: Read> Read for Watched<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.bar.inc(count.try_into().unwrap_or(0));
        Ok(count)
    }
}

impl<T: Write> Write for Watched<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.bar.inc(count.try_into().unwrap_or(0));
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
