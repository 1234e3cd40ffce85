//! The field `:authority` in a block of headers (RFC 7541).
//!
//! A client writes an authority out once and then names it by its place in a table that both sides keep. Only where it is
//! written out is it looked for, so the table need not be known here.
//!
//! Invariant: an answer for any bytes; nothing is copied but the names and the one value that are asked for.

use super::huffman;
use std::borrow::Cow;
use std::ops::Range;

const NAME: &[u8] = b":authority";
/// The name's index in the table that every connection begins with (appendix A).
const NAME_INDEX: usize = 1;
/// Set in the length of a text that is packed.
const PACKED: u8 = 0x80;

/// An authority that is written out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Authority {
    /// Where its length and text lie in the block.
    pub(super) place: Range<usize>,
    pub(super) text: Vec<u8>,
}

/// The first authority that is written out in a block. Nothing if there is none, or the block is malformed before it.
pub(super) fn authority(block: &[u8]) -> Option<Authority> {
    let mut reader = Reader { block, at: 0 };
    loop {
        let (is_written_out, bits) = match *block.get(reader.at)? {
            0x80.. => (false, 7),
            0x40.. => (true, 6),
            // Another size of the table.
            0x20.. => (false, 5),
            _ => (true, 4),
        };
        let index = reader.integer(bits)?;
        if !is_written_out {
            continue;
        }
        let is_authority = match index {
            0 => *reader.text()?.unpacked()? == *NAME,
            index => index == NAME_INDEX,
        };
        let start = reader.at;
        let text = reader.text()?;
        if is_authority {
            return Some(Authority {
                place: start..reader.at,
                text: text.unpacked()?.into_owned(),
            });
        }
    }
}

/// A text with its length before it, not packed.
pub(super) fn literal(text: &[u8]) -> Vec<u8> {
    let mut literal = Vec::with_capacity(text.len() + 4);
    let most = usize::from(PACKED - 1);
    let [mut low, ..] = text.len().to_le_bytes();
    if let Some(mut rest) = text.len().checked_sub(most) {
        literal.push(PACKED - 1);
        [low, ..] = rest.to_le_bytes();
        while rest > 0x7f {
            literal.push(low | 0x80);
            rest >>= 7;
            [low, ..] = rest.to_le_bytes();
        }
    }
    literal.push(low);
    literal.extend_from_slice(text);
    literal
}

struct Reader<'a> {
    block: &'a [u8],
    at: usize,
}

struct Text<'a> {
    is_packed: bool,
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.block.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    /// A number whose beginning is the last bits of a byte (5.1), of up to 28 bits more.
    fn integer(&mut self, bits: u32) -> Option<usize> {
        let most = (1 << bits) - 1;
        let mut number = usize::from(self.byte()?) & most;
        if number < most {
            return Some(number);
        }
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            number += usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// A text with its length (5.2).
    fn text(&mut self) -> Option<Text<'a>> {
        let is_packed = self.block.get(self.at)? & PACKED != 0;
        let length = self.integer(7)?;
        let bytes = self.block.get(self.at..)?.get(..length)?;
        self.at += length;
        Some(Text { is_packed, bytes })
    }
}

impl<'a> Text<'a> {
    fn unpacked(self) -> Option<Cow<'a, [u8]>> {
        match self.is_packed {
            true => huffman::unpacked(self.bytes).map(Cow::Owned),
            false => Some(Cow::Borrowed(self.bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(digits: &str) -> Vec<u8> {
        let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        (0..digits.len()).step_by(2).map(byte).collect()
    }

    /// Blocks of `POST /x` to `/run/mica/containerd.sock`, as the clients sent them.
    #[test]
    fn what_clients_send_is_found() {
        for (client, block, text) in [
            (
                "grpcio 1.85.3: the name is written out",
                "40053a70617468022f78400a3a617574686f726974791c72756e2532466d696361253246636f6e7461696e6572642e736f636b8386",
                "run%2Fmica%2Fcontainerd.sock",
            ),
            (
                "grpc-js 1.14.7, with `grpc.default_authority`",
                "419262cb6a6293106c10f52466a8b648ba0e4ebf8304022f7886",
                "/run/mica/containerd.sock",
            ),
            (
                "grpc-go 1.33.3, with a dialer of its own",
                "838645022f78419262cb6a6293106c10f52466a8b648ba0e4ebf5f8b1d75d0620d263d4c4d65647a",
                "/run/mica/containerd.sock",
            ),
            (
                "grpc-go 1.33.3, as containerd uses it",
                "838645022f784186a0e41d139d095f8b1d75d0620d263d4c4d65647a",
                "localhost",
            ),
        ] {
            let block = bytes(block);
            let found = authority(&block).unwrap();
            assert_eq!(String::from_utf8(found.text).unwrap(), text, "{client}");
            let rest = block.get(found.place.end..).unwrap();
            let replaced = [&block[..found.place.start], &literal(b"x"), rest].concat();
            assert_eq!(authority(&replaced).unwrap().text, b"x", "{client}");
        }
    }

    #[test]
    fn other_forms_of_fields_are_passed_over() {
        let path = literal(b"/p");
        for (what, before) in [
            ("a new size of the table", vec![0x3f, 0xe1, 0x1f]),
            ("a place in the table, of many bits", vec![0xff, 0x80, 0x01]),
            ("a field that is not kept", [&[0x04][..], &path].concat()),
            (
                "a field that is never kept",
                [&[0x1f, 0x2f][..], &path].concat(),
            ),
            (
                "another name",
                [&[0x40][..], &literal(b"te"), &path].concat(),
            ),
        ] {
            for kept in [0x41, 0x01, 0x11] {
                let block = [&*before, &[kept], &path].concat();
                let found = authority(&block).unwrap();
                assert_eq!(
                    (found.place.start, &*found.text),
                    (before.len() + 1, &b"/p"[..]),
                    "{what}"
                );
                // Cut off wherever you like, it is none.
                for length in 0..block.len() {
                    assert_eq!(authority(&block[..length]), None, "{what}");
                }
            }
        }
        // Numbers and lengths that are too large, and a text that is packed wrongly.
        for wrong in [
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0x01][..],
            &[0x41, 0x7f, 0xff, 0xff, 0xff, 0x7f, 0],
            &[0x41, 0x81, 0x00],
            &[0x40, 0x81, 0x00, 0x01, 0x61],
        ] {
            assert_eq!(authority(wrong), None, "{wrong:x?}");
        }
    }

    #[test]
    fn a_length_of_any_size_is_read_again() {
        for length in [0, 1, 126, 127, 128, 254, 255, 256, 16_383, 16_511, 70_000] {
            let text = vec![b'a'; length];
            let block = [&[0x41][..], &literal(&text)].concat();
            let found = authority(&block).unwrap();
            assert_eq!((found.place.end, found.text), (block.len(), text));
        }
    }
}
