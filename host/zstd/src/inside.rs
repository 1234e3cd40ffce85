//! The life of the process that decompresses.
//!
//! Invariant: before the first byte is read, everything is given away that is not needed for computing; where that does not
//! succeed, the decoder in safe Rust takes libzstd's place.

use crate::safe::Safe;
use crate::{BUFFER_BYTES, CUT, Window, damaged};
use mica_sys::ProcessLimits;
use mica_sys::confine::{self, Wall};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

/// Bytes beside the window: this program, and the decoder's tables and buffers.
const MEMORY_BYTES: u64 = 1 << 30;
/// Processor time: an archive of a tebibyte takes half an hour.
const CPU_SECONDS: u64 = 24 * 60 * 60;
/// The windows that libzstd can be told to refuse, as powers of two.
const LIBRARY_WINDOWS: std::ops::RangeInclusive<u32> = 10..=31;

/// Does a job: confines this process and decompresses from standard input to standard output; what is wrong goes to standard
/// error, and the exit code must tell that there is something. Only for a process that was started for this and has one
/// thread.
///
/// # Errors
/// What is wrong, as text.
pub fn inflate_child(job: &str) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    let numbers = job.split_once(' ').and_then(|(window, parent)| {
        let window = window.parse().ok().map(Window)?;
        Some((window, parent.parse().ok()?))
    });
    let (window, parent) = numbers.ok_or("no job")?;
    let is_closed = mica_sys::close_extra_fds().is_ok();
    confine::end_with_parent(parent).map_err(text)?;
    let input = io::stdin().as_fd().try_clone_to_owned().map_err(text)?;
    let output = io::stdout().as_fd().try_clone_to_owned().map_err(text)?;
    let (input, mut output) = (File::from(input), File::from(output));
    let lacks = confine::give_away(ProcessLimits {
        address_space: window.bytes().saturating_add(MEMORY_BYTES),
        cpu_seconds: CPU_SECONDS,
    });
    let lacks = lacks.map_err(text)?;
    let is_needed = |wall| matches!(wall, Wall::Privileges | Wall::SystemCalls);
    let is_confined = is_closed && lacks.iter().all(|lack| !is_needed(lack.wall));
    if is_confined {
        fast(input, &mut output, window)
    } else {
        io::copy(&mut Safe::new(input, window), &mut output).map(drop)
    }
    .map_err(text)
}

