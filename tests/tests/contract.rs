//! The contract: is what was released still what it was, and do components that were built against it still run?
//!
//! `fixtures/contract/VERSION/` has the text of each released version, and components that were built against it then, by
//! `setup/contract.sh`: `examples/hello-driver`, `guest-drivers/vfs` and the templates, with the tools that this repository named then. Nothing in
//! there is ever changed; a new version gets a directory of its own (CONTRIBUTING.md says how).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use mica_tests::build::{mica, repository};
use mica_tests::command::{Ended, mica_alone};
use mica_tests::image;
use mica_tests::lab::{FileSystem, Lab};
use serde_json::Value;

/// The versions that were released, with the digest of their text, the last one last.
const RELEASED: &[(&str, &str)] = &[(
    "1.0.0",
    "sha256:d13068b654425475b673fbec50cb05adca65fae906281cd08312e0ef19e805b2",
)];

/// Components that were built against 1.0.0, with the cases that are played on each, all if none is named, and how many pass at
/// least. What an interpreter takes ten times as long for is played on a few cases.
const KEPT: &[(&str, &[&str], u64)] = &[
    ("hello-rust", &[], 215),
    ("full-rust", &[], 215),
    ("proto-c", &[], 215),
    ("proto-go", FEW, 12),
    ("proto-js", FEW, 12),
];
const FEW: &[&str] = &[
    "restart",
    "odd-ids",
    "siblings",
    "links",
    "archive-ends-early",
    "deleted",
    "rename",
];

fn released(version: &str) -> PathBuf {
    repository().join("tests/fixtures/contract").join(version)
}

/// The files of a contract with their texts, by their paths.
fn texts(directory: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for folder in ["", "deps/host/"] {
        for entry in fs::read_dir(directory.join(folder))
            .expect("list")
            .flatten()
        {
            let name = entry.file_name().into_string().expect("text");
            if name.ends_with(".wit") {
                let text = fs::read_to_string(entry.path()).expect("read");
                files.insert(format!("{folder}{name}"), text);
            }
        }
    }
    files
}

fn digest(files: &BTreeMap<String, String>) -> String {
    let texts = files
        .iter()
        .map(|(path, text)| format!("{path} {}\n{text}", text.len()));
    image::digest(texts.collect::<String>().as_bytes())
}

/// The text without what is for readers only.
fn bare(files: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let bare = |(path, text): (&String, &String)| (path.clone(), bare_words(text).join(" "));
    files.iter().map(bare).collect()
}

/// The versions of the packages of a contract.
fn versions(files: &BTreeMap<String, String>) -> Vec<String> {
    let mut versions: Vec<_> = files
        .values()
        .filter_map(|text| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix("package "))?;
            Some(line.trim_end_matches(';').rsplit('@').next()?.to_owned())
        })
        .collect();
    versions.sort();
    versions.dedup();
    versions
}

/// The version that this source has.
fn current() -> (String, BTreeMap<String, String>) {
    let files = texts(&repository().join("wit"));
    let versions = versions(&files);
    let [version] = versions.as_slice() else {
        panic!("both packages have one version: {versions:?}")
    };
    (version.clone(), files)
}

#[test]
fn the_text_of_a_released_version_is_what_it_was() {
    for (version, recorded) in RELEASED {
        let files = texts(&released(version).join("wit"));
        assert_eq!(versions(&files), [*version]);
        assert_eq!(digest(&files), *recorded, "contract {version}");
    }
    let directory = repository().join("tests/fixtures/contract");
    let there = fs::read_dir(directory).expect("list").count();
    assert_eq!(there, RELEASED.len(), "each directory has its digest here");
}

#[test]
fn this_source_has_the_last_released_version_or_a_later_one() {
    let (version, files) = current();
    let (last, _) = RELEASED.last().expect("a version");
    if version == *last {
        let kept = texts(&released(last).join("wit"));
        assert_eq!(
            bare(&files),
            bare(&kept),
            "{version} is released: give a change a new version"
        );
        return;
    }
    let number = |text: &str| -> Vec<u64> {
        text.split('.')
            .map(|part| part.parse().expect("a number"))
            .collect()
    };
    assert!(number(&version) > number(last), "{version} after {last}");
    for (before, _) in RELEASED
        .iter()
        .filter(|(before, _)| number(before)[0] == number(&version)[0])
    {
        let kept = texts(&released(before).join("wit"));
        compatible(&kept, &files).unwrap_or_else(|why| panic!("{before} to {version}: {why}"));
    }
}

