//! Can an author and an operator see inside a driver: what it says, what it does, and where it breaks?

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};

use mica_tests::build::hostile_driver;
use mica_tests::client::Against;
use mica_tests::command::{mica, mica_alone};
use mica_tests::daemon::Settings;
use mica_tests::http::{self, Body};
use mica_tests::lab::{FileSystem, Lab};
use mica_tests::setup::{self, Bench};
use mica_tests::tree;
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
    assert!(
        line["request"].is_string() && line["time"].is_string(),
        "{line}"
    );
    assert!(
        line["digest"]
            .as_str()
            .expect("a digest")
            .starts_with("sha256:")
    );
}

#[test]
fn a_trap_is_told_with_what_the_guest_was_at_and_lines_are_chosen_by_what_they_are_about() {
    let bench = bench();
    bench.store.create("panic", None).expect_err("it panics");
    bench.store.create("chatty", None).expect("create");
    let all = lines(&bench, &["hostile"]);
    let said = told(&all);
    let traps: Vec<_> = said
        .iter()
        .filter(|line| line.starts_with("trap: "))
        .collect();
    assert!(
        traps[0].contains("`create`: ") && traps[0].contains("unreachable"),
        "{said:?}"
    );
    assert!(
        traps.iter().any(|line| line.contains("backtrace")) && traps.len() > 3,
        "{said:?}"
    );
    assert!(
        said.iter()
            .any(|line| line.starts_with("stderr: ") && line.contains("so that it is told where")),
        "{said:?}"
    );
    let request = all[0]["request"].as_str().expect("a request");
    let count = |arguments: &[&str]| lines(&bench, arguments).len();
    assert_eq!(count(&["hostile", "--layer", "chatty"]), 4);
    assert_eq!(count(&["hostile", "--request", request]), all.len() - 4);
    assert_eq!(count(&["hostile", "-n", "3"]), 3);
    assert_eq!(
        count(&["hostile", "--since", &all[1]["sequence"].to_string()]),
        all.len() - 2
    );
    assert_eq!(count(&["hostile", "--store", "other"]), 0);
    assert_eq!(count(&["vfs"]), 0);
    let socket = &bench.daemon.client.socket;
    mica(socket, &["driver", "logs", "nobody"]).failed(3, "nobody");
    mica(socket, &["driver", "logs", "hostile", "--since", "soon"]).failed(6, "soon");
    let text = mica(socket, &["driver", "logs", "hostile", "-n", "1"]).worked();
    assert!(
        text.contains("layer chatty") && text.contains(": a line "),
        "{text}"
    );
}

