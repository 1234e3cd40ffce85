//! What keys do, and what windows of all sizes show.

use super::super::model::Reading;
use super::*;
use crate::api::types::{FileKind, OriginView};

fn explored() -> Explored {
    let mut reading = Reading::new(["base".to_owned(), "top".to_owned()]);
    for (depth, change, path, kind) in [
        (1, PathChange::Add, "/etc", FileKind::Directory),
        (1, PathChange::Add, "/etc/passwd", FileKind::Regular),
        (1, PathChange::Add, "/日本", FileKind::Regular),
        (2, PathChange::Modify, "/etc/passwd", FileKind::Regular),
    ] {
        reading.take(OriginView {
            depth,
            change,
            path: path.to_owned(),
            path_base64: None,
            kind: Some(kind),
            size_bytes: if kind == FileKind::Regular { 100 } else { 0 },
            inode: None,
        });
    }
    reading.finish()
}

fn plain(lines: &[String]) -> Vec<String> {
    let strip = |line: &String| {
        let mut text = String::new();
        let mut rest = line.as_str();
        while let Some((before, sequence)) = rest.split_once('\x1b') {
            text.push_str(before);
            rest = sequence.split_once('m').unwrap().1;
        }
        text + rest
    };
    lines.iter().map(strip).collect()
}

#[test]
fn keys_move_open_and_leave() {
    let explored = explored();
    let mut screen = Screen::new(&explored, false);
    let names = |screen: &Screen<'_>| {
        let rows = screen.rows.iter();
        rows.map(|row| explored.nodes[*row].path.clone())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(names(&screen), "/etc /日本");
    for (key, shown, row) in [
        (Key::Right, "/etc /etc/passwd /日本", 0),
        (Key::End, "/etc /etc/passwd /日本", 2),
        (Key::Up, "/etc /etc/passwd /日本", 1),
        (Key::Left, "/etc /etc/passwd /日本", 0),
        (Key::Letter('a'), "/etc /etc/passwd", 0),
        (Key::Enter, "/etc", 0),
        (Key::Letter('a'), "/etc /日本", 0),
        (Key::Letter('e'), "/etc /etc/passwd /日本", 0),
        (Key::PageDown, "/etc /etc/passwd /日本", 2),
        (Key::Letter('x'), "/etc /etc/passwd /日本", 2),
    ] {
        assert!(!screen.press(key, 24));
        assert_eq!(
            (names(&screen).as_str(), screen.row),
            (shown, row),
            "{key:?}"
        );
    }
    screen.press(Key::Tab, 24);
    screen.press(Key::Up, 24);
    assert_eq!((screen.layer, screen.bytes[0]), (0, 100));
    assert!(screen.press(Key::Letter('q'), 24));
}

#[test]
fn a_window_of_any_size_is_filled_and_not_left() {
    let explored = explored();
    let mut screen = Screen::new(&explored, true);
    screen.press(Key::Letter('e'), 24);
    for size in [(0, 0), (1, 1), (20, 5), (59, 3), (80, 24), (200, 60)] {
        for _ in 0..2 {
            let lines = plain(&screen.lines(size));
            assert!(lines.len() <= size.1, "{size:?}: {lines:#?}");
            for line in &lines {
                assert_eq!(line.width(), size.0, "{size:?}: {line:?}");
            }
            screen.press(Key::Tab, size.1);
        }
    }
    let lines = plain(&screen.lines((80, 24)));
    assert!(
        lines[0].starts_with("top  100 B wasted of 300 B, efficiency 0.6667"),
        "{lines:#?}"
    );
    assert!(
        lines
            .iter()
            .any(|line| line.contains("C     100 B   ") && line.contains("passwd")),
        "{lines:#?}"
    );
}