/// What interfaces, resources and worlds have in them: for each by its name the texts of its types, functions and imports.
fn items(files: &BTreeMap<String, String>) -> BTreeMap<String, BTreeSet<String>> {
    let mut items = BTreeMap::<String, BTreeSet<String>>::new();
    for (path, text) in files {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut containers: Vec<String> = Vec::new();
        let (mut item, mut depth) = (Vec::new(), 0);
        for word in bare_words(text) {
            item.push(word.clone());
            match word.as_str() {
                "{" if depth == 0 && is_container(&item) => {
                    let within = containers.last().map_or(folder.to_owned(), Clone::clone);
                    containers.push(format!("{within}/{}", item[..item.len() - 1].join(" ")));
                    items
                        .entry(containers[containers.len() - 1].clone())
                        .or_default();
                    item.clear();
                }
                "{" => depth += 1,
                "}" if depth == 0 => {
                    containers.pop();
                    item.clear();
                }
                "}" => depth -= 1,
                _ => {}
            }
            let is_over = depth == 0 && (word == ";" || word == "}");
            if is_over && !item.is_empty() {
                let within = containers.last().map_or(folder.to_owned(), Clone::clone);
                items.entry(within).or_default().insert(item.join(" "));
                item.clear();
            }
        }
    }
    items
}

fn is_container(item: &[String]) -> bool {
    ["interface", "world", "resource"].contains(&item[0].as_str())
}

/// The words and signs of a text, without comments and versions.
fn bare_words(text: &str) -> Vec<String> {
    let lines = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default());
    let spaced = lines.map(|line| {
        line.replace('{', " { ")
            .replace('}', " } ")
            .replace(';', " ; ")
    });
    let words =
        spaced.flat_map(|line| line.split_whitespace().map(unversioned).collect::<Vec<_>>());
    words.collect()
}

/// A word without the version of a package: `mica:host/types@1.0.0.` is the same in each.
fn unversioned(word: &str) -> String {
    let Some((before, after)) = word.split_once('@') else {
        return word.to_owned();
    };
    let rest = after.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
    format!("{before}{rest}")
}

/// Whether a component that was built against the older text runs on a host of the newer one: all that it may import is there as it was,
/// and nothing more is asked of it.
fn compatible(
    older: &BTreeMap<String, String>,
    newer: &BTreeMap<String, String>,
) -> Result<(), String> {
    let (older, newer) = (items(older), items(newer));
    for (container, items) in &older {
        let now = newer
            .get(container)
            .ok_or(format!("`{container}` is gone"))?;
        if let Some(item) = items.difference(now).next() {
            return Err(format!("`{container}` has no `{item}` any more"));
        }
        // Host functions may be added to, and what a world imports; what a driver exports may not.
        let may_grow = container.starts_with("deps/host") || container.ends_with("host-functions");
        let more = now.difference(items).next();
        if let Some(item) = more.filter(|_| !may_grow) {
            return Err(format!(
                "`{container}` has `{item}`, which drivers that were built do not have"
            ));
        }
    }
    Ok(())
}

/// A later version is judged by a rule that tells a new function from a changed one, shown on texts that nobody released.
#[test]
fn a_minor_version_adds_and_changes_nothing() {
    let (last, _) = RELEASED.last().expect("a version");
    let kept = texts(&released(last).join("wit"));
    let later = |from: &str, to: &str| -> BTreeMap<String, String> {
        let mut changed = 0;
        let files = kept.iter().map(|(path, text)| {
            changed += text.matches(from).count();
            (
                path.clone(),
                text.replace(from, to)
                    .replace(&format!("@{last}"), "@1.999.0"),
            )
        });
        let files = files.collect();
        assert!(changed > 0, "`{from}` is not there any more");
        files
    };
    let exists = "    exists: func(id: string) -> result<bool, failure>;";
    let more = format!("{exists}\n    counts: func() -> result<u64, failure>;");
    assert_eq!(compatible(&kept, &later(exists, &more)), Ok(()));
    let driver = "    put: func(id: layer-id) -> result<_, error>;";
    let asked = format!("{driver}\n    more: func() -> result<_, error>;");
    for (from, to) in [
        (driver, asked.as_str()),
        (exists, ""),
        (
            exists,
            "    exists: func(id: string, or: string) -> result<bool, failure>;",
        ),
        ("        read-only,\n", ""),
    ] {
        assert!(
            compatible(&kept, &later(from, to)).is_err(),
            "{from} to {to}"
        );
    }
}