#[test]
fn a_flood_is_cut_and_told_as_a_number_and_the_operation_works() {
    let bench = bench();
    bench.store.create("chatty", None).expect("create");
    bench.store.create("deluge", None).expect("it is not fatal");
    let said = told(&lines(&bench, &["hostile"]));
    assert_eq!(said[0], "stderr: hello from standard error");
    let left_out = said.last().expect("a last line");
    let number = left_out
        .strip_prefix("host: ")
        .and_then(|text| text.strip_suffix(" lines left out: `log_bytes`"));
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

/// The last operation of the driver that failed.
fn failed(bench: &Bench) -> Value {
    let target = "/v1/drivers/hostile/traces?failed=true";
    let list = bench.daemon.client.get(target).expect("traces");
    list["traces"][0].clone()
}

/// Exports an operation of the driver to a file.
fn export(bench: &Bench, trace: &Value, name: &str) -> String {
    export_of(bench, "hostile", trace, name)
}

/// The same of any driver.
fn export_of(bench: &Bench, driver: &str, trace: &Value, name: &str) -> String {
    let file = bench.lab.path(name);
    let file = file.to_str().expect("text").to_owned();
    let request = trace["request"].as_str().expect("a request");
    let number = trace["number"].to_string();
    let socket = &bench.daemon.client.socket;
    let arguments = ["driver", "trace", driver, request, "--number", &number];
    let all = [&arguments[..], &["-o", &file]].concat();
    mica(socket, &all).worked();
    file
}

#[test]
fn a_failing_operation_is_recorded_and_replayed_to_the_same_error_without_a_daemon() {
    let bench = bench();
    for id in ["open-unknown", "trap", "panic", "recurse"] {
        bench.store.create(id, None).expect_err(id);
        mica(
            &bench.daemon.client.socket,
            &["driver", "release", "hostile"],
        )
        .worked();
        let trace = failed(&bench);
        assert_eq!(trace["layer"], id);
        assert_eq!(trace["function"], "create");
        let file = export(&bench, &trace, id);
        let ended = mica_alone(&["--output", "json", "driver", "replay", &file]);
        let told: Value = serde_json::from_str(&ended.worked()).expect("JSON");
        let report = &told["report"];
        assert_eq!(report["verdict"], "same", "{id}: {told}");
        assert_eq!(
            report["recorded_calls"], report["same_calls"],
            "{id}: {told}"
        );
        assert_eq!(report["recorded"], report["replayed"], "{id}: {told}");
        assert_eq!(trace["calls"], report["recorded_calls"], "{id}: {told}");
    }
    let open = failed_of(&bench, "open-unknown");
    let request = open["request"].as_str().expect("a request");
    let text = mica(
        &bench.daemon.client.socket,
        &["driver", "trace", "hostile", request],
    )
    .worked();
    assert!(
        text.contains("home.open") && text.contains("not-found: "),
        "{text}"
    );
}

/// The operation about a layer that failed.
fn failed_of(bench: &Bench, layer: &str) -> Value {
    let target = format!("/v1/drivers/hostile/traces?failed=true&layer={layer}");
    let list = bench.daemon.client.get(&target).expect("traces");
    list["traces"][0].clone()
}

#[test]
fn operations_that_work_are_replayed_as_well() {
    let bench = setup::OVERLAY_EXT4.start();
    let store = &bench.store;
    store.create("base", None).expect("create");
    tree::build(&store.mount("base").expect("mount"), "d d\nf d/f data=x");
    store.unmount("base").expect("unmount");
    store.create("above", Some("base")).expect("create");
    let archive = store.diff("base", Against::Nothing).expect("diff");
    store.apply("above", &archive).expect("apply");
    store.changes("above", Against::Parent).expect("changes");
    store.size("above", Against::Parent).expect("size");
    store.remove("above").expect("remove");
    let list = bench
        .daemon
        .client
        .get("/v1/drivers/overlay/traces")
        .expect("traces");
    let mut functions = BTreeSet::new();
    for trace in list["traces"].as_array().expect("a list") {
        let function = trace["function"].as_str().expect("a function");
        if !functions.insert(function.to_owned()) {
            continue;
        }
        let file = export_of(&bench, "overlay", trace, "one.trace");
        let ended = mica_alone(&["driver", "replay", &file]);
        assert_eq!(ended.code, 0, "{trace}: {}{}", ended.text(), ended.stderr);
    }
    for function in [
        "init",
        "create",
        "get",
        "put",
        "diff",
        "apply-diff",
        "changes",
        "diff-size",
        "remove",
    ] {
        assert!(functions.contains(function), "{function} in {functions:?}");
    }
}

#[test]
fn another_component_is_told_where_it_goes_another_way() {
    let bench = bench();
    bench.store.create("base", None).expect("create");
    let list = bench
        .daemon
        .client
        .get("/v1/drivers/hostile/traces?layer=base");
    let file = export(&bench, &list.expect("traces")["traces"][0], "good.trace");
    let other = bench.lab.path("other.wasm");
    fs::write(&other, hostile_driver("hostile", "create")).expect("write");
    let other = other.to_str().expect("text");
    let ended = mica_alone(&["driver", "replay", &file, "--component", other]);
    assert_eq!(ended.code, 1, "{}", ended.text());
    assert!(ended.stderr.contains("at host call 1"), "{}", ended.stderr);
    let text = ended.text();
    assert!(text.contains("expected    home.list"), "{text}");
    assert!(
        text.contains("the end of the operation: wasm trap"),
        "{text}"
    );
    // Its own component does better with what broke the other one.
    fs::write(other, "no component").expect("write");
    mica_alone(&["driver", "replay", &file, "--component", other]).failed(6, "rejected");
}

#[test]
fn a_file_that_is_no_trace_is_told_and_nothing_runs() {
    let bench = bench();
    bench.store.create("base", None).expect("create");
    let list = bench
        .daemon
        .client
        .get("/v1/drivers/hostile/traces?layer=base");
    let file = export(&bench, &list.expect("traces")["traces"][0], "good.trace");
    let good = fs::read(&file).expect("read");
    let changed = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    let cases = [
        ("a component", hostile_driver("hostile", ""), "no trace"),
        ("a beginning", good[..good.len() / 2].to_vec(), "cut off"),
        ("a little", good[..20].to_vec(), "cut off"),
        ("another version", changed(10, 7), "version 7"),
        (
            "a flipped bit",
            changed(good.len() - 100, good[good.len() - 100] ^ 1),
            "damaged",
        ),
        ("lengths that lie", changed(17, 0xff), "cut off"),
    ];
    for (what, bytes, told) in cases {
        fs::write(&file, bytes).expect("write");
        println!("{what}");
        mica_alone(&["driver", "replay", &file]).failed(6, told);
    }
    mica_alone(&["driver", "replay", "/nowhere.trace"]).failed(1, "/nowhere.trace");
    let socket = &bench.daemon.client.socket;
    mica(socket, &["driver", "trace", "hostile", "no-such-request"]).failed(3, "no-such-request");
    let without = bench.lab.path("calls.trace");
    let without = without.to_str().expect("text");
    let list = bench
        .daemon
        .client
        .get("/v1/drivers/hostile/traces?layer=base")
        .expect("traces");
    let request = list["traces"][0]["request"].as_str().expect("a request");
    let arguments = [
        "driver",
        "trace",
        "hostile",
        request,
        "-o",
        without,
        "--without-component",
    ];
    mica(socket, &arguments).worked();
    mica_alone(&["driver", "replay", without]).failed(2, "no component");
}

#[test]
fn a_command_tells_the_host_calls_that_were_made_for_it() {
    let bench = bench();
    let socket = &bench.daemon.client.socket;
    let ended = mica(
        socket,
        &["--store", "hostile", "layer", "create", "seen", "--trace"],
    );
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    for told in ["home.stage", "home.publish", "seen"] {
        assert!(ended.stderr.contains(told), "{told}: {}", ended.stderr);
    }
    let ended = mica(
        socket,
        &[
            "--store",
            "hostile",
            "layer",
            "create",
            "open-unknown",
            "--trace",
        ],
    );
    assert_eq!(ended.code, 6, "{}", ended.stderr);
    assert!(ended.stderr.contains("home.open"), "{}", ended.stderr);
    mica(socket, &["driver", "ls", "--trace"]).failed(2, "--trace");
}

#[test]
fn a_driver_goes_only_when_no_store_has_it_and_then_for_good() {
    let bench = bench();
    let socket = &bench.daemon.client.socket;
    let directory = bench.lab.root().join("drivers/hostile");
    assert!(directory.is_dir());
    mica(socket, &["driver", "rm", "hostile"]).failed(4, "store `hostile`");
    mica(socket, &["driver", "rm", "vfs"]).failed(4, "vfs");
    mica(socket, &["driver", "rm", "nobody"]).failed(3, "nobody");
    bench.store.create("still-works", None).expect("create");
    bench.store.remove("still-works").expect("remove");
    mica(socket, &["store", "rm", "hostile"]).worked();
    let cached = || {
        fs::read_dir(bench.lab.root().join("code-cache"))
            .expect("a cache")
            .count()
    };
    let before = cached();
    mica(socket, &["driver", "rm", "hostile"]).worked();
    assert!(!directory.exists());
    assert_eq!(cached(), before - 1);
    mica(socket, &["driver", "inspect", "hostile"]).failed(3, "hostile");
    mica(socket, &["store", "create", "again", "--driver", "hostile"]).failed(3, "hostile");
    let bench = bench.restart(|daemon| {
        assert!(daemon.stop().success());
    });
    let client = &bench.daemon.client;
    let list = client.get("/v1/drivers").expect("drivers");
    assert!(!list.to_string().contains("\"hostile\""), "{list}");
    let check = mica_alone(&["check", "--root", bench.lab.root().to_str().expect("text")]);
    assert!(!check.text().contains("drivers"), "{}", check.text());
    client
        .load_driver(&hostile_driver("hostile", ""))
        .expect("it can come again");
}

#[test]
fn a_driver_does_not_go_while_a_store_cannot_tell_whose_it_is() {
    let bench = bench();
    let home = bench.lab.root().join("stores/hostile");
    let bench = bench.restart(|daemon| {
        assert!(daemon.stop().success());
        for name in ["store.json", "store-copy.json"] {
            fs::write(home.join(name), "{").expect("write");
        }
    });
    let socket = &bench.daemon.client.socket;
    mica(socket, &["driver", "rm", "hostile"]).failed(4, "`hostile`, which could not be opened");
    let text = mica(socket, &["driver", "explain", "hostile"]).worked();
    assert!(text.contains("no, stores have it: hostile"), "{text}");
    assert!(bench.lab.root().join("drivers/hostile").is_dir());
}

#[test]
fn an_operator_is_told_what_a_driver_may_and_who_uses_it() {
    let bench = bench();
    bench.store.create("panic", None).expect_err("it panics");
    let target = "/v1/drivers/hostile/explanation";
    let told = bench.daemon.client.get(target).expect("an explanation");
    assert_eq!(told["ships"], false);
    assert_eq!(told["source"], "uploaded");
    assert_eq!(told["driver"]["stores"], json!(["hostile"]));
    assert_eq!(told["driver"]["faults"], 1);
    assert_eq!(told["kept"]["failed"], 1);
    assert!(
        told["contract"]
            .as_str()
            .expect("text")
            .starts_with("mica:driver/proto-driver@")
    );
    let imports = told["imports"].as_array().expect("a list");
    let home = imports
        .iter()
        .find(|import| import["grant"] == "home")
        .expect("home");
    assert!(
        home["about"].as_str().expect("text").contains("layers"),
        "{home}"
    );
    let socket = &bench.daemon.client.socket;
    let text = mica(socket, &["driver", "explain", "hostile"]).worked();
    for told in [
        "no, stores have it",
        "mica:host/home@",
        "memory_bytes",
        "BUILD",
    ] {
        assert!(text.contains(told), "{told}: {text}");
    }
}
