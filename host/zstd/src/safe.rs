//! The decoder in safe Rust.
//!
//! Invariant: a frame whose checksum does not fit is an error.

use crate::{BUFFER_BYTES, CUT, Window, damaged};
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::io::{self, BufRead, BufReader, Read};

/// Decompresses frame after frame.
pub(crate) struct Safe<R> {
    source: BufReader<R>,
    decoder: FrameDecoder,
    is_within: bool,
    /// Bytes of the frame that were given out.
    given: u64,
}

impl<R: Read> Safe<R> {
    pub(crate) fn new(source: R, window: Window) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(window.bytes());
        Self {
            source: BufReader::with_capacity(BUFFER_BYTES, source),
            decoder,
            is_within: false,
            given: 0,
        }
    }

    /// Begins the next frame that has content; false at the end.
    fn begin(&mut self) -> io::Result<bool> {
        loop {
            if self.source.fill_buf()?.is_empty() {
                return Ok(false);
            }
            match self.decoder.reset(&mut self.source) {
                Ok(()) => {
                    self.is_within = true;
                    self.given = 0;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let mut skipped = (&mut self.source).take(length.into());
                    if io::copy(&mut skipped, &mut io::sink())? < length.into() {
                        return Err(damaged(CUT));
                    }
                }
                Err(error) => return Err(damaged(error)),
            }
        }
    }

    fn end(&mut self) -> io::Result<()> {
        self.is_within = false;
        let told = self.decoder.get_checksum_from_data();
        if told.is_some() && told != self.decoder.get_calculated_checksum() {
            return Err(damaged("the checksum does not fit"));
        }
        let told = self.decoder.content_size();
        // Nothing is told as 0.
        if told != 0 && told != self.given {
            return Err(damaged("its content has another size than it says"));
        }
        Ok(())
    }
}

impl<R: Read> Read for Safe<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.is_within && !self.begin()? {
                return Ok(0);
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder
                    .decode_blocks(&mut self.source, one)
                    .map_err(damaged)?;
            }
            let read = self.decoder.read(buffer)?;
            self.given += read as u64;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            self.end()?;
        }
    }
}