/// Decompresses by libzstd.
fn fast(mut input: impl Read, output: &mut impl Write, window: Window) -> io::Result<()> {
    let no_memory = || io::Error::from(io::ErrorKind::OutOfMemory);
    let mut decoder = DCtx::try_create().ok_or_else(no_memory)?;
    let most = window
        .0
        .clamp(*LIBRARY_WINDOWS.start(), *LIBRARY_WINDOWS.end());
    let failed = |code| damaged(zstd_safe::get_error_name(code));
    decoder
        .set_parameter(DParameter::WindowLogMax(most))
        .map_err(failed)?;
    let mut packed = vec![0; BUFFER_BYTES];
    let mut plain = vec![0; BUFFER_BYTES];
    let (mut ready, mut is_within) = (0, false);
    loop {
        let count = match input.read(&mut packed) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        if count == 0 {
            break;
        }
        let mut from = InBuffer::around(packed.get(..count).unwrap_or_default());
        loop {
            let mut to = OutBuffer::around_pos(&mut *plain, ready);
            // How much it would like to read next: nothing only where a frame has ended and all of it was handed out.
            let wants = decoder
                .decompress_stream(&mut to, &mut from)
                .map_err(failed)?;
            is_within = wants > 0;
            ready = to.pos();
            let is_full = ready == BUFFER_BYTES;
            if is_full {
                output.write_all(&plain)?;
                ready = 0;
            }
            // What fills the buffer may be followed by more of the same frame that needs no more input.
            if from.pos() == count && !(is_full && is_within) {
                break;
            }
        }
    }
    output.write_all(plain.get(..ready).unwrap_or_default())?;
    if is_within {
        return Err(damaged(CUT));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use zstd_safe::CCtx;
    use zstd_safe::CParameter::{ChecksumFlag, CompressionLevel, ContentSizeFlag, WindowLog};

    const WINDOW: Window = Window(27);

    fn by_libzstd(packed: &[u8], window: Window) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        fast(packed, &mut plain, window).map(|()| plain)
    }

    fn by_rust(packed: &[u8], window: Window) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        let read = Safe::new(packed, window).read_to_end(&mut plain);
        read.map(|_| plain)
    }

    /// What both make of some bytes, which must be the same.
    fn both(packed: &[u8], window: Window) -> io::Result<Vec<u8>> {
        let (fast, safe) = (by_libzstd(packed, window), by_rust(packed, window));
        match (&fast, &safe) {
            (Ok(fast), Ok(safe)) => assert!(fast == safe, "they differ"),
            (Err(fast), Err(safe)) => assert_eq!((fast.kind(), safe.kind()), (KIND, KIND)),
            _ => panic!("only one takes it: {:?} {:?}", fast.err(), safe.err()),
        }
        fast
    }

    const KIND: io::ErrorKind = io::ErrorKind::InvalidData;

    /// A frame that has a checksum, a size, and a window of this power of two.
    fn pack(plain: &[u8], level: i32, window: u32) -> Vec<u8> {
        let mut encoder = CCtx::create();
        for parameter in [
            CompressionLevel(level),
            ChecksumFlag(true),
            ContentSizeFlag(true),
            WindowLog(window),
        ] {
            encoder.set_parameter(parameter).unwrap();
        }
        let mut packed = vec![0; zstd_safe::compress_bound(plain.len())];
        let length = encoder.compress2(&mut *packed, plain).unwrap();
        packed.truncate(length);
        packed
    }

    /// Bytes that compress, with matches near and far.
    fn content(size: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let mut bytes = Vec::with_capacity(size);
        while bytes.len() < size {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let from = (state as usize >> 3) % (bytes.len() + 1);
            let to = bytes.len().min(from + (state as usize >> 25));
            bytes.extend_from_within(from..to);
            bytes.extend(state.to_be_bytes());
        }
        bytes.truncate(size);
        bytes
    }

    #[test]
    fn frames_follow_one_another_and_some_are_skipped() {
        let large = content(3 * BUFFER_BYTES + 5);
        for plain in [&b""[..], b"x", &large[..BUFFER_BYTES], &large] {
            for level in [1, 3, 19] {
                let packed = [
                    &[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3][..],
                    &pack(plain, level, 20),
                    &[0x5f, 0x2a, 0x4d, 0x18, 0, 0, 0, 0],
                    &pack(b"", level, 10),
                    &pack(plain, level, 10),
                ];
                let read = both(&packed.concat(), WINDOW).unwrap();
                assert!(read == [plain, plain].concat());
            }
        }
    }

    #[test]
    fn what_is_cut_is_an_error() {
        let packed = pack(&content(1000), 3, 20);
        for cut in 1..packed.len() {
            both(&packed[..cut], WINDOW).unwrap_err();
        }
        both(&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2], WINDOW).unwrap_err();
        for rest in [&b"\0"[..], &packed[..3], b"no frame"] {
            both(&[&packed, rest].concat(), WINDOW).unwrap_err();
        }
    }

    #[test]
    fn a_checksum_that_does_not_fit_is_an_error() {
        let mut packed = pack(&content(100_000), 3, 20);
        let last = packed.len() - 1;
        packed[last] ^= 1;
        both(&packed, WINDOW).unwrap_err();
    }

    #[test]
    fn a_frame_that_says_another_size_than_it_has_is_an_error() {
        let mut encoder = CCtx::create();
        let plain = content(100_000);
        encoder.set_parameter(ContentSizeFlag(true)).unwrap();
        let mut packed = vec![0; zstd_safe::compress_bound(plain.len())];
        let length = encoder.compress2(&mut *packed, &plain).unwrap();
        packed.truncate(length);
        assert_eq!(both(&packed, WINDOW).unwrap(), plain);
        // Four bytes of size stand behind the descriptor of a single segment.
        assert_eq!(packed[4] & 0b1110_0000, 0b1010_0000);
        packed[5] ^= 1;
        both(&packed, WINDOW).unwrap_err();
    }

    #[test]
    fn a_window_that_is_too_large_is_refused() {
        let packed = pack(&content(3 << 20), 3, 21);
        both(&packed, Window(21)).unwrap();
        both(&packed, Window(20)).unwrap_err();
        // No single segment, a window of 2 GiB: exponent 21 above 2^10.
        both(&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 1, 0, 0], WINDOW).unwrap_err();
        // A single segment that says to have 2^62 bytes.
        let lie = 1_u64 << 62;
        let packed = [
            &[0x28, 0xb5, 0x2f, 0xfd, 0xe0][..],
            &lie.to_le_bytes(),
            &[1, 0, 0],
        ];
        both(&packed.concat(), WINDOW).unwrap_err();
    }

    #[test]
    fn a_dictionary_that_no_one_has_is_an_error() {
        // A dictionary of number 7, a window of 2^10, and a last block without bytes.
        both(&[0x28, 0xb5, 0x2f, 0xfd, 0x01, 0, 7, 1, 0, 0], WINDOW).unwrap_err();
    }

    proptest! {
        #[test]
        fn damage_is_no_crash_and_not_taken_for_what_was_packed(
            size in 0_usize..300_000,
            damage in proptest::collection::vec((any::<proptest::sample::Index>(), 1_u8..), 1..4),
        ) {
            let plain = content(size);
            let mut packed = pack(&plain, 3, 18);
            for (place, bits) in damage {
                let length = packed.len();
                packed[place.index(length)] ^= bits;
            }
            // Bits that count for nothing may change, and a frame may become one that is skipped.
            if let Ok(read) = by_libzstd(&packed, WINDOW) {
                prop_assert!(read == plain || read.is_empty());
            }
        }
    }
}
