//! Text of strangers: whatever a driver says, a log has one line for an event and a terminal only prints.

use mica_tests::build::hostile_driver;
use mica_tests::command::mica;
use mica_tests::lab::{FileSystem, Lab};
use mica_tests::setup;
use serde_json::{Value, json};
use std::path::Path;

/// What stands in the component in the place of a function's name; it is as long.
const NAME: &str = "a_function_whose_name_a_test_exchanges_for_another";
const FORGED: &str = "\n2026-01-01T00:00:00Z ERROR forged\u{1b}[31m\u{7}\u{202e}trap";

/// The driver that says what it must not, with a function that is called as no function is.
fn driver() -> Vec<u8> {
    let mut component = hostile_driver("hostile", "texts");
    let forged = format!(
        "{FORGED:_<width$}",
        width = FORGED.chars().count() + NAME.len() - FORGED.len()
    );
    let mut found = 0;
    for at in 0..component.len() - NAME.len() {
        if component[at..].starts_with(NAME.as_bytes()) {
            component[at..at + NAME.len()].copy_from_slice(forged.as_bytes());
            found += 1;
        }
    }
    assert!(found > 0, "the component has no names of functions");
    component
}

/// Whether a terminal only prints it.
fn is_harmless(text: &str) -> bool {
    let drives = |one: char| {
        one.is_control() && one != '\n'
            || matches!(one, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    !text.contains(drives)
}

/// Every text of a document, names included.
fn texts(document: &Value, found: &mut Vec<String>) {
    match document {
        Value::String(text) => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(fields) => {
            for (name, value) in fields {
                found.push(name.clone());
                texts(value, found);
            }
        }
        _ => {}
    }
}

#[track_caller]
fn check(what: &str, document: &Value) {
    let mut found = Vec::new();
    texts(document, &mut found);
    for text in found {
        assert!(
            is_harmless(&text) && !text.contains('\n'),
            "{what}: {text:?}"
        );
        assert!(text.len() < 5000, "{what}: {} bytes", text.len());
    }
}

/// What commands print of it, for people and for programs.
fn check_commands(socket: &Path) {
    for arguments in [
        &["driver", "ls"][..],
        &["driver", "inspect", "hostile"],
        &["store", "inspect", "hostile"],
        &["--store", "hostile", "layer", "inspect", "l"],
        &["--store", "hostile", "layer", "create", "say-invalid"],
        &["status"],
    ] {
        for output in ["table", "json"] {
            let ended = mica(socket, &[&["--output", output], arguments].concat());
            for text in [ended.text(), ended.stderr] {
                assert!(is_harmless(&text), "{arguments:?}: {text:?}");
                assert!(text.len() < 200_000, "{arguments:?}: {} bytes", text.len());
                assert!(
                    !text.lines().any(|line| line.starts_with("2026-01-01")),
                    "{arguments:?}: {text}"
                );
            }
        }
    }
}

#[test]
fn whatever_a_driver_says_is_one_short_line_in_every_place() {
    let lab = Lab::on(FileSystem::Ext4);
    let daemon = setup::VFS_EXT4.settings(&lab).start();
    let client = &daemon.client;
    check("load", &client.load_driver(&driver()).expect("load"));
    let described = client.get("/v1/drivers/hostile").expect("a driver");
    check("inspect", &described);
    assert!(
        described["summary"]
            .as_str()
            .expect("text")
            .contains("(cut, it has"),
        "{described}"
    );
    let store = client
        .create_store("hostile", "hostile", &json!({}))
        .expect("a store");
    for id in ["say-invalid", "say-host", "say-panic", "say-trap"] {
        let problem = store.create(id, None).expect_err(id);
        check(id, &json!(problem));
        assert!(
            problem.detail.contains("forged") || id == "say-trap",
            "{problem:?}"
        );
    }
    store.create("l", None).expect("create");
    check(
        "status",
        &client.get("/v1/stores/hostile").expect("a store"),
    );
    check(
        "metadata",
        &client
            .get(&store.target("l", "/metadata"))
            .expect("metadata"),
    );
    check_commands(&client.socket);
    let log = daemon.log();
    assert!(is_harmless(&log), "{log}");
    assert!(
        log.contains("forged") && !log.contains("\n2026-01-01"),
        "{log}"
    );
    assert!(
        log.contains(r"\u{202e}trap"),
        "the function is not named: {log}"
    );
    assert!(!log.contains("WASMTIME_BACKTRACE_DETAILS"), "{log}");
    assert!(log.len() < 300_000, "{} bytes of log", log.len());
}

#[test]
fn names_of_files_and_layers_of_others_only_print() {
    let bench = setup::VFS_EXT4.start();
    let id = "l\u{202e}\u{200b}x";
    bench.store.create(id, None).expect("such an id is allowed");
    let path = bench.store.mount(id).expect("mount");
    std::fs::write(path.join("a\n\u{1b}]0;owned\u{7}\u{202e}b"), "x").expect("write");
    bench.store.unmount(id).expect("unmount");
    let socket = bench.daemon.client.socket.clone();
    for arguments in [
        &["layer", "ls"][..],
        &["layer", "tree"],
        &["layer", "inspect", id],
        &["layer", "changes", id],
        &["layer", "rm", "no\u{202e}ne"],
    ] {
        let table = mica(&socket, arguments);
        for text in [table.text(), table.stderr] {
            assert!(is_harmless(&text), "{arguments:?}: {text:?}");
        }
        let document = mica(&socket, &[&["--output", "json"], arguments].concat());
        assert!(
            is_harmless(&document.text()),
            "{arguments:?}: {:?}",
            document.text()
        );
        if document.code == 0 {
            let read: Value = serde_json::from_str(&document.text()).expect("JSON");
            let mut found = Vec::new();
            texts(&read, &mut found);
            let names = found
                .iter()
                .any(|text| text == id || text == "/a\n\u{1b}]0;owned\u{7}\u{202e}b");
            assert!(
                names,
                "{arguments:?}: a program reads the name to the letter: {read}"
            );
        }
    }
}
