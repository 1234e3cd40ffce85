//! What people and programs read: help, tables, answers, problems, the OpenAPI document.
//!
//! The snapshots lie in `tests/snapshots`; `INSTA_UPDATE=always cargo test -p mica-tests --test documents` writes them.

use std::collections::BTreeSet;

use insta::assert_snapshot;
use mica_tests::archive::archive;
use mica_tests::client::Problem;
use mica_tests::command::{mica, mica_alone, mica_with_input};
use mica_tests::http::Body;
use mica_tests::setup::{self, Bench};
use serde_json::{Value, json};

/// Replaces what is another thing in each run: paths, times, digests, numbers of processes, sizes.
fn normal(bench: &Bench, text: &str) -> String {
    let text = text.replace(&bench.lab.path("").display().to_string(), "<lab>/");
    let text = replace_runs(
        &text,
        "sha256:",
        |character| character.is_ascii_hexdigit(),
        "sha256:<digest>",
    );
    let words = text.split_inclusive([' ', '\n', '"', ',']).map(|word| {
        let bare = word.trim_end_matches([' ', '\n', '"', ',']);
        let is_time = bare.len() >= 19
            && bare.as_bytes()[4] == b'-'
            && bare.contains('T')
            && bare.contains(':');
        if is_time {
            word.replace(bare, "<time>")
        } else {
            word.to_owned()
        }
    });
    words.collect()
}

fn replace_runs(
    text: &str,
    prefix: &str,
    part: impl Fn(char) -> bool + Copy,
    with: &str,
) -> String {
    let mut parts = text.split(prefix);
    let mut replaced = parts.next().unwrap_or("").to_owned();
    for rest in parts {
        replaced.push_str(with);
        replaced.push_str(rest.trim_start_matches(part).trim_start_matches('…'));
    }
    replaced
}

/// A document with every value that differs from run to run replaced by its type.
fn shape(value: &Value, keep: &[&str]) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = |name: &str| keep.contains(&name);
            let field = |(name, value): (&String, &Value)| {
                let shaped = if kept(name) && !value.is_object() && !value.is_array() {
                    value.clone()
                } else {
                    shape(value, keep)
                };
                (name.clone(), shaped)
            };
            Value::Object(fields.iter().map(field).collect())
        }
        Value::Array(items) => {
            Value::Array(items.iter().take(1).map(|item| shape(item, keep)).collect())
        }
        Value::String(_) => json!("<text>"),
        Value::Number(_) => json!("<number>"),
        Value::Bool(_) => json!("<bool>"),
        Value::Null => Value::Null,
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("JSON")
}

fn bench() -> Bench {
    let bench = setup::OVERLAY_EXT4.start();
    bench.store.create("base", None).expect("create");
    bench
        .store
        .apply(
            "base",
            &archive("d etc\nf etc/passwd data=root\nf gone data=1"),
        )
        .expect("apply");
    bench.store.create("child", Some("base")).expect("create");
    bench
        .store
        .apply(
            "child",
            &archive("f .wh.gone\nf etc/passwd data=changed\nf new data=1"),
        )
        .expect("apply");
    bench
        .store
        .create_read_write("container", Some("child"))
        .expect("create");
    bench
}

#[test]
fn help_teaches() {
    let commands: &[&[&str]] = &[
        &[],
        &["serve"],
        &["store"],
        &["store", "create"],
        &["layer"],
        &["layer", "create"],
        &["layer", "mount"],
        &["layer", "copy"],
        &["layer", "export"],
        &["layer", "import"],
        &["layer", "rm"],
        &["layer", "diff"],
        &["layer", "apply"],
        &["driver"],
        &["driver", "swap"],
        &["driver", "check"],
        &["doctor"],
        &["explain"],
        &["check"],
        &["scrub"],
        &["layer", "verify"],
        &["layer", "repair"],
        &["repair"],
    ];
    for command in commands {
        let ended = mica_alone(&[command, &["--help"][..]].concat());
        let name = format!("help-mica-{}", command.join("-"));
        assert_snapshot!(name.trim_end_matches('-'), ended.worked());
    }
    let version = mica_alone(&["--version"]).worked();
    assert!(version.starts_with("mica "), "{version}");
}

#[test]
fn exit_codes_are_documented() {
    let help = mica_alone(&["--help"]).worked();
    for code in 0..=8 {
        let documented = help
            .lines()
            .any(|line| line.trim_start().starts_with(&code.to_string()));
        assert!(documented, "exit code {code} is not in the help:\n{help}");
    }
}

