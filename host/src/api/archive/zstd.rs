//! zstd: any number of frames, skippable ones among them.
//!
//! Invariant: a frame with a larger window than allowed is refused before memory is taken for it, and a frame whose
//! checksum does not fit is an error.

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::io::{self, BufRead, Read};

/// Decompresses frame after frame.
pub(super) struct Frames<R> {
    source: R,
    decoder: FrameDecoder,
    is_within: bool,
}

impl<R: BufRead> Frames<R> {
    /// A decompressor that takes windows of up to `window` bytes.
    pub(super) fn new(source: R, window: u64) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(window);
        Self {
            source,
            decoder,
            is_within: false,
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
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let skipped = (&mut self.source).take(length.into());
                    io::copy(&mut { skipped }, &mut io::sink())?;
                }
                Err(error) => return Err(damaged(&error)),
            }
        }
    }

    fn end(&mut self) -> io::Result<()> {
        self.is_within = false;
        let told = self.decoder.get_checksum_from_data();
        if told.is_some() && told != self.decoder.get_calculated_checksum() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "zstd: the checksum does not fit",
            ));
        }
        Ok(())
    }
}

fn damaged(error: &FrameDecoderError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("zstd: {error}"))
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.is_within && !self.begin()? {
                return Ok(0);
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder
                    .decode_blocks(&mut self.source, one)
                    .map_err(|error| damaged(&error))?;
            }
            let read = self.decoder.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            self.end()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    fn unpack(packed: &[u8], window: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        Frames::new(packed, window)
            .read_to_end(&mut bytes)
            .map(|_| bytes)
    }

    fn pack(bytes: &[u8]) -> Vec<u8> {
        compress_to_vec(bytes, CompressionLevel::Fastest)
    }

    #[test]
    fn frames_follow_one_another_and_some_are_skipped() {
        let mut packed = vec![0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
        packed.extend(pack(b"hello "));
        packed.extend([0x5f, 0x2a, 0x4d, 0x18, 0, 0, 0, 0]);
        packed.extend(pack(b"world"));
        assert_eq!(unpack(&packed, 1 << 27).unwrap(), b"hello world");
    }

    #[test]
    fn what_is_damaged_or_cut_is_an_error() {
        let packed = pack(&vec![7; 100_000]);
        for cut in [5, packed.len() / 2, packed.len() - 1] {
            assert!(unpack(&packed[..cut], 1 << 27).is_err(), "cut at {cut}");
        }
        assert!(unpack(b"\x28\xb5\x2f\xfdjunk that is no frame", 1 << 27).is_err());
    }

    #[test]
    fn a_window_that_is_too_large_is_refused() {
        // No single segment, a window of 2 GiB: exponent 21 above 2^10.
        let error = unpack(&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 1, 0, 0], 1 << 20).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
    }
}
