//! Frames of HTTP/2 as a client sends them (RFC 9113, 4.1 and 6.2).
//!
//! Invariant: holds at most one frame of headers, of the length that h2 takes; no other payload is held or looked at.

use super::field::{self, Authority};
use axum::http::uri;
use std::ops::Range;

/// Bytes that come before the first frame. Whether they are the right ones is h2's matter.
const PREFACE_BYTES: usize = 24;
/// Bytes of a frame before its payload.
const HEAD_BYTES: usize = 9;
/// Bytes of a payload, at most: h2 refuses longer ones, because its SETTINGS do not ask for them.
const PAYLOAD_BYTES: usize = 16 << 10;
/// The type of the frame that headers begin with. A client sends `:authority` before the fields that have no colon, so
/// it is never in the CONTINUATION frames that may follow.
const HEADERS: u8 = 1;
/// The payload begins with the length of what it ends with.
const PADDED: u8 = 0x8;
/// Then it has five bytes of priority.
const PRIORITY: u8 = 0x20;

/// What comes on one connection, in pieces of any length.
#[derive(Debug)]
pub(super) struct Frames {
    /// Bytes to come that are handed on unseen.
    unseen: usize,
    /// The beginning of a frame.
    held: Vec<u8>,
    kind: Kind,
}

/// What is known of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Unknown,
    /// Its authorities are replaced.
    Odd,
    /// h2 takes what it sends, or will refuse it anyway.
    Usual,
}

/// The beginning of a frame.
struct Head {
    length: usize,
    kind: u8,
    flags: u8,
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            unseen: PREFACE_BYTES,
            held: Vec::new(),
            kind: Kind::Unknown,
        }
    }
}

impl Head {
    fn read(bytes: &[u8]) -> Option<Self> {
        let [high, middle, low, kind, flags, ..] = *bytes.first_chunk::<HEAD_BYTES>()?;
        let length = u32::from_be_bytes([0, high, middle, low]);
        Some(Self {
            length: usize::try_from(length).ok()?,
            kind,
            flags,
        })
    }
}

impl Frames {
    /// Whether all that comes is handed on as it is.
    pub(super) fn is_aside(&self) -> bool {
        self.kind == Kind::Usual
    }

    /// Takes what has come, and appends what is to be handed on.
    pub(super) fn pass(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while !bytes.is_empty() && !self.is_aside() {
            let wanted = match self.unseen {
                0 => self.missing(),
                unseen => unseen,
            };
            let (now, rest) = bytes.split_at(wanted.min(bytes.len()));
            bytes = rest;
            if self.unseen > 0 {
                self.unseen -= now.len();
                out.extend_from_slice(now);
            } else {
                self.held.extend_from_slice(now);
                self.look(out);
            }
        }
        out.extend_from_slice(bytes);
    }

    /// Appends what is held of a frame of which no more comes.
    pub(super) fn end(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.held);
        self.kind = Kind::Usual;
    }

    /// Bytes that the frame still needs before it is looked at.
    fn missing(&self) -> usize {
        let payload = Head::read(&self.held).map_or(0, |head| head.length);
        HEAD_BYTES + payload - self.held.len()
    }

    /// Hands the frame on, if it is known well enough.
    fn look(&mut self, out: &mut Vec<u8>) {
        let Some(head) = Head::read(&self.held) else {
            return;
        };
        if head.kind != HEADERS {
            self.unseen = head.length;
        } else if head.length > PAYLOAD_BYTES {
            self.kind = Kind::Usual;
        } else if self.missing() > 0 {
            return;
        } else {
            self.judge(&head);
        }
        out.append(&mut self.held);
    }

    /// Replaces the authority of a whole frame, if h2 would refuse it.
    fn judge(&mut self, head: &Head) {
        let block = block(&self.held, head);
        let found = block.and_then(|at| Some((at.start, field::authority(self.held.get(at)?)?)));
        let Some((start, authority)) = found else {
            return;
        };
        if !is_usual(&authority.text) {
            self.kind = Kind::Odd;
            self.replace(start, authority);
        } else if self.kind == Kind::Unknown {
            self.kind = Kind::Usual;
        }
    }

    /// Puts another authority into the held frame. Both have the same length, so that the tables of fields, client's and
    /// h2's, go on being evicted from alike (RFC 7541, 4.1).
    fn replace(&mut self, start: usize, authority: Authority) {
        let place = start + authority.place.start..start + authority.place.end;
        let text: Vec<u8> = authority.text.iter().map(|byte| usual(*byte)).collect();
        let literal = field::literal(&text);
        let payload = self.held.len() - HEAD_BYTES - place.len() + literal.len();
        // An empty one cannot be replaced so.
        if payload > PAYLOAD_BYTES || !is_printable(&authority.text) || !is_usual(&text) {
            return;
        }
        self.held.splice(place, literal);
        let length = u32::try_from(payload).expect("checked above").to_be_bytes();
        for (old, new) in self.held.iter_mut().zip(length.into_iter().skip(1)) {
            *old = new;
        }
    }
}

/// Where a whole frame of headers has its fields.
fn block(frame: &[u8], head: &Head) -> Option<Range<usize>> {
    let (mut start, mut end) = (HEAD_BYTES, frame.len());
    if head.flags & PADDED != 0 {
        end = end.checked_sub(usize::from(*frame.get(start)?))?;
        start += 1;
    }
    if head.flags & PRIORITY != 0 {
        start += 5;
    }
    (start <= end).then_some(start..end)
}

/// Whether h2 takes an authority: it asks the same parser.
fn is_usual(authority: &[u8]) -> bool {
    uri::Authority::try_from(authority).is_ok()
}

