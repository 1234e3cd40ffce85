//! Does the command line fit into scripts and shells: forms of output, names with any bytes, completion, daemons that come later?

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use mica_tests::build;
use mica_tests::command::{bare, mica, mica_alone};
use mica_tests::setup::{self, Bench};
use serde_json::Value;

fn bench() -> Bench {
    let bench = setup::VFS_EXT4.start();
    for (id, parent) in [("base", None), ("kid", Some("base"))] {
        bench.store.create(id, parent).expect("create");
    }
    bench
}

#[test]
fn each_list_has_lines_templates_and_names_alone() {
    let bench = bench();
    let socket = &bench.daemon.client.socket;
    let told = |arguments: &[&str]| mica(socket, arguments).worked();
    for (list, field, quiet) in [
        (&["layer", "ls"][..], "id", "base\nkid\n"),
        (&["store", "ls"], "name", "default\n"),
        (
            &["driver", "ls", "--store", "default"],
            "name",
            "btrfs\nerofs\noverlay\nvfs\n",
        ),
        (&["gc"], "id", "base\nkid\n"),
    ] {
        let with = |more: &[&str]| told(&[list, more].concat());
        assert_eq!(with(&["-q"]), quiet, "{list:?}");
        let template = format!("{{{field}}}");
        assert_eq!(with(&["--format", &template]), quiet, "{list:?}");
        let lines = with(&["--output", "jsonl"]);
        let names = lines.lines().map(|line| {
            let entry: Value = serde_json::from_str(line).expect("a document a line");
            format!("{}\n", entry[field].as_str().expect("a name"))
        });
        assert_eq!(names.collect::<String>(), quiet, "{list:?}");
        let whole: Value = serde_json::from_str(&with(&["--json"])).expect("a document");
        assert_eq!(
            whole.as_object().map(serde_json::Map::len),
            Some(1),
            "{whole}"
        );
    }
    assert_eq!(
        told(&["layer", "ls", "--format", "{id}\\t{parent}"]),
        "base\t-\nkid\tbase\n"
    );
    // A list in which nothing happens to have a field is no mistake of whoever wrote the template.
    bench
        .daemon
        .client
        .create_store("flat", "vfs", &serde_json::json!({}))
        .expect("a store")
        .create("alone", None)
        .expect("create");
    for list in [&["layer", "ls"][..], &["gc"]] {
        let list = [&["--store", "flat"], list, &["--format", "{id} {parent}"]].concat();
        assert_eq!(told(&list), "alone -\n", "{list:?}");
    }
    assert_eq!(
        told(&["layer", "inspect", "kid", "--format", "{depth} {{}}"]),
        "2 {}\n"
    );
    let unknown = mica(socket, &["layer", "ls", "--format", "{identity}"]);
    unknown.failed(2, "`identity`");
    assert!(unknown.stderr.contains("id, kind"), "{}", unknown.stderr);
    for wrong in ["xml", "{id", "{}"] {
        mica(socket, &["layer", "ls", "--format", wrong]).failed(2, wrong);
    }
    mica(socket, &["--json", "--output", "table", "layer", "ls"]).failed(2, "--json");
}

#[test]
fn what_would_be_removed_is_told_and_stays() {
    let bench = bench();
    let watch = bench.watch();
    let socket = &bench.daemon.client.socket;
    mica(socket, &["store", "rm", "default", "--dry-run"]).failed(4, "default");
    mica(socket, &["store", "rm", "nowhere", "--dry-run"]).failed(3, "nowhere");
    mica(socket, &["driver", "rm", "overlay", "--dry-run"]).failed(4, "overlay");
    mica(socket, &["driver", "rm", "nodriver", "--dry-run"]).failed(3, "nodriver");
    mica(socket, &["store", "create", "empty", "--driver", "vfs"]).worked();
    assert_eq!(
        mica(socket, &["store", "rm", "empty", "--dry-run"]).worked(),
        "empty\n"
    );
    mica(socket, &["store", "inspect", "empty"]).worked();
    watch.check();
}

#[test]
fn codes_drivers_and_layers_are_explained() {
    let bench = bench();
    let socket = &bench.daemon.client.socket;
    let told = |topic: &str| mica(socket, &["explain", topic]).worked();
    assert!(told("store-served").contains("precondition"));
    assert!(told("vfs").contains("removable"));
    let layer = told("base");
    assert!(layer.contains("kept by layer kid"), "{layer}");
    mica(socket, &["explain", "nothing-of-all"]).failed(3, "nothing-of-all");
    mica(Path::new("/nonexistent/mica.sock"), &["explain", "base"]).failed(3, "base");
}