#[test]
fn tables_are_these() {
    let bench = bench();
    let socket = &bench.daemon.client.socket;
    let commands: &[&[&str]] = &[
        &["store", "ls"],
        &["layer", "ls"],
        &["layer", "tree"],
        &["layer", "inspect", "child"],
        &["layer", "changes", "child"],
        &["layer", "changes", "child", "--whole"],
        &["layer", "size", "child"],
        &["driver", "ls"],
    ];
    for command in commands {
        let text = normal(&bench, &mica(socket, command).worked());
        assert_snapshot!(format!("table-{}", command.join("-")), text);
    }
}

#[test]
fn a_life_on_the_command_line() {
    let bench = setup::OVERLAY_EXT4.start();
    let socket = &bench.daemon.client.socket;
    let mut transcript = String::new();
    let bytes = archive("f f data=hello");
    let mut step = |arguments: &[&str], input: &[u8]| {
        let ended = mica_with_input(socket, arguments, input);
        transcript.push_str(&format!(
            "$ mica {}\n{}{}",
            arguments.join(" "),
            ended.text(),
            ended.stderr
        ));
        if ended.code != 0 {
            transcript.push_str(&format!("[exit code {}]\n", ended.code));
        }
    };
    step(&["layer", "create", "base"], b"");
    step(&["layer", "apply", "base", "-"], &bytes);
    step(&["layer", "create", "child", "--parent", "base"], b"");
    step(&["layer", "mount", "child"], b"");
    step(&["layer", "rm", "child"], b"");
    step(&["layer", "umount", "child"], b"");
    step(&["layer", "changes", "child"], b"");
    step(&["layer", "rm", "base"], b"");
    step(&["layer", "rm", "child", "base"], b"");
    step(&["layer", "ls"], b"");
    step(&["layer", "rm", "child"], b"");
    assert_snapshot!("life", normal(&bench, &transcript));
}

#[test]
fn answers_have_these_shapes() {
    let bench = bench();
    let client = &bench.daemon.client;
    let keep = [
        "id", "parent", "kind", "name", "driver", "depth", "children", "mounts", "world",
        "composed", "store",
    ];
    for (name, target) in [
        ("status", "/v1/status"),
        ("stores", "/v1/stores"),
        ("store", "/v1/stores/default"),
        ("drivers", "/v1/drivers"),
        ("driver", "/v1/drivers/overlay"),
        ("layers", "/v1/stores/default/layers?limit=1"),
        ("layer", "/v1/stores/default/layers/child"),
        ("changes", "/v1/stores/default/layers/child/changes"),
        ("size", "/v1/stores/default/layers/child/size"),
        ("metadata", "/v1/stores/default/layers/child/metadata"),
    ] {
        let answer = client
            .get(target)
            .unwrap_or_else(|problem| panic!("{target}: {problem:?}"));
        assert_snapshot!(format!("answer-{name}"), pretty(&shape(&answer, &keep)));
    }
    let mount = bench
        .store
        .mount_as("container", &json!({}))
        .expect("mount");
    assert_snapshot!(
        "answer-mount",
        pretty(&shape(&mount, &["access", "references"]))
    );
    bench.store.unmount("container").expect("unmount");
    let swap = client.swap_driver("overlay", None).expect("swap");
    assert_snapshot!("answer-swap", pretty(&shape(&swap, &["driver"])));
}

/// Name of the snapshot, request, and the body where there is one.
const PROBLEMS: [(&str, &str, &str); 9] = [
    ("unknown-layer", "GET /v1/stores/default/layers/ghost", ""),
    ("unknown-store", "GET /v1/stores/nowhere", ""),
    ("has-children", "DELETE /v1/stores/default/layers/base", ""),
    (
        "exists",
        "POST /v1/stores/default/layers",
        r#"{"id": "base"}"#,
    ),
    (
        "invalid-id",
        "POST /v1/stores/default/layers",
        r#"{"id": "a/b"}"#,
    ),
    (
        "unknown-field",
        "POST /v1/stores/default/layers",
        r#"{"id": "x", "parnet": "base"}"#,
    ),
    (
        "not-mounted",
        "POST /v1/stores/default/layers/base/unmount",
        "",
    ),
    (
        "unknown-driver",
        "POST /v1/stores",
        r#"{"name": "s", "driver": "nodriver"}"#,
    ),
    ("unknown-path", "GET /v1/nothing", ""),
];

#[test]
fn problems_are_these() {
    let bench = bench();
    let client = &bench.daemon.client;
    let print = |name: &str, problem: &Problem| {
        let text = pretty(&serde_json::to_value(problem).expect("JSON"));
        assert_snapshot!(format!("problem-{name}"), normal(&bench, &text));
    };
    for (name, request, body) in PROBLEMS {
        let (method, target) = request.split_once(' ').expect("a method and a target");
        let answer = match body {
            "" => client.call(method, target, Body::Empty),
            body => client.raw_json(method, target, body.as_bytes()),
        };
        print(name, &answer.expect_err(name));
    }
    let refused = bench.store.apply("container", &archive("f ../x"));
    print("invalid-archive", &refused.expect_err("it leads out"));
}

