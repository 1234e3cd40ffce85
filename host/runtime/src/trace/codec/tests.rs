//! What is written is read again, and what was not written is refused.

use super::*;

fn there_and_back<T: Taped + PartialEq + std::fmt::Debug>(value: &T) {
    let mut writer = Writer::default();
    value.put(&mut writer);
    let mut reader = Reader::new(&writer.bytes);
    assert_eq!(T::take(&mut reader).as_ref(), Ok(value));
    assert!(reader.is_over());
    for end in 0..writer.bytes.len() {
        let cut = writer.bytes.get(..end).unwrap();
        // A part of a value is none, and reading it ends.
        assert_eq!(T::take(&mut Reader::new(cut)), Err(Malformed), "{value:?}");
    }
}

#[test]
fn what_is_written_is_read_again_and_a_part_of_it_is_not() {
    for number in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
        there_and_back(&number);
        there_and_back(&number.cast_signed());
    }
    there_and_back(&vec![Some("a".to_owned()), None]);
    there_and_back(&(b"name".to_vec(), true));
    there_and_back(&Result::<u32, String>::Err("no".to_owned()));
}

#[test]
fn lengths_that_lie_are_refused() {
    let mut writer = Writer::default();
    writer.number(u64::MAX);
    writer.byte(1);
    assert!(Vec::<u64>::take(&mut Reader::new(&writer.bytes)).is_err());
    assert!(Vec::<u8>::take(&mut Reader::new(&writer.bytes)).is_err());
    assert!(u64::take(&mut Reader::new(&[0xff; 10])).is_err());
    assert!(u32::take(&mut Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x7f])).is_err());
}

#[test]
fn a_long_value_is_shown_by_its_beginning_and_its_size() {
    let shown = |value: &dyn Fn(&mut String)| {
        let mut to = String::new();
        value(&mut to);
        to
    };
    assert_eq!(shown(&|to| b"a\n\xff".to_vec().show(to)), r#""a\n\xff""#);
    assert_eq!(shown(&|to| "ä\n".to_owned().show(to)), r#""ä\n""#);
    let large = vec![0xff_u8; 4 << 20];
    let text = shown(&|to| large.show(to));
    assert!(text.len() < 1024, "{}", text.len());
    assert!(text.ends_with("\"… (4194304 bytes)"), "{text}");
    let text = shown(&|to| "ä".repeat(5000).show(to));
    assert!(
        text.len() < 1024 && text.ends_with("\"… (10000 bytes)"),
        "{text}"
    );
    let many = vec![large.clone(), large, vec![1]];
    let text = shown(&|to| many.show(to));
    assert!(
        text.len() < 1024 && text.ends_with("… (3 in all)]"),
        "{text}"
    );
}

#[test]
fn long_bytes_in_brief_are_told_from_others() {
    let of = |bytes: Vec<u8>| {
        let mut writer = Writer::brief();
        bytes.put(&mut writer);
        writer.bytes
    };
    let mut other = vec![7; 5000];
    let first = of(other.clone());
    *other.last_mut().unwrap() = 8;
    assert!(first.len() < 100 && first != of(other));
    let mut reader = Reader::new(&first);
    assert_eq!(Vec::<u8>::take(&mut reader), Ok(vec![7; HEAD_BYTES]));
    assert_eq!(reader.cut_from, Some(5000));
    assert!(reader.is_over());
}
