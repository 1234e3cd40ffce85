//! CRC-32C as EROFS has it: begun with all ones, not inverted at the end.

/// The polynomial of Castagnoli, least significant bit first.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// The checksum of some bytes.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ if sum & 1 == 1 { POLYNOMIAL } else { 0 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check value of CRC-32C, RFC 3720 appendix B.4, is inverted at the end.
    #[test]
    fn the_checksum_is_castagnolis() {
        assert_eq!(!crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(!crc32c(&[0; 32]), 0x8a91_36aa);
    }
}
