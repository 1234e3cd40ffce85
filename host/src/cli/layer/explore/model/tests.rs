//! Sums of chains that are told line by line.

use super::*;

/// Of lines like `1 add /a 10`, with `d` for a directory and `#n` for an inode.
fn explored(lines: &[&str]) -> Explored {
    let mut reading = Reading::new(["a", "b", "c"].map(str::to_owned));
    for line in lines {
        let words: Vec<_> = line.split(' ').collect();
        let change = match words[1] {
            "add" => PathChange::Add,
            "modify" => PathChange::Modify,
            _ => PathChange::Delete,
        };
        let kind = match (change, words.get(3)) {
            (PathChange::Delete, _) => None,
            (_, Some(&"d")) => Some(FileKind::Directory),
            _ => Some(FileKind::Regular),
        };
        reading.take(OriginView {
            depth: words[0].parse().unwrap(),
            change,
            path: words[2].to_owned(),
            path_base64: None,
            kind,
            size_bytes: words.get(3).and_then(|size| size.parse().ok()).unwrap_or(0),
            inode: words.get(4).map(|inode| inode[1..].parse().unwrap()),
        });
    }
    reading.finish()
}

fn hidden(explored: &Explored) -> Vec<(u64, u64, u64)> {
    let layers = explored.layers.iter();
    layers
        .map(|layer| (layer.bytes, layer.hidden_bytes, layer.hides_bytes))
        .collect()
}

#[test]
fn what_is_replaced_or_deleted_is_hidden_once() {
    let found = explored(&[
        "1 add /d d",
        "1 add /d/x 10",
        "1 add /d/y 20",
        "1 add /d-1 1",
        "1 add /f 5",
        "2 modify /d d",
        "2 modify /d/x 100",
        "3 delete /d",
        "3 modify /f 7",
    ]);
    assert_eq!(hidden(&found), [(36, 35, 0), (100, 100, 10), (7, 0, 125)]);
    assert_eq!((found.bytes(), found.wasted_bytes()), (143, 135));
    let visible: Vec<_> = found
        .visible()
        .map(|(node, _)| node.path.as_str())
        .collect();
    assert_eq!(visible, ["/d-1", "/f"]);
    let wasteful: Vec<_> = found
        .wasteful()
        .iter()
        .map(|node| node.path.as_str())
        .collect();
    assert_eq!(wasteful, ["/d/x", "/d/y", "/f"]);
    let at = |path: &str, layer| {
        let node = found.nodes.iter().find(|node| node.path == path).unwrap();
        node.at(layer).map(|version| version.bytes)
    };
    assert_eq!(
        (at("/d/x", 0), at("/d/x", 1), at("/d/x", 2)),
        (Some(10), Some(100), None)
    );
}

#[test]
fn names_of_one_inode_are_hidden_together() {
    let all = ["1 add /a 10 #1", "1 add /b 10 #1", "2 delete /a"];
    assert_eq!(hidden(&explored(&all))[0], (10, 0, 0));
    let all = [
        "1 add /a 10 #1",
        "1 add /b 10 #1",
        "2 delete /a",
        "3 delete /b",
    ];
    assert_eq!(hidden(&explored(&all))[0], (10, 10, 0));
}

#[test]
fn a_file_in_the_place_of_a_directory_hides_what_was_in_it_and_a_path_comes_back() {
    let found = explored(&[
        "1 add /d d",
        "1 add /d/x 10",
        "2 modify /d 3",
        "3 modify /d d",
        "3 add /d/x 4",
    ]);
    assert_eq!(hidden(&found), [(10, 10, 0), (3, 3, 10), (4, 0, 3)]);
    assert!((found.efficiency() - 4.0 / 17.0).abs() < 1e-9);
    assert!((explored(&[]).efficiency() - 1.0).abs() < 1e-9);
}

#[test]
fn a_node_knows_what_it_is_in() {
    let found = explored(&[
        "1 add /d d",
        "1 add /d-1 1",
        "1 add /d/x d",
        "1 add /d/x/y 1",
        "1 add /e 1",
    ]);
    let paths: Vec<_> = found.nodes.iter().map(|node| node.path.as_str()).collect();
    assert_eq!(paths, ["/d", "/d/x", "/d/x/y", "/d-1", "/e"]);
    assert_eq!(found.parents, [None, Some(0), Some(1), None, None]);
    assert_eq!((found.nodes[2].level(), found.nodes[2].name()), (2, "y"));
    explored(&["0 add /a 1", "9 add /b 1"]);
}
