//! `mica driver test`: plays what every driver must do without a daemon and without root, and finds a driver's mistakes.

use std::fs::{self, File};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mica_tests::build::{self, hello_driver, mistaken_driver, python_driver, shipped_driver};
use mica_tests::command::Ended;
use mica_tests::lab::{FileSystem, Lab};
use serde_json::{Value, json};

use mica_tests::watch::until;

/// Exit codes as `mica --help` documents them.
const FAILED: i32 = 1;
const USAGE: i32 = 2;
const NOT_SUPPORTED: i32 = 5;
const INVALID: i32 = 6;
/// The user and group that have nothing.
const NOBODY: u32 = 65534;

/// Who runs the command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum User {
    Nobody,
    Root,
}

/// A place with a component in it that anyone may read.
struct Place {
    lab: Lab,
    component: PathBuf,
}

impl Place {
    fn new(component: &[u8]) -> Self {
        let lab = Lab::on(FileSystem::Machine);
        let path = lab.path("component.wasm");
        fs::write(&path, component).expect("write");
        let mut directory = path.parent();
        while let Some(own) = directory.filter(|own| own.starts_with(std::env::temp_dir())) {
            if own != std::env::temp_dir() {
                let anyone = fs::Permissions::from_mode(0o755);
                fs::set_permissions(own, anyone).expect("open to anyone");
            }
            directory = own.parent();
        }
        Self {
            lab,
            component: path,
        }
    }

    /// Runs `mica driver test` on the component.
    fn test(&self, user: User, arguments: &[&str]) -> Ended {
        let component = self.component.to_str().expect("a path that is text");
        run(
            user,
            &[&["driver", "test", component][..], arguments].concat(),
        )
    }

    /// The report of a run, with how it ended.
    fn report(&self, user: User, arguments: &[&str]) -> (i32, Value) {
        let ended = self.test(user, &[arguments, &["--output", "json"]].concat());
        let report = serde_json::from_slice(&ended.stdout);
        let report = report.unwrap_or_else(|error| panic!("{error}: {}", ended.stderr));
        (ended.code, report)
    }
}