#[test]
fn the_openapi_document_has_every_path() {
    let bench = setup::VFS_EXT4.start();
    let document = bench
        .daemon
        .client
        .get("/v1/openapi.json")
        .expect("a document");
    assert!(
        document["openapi"]
            .as_str()
            .is_some_and(|version| version.starts_with("3.")),
        "{document}"
    );
    let paths = document["paths"].as_object().expect("paths");
    let operations: BTreeSet<String> = paths
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().expect("methods").keys();
            methods.map(move |method| format!("{} {path}\n", method.to_uppercase()))
        })
        .collect();
    assert_snapshot!(
        "openapi-operations",
        operations.into_iter().collect::<String>()
    );
    let undescribed = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().expect("methods").iter();
        methods
            .filter(|(_, operation)| {
                operation["summary"].is_null() && operation["description"].is_null()
            })
            .map(move |_| path)
    });
    assert_eq!(
        undescribed.collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "operations without a word"
    );
}

#[test]
fn completion_and_manual_are_made() {
    for shell in ["bash", "zsh", "fish"] {
        let script = mica_alone(&["completion", shell]).worked();
        assert!(
            script.contains("mica") && script.contains("MICA_COMPLETE"),
            "{shell}"
        );
    }
    let manual = mica_alone(&["man"]).worked();
    assert!(manual.contains(".TH"), "{manual:.200}");
}

#[test]
fn facts_of_the_machine_are_told() {
    let magic = mica_alone(&["fsmagic", "/proc"]).worked();
    assert!(
        magic.contains("proc") || magic.to_lowercase().contains("9fa0"),
        "{magic}"
    );
    let bench = setup::OVERLAY_EXT4.start();
    let path = bench.lab.path("fs").display().to_string();
    let magic = mica_alone(&["fsmagic", &path]).worked();
    assert!(
        magic.contains("extfs") && magic.to_lowercase().contains("ef53"),
        "{magic}"
    );
    let doctor = mica_alone(&["doctor", &path]).worked();
    assert!(
        doctor.contains("overlay") && doctor.contains("reflink"),
        "{doctor}"
    );
    let status = mica(&bench.daemon.client.socket, &["--output", "json", "status"]).worked();
    let status: Value = serde_json::from_str(&status).expect("JSON");
    assert!(status["version"].is_string(), "{status}");
    // As the original: a path that is not there is answered for its parent, and one without a parent is an error.
    mica_alone(&["fsmagic", &format!("{path}/nothing")]).worked();
    let nowhere = mica_alone(&["fsmagic", &format!("{path}/nothing/below")]);
    assert!(
        nowhere.code != 0 && nowhere.stderr.contains("nothing/below"),
        "{nowhere:?}"
    );
}

#[test]
fn output_for_programs_is_json() {
    let bench = bench();
    let socket = &bench.daemon.client.socket;
    let commands: &[&[&str]] = &[
        &["store", "ls"],
        &["store", "inspect", "default"],
        &["layer", "ls"],
        &["layer", "inspect", "child"],
        &["layer", "changes", "child"],
        &["layer", "size", "child"],
        &["driver", "ls"],
        &["driver", "inspect", "overlay"],
        &["status"],
    ];
    for command in commands {
        let text = mica(socket, &[&["--output", "json"], *command].concat()).worked();
        serde_json::from_str::<Value>(&text)
            .unwrap_or_else(|error| panic!("{command:?}: {error}: {text}"));
    }
}

#[test]
fn an_archive_goes_round_by_the_command_line() {
    let bench = bench();
    let socket = &bench.daemon.client.socket;
    let diff = mica(socket, &["layer", "diff", "child"]);
    assert_eq!(diff.code, 0, "{}", diff.stderr);
    let file = bench.lab.path("diff.tar").display().to_string();
    mica(socket, &["layer", "diff", "child", "-o", &file]).worked();
    assert!(std::fs::read(&file).expect("a file") == diff.stdout);
    mica(socket, &["layer", "create", "sibling", "--parent", "base"]).worked();
    mica(socket, &["layer", "apply", "sibling", &file]).worked();
    assert!(mica(socket, &["layer", "diff", "sibling"]).stdout == diff.stdout);
    let whole = mica(socket, &["layer", "diff", "sibling", "--whole"]);
    assert!(mica_tests::listing::lines(&whole.stdout).contains("etc/passwd"));
}
