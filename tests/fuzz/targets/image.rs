//! Any bytes as an image, with the checksum that they should have: there is an answer, and the same each time.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mica_erofs_check::check;

/// Where the checksum is, and what it is of.
const CHECKSUM: std::ops::Range<usize> = 1028..1032;
const CHECKED: std::ops::Range<usize> = 1024..1536;

fuzz_target!(|bytes: &[u8]| {
    let mut image = bytes.to_vec();
    if image.len() >= CHECKED.end {
        image[CHECKSUM].fill(0);
        let sum = image[CHECKED].iter().fold(u32::MAX, |sum, byte| {
            (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
                (sum >> 1) ^ if sum & 1 == 1 { 0x82f6_3b78 } else { 0 }
            })
        });
        image[CHECKSUM].copy_from_slice(&sum.to_le_bytes());
    }
    assert_eq!(check(&image), check(&image));
});