#[test]
fn who_may_not_ask_is_told_something_else_than_who_asks_nobody() {
    let bench = bench();
    let socket = &bench.daemon.client.socket;
    let absent = mica(Path::new("/nonexistent/mica.sock"), &["layer", "ls"]);
    absent.failed(7, "there is no daemon at `/nonexistent/mica.sock`");
    let mut command = Command::new("setpriv");
    command
        .args([
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            "--",
        ])
        .arg(build::mica())
        .arg("--socket")
        .arg(socket)
        .args(["layer", "ls"])
        .env_clear();
    let output = command.output().expect("setpriv");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{told}");
    assert!(
        told.contains("this user may not ask the daemon at"),
        "{told}"
    );
    assert!(told.contains("  try: run it as root"), "{told}");
}

#[test]
fn a_command_waits_for_a_daemon_that_comes_later() {
    let bench = bench();
    let socket = bench.daemon.client.socket.clone();
    mica(
        Path::new("/nonexistent/mica.sock"),
        &["--wait-daemon", "0", "layer", "ls"],
    )
    .failed(7, "/nonexistent/mica.sock");
    // Who takes the connection and says nothing is not waited for without end.
    let silent = bench.lab.path("silent.sock");
    let _listener = UnixListener::bind(&silent).expect("listen");
    mica(&silent, &["--wait-daemon", "0", "layer", "ls"]).failed(7, "timed out");
    let settings = bench.daemon.settings.clone();
    let Bench { daemon, lab, .. } = bench;
    daemon.kill();
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| mica(&socket, &["--wait-daemon", "60", "layer", "ls", "-q"]));
        let daemon = settings.start();
        assert_eq!(waits.join().expect("a command").worked(), "base\nkid\n");
        assert!(daemon.stop().success());
    });
    drop(lab);
}

/// What a shell would offer for a line; the last word is being typed.
fn completed(socket: &Path, words: &[&str]) -> Vec<String> {
    let mut command = bare();
    command
        .env("MICA_COMPLETE", "fish")
        // A busy machine may take its time.
        .env("MICA_COMPLETE_SECONDS", "120")
        .env("MICA_SOCKET", socket)
        .arg("--")
        .args([&["mica"], words].concat());
    let output = command.output().expect("mica");
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let names = text
        .lines()
        .map(|line| line.split('\t').next().unwrap_or_default());
    names.map(str::to_owned).collect()
}

#[test]
fn a_shell_is_told_the_names_that_the_daemon_has() {
    let bench = bench();
    let socket = &bench.daemon.client.socket;
    bench
        .daemon
        .client
        .create_store("spare", "vfs", &serde_json::json!({}))
        .expect("a store");
    bench
        .daemon
        .client
        .store("spare")
        .create("other", None)
        .expect("create");
    for (words, names) in [
        (&["layer", "rm", ""][..], &["base", "kid"][..]),
        (&["layer", "rm", "k"], &["kid"]),
        (&["layer", "create", "new", "--parent", "b"], &["base"]),
        (&["--store", "spare", "layer", "inspect", ""], &["other"]),
        (&["layer", "copy", "base", "--to", "s"], &["spare"]),
        (&["driver", "inspect", "ov"], &["overlay"]),
        (&["store", "ren"], &["rename"]),
    ] {
        let told = completed(socket, words);
        let told: Vec<_> = told.iter().filter(|name| !name.starts_with('-')).collect();
        assert_eq!(told, names, "{words:?}");
    }
    // Bash puts what is completed into the line as it is.
    for id in ["--recursive", "kid;reboot", "k$(reboot)"] {
        bench.store.create(id, None).expect("create");
    }
    assert_eq!(completed(socket, &["layer", "rm", "k"]), ["kid"]);
    let without = completed(
        Path::new("/nonexistent/mica.sock"),
        &["layer", "rm", "--re"],
    );
    assert_eq!(without, ["--recursive"]);
    for shell in ["bash", "zsh", "fish"] {
        let script = mica_alone(&["completion", shell]).worked();
        assert!(script.contains("MICA_COMPLETE"), "{script}");
    }
    mica_alone(&["completion", "csh"]).failed(2, "csh");
    // Bash runs the script and asks as its users do.
    let script = format!(
        r#"source <({mica} completion bash); COMP_WORDS=(mica layer rm k); COMP_CWORD=3; COMP_TYPE=9; _clap_complete_mica mica k rm; echo "${{COMPREPLY[@]}}""#,
        mica = build::mica().display()
    );
    let path = std::env::var("PATH").unwrap_or_default();
    let directory = build::mica().parent().expect("a directory").to_owned();
    let output = Command::new("bash")
        .args(["-c", &script])
        .env("PATH", format!("{}:{path}", directory.display()))
        .env("MICA_SOCKET", socket)
        .env("MICA_COMPLETE_SECONDS", "120")
        .output()
        .expect("bash");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.trim().starts_with("kid"), "{output:?}");
}
