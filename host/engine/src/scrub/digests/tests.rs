use super::*;

fn node(path: &str, kind: Kind) -> Node {
    let content = matches!(kind, Kind::Regular | Kind::Symlink).then(|| Content {
        size: 70_000,
        modified: Timestamp {
            seconds: -1,
            nanoseconds: 999_999_999,
        },
        digest: *blake3::hash(path.as_bytes()).as_bytes(),
    });
    let metadata = (kind != Kind::Directory).then(|| Metadata {
        mode: 0o4755,
        uid: u32::MAX,
        gid: 1000,
        major: 8,
        minor: 1,
        same_as: 300,
        attributes: content.map(|content| content.digest),
    });
    let path = path.as_bytes().to_vec();
    Node {
        path,
        kind,
        metadata,
        content,
    }
}

fn nodes() -> Vec<Node> {
    vec![
        node("diff", Kind::Directory),
        node("diff/a", Kind::Directory),
        node("diff/a/b", Kind::Regular),
        node("diff/a-b", Kind::Symlink),
        node("diff/gone", Kind::CharacterDevice),
    ]
}

fn written(archive: Option<Digest>) -> Vec<u8> {
    let mut writer = Writer::new(archive, archive.is_some().then_some(b"work"));
    nodes()
        .iter()
        .try_for_each(|node| writer.push(node))
        .unwrap();
    writer.end()
}

#[test]
fn a_list_reads_back_as_it_was_written() {
    for archive in [None, Some([7; DIGEST])] {
        let read = Digests::parse(written(archive)).unwrap();
        assert_eq!(read.archive, archive);
        let left_out = archive.is_some().then(|| b"work".to_vec());
        assert_eq!(read.left_out, left_out);
        assert_eq!(read.nodes().collect::<Vec<_>>(), nodes());
    }
    let ordered = nodes();
    let ordered = ordered.windows(2);
    for pair in ordered {
        let (one, other) = (&pair[0].path, &pair[1].path);
        assert_eq!(Node::order(one, other), Ordering::Less);
    }
}

#[test]
fn a_list_with_any_other_byte_or_length_is_none() {
    let whole = written(Some([7; DIGEST]));
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        assert!(Digests::parse(bytes).is_none(), "{at}");
        assert!(Digests::parse(whole[..at].to_vec()).is_none(), "{at}");
    }
}

#[test]
fn a_list_has_a_bound_on_its_memory() {
    let mut writer = Writer {
        most_bytes: 100,
        ..Writer::new(None, None)
    };
    let pushed: io::Result<()> = nodes().iter().try_for_each(|node| writer.push(node));
    let kind = pushed.map_err(|error| error.kind());
    assert_eq!(kind, Err(io::ErrorKind::FileTooLarge));
}
