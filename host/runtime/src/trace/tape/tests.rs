//! What is recorded is played again.

use super::*;

fn recorded(most_bytes: usize, count: u32) -> Recorded {
    let mut recording = Recording::new(most_bytes);
    for number in 0..count {
        recording.ask(7, |to| number.put(to));
        let answer: wasmtime::Result<u64> = Ok(u64::from(number));
        recording.note(|to| Told::put(&answer, to));
    }
    recording.finish()
}

#[test]
fn what_was_asked_is_answered_until_something_else_is_asked() {
    let Recorded { bytes, made, kept } = recorded(1000, 3);
    assert_eq!((made, kept), (3, 3));
    assert_eq!(calls(&bytes).count(), 3);
    let mut playing = Playing::new(bytes);
    for number in 0..2_u32 {
        let answer = playing.ask(7, |to| number.put(to)).unwrap();
        let told: wasmtime::Result<u64> = Told::take(&mut Reader::new(&answer)).unwrap();
        assert_eq!(told.unwrap(), u64::from(number));
    }
    assert!(playing.ask(7, |to| 9_u32.put(to)).is_none());
    let difference = playing.difference.unwrap();
    assert_eq!(difference.number, 3);
    assert_eq!(difference.expected, Some((7, vec![2])));
    assert_eq!(difference.got, (7, vec![9]));
}

#[test]
fn what_does_not_fit_leaves_the_beginning_whole() {
    let Recorded { bytes, made, kept } = recorded(40, 100);
    assert_eq!((made, kept), (100, 3));
    assert!(calls(&bytes).all(|call| call.is_ok()) && bytes.len() <= 40);
    let mut recording = Recording::new(1000);
    recording.ask(1, |to| 1_u32.put(to));
    // The sandbox ended it.
    let Recorded { bytes, made, kept } = recording.finish();
    assert_eq!((bytes.len(), made, kept), (0, 1, 0));
}

#[test]
fn a_tape_that_lies_is_read_to_where_it_makes_sense() {
    let whole = recorded(1000, 3).bytes;
    for end in 0..whole.len() {
        let read: Vec<_> = calls(whole.get(..end).unwrap()).collect();
        assert!(read.len() <= 3);
    }
    assert_eq!(
        calls(&[1, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1]).count(),
        1
    );
}
