//! Can an author and an operator see inside a driver: what it says, and where it breaks?

use std::io::{BufRead as _, BufReader};

use mica_tests::build::hostile_driver;
use mica_tests::command::mica;
use mica_tests::daemon::Settings;
use mica_tests::http::{self, Body};
use mica_tests::lab::{FileSystem, Lab};
use mica_tests::setup::Bench;
use serde_json::{Value, json};

/// A daemon with the hostile driver and a store of it.
fn bench() -> Bench {
    let lab = Lab::on(FileSystem::Machine);
    let daemon = Settings::new(&lab.root(), &lab.path("run"), "vfs").start();
    let client = &daemon.client;
    client
        .load_driver(&hostile_driver("hostile", ""))
        .expect("load");
    let store = client
        .create_store("hostile", "hostile", &json!({}))
        .expect("a store");
    Bench { daemon, store, lab }
}

/// The documents that `mica driver logs` prints.
fn lines(bench: &Bench, arguments: &[&str]) -> Vec<Value> {
    let all = [&["--output", "json", "driver", "logs"][..], arguments].concat();
    let text = mica(&bench.daemon.client.socket, &all).worked();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("a document a line"))
        .collect()
}

/// How each line was said, and what.
fn told(lines: &[Value]) -> Vec<String> {
    let word = |line: &Value, key: &str| line[key].as_str().expect(key).to_owned();
    let tell = |line| format!("{}: {}", word(line, "source"), word(line, "text"));
    lines.iter().map(tell).collect()
}

#[test]
fn what_a_driver_says_is_told_with_the_operation_that_it_said_it_in() {
    let bench = bench();
    bench.store.create("chatty", None).expect("create");
    bench.store.create("silent", None).expect("create");
    let lines = lines(&bench, &["hostile"]);
    assert_eq!(
        told(&lines),
        [
            "stderr: hello from standard error",
            "stdout: hello from standard output",
            "warn: hello from the log",
            "stderr: a line \\u{1b}[31mwithout end",
        ]
        .map(String::from),
    );
    let line = &lines[0];
    assert_eq!(line["store"], "hostile");
    assert_eq!(line["layer"], "chatty");
    assert_eq!(line["operation"], "create");
    assert_eq!(line["generation"], 1);
    assert!(line["request"].is_string() && line["time"].is_string(), "{line}");
    assert!(line["digest"].as_str().expect("a digest").starts_with("sha256:"));
}

#[test]
fn a_trap_is_told_with_what_the_guest_was_at_and_lines_are_chosen_by_what_they_are_about() {
    let bench = bench();
    bench.store.create("panic", None).expect_err("it panics");
    bench.store.create("chatty", None).expect("create");
    let all = lines(&bench, &["hostile"]);
    let said = told(&all);
    let traps: Vec<_> = said.iter().filter(|line| line.starts_with("trap: ")).collect();
    assert!(traps[0].contains("`create`: ") && traps[0].contains("unreachable"), "{said:?}");
    assert!(
        traps.iter().any(|line| line.contains("backtrace")) && traps.len() > 3,
        "{said:?}"
    );
    assert!(
        said.iter().any(|line| line.starts_with("stderr: ") && line.contains("so that it is told where")),
        "{said:?}"
    );
    let request = all[0]["request"].as_str().expect("a request");
    let count = |arguments: &[&str]| lines(&bench, arguments).len();
    assert_eq!(count(&["hostile", "--layer", "chatty"]), 4);
    assert_eq!(count(&["hostile", "--request", request]), all.len() - 4);
    assert_eq!(count(&["hostile", "-n", "3"]), 3);
    assert_eq!(count(&["hostile", "--since", &all[1]["sequence"].to_string()]), all.len() - 2);
    assert_eq!(count(&["hostile", "--store", "other"]), 0);
    assert_eq!(count(&["vfs"]), 0);
    let socket = &bench.daemon.client.socket;
    mica(socket, &["driver", "logs", "nobody"]).failed(3, "nobody");
    mica(socket, &["driver", "logs", "hostile", "--since", "soon"]).failed(6, "soon");
    let text = mica(socket, &["driver", "logs", "hostile", "-n", "1"]).worked();
    assert!(text.contains("layer chatty") && text.contains(": a line "), "{text}");
}

#[test]
fn a_flood_is_cut_and_told_as_a_number_and_the_operation_works() {
    let bench = bench();
    bench.store.create("chatty", None).expect("create");
    bench.store.create("deluge", None).expect("it is not fatal");
    let said = told(&lines(&bench, &["hostile"]));
    assert_eq!(said[0], "stderr: hello from standard error");
    let left_out = said.last().expect("a last line");
    let number = left_out.strip_prefix("host: ").and_then(|text| {
        text.strip_suffix(" lines left out: `log_bytes`")
    });
    let number: usize = number.expect(left_out).parse().expect("a number");
    // All lines of the flood, and the one of the log that came too late, are either told or counted.
    assert_eq!(said.len() - 5 + number, 100_001);
}

#[test]
fn a_reader_that_follows_hears_what_is_said_later() {
    let bench = bench();
    let target = "/v1/drivers/hostile/logs?follow=true&layer=chatty";
    let stream = http::begin(&bench.daemon.client.socket, "GET", target, &[], Body::Empty);
    let mut answer = BufReader::new(stream.expect("connect"));
    bench.store.create("chatty", None).expect("create");
    let mut data = 0;
    while data < 4 {
        let mut line = String::new();
        assert!(answer.read_line(&mut line).expect("a line") > 0, "it ended");
        data += usize::from(line.starts_with("data: "));
    }
}