/// Runs the program, wherever it lies: nobody may go through the directories above it.
fn run(user: User, arguments: &[&str]) -> Ended {
    let program = OwnedFd::from(File::open(build::mica()).expect("open the program"));
    rustix::io::fcntl_setfd(&program, rustix::io::FdFlags::empty()).expect("keep it open");
    let mut command = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()));
    command
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("NO_COLOR", "1")
        .current_dir("/")
        .stdin(Stdio::null());
    if user == User::Nobody {
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = command.output().expect("start mica");
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn cases<'a>(report: &'a Value, verdict: &'a str) -> impl Iterator<Item = &'a Value> {
    let cases = report["cases"].as_array().expect("a list").iter();
    cases.filter(move |case| case["verdict"] == verdict)
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("list").flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// Every case is played or left out with the reason, and none fails.
#[track_caller]
fn all_is_well(component: &[u8], user: User, name: &str, least: usize) -> Value {
    let list = run(user, &["driver", "test", "--list", "--output", "json"]);
    let list: Value = serde_json::from_slice(&list.stdout).expect("JSON");
    let all = list["cases"].as_array().expect("a list").len();
    let place = Place::new(component);
    let (mounts, before) = (place.lab.mount_table(), entries(&place.lab.path(".")));
    let (code, report) = place.report(user, &[]);
    let failed: Vec<_> = cases(&report, "failed").collect();
    assert!(failed.is_empty(), "{name}: {failed:#?}");
    assert_eq!((code, &report["driver"]["name"]), (0, &json!(name)));
    let passed = cases(&report, "passed").count();
    assert!(passed >= least, "{name}: {passed} passed");
    let left_out: Vec<_> = cases(&report, "left-out").collect();
    for case in &left_out {
        let reason = case["reason"].as_str().unwrap_or_default();
        assert!(!reason.is_empty(), "{name}: {case}");
    }
    assert_eq!(passed + left_out.len(), all, "{name}");
    assert_eq!(entries(&place.lab.path(".")), before, "something is left");
    assert_eq!(place.lab.mount_table(), mounts, "a mount is left");
    report
}

#[test]
fn a_user_without_rights_tests_vfs() {
    let report = all_is_well(&shipped_driver("vfs"), User::Nobody, "vfs", 190);
    assert_eq!(
        report["place"],
        json!({ "filesystem": "tmpfs", "owners": "one" })
    );
}

#[test]
fn a_user_without_rights_tests_overlay() {
    all_is_well(&shipped_driver("overlay"), User::Nobody, "overlay", 190);
}

#[test]
fn a_user_without_rights_tests_the_example() {
    all_is_well(&hello_driver(), User::Nobody, "hello", 190);
}

/// Its calls take ten times as long: all histories, and the behaviours that do not ask for thousands of files.
#[test]
fn a_user_without_rights_tests_the_example_in_python() {
    let list = run(
        User::Nobody,
        &["driver", "test", "--list", "--output", "json"],
    );
    let list: Value = serde_json::from_slice(&list.stdout).expect("JSON");
    let cases = list["cases"].as_array().expect("a list").iter();
    let behaviours = [
        "restart",
        "unknown-option",
        "odd-ids",
        "used-again",
        "siblings",
    ];
    let is_short = |case: &&Value| {
        case["group"] == "history" || behaviours.iter().any(|name| case["name"] == *name)
    };
    let cases = cases.filter(is_short);
    let names = cases.filter_map(|case| case["name"].as_str());
    let arguments: Vec<_> = names.flat_map(|name| ["--case", name]).collect();
    let (code, report) = Place::new(&python_driver()).report(User::Nobody, &arguments);
    assert_eq!((code, &report["failed"]), (0, &json!(0)), "{report}");
    assert!(report["passed"].as_u64() > Some(25), "{report}");
}

#[test]
fn root_plays_the_cases_with_owners_as_well() {
    let report = all_is_well(&hello_driver(), User::Root, "hello", 215);
    assert_eq!(report["place"]["owners"], "all");
    let played = cases(&report, "passed").any(|case| case["name"] == "owners");
    assert!(played, "{report}");
}

#[test]
fn another_file_system_is_played_on_and_nothing_is_left_there() {
    let place = Place::new(&shipped_driver("overlay"));
    let lab = Lab::on(FileSystem::Ext4);
    let directory = lab.root();
    fs::create_dir_all(&directory).expect("make a directory");
    let mut arguments = vec!["--directory", directory.to_str().expect("text")];
    for case in ["diff-apply-10-files", "restart", "symlink", "layer"] {
        arguments.extend(["--case", case]);
    }
    let (code, report) = place.report(User::Root, &arguments);
    let failed: Vec<_> = cases(&report, "failed").collect();
    assert_eq!((code, failed.len()), (0, 0), "{failed:#?}");
    assert_eq!(report["place"]["filesystem"], "extfs");
    assert!(entries(&directory).is_empty(), "{:?}", entries(&directory));
}

/// A mistake, the case that finds it, and the call that the report blames.
const MISTAKES: &[(&str, &str, &str)] = &[
    (
        "forgets-the-parent",
        "deep-layer-read",
        "proto-driver.create",
    ),
    ("private-top", "empty-layer", "proto-driver.create"),
    ("note-in-the-tree", "used-again", "proto-driver.create"),
    ("plain-ids", "odd-ids", "proto-driver.create"),
    ("takes-any-option", "unknown-option", "proto-driver.init"),
    ("fails-to-put", "counted-mounts", "proto-driver.put"),
    ("removes-nothing", "read-write-layer", "proto-driver.remove"),
    (
        "sends-all",
        "deleted-files-in-child-snapshot",
        "diff-driver.apply-diff",
    ),
    (
        "tells-no-change",
        "changes-are-in-byte-order",
        "diff-driver.changes",
    ),
    (
        "size-is-zero",
        "sizes-around-a-block",
        "diff-driver.diff-size",
    ),
    ("takes-half", "archive-ends-early", "diff-driver.apply-diff"),
];

#[test]
fn each_mistake_of_a_driver_is_found_by_a_case_that_names_the_call() {
    let place = Place::new(&mistaken_driver());
    let played = MISTAKES.iter().flat_map(|(_, case, _)| ["--case", case]);
    let (code, report) = place.report(User::Nobody, &played.collect::<Vec<_>>());
    assert_eq!(code, 0, "without a mistake: {report}");
    for (mistake, case, call) in MISTAKES {
        let option = format!("mistake={mistake}");
        let arguments = ["--opt", option.as_str(), "--case", case];
        let (code, report) = place.report(User::Nobody, &arguments);
        assert_eq!(code, FAILED, "{mistake}: {report}");
        let found = cases(&report, "failed").find(|found| found["name"] == *case);
        let mismatch = &found.unwrap_or_else(|| panic!("{mistake}: {report}"))["mismatch"];
        let blamed = mismatch["call"].as_str().expect("a call");
        assert!(blamed.starts_with(call), "{mistake}: {mismatch}");
        for side in ["expected", "seen"] {
            let text = mismatch[side].as_str().expect("a text");
            assert!(!text.is_empty(), "{mistake}: {mismatch}");
        }
        assert_ne!(mismatch["expected"], mismatch["seen"], "{mistake}");
    }
}

#[test]
fn people_read_what_was_expected_and_what_was_seen() {
    let place = Place::new(&mistaken_driver());
    let arguments = ["--opt", "mistake=private-top", "--case", "empty-layer"];
    let ended = place.test(User::Nobody, &arguments);
    assert_eq!(ended.code, FAILED);
    let text = ended.text();
    for line in [
        "  call      proto-driver.create",
        "  layer     empty",
        "  expected  an empty directory `/ d 0755 0:0`",
        "/ d 0700 0:0",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(
        ended.stderr.contains("1 of 1 cases failed: empty-layer"),
        "{}",
        ended.stderr
    );
}

/// One case that a driver breaks does not keep the next from being played.
#[test]
fn a_driver_that_traps_hangs_or_lies_fails_case_by_case() {
    let traps = build::hostile_driver("traps", "create");
    let hangs = build::hostile_driver("hangs", "hang-create");
    for (what, component, case, seen) in [
        ("traps", traps, "empty-layer", "failed"),
        ("hangs", hangs, "empty-layer", "timed out"),
        ("lies", build::hostile_diff_driver(), "deep-layer-read", ""),
    ] {
        let place = Place::new(&component);
        let arguments = ["--case", case, "--case", "ids-that-are-none"];
        let (code, report) = place.report(User::Nobody, &arguments);
        assert_eq!(code, FAILED, "{what}: {report}");
        let found = cases(&report, "failed").find(|found| found["name"] == case);
        let found = found.unwrap_or_else(|| panic!("{what}: {report}"));
        let text = found["mismatch"]["seen"].as_str().expect("a text");
        assert!(text.contains(seen), "{what}: {found}");
        assert_eq!(cases(&report, "passed").count(), 1, "{what}: {report}");
    }
    let place = Place::new(&build::hostile_driver("hostile", ""));
    let (code, report) = place.report(User::Nobody, &["--case", "file", "--case", "layer"]);
    assert_eq!(code, FAILED);
    let failed = cases(&report, "failed").count();
    assert!(failed > 5, "it copies no parent: {report}");
}

#[test]
fn what_cannot_be_played_is_refused_with_the_remedy() {
    let junk = Place::new(b"#!/bin/sh\n");
    junk.test(User::Nobody, &[])
        .failed(INVALID, "no WebAssembly");
    let btrfs = Place::new(&build::hostile_btrfs_driver());
    btrfs
        .test(User::Nobody, &[])
        .failed(INVALID, "`--grant btrfs`");
    let picky = Place::new(&shipped_driver("btrfs"));
    let ended = picky.test(User::Nobody, &["--grant", "btrfs"]);
    ended.failed(NOT_SUPPORTED, "--directory");
    let good = Place::new(&hello_driver());
    good.test(User::Nobody, &["--case", "no-such-case"])
        .failed(USAGE, "no-such-case");
    good.test(User::Nobody, &["--directory", "/nowhere"])
        .failed(FAILED, "/nowhere");
    run(User::Nobody, &["driver", "test"]).failed(USAGE, "FILE");
}

/// Where users may have no namespaces, the setting that forbids it is named.
#[test]
fn a_place_without_user_namespaces_is_told_with_the_setting() {
    let place = Place::new(&hello_driver());
    let script = "echo 0 >/proc/sys/user/max_user_namespaces && exec \"$0\" driver test \"$1\"";
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "sh", "-c", script])
        .arg(build::mica())
        .arg(&place.component)
        .output()
        .expect("start unshare");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(NOT_SUPPORTED), "{told}");
    assert!(told.contains("sysctl user.max_user_namespaces"), "{told}");
}

