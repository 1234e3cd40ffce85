//! How much an archive may become.
//!
//! Invariant: counts what is handed out, so a bomb ends after the bytes that are allowed, not after its own.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that may come out of a compressed archive whatever went in: a small image of mostly zeros is no bomb.
const FREE_BYTES: u64 = 256 << 20;

/// Counts the bytes that are read from it.
#[derive(Debug)]
pub(super) struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R> Counted<R> {
    /// A reader, and its count of bytes.
    pub(super) fn new(inner: R) -> (Self, Arc<AtomicU64>) {
        let count = Arc::new(AtomicU64::new(0));
        let reader = Self {
            inner,
            count: Arc::clone(&count),
        };
        (reader, count)
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        self.inner.consume(bytes);
        self.count.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// Ends an archive that becomes too large, or too large for what it was.
#[derive(Debug)]
pub(super) struct Bounded<R> {
    inner: R,
    given: u64,
    most: u64,
    expansion: u64,
    taken: Option<Arc<AtomicU64>>,
}

impl<R> Bounded<R> {
    /// At most `most` bytes; with the count of compressed bytes `taken`, also at most `expansion` times as many.
    pub(super) fn new(inner: R, most: u64, expansion: u64, taken: Option<Arc<AtomicU64>>) -> Self {
        Self {
            inner,
            given: 0,
            most,
            expansion,
            taken,
        }
    }

    fn check(&self) -> io::Result<()> {
        if self.given > self.most {
            let text = format!("it has more than {} bytes: `api.archive_bytes`", self.most);
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let Some(taken) = &self.taken else {
            return Ok(());
        };
        let taken = taken.load(Ordering::Relaxed);
        if self.given > FREE_BYTES && self.given / self.expansion > taken {
            let text = format!(
                "{taken} compressed bytes became {}, more than {} times as many: `api.expansion`",
                self.given, self.expansion
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(())
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.given += read as u64;
        self.check()?;
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Bounded<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.check()?;
        // One byte too many is the error, and no more than that is seen.
        let most = (self.most.saturating_sub(self.given)).saturating_add(1);
        let bytes = self.inner.fill_buf()?;
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(bytes.len());
        Ok(bytes.get(..most).unwrap_or_default())
    }

    fn consume(&mut self, bytes: usize) {
        self.inner.consume(bytes);
        self.given += bytes as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_that_is_too_large_ends() {
        let mut bounded = Bounded::new(io::repeat(0), 1_000_000, 1, None);
        let error = io::copy(&mut bounded, &mut io::sink()).unwrap_err();
        assert!(error.to_string().contains("archive_bytes"), "{error}");
    }

    #[test]
    fn what_lies_ready_is_bounded_and_counted_as_what_is_read() {
        let bytes = io::Cursor::new(vec![7; 100]);
        let (counted, count) = Counted::new(bytes);
        let mut bounded = Bounded::new(counted, 60, 1, None);
        assert_eq!(bounded.fill_buf().unwrap().len(), 61);
        bounded.consume(60);
        assert_eq!((bounded.fill_buf().unwrap().len(), bounded.given), (1, 60));
        assert_eq!(count.load(Ordering::Relaxed), 60);
        bounded.consume(1);
        let error = bounded.fill_buf().unwrap_err();
        assert!(error.to_string().contains("archive_bytes"), "{error}");
    }

    #[test]
    fn an_archive_that_expands_too_much_ends() {
        let (_reader, taken) = Counted::new(io::empty());
        taken.store(1000, Ordering::Relaxed);
        let mut bounded = Bounded::new(io::repeat(0), u64::MAX, 1000, Some(taken));
        let error = io::copy(&mut bounded, &mut io::sink()).unwrap_err();
        assert!(error.to_string().contains("api.expansion"), "{error}");
        assert!(bounded.given < FREE_BYTES * 2);
    }
}
