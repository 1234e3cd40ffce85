//! Progress on long work.
//!
//! Invariant: nothing is drawn unless standard error is a terminal.

use std::fmt;
use std::io::{self, IsTerminal as _, Read, Write};

pub use indicatif::ProgressBar;
use indicatif::{ProgressDrawTarget, ProgressState, ProgressStyle};

const KNOWN: &str = "{msg} {wide_bar:.cyan/238} {decimal_bytes:>10}/{decimal_total_bytes} {decimal_bytes_per_sec:>12} {eta:>4}";
const COUNTED: &str = "{msg} {wide_bar:.cyan/238} {pos:>7}/{len} {rate:>12} {eta:>4}";
const COUNTING: &str = "{msg} {spinner} {human_pos:>10} {rate:>12} {elapsed:>4}";
const AGE: &str = "{msg} {spinner} {elapsed:>4}";
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

/// Has a bar tell bytes, and how many there are in all once that is known.
pub fn tell_bytes(bar: &ProgressBar, total_bytes: Option<u64>) {
    if bar.is_hidden() {
        return;
    }
    let template = match total_bytes {
        Some(total) => {
            bar.set_length(total);
            KNOWN
        }
        None => UNKNOWN,
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("━╸─"));
    }
}

/// A bar for something of which only its age is known.
pub fn age_bar(message: String) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(AGE) {
        bar.set_style(style);
    }
    bar.with_message(message)
}

/// A bar for things that are done one after the other, with how many of how many, and the time that is left.
pub fn count_bar(message: String, total: Option<u64>) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
    let template = match total {
        Some(_) => COUNTED,
        None => COUNTING,
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        let rate = |state: &ProgressState, text: &mut dyn fmt::Write| {
            // A bar that cannot be drawn is no reason to stop.
            let _drawn = write!(text, "{:.0}/s", state.per_sec());
        };
        bar.set_style(style.with_key("rate", rate).progress_chars("━╸─"));
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

    /// What was watched.
    pub fn into_inner(self) -> T {
        self.inner
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