#[test]
fn a_failing_case_tells_what_the_driver_said_in_it() {
    let place = Place::new(&mistaken_driver());
    let arguments = [
        "--opt",
        "mistake=panics",
        "--case",
        "changes-are-in-byte-order",
    ];
    let (code, report) = place.report(User::Nobody, &arguments);
    assert_eq!(code, FAILED);
    for case in cases(&report, "failed") {
        let said = case["said"].to_string();
        assert!(
            said.contains("changes, stderr: ") && said.contains("are too much"),
            "{case}"
        );
        assert!(said.contains("changes, trap: "), "{case}");
    }
    assert!(cases(&report, "failed").count() > 0, "{report}");
    assert!(cases(&report, "passed").all(|case| case["said"].is_null()));
    let ended = place.test(User::Nobody, &arguments);
    assert!(
        ended.text().contains("  said      changes, stderr: "),
        "{}",
        ended.text()
    );
}

/// The numbers of a bench are of this machine and this moment: they are there, and make sense.
#[test]
fn a_bench_tells_all_operations_of_all_sides() {
    let place = Place::new(&hello_driver());
    let component = place.component.to_str().expect("text");
    let arguments = ["driver", "bench", component, "--quick", "--rounds", "2"];
    let ended = run(
        User::Nobody,
        &[&arguments[..], &["--output", "json"]].concat(),
    );
    let report: Value = serde_json::from_str(&ended.worked()).expect("JSON");
    assert_eq!(report["driver"]["name"], "hello");
    assert_eq!(
        (&report["rounds"], &report["left_out"]),
        (&json!(2), &json!([]))
    );
    assert_eq!(report["archive"]["is_generated"], true);
    let operations = report["operations"].as_array().expect("a list");
    let names: Vec<_> = operations
        .iter()
        .map(|one| one["operation"].as_str().expect("a name"))
        .collect();
    let expected = [
        "create",
        "apply",
        "mount",
        "diff",
        "create-over-parents",
        "changes",
        "remove",
    ];
    assert_eq!(names, expected);
    for operation in operations {
        check_sides(operation["sides"].as_array().expect("sides"));
    }
}

