//! `mica driver check` says without a daemon what a daemon would say.

use std::fs;

use mica_tests::build::{hello_driver, hostile_btrfs_driver};
use mica_tests::command::{Ended, mica_alone};
use mica_tests::lab::{FileSystem, Lab};
use mica_tests::odd;
use serde_json::{Value, json};

/// Exit codes as `mica --help` documents them.
const INVALID: i32 = 6;

/// Checks a component.
fn check(lab: &Lab, component: &[u8], arguments: &[&str]) -> Ended {
    let file = lab.path("component.wasm");
    fs::write(&file, component).expect("write");
    let file = file.to_str().expect("a path that is text");
    mica_alone(&[&["driver", "check", file][..], arguments].concat())
}

/// The same, for programs: the exit code, the document, and the problem.
fn document(lab: &Lab, component: &[u8], arguments: &[&str]) -> (i32, Value, Value) {
    let ended = check(lab, component, &[arguments, &["--output", "json"]].concat());
    let read = |text: &str| match text.is_empty() {
        true => Value::Null,
        false => serde_json::from_str(text).expect("JSON"),
    };
    (ended.code, read(&ended.text()), read(&ended.stderr))
}

#[test]
fn a_good_driver_is_told_with_its_world_its_imports_and_its_size() {
    let lab = Lab::on(FileSystem::Machine);
    let hello = hello_driver();
    let text = check(&lab, &hello, &[]).worked();
    assert!(text.contains("proto, composed with naive-diff"), "{text}");
    let (code, told, problem) = document(&lab, &hello, &[]);
    assert_eq!((code, problem), (0, Value::Null));
    assert_eq!(
        (&told["world"], &told["contract"], &told["driver"]),
        (
            &json!("proto"),
            &json!("mica:driver/proto-driver@1.0.0"),
            &Value::Null
        )
    );
    assert_eq!(told["limits"][0]["has"], hello.len(), "{told}");
    let imports = told["imports"].as_array().expect("a list");
    assert!(
        imports.contains(&json!({ "name": "mica:host/home@1.0.0", "refusal": null })),
        "{told}"
    );
    // Its name and version are what it says itself, so it has to run.
    let (code, told, _) = document(&lab, &hello, &["--compile"]);
    assert_eq!((code, &told["driver"]["name"]), (0, &json!("hello")));
}

#[test]
fn what_a_daemon_would_refuse_is_refused_with_the_remedy() {
    let lab = Lab::on(FileSystem::Machine);
    let hello = hello_driver();
    let http = odd::importing(&hello, "wasi:http/types@0.2.10");
    let newer = odd::built_for(&hello, "mica:host/", "1.0.0", "1.0.9");
    for (what, component, named, remedy) in [
        (
            "a grant",
            hostile_btrfs_driver(),
            "mica:host/btrfs@1.0.0",
            "`--grant btrfs`",
        ),
        ("a tool's import", http, "wasi:http/types", "--disable http"),
        ("a newer contract", newer, "1.0.9", "update Mica"),
        (
            "no component",
            b"#!/bin/sh\n".to_vec(),
            "no WebAssembly",
            "cargo build",
        ),
        (
            "too large",
            vec![0; 33 << 20],
            "33554432",
            "component_bytes",
        ),
    ] {
        let (code, told, problem) = document(&lab, &component, &[]);
        assert_eq!(
            (code, &problem["code"]),
            (INVALID, &json!("driver-rejected")),
            "{what}: {problem}"
        );
        let text = |key: &str| problem[key].as_str().expect("a text").to_owned();
        assert!(text("detail").contains(named), "{what}: {problem}");
        assert!(text("remedy").contains(remedy), "{what}: {problem}");
        assert!(told.is_null() || told["driver"].is_null(), "{what}: {told}");
    }
}

#[test]
fn a_grant_that_its_daemon_will_have_is_taken_into_account() {
    let lab = Lab::on(FileSystem::Machine);
    let driver = hostile_btrfs_driver();
    let (code, _, problem) = document(&lab, &driver, &["--grant", "btrfs", "--compile"]);
    assert_eq!((code, problem), (0, Value::Null));
    let ended = check(&lab, &driver, &["--grant", "network"]);
    ended.failed(2, "network");
}

#[test]
fn what_only_compiling_shows_is_shown_by_compiling() {
    let lab = Lab::on(FileSystem::Machine);
    // A word of a type that no comparison of names looks at.
    let other = odd::renamed(&hello_driver(), "read-only", "read-once");
    assert_eq!(document(&lab, &other, &[]).0, 0);
    let (code, _, problem) = document(&lab, &other, &["--compile"]);
    assert_eq!(
        (code, &problem["code"]),
        (INVALID, &json!("driver-rejected")),
        "{problem}"
    );
}
