//! Any bytes of a client of containerd's socket, in pieces of any length, on their way to h2.
//!
//! What h2 sees is told apart from what was sent by a reading of its own: frame by frame the same, but for the one text of
//! an authority. The first two bytes of the input are the lengths of the pieces, as they come and as they are read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mica::fuzzing::pass;

const PREFACE_BYTES: usize = 24;
const HEAD_BYTES: usize = 9;
const PAYLOAD_BYTES: usize = 16 << 10;
const HEADERS: u8 = 1;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
/// Bytes that may be kept back: a frame, and what came with it in one read.
const KEPT_BYTES: usize = HEAD_BYTES + PAYLOAD_BYTES + (4 << 10);

/// What stands before the text of an authority: the name by its index, in three forms, and written out, in two.
const NAMES: [&[u8]; 5] = [
    b"\x41",
    b"\x01",
    b"\x11",
    b"\x0a:authority",
    b"\x88\xb8\x3b\x53\x39\xec\x32\x7d\x7f",
];

/// A text in a block of headers, and what follows it.
struct Text<'a> {
    is_packed: bool,
    text: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Text<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (first, mut rest) = bytes.split_first()?;
        let mut length = usize::from(first & 0x7f);
        if length == 0x7f {
            let count = 1 + rest.iter().take_while(|byte| **byte >= 0x80).count();
            if count > 4 {
                return None;
            }
            let (more, after) = rest.split_at_checked(count)?;
            length += more
                .iter()
                .rev()
                .fold(0, |sum, byte| sum << 7 | usize::from(byte & 0x7f));
            rest = after;
        }
        let (text, rest) = rest.split_at_checked(length)?;
        let is_packed = first & 0x80 != 0;
        Some(Self {
            is_packed,
            text,
            rest,
        })
    }

    /// Whether this text is replaced by the other, as the decision 0040 has it.
    fn becomes(&self, other: &Self) -> bool {
        let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b".-".contains(byte);
        if other.is_packed || !other.text.iter().all(is_allowed) {
            return false;
        }
        if self.is_packed {
            // A byte has a code of 5 to 30 bits.
            let bits = self.text.len() * 8;
            return (bits / 30..=bits / 5).contains(&other.text.len());
        }
        let replaced = |byte: &u8| if is_allowed(byte) { *byte } else { b'-' };
        self.text
            .iter()
            .map(replaced)
            .eq(other.text.iter().copied())
    }
}

/// Whether two payloads are the same but for the text of one authority among the fields.
fn is_replaced(flags: u8, old: &[u8], new: &[u8]) -> bool {
    let has = |flag| usize::from(flags & flag != 0);
    let padding = has(PADDED) * old.first().map_or(0, |length| usize::from(*length));
    let before = has(PADDED) + 5 * has(PRIORITY);
    let same = old.iter().zip(new).take_while(|(old, new)| old == new);
    (before..=same.count()).any(|start| {
        let name = &old[before..start];
        let texts = Text::read(&old[start..]).zip(Text::read(&new[start..]));
        NAMES.iter().any(|known| name.ends_with(known))
            && texts.is_some_and(|(old, new)| {
                old.rest.len() >= padding && old.rest == new.rest && old.becomes(&new)
            })
    })
}

/// The first frame: its payload, its type, flags and stream, and what follows it.
fn frame(bytes: &[u8]) -> Option<(&[u8], &[u8; 6], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<3>()?;
    let (head, rest) = rest.split_first_chunk()?;
    let length = length
        .iter()
        .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    let (payload, rest) = rest.split_at_checked(length)?;
    Some((payload, head, rest))
}

fn check(sent: &[u8], passed: &[u8]) {
    let (preface, mut sent) = sent.split_at(PREFACE_BYTES.min(sent.len()));
    let mut passed = passed.strip_prefix(preface).expect("the preface");
    while let Some((payload, head, rest)) = frame(sent) {
        let (new_payload, new_head, new_rest) = frame(passed).expect("a frame for each frame");
        assert_eq!(head, new_head, "type, flags and stream");
        if payload != new_payload {
            let [kind, flags, ..] = *head;
            assert_eq!(kind, HEADERS, "other frames stay");
            let longest = payload.len().max(new_payload.len());
            assert!(longest <= PAYLOAD_BYTES, "h2 takes {longest} bytes");
            let is_replaced = is_replaced(flags, payload, new_payload);
            assert!(is_replaced, "more than a text differs");
        }
        (sent, passed) = (rest, new_rest);
    }
    assert_eq!(sent, passed, "a frame that is cut off stays");
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&[piece, room], sent)) = bytes.split_first_chunk() else {
        return;
    };
    let whole = pass(sent, sent.len() + 1, 2 * sent.len() + 1);
    check(sent, &whole.bytes);
    let passed = pass(sent, usize::from(piece) + 1, usize::from(room) + 1);
    assert_eq!(passed.bytes, whole.bytes, "however it comes");
    for passed in [passed, whole] {
        assert!(passed.kept <= KEPT_BYTES, "{} bytes kept", passed.kept);
        if let Some((taken, given)) = passed.aside {
            assert_eq!(
                sent[taken..],
                passed.bytes[given..],
                "after it stepped aside"
            );
        }
    }
});
