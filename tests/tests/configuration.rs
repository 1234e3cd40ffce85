//! Does what an operator writes into the configuration count, and is what makes no sense refused with its place?

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mica_tests::archive::archive;
use mica_tests::build::repository;
use mica_tests::command::{Ended, mica, mica_alone, mica_with_input};
use mica_tests::daemon::Settings;
use mica_tests::lab::{FileSystem, Lab};
use mica_tests::watch::until;
use serde_json::Value;

fn check(file: &Path) -> Ended {
    let file = file.to_str().expect("text");
    mica_alone(&["serve", "--check", "--config", file])
}

/// Every number that can be set.
fn numbers() -> Vec<Value> {
    let told = mica_alone(&["--output", "json", "explain", "configuration"]).worked();
    let told: Value = serde_json::from_str(&told).expect("a document");
    let numbers = told["numbers"].as_array().expect("numbers");
    assert!(numbers.len() > 50, "{told}");
    numbers.clone()
}

/// A file that sets a number.
fn setting(name: &str, value: u64) -> String {
    match name.split_once('.') {
        Some((section, key)) => format!("# a comment\n[{section}]\n{key} = {value}\n"),
        None => format!("# a comment\n\n{name} = {value}\n"),
    }
}

#[test]
fn every_number_has_a_range_and_its_line_is_told() {
    let lab = Lab::on(FileSystem::Machine);
    let file = lab.path("mica.toml");
    for number in numbers() {
        let field = |name: &str| number[name].as_u64().expect("a number");
        let name = number["name"].as_str().expect("a name");
        let (least, most) = (field("least"), field("most"));
        assert!((least..=most).contains(&field("default")), "{number}");
        for good in [least, most] {
            fs::write(&file, setting(name, good)).expect("write");
            check(&file).worked();
        }
        for bad in [least.checked_sub(1), most.checked_add(1)]
            .into_iter()
            .flatten()
        {
            fs::write(&file, setting(name, bad)).expect("write");
            let refused = check(&file);
            refused.failed(
                6,
                &format!("line 3: setting `{name}`: {bad} is not from {least} to {most}"),
            );
        }
    }
}

/// A daemon with these settings does what it is for.
fn lives(configuration: String) {
    let lab = Lab::on(FileSystem::Ext4);
    let mut settings = Settings::new(&lab.root(), &lab.path("run"), "overlay");
    settings.configuration = Some(configuration);
    let daemon = settings.start();
    let socket = &daemon.client.socket;
    let base = archive("d etc mode=755\nf etc/passwd mode=644 fill=300000\nl sym to=etc");
    for driver in ["overlay", "erofs", "vfs"] {
        mica(socket, &["store", "create", driver, "--driver", driver]).worked();
        let run =
            |arguments: &[&str]| mica(socket, &[&["--store", driver], arguments].concat()).worked();
        run(&["layer", "create", "base"]);
        mica_with_input(
            socket,
            &["--store", driver, "layer", "apply", "base"],
            &base,
        )
        .worked();
        run(&["layer", "create", "box", "--parent", "base", "--read-write"]);
        let root = PathBuf::from(run(&["layer", "mount", "box"]).trim());
        fs::write(root.join("etc/new"), "text").expect("write");
        assert_eq!(
            run(&["layer", "changes", "box"]),
            "C /etc\nA /etc/new\n",
            "{driver}"
        );
        assert!(
            !mica(socket, &["--store", driver, "layer", "diff", "box"])
                .stdout
                .is_empty()
        );
        run(&["layer", "umount", "box"]);
        run(&["layer", "rm", "base", "--recursive"]);
    }
}

/// All numbers at one end of their ranges, but for times, which a busy machine needs, and those that decide whether the drivers that
/// ship are compiled, which a build without optimization takes long for.
fn all_at(end: &str) -> String {
    let mut sections = std::collections::BTreeMap::<String, String>::new();
    for number in numbers() {
        let name = number["name"].as_str().expect("a name");
        let (section, key) = name.split_once('.').unwrap_or(("", name));
        let is_of_compiler = key.starts_with("compile") || key.starts_with("component_");
        let is_time = key.ends_with("_seconds") || key.ends_with("_minutes");
        // A chain of one layer has no child.
        if !is_of_compiler && !is_time && key != "max_depth" {
            let line = format!("{key} = {}\n", number[end]);
            sections
                .entry(section.to_owned())
                .or_default()
                .push_str(&line);
        }
    }
    let section = |(name, lines): (String, String)| match name.as_str() {
        "" => lines,
        name => format!("[{name}]\n{lines}"),
    };
    sections.into_iter().map(section).collect()
}

