//! Text that is packed in the code of RFC 7541, appendix B.
//!
//! The code is canonical: codes of one length follow each other in the order of the bytes that they stand for, shorter
//! ones come first. So the bytes in the order of their codes, and the count of each length, say all of it. (The crates
//! that have it take paddings that h2 refuses, or bring a whole HPACK.)
//!
//! Invariant: an answer for any bytes; what RFC 7541, 5.2 calls an error is none.

/// How many codes have 0 bits, 1 bit, 2 bits and so on. The last one of 30 bits, no byte's, is left out.
const COUNTS: [usize; 31] = [
    0, 0, 0, 0, 0, 10, 26, 32, 6, 0, 5, 3, 2, 6, 2, 3, 0, 0, 0, 3, 8, 13, 26, 29, 12, 4, 15, 19,
    29, 0, 3,
];

/// The bytes in the order of their codes.
const BYTES: &[u8; 256] = b"012aceiost %-./3456789=A_bdfghlmnpru:BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz&*,;XZ!\"()?'+|#>\0$@[]~\
    ^}<`{\\\xc3\xd0\x80\x82\x83\xa2\xb8\xc2\xe0\xe2\x99\xa1\xa7\xac\xb0\xb1\xb3\xd1\xd8\xd9\xe3\xe5\xe6\x81\x84\x85\x86\
    \x88\x92\x9a\x9c\xa0\xa3\xa4\xa9\xaa\xad\xb2\xb5\xb9\xba\xbb\xbd\xbe\xc4\xc6\xe4\xe8\xe9\x01\x87\x89\x8a\x8b\x8c\x8d\
    \x8f\x93\x95\x96\x97\x98\x9b\x9d\x9e\xa5\xa6\xa8\xae\xaf\xb4\xb6\xb7\xbc\xbf\xc5\xe7\xef\t\x8e\x90\x91\x94\x9f\xab\
    \xce\xd7\xe1\xec\xed\xc7\xcf\xea\xeb\xc0\xc1\xc8\xc9\xca\xcd\xd2\xd5\xda\xdb\xee\xf0\xf2\xf3\xff\xcb\xcc\xd3\xd4\xd6\
    \xdd\xde\xdf\xf1\xf4\xf5\xf6\xf7\xf8\xfa\xfb\xfc\xfd\xfe\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\x10\x11\x12\x13\
    \x14\x15\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\x7f\xdc\xf9\n\r\x16";

/// A code of which some bits have come.
#[derive(Default)]
struct Code {
    bits: usize,
    length: usize,
    /// The first code of this length, and its place in [`BYTES`].
    first: usize,
    place: usize,
}

/// The text. Nothing if there is no such text.
pub(super) fn unpacked(packed: &[u8]) -> Option<Vec<u8>> {
    let (mut text, mut code) = (Vec::with_capacity(packed.len() * 2), Code::default());
    for byte in packed {
        for bit in (0..8).rev() {
            let count = code.push(usize::from(byte >> bit & 1))?;
            let nth = code.bits - code.first;
            if nth < count {
                text.push(*BYTES.get(code.place + nth)?);
                code = Code::default();
            }
        }
    }
    // A byte is filled up with ones.
    let is_filled = code.length < 8 && code.bits + 1 == 1 << code.length;
    is_filled.then_some(text)
}

impl Code {
    /// Appends a bit, and answers how many codes have this length. Nothing if none is so long.
    fn push(&mut self, bit: usize) -> Option<usize> {
        let shorter = COUNTS.get(self.length)?;
        self.length += 1;
        self.place += shorter;
        self.first = (self.first + shorter) << 1;
        self.bits = self.bits << 1 | bit;
        COUNTS.get(self.length).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The code of each byte, as the appendix has it: `0` is 00000, and each next is one more, shifted to its length.
    fn pack(text: &[u8]) -> Vec<u8> {
        let mut bits = String::new();
        for byte in text {
            let place = BYTES.iter().position(|known| known == byte).unwrap();
            let (mut code, mut before) = (0, 0);
            for (length, count) in COUNTS.into_iter().enumerate() {
                code <<= 1;
                if place < before + count {
                    bits += &format!("{:0length$b}", code + place - before);
                    break;
                }
                code += count;
                before += count;
            }
        }
        while !bits.len().is_multiple_of(8) {
            bits.push('1');
        }
        let byte = |at| u8::from_str_radix(&bits[at..at + 8], 2).unwrap();
        (0..bits.len()).step_by(8).map(byte).collect()
    }

    #[test]
    fn the_code_is_whole() {
        assert_eq!(BYTES.iter().collect::<BTreeSet<_>>().len(), 256);
        assert_eq!(COUNTS.iter().sum::<usize>(), 256);
        // One code of 30 bits is no byte's (RFC 7541, 5.2).
        let used: u64 = (0..=30)
            .map(|length| (COUNTS[length] as u64) << (30 - length))
            .sum();
        assert_eq!(used, (1 << 30) - 1);
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(unpacked(&pack(&all)), Some(all));
    }

    /// RFC 7541, C.4.
    #[test]
    fn the_examples_of_the_rfc_are_read() {
        for (packed, text) in [
            (
                &[
                    0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff,
                ][..],
                "www.example.com",
            ),
            (&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf], "no-cache"),
            (
                &[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f],
                "custom-key",
            ),
            (&[], ""),
        ] {
            assert_eq!(unpacked(packed).as_deref(), Some(text.as_bytes()));
        }
    }

    #[test]
    fn a_wrong_end_is_no_text() {
        // A padding of zeros, a whole byte of it, and the code that is no byte's.
        for wrong in [
            &[0x6e << 1][..],
            &[0xa8, 0xff, 0xff],
            &[0xff, 0xff, 0xff, 0xfc],
            &[0xff; 5],
        ] {
            assert_eq!(unpacked(wrong), None, "{wrong:x?}");
        }
    }
}
