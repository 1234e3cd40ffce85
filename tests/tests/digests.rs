//! Is a digest that is told that of the bytes that come, and do parts make the whole?

use std::io::{BufReader, Read as _, Write as _};

use mica_tests::archive::archive;
use mica_tests::client::Against;
use mica_tests::command::mica;
use mica_tests::http::{self, Body, Response};
use mica_tests::image::digest;
use mica_tests::setup::{self, Bench};
use serde_json::json;

fn get(bench: &Bench, target: &str, headers: &[(&str, &str)]) -> Response {
    let socket = &bench.daemon.client.socket;
    http::send(socket, "GET", target, headers, Body::Empty).expect("an answer")
}

/// A layer that is kept as its archive, and the archive.
fn sealed() -> (Bench, Vec<u8>) {
    let bench = setup::EROFS_EXT4.start();
    let bytes = archive("f a fill=700000\nf b data=2");
    bench.store.create("a", None).expect("create");
    bench.store.apply("a", &bytes).expect("apply");
    (bench, bytes)
}

#[test]
fn a_sealed_layer_is_known_before_its_first_byte() {
    let (bench, bytes) = sealed();
    let target = bench.store.target("a", "/diff");
    // Before and after this process knows that the archive is right.
    for _ in 0..2 {
        let whole = get(&bench, &target, &[]);
        assert_eq!((whole.status, &whole.body), (200, &bytes));
        let told = |name: &str| whole.header(name).map(str::to_owned);
        assert_eq!(told("content-length"), Some(bytes.len().to_string()));
        assert_eq!(told("mica-diff-id"), Some(digest(&bytes)));
        assert!(told("repr-digest").is_some_and(|told| told.starts_with("sha-256=:")));
        let tag = told("etag").expect("a tag");
        let mut parts = Vec::new();
        for range in ["bytes=0-299999", "bytes=300000-300000", "bytes=300001-"] {
            let part = get(&bench, &target, &[("Range", range), ("If-Range", &tag)]);
            assert_eq!(part.status, 206, "{range}");
            assert_eq!(part.header("repr-digest"), whole.header("repr-digest"));
            let told = format!("{}-", parts.len());
            let content = part.header("content-range").expect("which part");
            assert!(content.starts_with(&format!("bytes {told}")), "{content}");
            assert!(part.complete);
            parts.extend(part.body);
        }
        assert_eq!(parts, bytes);
        let last = get(&bench, &target, &[("Range", "bytes=-5")]);
        assert_eq!(last.body, bytes[bytes.len() - 5..]);
        let other = get(
            &bench,
            &target,
            &[("Range", "bytes=0-1"), ("If-Range", "\"x\"")],
        );
        assert_eq!((other.status, other.body.len()), (200, bytes.len()));
        let behind = get(&bench, &target, &[("Range", "bytes=99999999-")]);
        assert_eq!(
            (behind.status, &behind.json()["code"]),
            (416, &json!("invalid-range"))
        );
        let told = format!("bytes */{}", bytes.len());
        assert_eq!(behind.header("content-range"), Some(&*told));
        std::thread::sleep(std::time::Duration::from_secs(4));
    }
    // What was changed is not the archive any more.
    let root = bench.store.mount("a").expect("mount");
    std::fs::write(root.join("c"), "3").expect("write");
    bench.store.unmount("a").expect("unmount");
    let changed = get(&bench, &target, &[("Range", "bytes=0-1")]);
    assert_eq!(
        (changed.status, changed.header("content-length")),
        (200, None)
    );
    assert_eq!(changed.header("mica-diff-id"), None);
}

/// The head, the body and what follows it.
fn with_trailers(bench: &Bench, target: &str) -> (Response, String) {
    let socket = &bench.daemon.client.socket;
    let stream = http::begin(socket, "GET", target, &[("TE", "trailers")], Body::Empty);
    let mut reader = BufReader::new(stream.expect("connect"));
    let head = http::read_head(&mut reader).expect("a head");
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).expect("the rest");
    let end = rest
        .windows(5)
        .rposition(|part| part == b"\r\n0\r\n")
        .expect("a last chunk");
    (head, String::from_utf8_lossy(&rest[end + 5..]).into_owned())
}

#[test]
fn the_digest_of_what_is_written_as_it_is_sent_follows_it() {
    let bench = setup::OVERLAY_EXT4.start();
    bench.store.create("a", None).expect("create");
    bench
        .store
        .apply("a", &archive("f a fill=700000"))
        .expect("apply");
    let target = bench.store.target("a", "/diff");
    let bytes = bench.store.diff("a", Against::Parent).expect("a diff");
    let (head, trailers) = with_trailers(&bench, &target);
    assert_eq!(head.header("trailer"), Some("repr-digest, mica-diff-id"));
    assert!(
        trailers.contains(&format!("mica-diff-id: {}", digest(&bytes))),
        "{trailers}"
    );
    let plain = get(&bench, &target, &[]);
    assert_eq!(
        (plain.header("trailer"), plain.header("content-length")),
        (None, None)
    );
    let file = bench.lab.path("a.tar");
    let arguments = ["layer", "diff", "a", "-o", file.to_str().expect("text")];
    let _written = mica(&bench.daemon.client.socket, &arguments).worked();
    assert_eq!(digest(&std::fs::read(&file).expect("read")), digest(&bytes));
}

#[test]
fn a_part_of_a_file_is_a_part_of_that_file() {
    let bench = setup::OVERLAY_EXT4.start();
    bench.store.create("a", None).expect("create");
    bench
        .store
        .apply("a", &archive("f a data=0123456789"))
        .expect("apply");
    let target = bench.store.target("a", "/content?path=/a");
    let young = get(&bench, &target, &[]);
    let weak = young.header("etag").expect("a tag").to_owned();
    std::thread::sleep(std::time::Duration::from_secs(5));
    let whole = get(&bench, &target, &[]);
    let tag = whole.header("etag").expect("a tag").to_owned();
    assert!(
        !tag.starts_with("W/") && weak.ends_with(&tag),
        "{weak} {tag}"
    );
    assert_eq!(
        (
            whole.header("accept-ranges"),
            whole.header("content-length")
        ),
        (Some("bytes"), Some("10"))
    );
    let part = get(
        &bench,
        &target,
        &[("Range", "bytes=2-4"), ("If-Range", &tag)],
    );
    assert_eq!((part.status, &*part.body), (206, &b"234"[..]));
    assert_eq!(part.header("content-range"), Some("bytes 2-4/10"));
    for stale in [&*weak, "\"x\""] {
        let asked = [("Range", "bytes=2-4"), ("If-Range", stale)];
        let is_known = stale == tag;
        let answer = get(&bench, &target, &asked);
        assert_eq!(answer.status == 206, is_known, "{stale}");
    }
    let behind = get(&bench, &target, &[("Range", "bytes=10-")]);
    assert_eq!(behind.status, 416);
    let root = bench.store.mount("a").expect("mount");
    let mut file = std::fs::File::options()
        .append(true)
        .open(root.join("a"))
        .expect("open");
    file.write_all(b"x").expect("write");
    let changed = get(
        &bench,
        &target,
        &[("Range", "bytes=2-4"), ("If-Range", &tag)],
    );
    assert_eq!((changed.status, changed.body.len()), (200, 11));
}
