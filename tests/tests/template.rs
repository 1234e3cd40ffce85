//! `mica driver new`: a directory that builds with the tools of its language and passes `mica driver test`, or none at all.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mica_tests::build::{self, python_tools, repository};
use mica_tests::command::{Ended, bare, mica_alone};
use mica_tests::lab::{FileSystem, Lab};
use serde_json::Value;

/// Exit codes as `mica --help` documents them.
const FAILED: i32 = 1;
const USAGE: i32 = 2;

fn new(directory: &Path, name: &str, language: &str) -> Ended {
    let directory = directory.to_str().expect("a path that is text");
    let arguments = [
        "driver",
        "new",
        name,
        "--lang",
        language,
        "--directory",
        directory,
    ];
    mica_alone(&arguments)
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("list").flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// Makes a directory, builds it with its own script, and plays cases on what came of it.
fn builds_and_passes(
    language: &str,
    name: &str,
    environment: &[(&str, PathBuf)],
    (only, least): (&[&str], u64),
) {
    let lab = Lab::on(FileSystem::Machine);
    let directory = lab.path("made");
    let text = new(&directory, name, language).worked();
    assert!(
        text.contains("/build.sh") && text.contains("mica driver test"),
        "{text}"
    );
    let read = |file: &str| fs::read_to_string(directory.join(file)).expect(file);
    assert_eq!(
        read("wit/worlds.wit"),
        fs::read_to_string(repository().join("wit/worlds.wit")).expect("read")
    );
    assert!(read("README.md").starts_with(&format!("# {name}\n")));
    assert!(
        !read("README.md").contains("my-driver"),
        "the template's own name is left"
    );
    let mut script = Command::new(directory.join("build.sh"));
    for (key, value) in environment {
        script.env(key, value);
    }
    let built = script.output().expect("start build.sh");
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    let component = directory.join(format!("{name}.wasm"));
    let component = component.to_str().expect("a path that is text");
    let only = only.iter().flat_map(|case| ["--case", case]);
    let arguments = ["driver", "test", component, "--output", "json"];
    let arguments: Vec<_> = arguments.into_iter().chain(only).collect();
    let ended = mica_alone(&arguments);
    let report: Value = serde_json::from_str(&ended.worked()).expect("JSON");
    assert_eq!(report["driver"]["name"], name);
    assert_eq!(report["failed"], 0, "{report}");
    assert!(report["passed"].as_u64() >= Some(least), "{report}");
}

#[test]
fn the_template_in_rust_builds_and_passes_every_case() {
    let environment = [("CARGO_TARGET_DIR", build::guests())];
    builds_and_passes("rust", "oxide-2", &environment, (&[], 215));
}

/// It is the example under another name, which `kit.rs` plays more cases on.
#[test]
fn the_template_in_python_builds_and_passes() {
    let library = python_tools();
    let tool = library.join("bin/componentize-py");
    let environment = [("COMPONENTIZE_PY", tool), ("PYTHONPATH", library)];
    let only = ["restart", "unknown-option", "hard-links", "odd-ids"];
    builds_and_passes("python", "snakes", &environment, (&only, 6));
}

#[test]
fn what_is_there_stays_and_nothing_is_made_by_half() {
    let lab = Lab::on(FileSystem::Machine);
    let (home, before) = (lab.path("."), entries(&lab.path(".")));
    let file = lab.path("file");
    fs::write(&file, "mine").expect("write");
    new(&file, "mine", "rust").failed(FAILED, "is there already");
    assert_eq!(fs::read(&file).expect("read"), b"mine");
    let link = lab.path("link");
    std::os::unix::fs::symlink("nowhere", &link).expect("link");
    new(&link, "mine", "rust").failed(FAILED, "is there already");
    new(&lab.path("none/deep"), "mine", "rust").failed(FAILED, "none/deep");
    let target = lab.path("made");
    for name in ["", "..", "../x", "A", "a b", "vfs", &"a".repeat(65)] {
        new(&target, name, "rust").failed(USAGE, "name");
    }
    for (language, named) in [
        ("go", "LANGUAGES.md"),
        ("js", "LANGUAGES.md"),
        ("cobol", "rust and python"),
    ] {
        new(&target, "mine", language).failed(USAGE, named);
    }
    // A disk that is full after the first files.
    let limited = Command::new("sh")
        .args([
            "-c",
            "ulimit -f 4; trap '' XFSZ; exec \"$0\" driver new mine --lang rust --directory \"$1\"",
        ])
        .arg(build::mica())
        .arg(&target)
        .output()
        .expect("start sh");
    assert_eq!(limited.status.code(), Some(FAILED), "{limited:?}");
    fs::remove_file(&file)
        .and_then(|()| fs::remove_file(&link))
        .expect("remove");
    assert_eq!(entries(&home), before, "something is left");
}

/// Without `--directory` it has the driver's name, where the command runs.
#[test]
fn a_directory_of_the_drivers_name_is_made_here() {
    let lab = Lab::on(FileSystem::Machine);
    let mut command = bare();
    command
        .args(["driver", "new", "here", "--lang", "python"])
        .current_dir(lab.path("."));
    assert!(command.status().expect("start mica").success());
    assert!(
        lab.path("here/driver.py").is_file() && lab.path("here/wit/deps/host/home.wit").is_file()
    );
    fs::remove_dir_all(lab.path("here")).expect("remove");
}