/// Whether nothing speaks against replacing it. A NUL or the end of a line must be refused (RFC 9113, 8.2.1), and h2 ends the
/// connection for what is no UTF-8; replaced, both would be served.
fn is_printable(authority: &[u8]) -> bool {
    str::from_utf8(authority).is_ok_and(|text| !text.chars().any(char::is_control))
}

/// What stands for a byte of an authority.
fn usual(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'.' => byte,
        _ => b'-',
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    /// `:method: POST` and an authority by the index of its name.
    fn fields(authority: &[u8]) -> Vec<u8> {
        [&[0x83, 0x41][..], &field::literal(authority)].concat()
    }

    pub(in super::super) fn headers(authority: &[u8]) -> Vec<u8> {
        frame(HEADERS, 0x4, &fields(authority))
    }

    fn pass(sent: &[u8], at_once: usize) -> Vec<u8> {
        let (mut frames, mut out) = (Frames::default(), Vec::new());
        for piece in sent.chunks(at_once) {
            frames.pass(piece, &mut out);
            assert!(frames.held.len() <= HEAD_BYTES + PAYLOAD_BYTES);
        }
        frames.end(&mut out);
        out
    }

    /// What becomes of frames, however they come.
    fn check(what: &str, sent: &[Vec<u8>], expected: &[Vec<u8>]) {
        let sent = [PREFACE.to_vec(), sent.concat()].concat();
        let expected = [PREFACE.to_vec(), expected.concat()].concat();
        for at_once in [1, 2, 7, 100, sent.len()] {
            assert_eq!(pass(&sent, at_once), expected, "{what}, {at_once} at once");
        }
    }

    const PATH: &[u8] = b"/run/a%b.sock";
    const REPLACED: &[u8] = b"-run-a-b.sock";

    #[test]
    fn every_authority_of_an_odd_client_is_replaced() {
        let data = || frame(0, 0, &headers(PATH));
        let continued = || frame(9, 0, &fields(PATH));
        let empty = || frame(HEADERS, 0x5, &[]);
        let sent = [
            frame(4, 0, &[0; 12]),
            headers(PATH),
            data(),
            empty(),
            headers(b"localhost"),
            continued(),
            headers(PATH),
        ];
        let mut expected = sent.clone();
        expected[1] = headers(REPLACED);
        expected[6] = headers(REPLACED);
        check("all kinds", &sent, &expected);
    }

    #[test]
    fn after_an_authority_that_is_taken_nothing_is_looked_at() {
        for usual in [&b"localhost"[..], b"[::1]:80", b"a-b.c:1"] {
            let sent = [headers(usual), headers(PATH)];
            check("usual", &sent, &sent);
        }
    }

    #[test]
    fn padding_and_priority_stay() {
        let around = |authority| [&[3, 1, 2, 3, 4, 5], &*fields(authority), &[0; 3]].concat();
        let flags = 0x4 | PADDED | PRIORITY;
        check(
            "padded",
            &[frame(HEADERS, flags, &around(PATH))],
            &[frame(HEADERS, flags, &around(REPLACED))],
        );
    }

    #[test]
    fn a_path_in_any_language_is_replaced() {
        check(
            "a path beyond ASCII",
            &[headers("/run/größe".as_bytes())],
            &[headers(b"-run-gr----e")],
        );
    }

    #[test]
    fn what_is_malformed_or_too_long_is_handed_on_as_it_is() {
        let long = vec![b'/'; PAYLOAD_BYTES + 1];
        // Four slashes of six bits each are three bytes when they are packed.
        let mut packed = fields(&[0x61, 0x86, 0x18].repeat(5000));
        packed[2] |= 0x80;
        for (what, flags, payload) in [
            ("no authority", 0x4, fields(b"")),
            ("the end of a line", 0x4, fields(b"/run/\r\nm.sock")),
            ("a NUL", 0x4, fields(b"/run/\0")),
            ("what is no UTF-8", 0x4, fields(b"/run/\xff")),
            ("more padding than payload", PADDED, vec![200, 1, 2]),
            ("no room for its priority", PRIORITY, vec![1, 2, 3]),
            ("no length of its padding", PADDED, Vec::new()),
            ("a cut field", 0x4, fields(PATH)[..6].to_vec()),
            ("a longer frame than is taken", 0x4, fields(&long)),
            ("a frame that would be too long", 0x4, packed),
        ] {
            let sent = [frame(HEADERS, flags, &payload)];
            check(what, &sent, &sent);
        }
    }

    /// What comes out depends on the bytes alone, whatever they are.
    #[test]
    fn any_bytes_are_handed_on_alike_however_they_come() {
        let good = [
            PREFACE,
            &frame(4, 0, &[0; 12]),
            &headers(PATH),
            &frame(0, 1, b"data"),
            &headers(PATH),
        ];
        let good = good.concat();
        let mut state = 1_u64;
        let mut random = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % below as u64).unwrap()
        };
        for _ in 0..3000 {
            let mut sent = good.clone();
            for _ in 0..=random(6) {
                let at = PREFACE.len() + random(sent.len() - PREFACE.len());
                sent[at] = u8::try_from(random(256)).unwrap();
            }
            let whole = pass(&sent, sent.len());
            // Nothing here is packed, so nothing becomes longer.
            assert!(whole.len() <= sent.len() + 8, "{sent:x?}");
            for at_once in [1, 1 + random(40)] {
                assert_eq!(pass(&sent, at_once), whole, "{sent:x?}");
            }
        }
    }
}
