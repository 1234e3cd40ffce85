//! Pictures as a browser writes them: PNG, 8 bits a channel, not interlaced.
//!
//! Invariant: anything else is a panic, for it is no picture of a page.

use std::collections::HashMap;
use std::io::Read as _;

use flate2::read::ZlibDecoder;

/// Red, green and blue.
pub type Colour = [u8; 3];

/// A picture.
#[derive(Debug)]
pub struct Picture {
    /// Pixels of a line.
    pub width: usize,
    /// Lines.
    pub height: usize,
    pixels: Vec<Colour>,
}

impl Picture {
    /// Reads one (PNG, third edition, 5 and 9).
    #[track_caller]
    pub fn read(bytes: &[u8]) -> Self {
        let mut rest = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n").expect("a PNG");
        let (mut head, mut packed) = (Vec::new(), Vec::new());
        while let Some((length, behind)) = rest.split_first_chunk::<4>() {
            let length = u32::from_be_bytes(*length) as usize;
            let (kind, data) = behind[..4 + length].split_at(4);
            match kind {
                b"IHDR" => head = data.to_vec(),
                b"IDAT" => packed.extend_from_slice(data),
                _ => {}
            }
            rest = &behind[4 + length + 4..];
        }
        let number =
            |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().expect("4 bytes")) as usize;
        let (width, height) = (number(0), number(4));
        let channels = match (head[8], head[9], head[12]) {
            (8, 2, 0) => 3,
            (8, 6, 0) => 4,
            other => panic!("a PNG of the kind {other:?}"),
        };
        let mut filtered = Vec::new();
        ZlibDecoder::new(&*packed)
            .read_to_end(&mut filtered)
            .expect("deflated bytes");
        let lines = unfilter(&filtered, width * channels, channels);
        assert_eq!(
            lines.len(),
            width * channels * height,
            "all lines are there"
        );
        let pixels = lines
            .chunks_exact(channels)
            .map(|pixel| [pixel[0], pixel[1], pixel[2]]);
        Self {
            width,
            height,
            pixels: pixels.collect(),
        }
    }

    /// The colours by how much of the picture they have, the most first.
    pub fn colours(&self) -> Vec<(Colour, f64)> {
        let mut counts: HashMap<Colour, usize> = HashMap::new();
        for pixel in &self.pixels {
            *counts.entry(*pixel).or_default() += 1;
        }
        let mut shares: Vec<_> = counts
            .into_iter()
            .map(|(colour, count)| (colour, count as f64 / self.pixels.len() as f64))
            .collect();
        shares.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
        shares
    }

    /// How much of the picture has a colour.
    pub fn share(&self, colour: Colour) -> f64 {
        let count = self.pixels.iter().filter(|pixel| **pixel == colour).count();
        count as f64 / self.pixels.len() as f64
    }
}

/// Undoes the filter of each line: what a byte differs in from those on its left, above, and above on its left.
fn unfilter(filtered: &[u8], line_bytes: usize, step: usize) -> Vec<u8> {
    let mut lines: Vec<u8> = Vec::with_capacity(filtered.len());
    for line in filtered.chunks_exact(line_bytes + 1) {
        let start = lines.len();
        for (at, byte) in line[1..].iter().enumerate() {
            let known = |back: usize, is_there: bool| {
                if is_there {
                    lines[start + at - back]
                } else {
                    0
                }
            };
            let (is_first, is_top) = (at < step, start == 0);
            let left = known(step, !is_first);
            let above = known(line_bytes, !is_top);
            let corner = known(line_bytes + step, !is_first && !is_top);
            let expected = match line[0] {
                0 => 0,
                1 => left,
                2 => above,
                3 => u8::midpoint(left, above),
                4 => paeth(left, above, corner),
                other => panic!("filter {other}"),
            };
            lines.push(byte.wrapping_add(expected));
        }
    }
    lines
}

/// Whichever of the three is nearest to left + above - corner.
fn paeth(left: u8, above: u8, corner: u8) -> u8 {
    let [a, b, c] = [left, above, corner].map(i16::from);
    let near = |value: i16| (a + b - c - value).abs();
    if near(a) <= near(b) && near(a) <= near(c) {
        left
    } else if near(b) <= near(c) {
        above
    } else {
        corner
    }
}
