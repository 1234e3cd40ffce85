use super::*;
use sha2::{Digest as _, Sha256};

/// Has its bytes in pieces of these sizes, again and again, and is interrupted before each.
struct Pieces {
    bytes: Vec<u8>,
    at: usize,
    sizes: std::iter::Cycle<std::vec::IntoIter<usize>>,
    /// Where the piece ends that lies ready.
    end: usize,
    is_interrupted: bool,
}

fn pieces(bytes: &[u8], sizes: &[usize]) -> Box<Pieces> {
    Box::new(Pieces {
        bytes: bytes.to_vec(),
        at: 0,
        sizes: Vec::from(sizes).into_iter().cycle(),
        end: 0,
        is_interrupted: false,
    })
}

impl BufRead for Pieces {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.end {
            self.is_interrupted = !self.is_interrupted;
            if self.is_interrupted {
                return Err(io::ErrorKind::Interrupted.into());
            }
            self.end = (self.at + self.sizes.next().unwrap()).min(self.bytes.len());
        }
        Ok(&self.bytes[self.at..self.end])
    }

    fn consume(&mut self, bytes: usize) {
        self.at += bytes;
        assert!(self.at <= self.end, "no more is taken than was there");
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

/// Takes all by reading, copying and passing over in turns; what was read and copied, and where it lay.
fn take_all(source: &mut Source, all: usize) -> Vec<(usize, Vec<u8>)> {
    let mut taken = Vec::new();
    let mut at = 0;
    for length in [512, 70_000, 3, 300_000, 1].into_iter().cycle() {
        let length = length.min(all - at);
        match at % 3 {
            0 => taken.push((at, source.read(length).unwrap())),
            1 => {
                let mut part = Vec::new();
                let copy = |bytes: &[u8], done: u64| {
                    assert_eq!(part.len() as u64, done);
                    part.extend_from_slice(bytes);
                    Ok(())
                };
                source.consume(length as u64, copy).unwrap();
                taken.push((at, part));
            }
            _ => source.consume(length as u64, |_, _| Ok(())).unwrap(),
        }
        at += length;
        if at == all {
            return taken;
        }
    }
    taken
}

#[test]
fn in_whatever_pieces_an_archive_comes_the_same_is_given_and_kept() {
    let bytes: Vec<u8> = (0..=250).cycle().take(1_500_007).collect();
    for sizes in [&[6, 65_536][..], &[1_000_000], &[1, 400_000, 511]] {
        for is_kept in [false, true] {
            let mut source = Source::from_pieces(pieces(&bytes, sizes));
            // Looking at the first bytes takes none of them.
            assert!(!source.is_over().unwrap());
            let mut file = tempfile::tempfile().unwrap();
            if is_kept {
                source.keep(file.try_clone().unwrap().into()).unwrap();
            }
            for (at, part) in take_all(&mut source, bytes.len()) {
                assert!(part == bytes[at..at + part.len()], "at {at}");
            }
            assert_eq!(source.given(), bytes.len() as u64);
            assert!(source.is_over().unwrap() && source.read(1).unwrap().is_empty());
            let missing = source.consume(1, |_, _| Ok(())).unwrap_err();
            assert_eq!(missing.code, Code::Truncated);
            if is_kept {
                let kept = source.kept().unwrap();
                let sha256: [u8; 32] = Sha256::digest(&bytes).into();
                assert_eq!((kept.bytes, kept.sha256), (bytes.len() as u64, sha256));
                let mut written = Vec::new();
                file.read_to_end(&mut written).unwrap();
                // Written by position, so the descriptor is still at its beginning.
                assert!(written == bytes);
            }
        }
    }
}