fn check_sides(sides: &[Value]) {
    let drivers: Vec<_> = sides.iter().map(|side| &side["driver"]).collect();
    assert_eq!(drivers, ["hello", "overlay", "vfs"]);
    for side in sides {
        let number = |name: &str| side[name].as_u64().unwrap_or_default();
        let time = |name: &str| side["microseconds"][name].as_u64().expect("a time");
        let (least, median, most) = (time("least"), time("median"), time("most"));
        assert!(0 < least && least <= median && median <= most, "{side}");
        assert!(number("processor_microseconds") > 0, "{side}");
        assert!(number("host_calls") > 0, "{side}");
        assert!(number("memory_bytes") > 1 << 16, "{side}");
        let is_shipped = side["driver"] != "hello";
        let told = (side["is_shipped"] == true, side["ratio"].is_f64());
        assert_eq!(told, (is_shipped, is_shipped), "{side}");
    }
}

/// One archive of another's, and what people read of it.
#[test]
fn a_bench_applies_the_archive_that_it_is_given() {
    let place = Place::new(&hello_driver());
    let archive = place.lab.path("layer.tar");
    fs::write(
        &archive,
        mica_cases::archive::archive("d etc\nf etc/hosts data=localhost"),
    )
    .expect("write");
    let archive = archive.to_str().expect("text");
    let component = place.component.to_str().expect("text");
    let arguments = [
        "driver",
        "bench",
        component,
        "--quick",
        "--rounds",
        "1",
        "--archive",
        archive,
    ];
    let text = run(User::Root, &arguments).worked();
    for part in [
        "OPERATION",
        "RATIO",
        "create-over-parents",
        "overlay (ships)",
        "vfs (ships)",
        "owners: all",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(
        text.contains("archive") && !text.contains("made for this"),
        "{text}"
    );
}

#[test]
fn a_driver_that_fails_in_a_bench_is_told_with_the_operation() {
    let place = Place::new(&mistaken_driver());
    let component = place.component.to_str().expect("text");
    let bench = |arguments: &[&str]| {
        let all = ["driver", "bench", component, "--quick", "--rounds", "1"];
        run(User::Nobody, &[&all[..], arguments].concat())
    };
    let ended = bench(&["--opt", "mistake=panics"]);
    ended.failed(FAILED, "`mistaken` failed at `changes`");
    bench(&["--opt", "colour=red"]).failed(FAILED, "colour");
    let archive = place.lab.path("archive");
    let path = archive.to_str().expect("text");
    for (bytes, named) in [
        (&b""[..], "is empty"),
        (b"\x1f\x8b\x08", "gzip -d"),
        (b"\x28\xb5\x2f\xfd", "zstd -d"),
        (&[7; 4096], "diff-driver.apply-diff"),
    ] {
        fs::write(&archive, bytes).expect("write");
        let ended = bench(&["--archive", path]);
        assert!(
            ended.code != 0 && ended.stderr.contains(named),
            "{named}: {}",
            ended.stderr
        );
    }
    bench(&["--archive", "/nowhere"]).failed(FAILED, "/nowhere");
    run(
        User::Nobody,
        &["driver", "bench", component, "--rounds", "0"],
    )
    .failed(USAGE, "--rounds");
}

/// What an interrupted run made in a directory of the user's goes with it, and what one has left that could not goes with the next.
#[test]
fn an_interrupted_run_leaves_nothing_in_the_directory() {
    let lab = Lab::on(FileSystem::Ext4);
    let directory = lab.root();
    fs::create_dir_all(directory.join(".mica-kit-4194305/root")).expect("make a directory");
    let component = lab.path("component.wasm");
    fs::write(&component, shipped_driver("overlay")).expect("write");
    for signal in ["INT", "TERM", "KILL"] {
        let mut child = Command::new(build::mica())
            .args(["driver", "test"])
            .arg(&component)
            .arg("--directory")
            .arg(&directory)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("start mica");
        let is_begun = || {
            let made = entries(&directory);
            made.iter().any(|path| path.join("root/stores").is_dir())
        };
        until("a store is made", is_begun);
        // The whole group, as a terminal does; a process that is killed takes nobody with it but those that wait for its end.
        let target = match signal {
            "KILL" => child.id().to_string(),
            _ => format!("-{}", child.id()),
        };
        let sent = Command::new("kill")
            .args([&format!("-{signal}"), "--", &target])
            .status();
        assert!(sent.expect("start kill").success());
        child.wait().expect("wait");
        until("the directory is as it was", || {
            entries(&directory).is_empty()
        });
    }
}