#[test]
fn the_least_numbers_refuse_nothing_that_is_usual() {
    lives(all_at("least"));
}

#[test]
fn the_largest_numbers_work() {
    lives(all_at("most"));
}

#[test]
fn what_is_misspelt_is_told_with_what_was_meant() {
    let lab = Lab::on(FileSystem::Machine);
    let file = lab.path("mica.toml");
    for (text, told) in [
        (
            "[limits]\n\nmemory_byte = 1\n",
            "line 3: unknown field `memory_byte`; did you mean `memory_bytes`?",
        ),
        ("\nrot = 'x'\n", "line 2: unknown field `rot`"),
        (
            "log = 'verbose'\n",
            "line 1: setting `log`: `verbose` is no level",
        ),
        ("root = [\n", "line 1"),
        ("[limits]\nhandles = 'many'\n", "line 2: invalid type"),
        ("[limits]\nhandles = -1\n", "line 2: invalid value"),
    ] {
        fs::write(&file, text).expect("write");
        check(&file).failed(6, told);
    }
    mica_alone(&["serve", "--check", "--log", "verbose"]).failed(6, "setting `log`: `verbose`");
    mica_alone(&["serve", "--check", "--config", "/nonexistent/a.toml"])
        .failed(6, "/nonexistent/a.toml");
    fs::write(&file, "log = ' info , mica_engine=debug '\n").expect("write");
    let told = check(&file).worked();
    assert!(told.contains("log      info,mica_engine=debug"), "{told}");
    fs::write(&file, "[limits]\nhandles = 100\n").expect("write");
    let told = check(&file).worked();
    assert!(
        told.contains("limits.handles = 100 instead of 2048\nthe configuration is good"),
        "{told}"
    );
}

#[test]
fn a_signal_reads_the_configuration_again() {
    let lab = Lab::on(FileSystem::Machine);
    let mut settings = Settings::new(&lab.root(), &lab.path("run"), "vfs");
    settings.configuration = Some("log = 'warn'\n".to_owned());
    let daemon = settings.start();
    let file = lab.path("run").with_extension("toml");
    let read_again = |text: &str, told: &str| {
        fs::write(&file, text).expect("write");
        let sent = Command::new("kill")
            .args(["-HUP", &daemon.pid().to_string()])
            .status();
        assert!(sent.expect("kill").success());
        until(told, || daemon.log().contains(told));
    };
    read_again("log = 'debug'\n", "read the configuration again log=debug");
    read_again(
        "log = 'loud'\n",
        "the configuration is as before error=configuration",
    );
    read_again(
        "log = 'info'\n[limits]\nhandles = 99\n[api]\ncalls = 9\n",
        "settings that are others now count from the next start on settings=limits.handles, api.calls",
    );
    assert!(daemon.answers());
}

#[test]
fn topics_are_explained() {
    let explain = |topic: &str| mica_alone(&["explain", topic]);
    for (topic, told) in [
        ("has-children", "exit code       4"),
        (
            "limits.handles",
            "limits.handles = 2048, from 64 to 1000000",
        ),
        ("handles", "limits.handles = 2048"),
        ("root", "root = \"/var/lib/mica\""),
        ("exit-codes", "7  the daemon cannot be reached"),
        ("codes", "has-children"),
    ] {
        let text = explain(topic).worked();
        assert!(text.contains(told), "{topic}: {text}");
    }
    let unknown = explain("has-childen");
    unknown.failed(3, "nothing is known of `has-childen`");
    assert!(
        unknown.stderr.contains("`mica explain has-children`"),
        "{}",
        unknown.stderr
    );
    let page = fs::read_to_string(repository().join("docs/configuration.md")).expect("the page");
    let told = explain("configuration").worked();
    assert!(
        page.contains(&format!("```text\n{}\n```", told.trim_end())),
        "docs/configuration.md is not what `mica explain configuration` prints"
    );
}