/// A component that is kept: its bytes.
fn kept(version: &str, name: &str) -> Vec<u8> {
    let path = released(version).join(format!("{name}.wasm.gz"));
    let file = fs::File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(file)
        .read_to_end(&mut bytes)
        .expect("gzip");
    bytes
}

/// Plays cases on a component, by a program.
#[track_caller]
fn passes(name: &str, only: &[&str], least: u64, play: impl FnOnce(&[&str]) -> Ended) {
    let lab = Lab::on(FileSystem::Machine);
    let component = lab.path("component.wasm");
    fs::write(&component, kept("1.0.0", name)).expect("write");
    let only = only.iter().flat_map(|case| ["--case", case]);
    let component = component.to_str().expect("text");
    let arguments = ["driver", "test", component, "--output", "json"];
    let arguments: Vec<_> = arguments.into_iter().chain(only).collect();
    let ended = play(&arguments);
    let report: Value = serde_json::from_str(&ended.worked()).expect("JSON");
    let failed: Vec<_> = report["cases"]
        .as_array()
        .expect("cases")
        .iter()
        .filter(|case| case["verdict"] == "failed")
        .collect();
    assert!(failed.is_empty(), "{name}: {failed:#?}");
    assert!(
        report["passed"].as_u64() >= Some(least),
        "{name}: {} passed",
        report["passed"]
    );
}

fn plays(name: &str) {
    let (_, only, least) = KEPT
        .iter()
        .find(|(kept, ..)| *kept == name)
        .expect("it is in the table");
    passes(name, only, *least, mica_alone);
}

#[test]
fn a_driver_in_rust_that_was_built_against_1_0_0_runs() {
    plays("hello-rust");
}

#[test]
fn a_driver_with_diffs_that_was_built_against_1_0_0_runs() {
    plays("full-rust");
}

#[test]
fn a_driver_in_c_that_was_built_against_1_0_0_runs() {
    plays("proto-c");
}

#[test]
fn a_driver_in_go_that_was_built_against_1_0_0_runs() {
    plays("proto-go");
}

#[test]
fn a_driver_in_javascript_that_was_built_against_1_0_0_runs() {
    plays("proto-js");
}

#[test]
fn what_is_kept_is_what_is_played() {
    let entries = fs::read_dir(released("1.0.0")).expect("list").flatten();
    let names = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().expect("text");
        name.strip_suffix(".wasm.gz").map(str::to_owned)
    });
    let mut names: Vec<_> = names.collect();
    names.sort();
    let mut played: Vec<_> = KEPT.iter().map(|(name, ..)| (*name).to_owned()).collect();
    played.sort();
    assert_eq!(names, played);
}

/// The program as it will be when its contract is 1.1.0: this one, with that number in every name of the contract's packages, in its
/// linker, its checks and the components that are part of it.
fn of_a_later_minor_version(lab: &Lab) -> PathBuf {
    let later = lab.path("mica-1.1");
    fs::copy(mica(), &later).expect("copy");
    let renamed = r"s#\(mica:\(host\|driver\)\(/[a-z-]*\)\{0,1\}@1\)\.0\.0#\1.1.0#g";
    let done = Command::new("sed")
        .env("LC_ALL", "C")
        .args(["--in-place", "--expression", renamed])
        .arg(&later)
        .status();
    assert!(done.expect("start sed").success());
    // Otherwise this one would be played, whose number the components have.
    let names = |name: &str| {
        let found = Command::new("grep")
            .args(["--quiet", "--text", "--fixed-strings", name])
            .arg(&later)
            .status();
        found.expect("start grep").success()
    };
    assert!(names("mica:host/directory@1.1.0"), "nothing was renamed");
    assert!(!names("mica:host/directory@1.0.0"), "a name was left");
    later
}

/// No second build is needed for it: the number is part of names, and both have the same length.
#[test]
fn a_host_of_a_later_minor_version_runs_what_was_built_against_1_0_0() {
    let lab = Lab::on(FileSystem::Machine);
    let later = of_a_later_minor_version(&lab);
    let with = |arguments: &[&str]| {
        let output = Command::new(&later)
            .args(arguments)
            .output()
            .expect("start it");
        Ended {
            code: output.status.code().unwrap_or(-1),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    };
    for (name, only, least) in [
        ("hello-rust", &["restart", "odd-ids", "layer"][..], 3),
        ("full-rust", &["restart", "odd-ids", "layer"][..], 3),
    ] {
        passes(name, only, least, with);
    }
}
