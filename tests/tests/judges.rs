//! Do tools find that the REST interface keeps what its description promises?

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mica_tests::archive::archive;
use mica_tests::build::{hello_driver, repository};
use mica_tests::lab::{FileSystem, Lab};
use mica_tests::setup;

/// A library of PyPI.
fn library(name: &str) -> PathBuf {
    let library = repository().join("target/peers").join(name);
    assert!(
        library.join("VERSION").exists(),
        "{name} is missing: run `tests/setup/peers.sh target/peers`"
    );
    library
}

/// A program of a library.
fn program(library: &Path, name: &str) -> Command {
    let mut command = Command::new("python3");
    let path = std::env::var("PATH").unwrap_or_default();
    let own = library.join("bin");
    command
        .arg(own.join(name))
        .env("PYTHONPATH", library)
        .env("PATH", format!("{}:{path}", own.display()));
    command
}

/// Whether it worked, and what it said.
fn run(command: &mut Command) -> (bool, String) {
    let output = command.output().expect("start it");
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told).into_owned();
    (output.status.success(), told)
}

/// Requests of every kind are made up of the description, right ones and wrong ones, always the same, and each answer is compared with what
/// the description promises.
#[test]
fn made_up_requests_get_the_answers_that_are_promised() {
    let judge = library("schemathesis");
    let lab = Lab::on(FileSystem::Tmpfs);
    let port = 18_923;
    let mut settings = setup::VFS_TMPFS.settings(&lab);
    let tcp = [
        "--tcp",
        &format!("127.0.0.1:{port}"),
        "--tcp-unauthenticated",
    ];
    settings.arguments = tcp.map(str::to_owned).to_vec();
    let daemon = settings.start();
    daemon
        .client
        .default_store()
        .create("there", None)
        .expect("create");
    let words = repository().join("tests/peers/openapi");
    let config = words.join("schemathesis.toml");
    let mut judged = program(&judge, "schemathesis");
    judged
        .arg("--config-file")
        .arg(&config)
        .args(["--no-color", "run"]);
    judged.arg(format!("http://127.0.0.1:{port}/v1/openapi.json"));
    judged.args(["--checks", "all", "--generation-deterministic"]);
    judged.args([
        "--max-examples",
        "3",
        "--workers",
        "1",
        "--continue-on-failure",
    ]);
    // A stream that ends with the daemon.
    judged.args(["--exclude-operation-id", "follow_events"]);
    let both = format!("{}:{}", judge.display(), words.display());
    judged.env("PYTHONPATH", both);
    judged.current_dir(lab.path(""));
    let (is_good, told) = run(&mut judged);
    assert!(is_good, "{told}");
    assert!(daemon.answers(), "it lives");
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
}

#[test]
fn a_generated_client_creates_applies_compares_and_swaps() {
    let generator = library("openapi-python-client");
    for setup in [setup::VFS_EXT4, setup::EROFS_EXT4] {
        let bench = setup.start();
        let path = |name: &str| bench.lab.path(name);
        let document = bench
            .daemon
            .client
            .get("/v1/openapi.json")
            .expect("a document");
        fs::write(path("openapi.json"), document.to_string()).expect("write");
        // The generator knows few types of content by their names.
        let config = "content_type_overrides:\n  application/x-tar: application/octet-stream\n  application/wasm: application/octet-stream\n  \
            application/x-ndjson: text/plain\n  text/event-stream: text/plain\n";
        fs::write(path("config.yaml"), config).expect("write");
        let mut generate = program(&generator, "openapi-python-client");
        generate.args(["generate", "--meta", "none", "--fail-on-warning", "--path"]);
        generate
            .arg(path("openapi.json"))
            .arg("--config")
            .arg(path("config.yaml"));
        generate
            .arg("--output-path")
            .arg(path("generated/mica_client"));
        fs::create_dir_all(path("generated")).expect("a directory");
        let (is_good, told) = run(&mut generate);
        assert!(is_good, "{told}");
        fs::write(path("a.tar"), archive("f f data=1")).expect("write");
        fs::write(path("hello.wasm"), hello_driver()).expect("write");
        let mut client = Command::new("python3");
        client.arg(repository().join("tests/peers/openapi/generated_client.py"));
        client
            .arg(&bench.daemon.client.socket)
            .arg(path("a.tar"))
            .arg(path("hello.wasm"));
        let both = format!("{}:{}", path("generated").display(), generator.display());
        let (is_good, told) = run(client.env("PYTHONPATH", both));
        assert!(is_good && told.contains("done"), "{told}");
    }
}
