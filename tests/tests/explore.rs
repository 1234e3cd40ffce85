//! Is it told which layer each file comes from and what is there for nothing, to programs, on paper and on a terminal?

use mica_tests::archive::archive;
use mica_tests::command::mica;
use mica_tests::http::Body;
use mica_tests::setup::{self, Bench, Setup};
use mica_tests::terminal::play;
use serde_json::{Value, json};

const ALL: [Setup; 4] = [
    setup::OVERLAY_EXT4,
    setup::EROFS_EXT4,
    setup::VFS_EXT4,
    setup::BTRFS,
];

/// A base of 1100 bytes, of which the child hides 600: it replaces a file, and removes a directory with two names of another.
fn layers(bench: &Bench) {
    bench.store.create("base", None).expect("create");
    let base = archive(
        r#"
        d etc mode=755
        f etc/big mode=644 fill=400
        f etc/same mode=644 data=x repeat=500
        d gone mode=755
        f gone/x mode=644 fill=200
        h gone/y to=gone/x
        "#,
    );
    bench.store.apply("base", &base).expect("apply");
    bench.store.create("kid", Some("base")).expect("create");
    let kid = archive(
        r#"
        f .wh.gone mode=644
        d etc mode=755
        f etc/big mode=644 fill=100
        f etc/copy mode=644 data=x repeat=500
        "#,
    );
    bench.store.apply("kid", &kid).expect("apply");
}

fn document(bench: &Bench, arguments: &[&str]) -> Value {
    let all = [&["--json", "layer", "explore"], arguments].concat();
    let told = mica(&bench.daemon.client.socket, &all).worked();
    serde_json::from_str(&told).expect("a document")
}

#[test]
fn every_driver_has_the_same_files_and_the_same_waste() {
    for setup in ALL {
        let bench = setup.start();
        layers(&bench);
        let watch = bench.watch();
        let told = document(&bench, &["kid", "--files", "--duplicates"]);
        let sums: Vec<_> = ["bytes", "wasted_bytes", "duplicate_bytes"]
            .map(|name| told[name].as_u64().expect("a number"))
            .into();
        assert_eq!(sums, [1700, 600, 500], "{told:#}");
        assert_eq!(told["efficiency"].as_f64(), Some(1.0 - 600.0 / 1700.0));
        assert_eq!(
            told["duplicates"][0]["paths"],
            json!(["/etc/copy", "/etc/same"])
        );
        let layer = |index: usize, name: &str| told["layers"][index][name].as_u64();
        assert_eq!(
            (layer(0, "bytes"), layer(0, "hidden_bytes")),
            (Some(1100), Some(600))
        );
        assert_eq!(
            (layer(1, "bytes"), layer(1, "hides_bytes")),
            (Some(600), Some(600))
        );
        let paths = told["paths"].as_array().expect("paths");
        let big = paths
            .iter()
            .find(|path| path["path"] == "/etc/big")
            .expect("the path");
        assert_eq!(big["versions"][0]["hidden_by"], "kid");
        assert_eq!(
            (&big["versions"][0]["layer"], &big["versions"][1]["bytes"]),
            (&json!("base"), &json!(100))
        );
        assert_eq!(told["wasted"][0]["path"], "/etc/big", "{told:#}");
        watch.check();
    }
}

#[test]
fn the_stream_tells_each_layer_and_names_that_are_no_text() {
    let bench = setup::OVERLAY_EXT4.start();
    layers(&bench);
    bench.store.create("odd", Some("kid")).expect("create");
    let odd = archive(r"f od\xffd mode=644 data=1");
    bench.store.apply("odd", &odd).expect("apply");
    let target = bench.store.target("odd", "/origins");
    let answer = bench.daemon.client.call("GET", &target, Body::Empty);
    let text = String::from_utf8(answer.expect("a stream").body).expect("text");
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("a document a line"))
        .collect();
    let depths: Vec<_> = lines
        .iter()
        .filter_map(|line| line["depth"].as_u64())
        .collect();
    assert!(depths.is_sorted() && depths.last() == Some(&3), "{text}");
    let gone: Vec<_> = lines
        .iter()
        .filter(|line| line["change"] == "delete")
        .collect();
    assert_eq!((gone.len(), &gone[0]["path"]), (1, &json!("/gone")));
    assert_eq!(lines.last().expect("a line")["path_base64"], "L29k/2Q=");
    let listed = mica(
        &bench.daemon.client.socket,
        &["layer", "changes", "odd", "-z"],
    );
    assert!(listed.stdout.ends_with(b"A /od\xffd\0"), "{listed:?}");
    let listed = mica(
        &bench.daemon.client.socket,
        &["layer", "ls", "odd", "/", "-z"],
    );
    assert_eq!(listed.stdout, b"/etc\0/od\xffd\0");
}

#[test]
fn a_threshold_and_bad_arguments_end_with_their_codes() {
    let bench = setup::VFS_EXT4.start();
    layers(&bench);
    let explore = |arguments: &[&str]| {
        mica(
            &bench.daemon.client.socket,
            &[&["layer", "explore"], arguments].concat(),
        )
    };
    explore(&["nowhere"]).failed(3, "nowhere");
    explore(&["kid", "--lowest-efficiency", "1.5"]).failed(2, "1.5");
    let text = explore(&["kid", "--lowest-efficiency", "0.6"]).worked();
    assert!(text.contains("efficiency           0.6471"), "{text}");
    assert!(text.contains("C     100 B    big  [kid]"), "{text}");
    assert!(text.contains("(gone)"), "{text}");
    let less = explore(&["kid", "--lowest-efficiency", "0.7", "--json"]);
    assert_eq!(less.code, 9, "{}", less.stderr);
    let failure: Value = serde_json::from_str(&less.stderr).expect("a document");
    assert_eq!(failure["code"], "inefficient");
    let told: Value = serde_json::from_str(&less.text()).expect("a document");
    assert_eq!(told["wasted_bytes"], 600);
}

#[test]
fn a_terminal_is_moved_in_and_left_as_it_was() {
    let bench = setup::OVERLAY_EXT4.start();
    layers(&bench);
    let socket = &bench.daemon.client.socket;
    let steps = [
        "expect:600 B wasted of 1.7 kB",
        "expect:▸ etc/",
        "send:e",
        "expect:copy",
        "resize:50x10",
        "expect:q quit",
        "resize:100x30",
        // The layer below: what the upper one removed is there.
        "send:\\t\\x1b[A",
        "expect:gone/",
        "send:q",
        "end",
    ];
    let told = play(socket, (100, 30), &["layer", "explore", "kid"], &steps);
    let restored = "modes True, screen True, cursor True";
    assert!(told.ends_with(&format!("exit 0, {restored}\n")), "{told}");
    for (leave, code) in [("send:\\x03", 0), ("signal:15", 8)] {
        let told = play(
            socket,
            (20, 4),
            &["layer", "explore", "base"],
            &["expect:wasted", leave, "end"],
        );
        assert!(
            told.ends_with(&format!("exit {code}, {restored}\n")),
            "{told}"
        );
    }
}
