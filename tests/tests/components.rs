//! Components of strangers: what is odd is refused, by a process that can do nothing but compute, and nothing stays behind.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use mica_tests::build::hello_driver;
use mica_tests::client::Problem;
use mica_tests::daemon::{Daemon, Settings};
use mica_tests::http::{self, Body};
use mica_tests::lab::{FileSystem, Lab};
use mica_tests::watch::until;
use mica_tests::{odd, script, setup};
use serde_json::json;

/// A component that takes far longer to compile than to check.
fn slow() -> Vec<u8> {
    odd::heavy(&hello_driver(), 7000, 170)
}

/// What no driver is made of, and components that were good once.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let good = hello_driver();
    let mut found: Vec<(String, Vec<u8>)> = vec![
        ("one byte".into(), vec![0]),
        ("noise".into(), script::noise(b"odd", 200_000)),
        ("zeros".into(), vec![0; 1 << 20]),
        ("a core module".into(), b"\0asm\x01\0\0\0".to_vec()),
        ("a shell script".into(), b"#!/bin/sh\nexit 0\n".to_vec()),
        (
            "an ELF file".into(),
            fs::read("/proc/self/exe").expect("a file")[..1 << 16].to_vec(),
        ),
        ("an empty component".into(), odd::nested(0)),
        ("ten levels".into(), odd::nested(10)),
        ("a hundred levels".into(), odd::nested(100)),
        (
            "another world".into(),
            odd::exporting(&["mica:driver/proto-driver@9.0.0".into()]),
        ),
        (
            "a thousand worlds".into(),
            odd::exporting(
                &(0..1000)
                    .map(|n| format!("a:b/c{n}@0.1.0"))
                    .collect::<Vec<_>>(),
            ),
        ),
        (
            "a name of 100 kB".into(),
            odd::exporting(&["n".repeat(100_000)]),
        ),
        ("a million types".into(), odd::with_types(&good, 1_000_001)),
        ("a length that lies".into(), odd::lying(&good)),
        ("twice the same".into(), [&good[..], &good].concat()),
        (
            "a section that is too large".into(),
            odd::with_custom(&good, 33 << 20),
        ),
        ("too many functions".into(), odd::heavy(&good, 20_001, 1)),
        ("too large a function".into(), odd::heavy(&good, 1, 80_000)),
    ];
    let cut = odd::truncated(&good, 24).into_iter().enumerate();
    found.extend(
        cut.skip(1)
            .map(|(at, bytes)| (format!("cut at {at}/24"), bytes)),
    );
    found.extend((0..24).map(|seed| (format!("flipped {seed}"), odd::flipped(&good, seed))));
    found
}

fn names(daemon: &Daemon) -> BTreeSet<String> {
    let document = daemon.client.get("/v1/drivers").expect("drivers");
    let drivers = document["drivers"].as_array().expect("a list").iter();
    drivers
        .map(|one| one["name"].as_str().expect("a name").to_owned())
        .collect()
}

#[test]
fn whatever_is_odd_is_refused_and_the_next_component_is_loaded() {
    let lab = Lab::on(FileSystem::Machine);
    let daemon = Settings::new(&lab.root(), &lab.path("run"), "vfs").start();
    let before = names(&daemon);
    for (what, bytes) in corpus() {
        let problem = odd_refused(&daemon, &bytes).expect_err(&what);
        assert!(
            matches!(problem.status, 400 | 413 | 422),
            "{what}: {problem:?}"
        );
        assert!(problem.detail.len() < 5000, "{what}: {problem:?}");
        assert!(
            problem.status != 422 || problem.remedy.is_some(),
            "{what}: {problem:?}"
        );
        assert!(daemon.answers(), "{what}");
        assert_eq!(daemon.children(), [0; 0], "{what}: a compiler is left");
    }
    assert_eq!(names(&daemon), before);
    daemon
        .client
        .load_driver(&hello_driver())
        .expect("a good one is loaded");
}

/// Loads a component under a name that it does not have: some bits do not matter, and a driver cannot be unloaded.
fn odd_refused(daemon: &Daemon, component: &[u8]) -> Result<(), Box<Problem>> {
    let target = "/v1/drivers?name=no-driver-is-called-so";
    daemon
        .client
        .call("POST", target, Body::Bytes(component))
        .map(drop)
}

#[test]
fn what_lies_in_the_drivers_directory_keeps_neither_the_daemon_nor_a_good_driver_from_starting() {
    let lab = Lab::on(FileSystem::Machine);
    let directory = lab.path("drivers");
    fs::create_dir(&directory).expect("make a directory");
    let mut odd = 0;
    for (number, (_, bytes)) in corpus().into_iter().step_by(4).enumerate() {
        fs::write(directory.join(format!("{number}.wasm")), bytes).expect("write");
        odd += 1;
    }
    fs::write(directory.join("good.wasm"), hello_driver()).expect("write");
    let pipe = Command::new("mkfifo")
        .arg(directory.join("pipe.wasm"))
        .status();
    assert!(pipe.expect("start mkfifo").success());
    let mut settings = Settings::new(&lab.root(), &lab.path("run"), "vfs");
    settings.arguments = vec!["--drivers-dir".into(), directory.display().to_string()];
    for start in ["first", "second"] {
        let daemon = settings.start();
        assert!(
            names(&daemon).contains("hello"),
            "{start}: {}",
            daemon.log()
        );
        let status = daemon.client.get("/v1/status").expect("a status");
        let problems = status["problems"].as_array().expect("a list").len();
        assert!(problems >= odd / 2, "{start}: {status}");
        assert!(daemon.log().contains("pipe.wasm"), "the pipe is not named");
        assert_eq!(daemon.children(), [0; 0], "{start}: a compiler is left");
        assert!(daemon.stop().success());
    }
}

/// Begins to load a component that takes long, and waits for its compiler to be confined. Gives back the request and the process.
fn compiling(daemon: &Daemon) -> (std::os::unix::net::UnixStream, u32) {
    let component = slow();
    let socket = &daemon.client.socket;
    let request = http::begin(socket, "POST", "/v1/drivers", &[], Body::Bytes(&component));
    let mut request = request.expect("connect");
    std::io::Write::write_all(&mut request, &component).expect("send a component");
    let mut found = 0;
    until("no compiler is started", || {
        found = daemon.children().first().copied().unwrap_or_default();
        // The last thing that it gives away.
        status(found).is_some_and(|status| status.contains("Seccomp:\t2"))
    });
    (request, found)
}

fn status(process: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{process}/status")).ok()
}

#[test]
fn the_compiler_can_do_nothing_but_compute() {
    let lab = Lab::on(FileSystem::Machine);
    let daemon = Settings::new(&lab.root(), &lab.path("run"), "vfs").start();
    let lacks = &daemon.client.get("/v1/status").expect("a status")["runtime"]["compiler_lacks"];
    assert_eq!(lacks, &json!([]), "this machine has all of it");
    let (request, compiler) = compiling(&daemon);
    let at = |what: &str| format!("/proc/{compiler}/{what}");
    let status = status(compiler).expect("it runs");
    for line in [
        "CapPrm:\t0000000000000000",
        "CapEff:\t0000000000000000",
        "NoNewPrivs:\t1",
    ] {
        assert!(status.contains(line), "{line}: {status}");
    }
    let limits = fs::read_to_string(at("limits")).expect("limits");
    for name in ["Max open files", "Max core file size", "Max file size"] {
        let line = limits
            .lines()
            .find(|line| line.starts_with(name))
            .expect("a limit");
        let words: Vec<_> = line[name.len()..].split_whitespace().collect();
        assert_eq!(words[..2], ["0", "0"], "{line}");
    }
    let mounts = fs::read_to_string(at("mountinfo")).expect("mounts");
    assert!(
        mounts.lines().count() == 1 && mounts.contains(" / ro,"),
        "{mounts}"
    );
    assert_eq!(fs::read_dir(at("root")).expect("its root").count(), 0);
    let mut open: Vec<_> = fs::read_dir(at("fd"))
        .expect("its descriptors")
        .flatten()
        .map(|entry| {
            fs::read_link(entry.path())
                .expect("a link")
                .display()
                .to_string()
        })
        .collect();
    open.sort();
    let [null, memory, pipe] = &open[..] else {
        panic!("{open:?}")
    };
    assert!(
        null == "/dev/null" && memory.starts_with("/memfd:") && pipe.starts_with("pipe:"),
        "{open:?}"
    );
    drop(request);
    until("it outlives its client", || daemon.children().is_empty());
}

#[test]
fn a_compiler_ends_with_its_client_and_nothing_is_loaded() {
    let lab = Lab::on(FileSystem::Machine);
    let daemon = Settings::new(&lab.root(), &lab.path("run"), "vfs").start();
    let (request, _) = compiling(&daemon);
    // Another one waits for its turn, and its client goes first.
    let component = hello_driver();
    let waiting = http::begin(
        &daemon.client.socket,
        "POST",
        "/v1/drivers",
        &[],
        Body::Bytes(&component),
    );
    let mut waiting = waiting.expect("connect");
    std::io::Write::write_all(&mut waiting, &component).expect("send a component");
    drop(waiting);
    drop(request);
    until("a compiler is left", || daemon.children().is_empty());
    daemon
        .client
        .load_driver(&hello_driver())
        .expect("its name is free, and so is the place");
    assert!(daemon.stop().success());
}

#[test]
fn a_compiler_ends_with_the_daemon() {
    let lab = Lab::on(FileSystem::Machine);
    let daemon = Settings::new(&lab.root(), &lab.path("run"), "vfs").start();
    let (_request, compiler) = compiling(&daemon);
    daemon.kill();
    until("it outlives the daemon", || {
        status(compiler).is_none_or(|status| status.contains("State:\tZ"))
    });
}

#[test]
fn what_is_not_granted_is_refused_before_anything_is_compiled() {
    let lab = Lab::on(FileSystem::Machine);
    let mut settings = Settings::new(&lab.root(), &lab.path("run"), "vfs");
    settings.configuration = Some("[drivers.hello]\ngrants = [\"log\"]\n".into());
    let daemon = settings.start();
    let code = lab.root().join("code-cache");
    let kept = || fs::read_dir(&code).expect("the cache").count();
    let before = kept();
    // Whatever it imports that this host does not link: a grant, or what a tool for another host would want.
    let http = odd::importing(&slow(), "wasi:http/types@0.2.10");
    for (name, component, named) in [
        ("hello", slow(), "grants = ["),
        ("other", http, "--disable http fetch-event"),
    ] {
        let target = format!("/v1/drivers?name={name}");
        let problem = daemon
            .client
            .call("POST", &target, Body::Bytes(&component))
            .expect_err("it imports more");
        let remedy = problem.remedy.clone().unwrap_or_default();
        assert!(
            problem.status == 422 && remedy.contains(named),
            "{problem:?}"
        );
    }
    assert_eq!(kept(), before, "the code of one is kept");
}

#[test]
fn limits_of_the_compiler_are_named_when_they_are_reached() {
    let lab = Lab::on(FileSystem::Machine);
    let mut settings = Settings::new(&lab.root(), &lab.path("run"), "vfs");
    // With the usual limits, so that the drivers that ship are found in the cache.
    assert!(settings.start().stop().success());
    for (limit, named) in [
        ("compile_seconds = 1", "compile_seconds"),
        ("compile_memory_bytes = 270000000", "compile_memory_bytes"),
        // The drivers that ship have a megabyte each.
        ("compiled_bytes = 1500000", "compiled_bytes"),
        ("component_functions = 5000", "component_functions"),
        // With naive-diff; the drivers that ship need fewer.
        ("component_instances = 4", "component_instances"),
        ("component_memories = 1", "component_memories"),
        ("component_tables = 2", "component_tables"),
    ] {
        settings.configuration = Some(format!("[limits]\n{limit}\n"));
        let daemon = settings.start();
        let component = odd::heavy(&hello_driver(), 6000, 100);
        let problem = daemon.client.load_driver(&component).expect_err(named);
        let remedy = problem.remedy.clone().unwrap_or_default();
        assert!(
            problem.status == 422 && remedy.contains(named),
            "{limit}: {problem:?}"
        );
        assert_eq!(daemon.children(), [0; 0], "{limit}");
        assert!(daemon.stop().success());
    }
}

#[test]
fn code_that_a_disk_damaged_is_compiled_anew() {
    let bench = setup::VFS_EXT4.start();
    let cache = bench.lab.root().join("code-cache");
    let files = || {
        let entries = fs::read_dir(&cache).expect("the cache").flatten();
        entries.map(|entry| entry.path()).collect::<BTreeSet<_>>()
    };
    let before = files();
    let bench = bench.restart(|daemon| {
        assert!(daemon.stop().success());
        for (number, path) in before.iter().enumerate() {
            let mut bytes = fs::read(path).expect("code");
            let at = bytes.len() / 2 + number;
            bytes[at] ^= 0x10;
            fs::write(path, bytes).expect("write");
        }
    });
    bench.store.create("l", None).expect("the driver works");
    bench.store.remove("l").expect("remove");
    assert_eq!(files(), before);
    let told = |log: &str| log.matches("is made anew").count();
    assert_eq!(told(&bench.daemon.log()), before.len());
    let bench = bench.restart(|daemon| assert!(daemon.stop().success()));
    assert_eq!(told(&bench.daemon.log()), before.len(), "nothing new");
}

#[test]
fn without_address_space_for_a_pool_memories_are_made_on_demand() {
    let lab = Lab::on(FileSystem::Ext4);
    let mut settings = setup::OVERLAY_EXT4.settings(&lab);
    assert!(settings.start().stop().success());
    // What was compiled for a pool lies in the cache now.
    settings.wrapper = vec!["prlimit".into(), "--as=8000000000".into()];
    let daemon = settings.start();
    let status = daemon.client.get("/v1/status").expect("a status");
    assert_eq!(status["runtime"]["allocator"], "on-demand", "{status}");
    assert_eq!(status["problems"], json!([]), "{status}");
    daemon.client.load_driver(&hello_driver()).expect("load");
    let hello = daemon
        .client
        .create_store("hello", "hello", &json!({}))
        .expect("a store");
    for store in [daemon.client.default_store(), hello] {
        store.create("a", None).expect("create");
        store.create("b", Some("a")).expect("create");
        fs::write(store.mount("b").expect("mount").join("f"), "x").expect("write");
        store.unmount("b").expect("unmount");
        let diff = store
            .diff("b", mica_tests::client::Against::Parent)
            .expect("diff");
        assert!(diff.len() >= 1024);
        store.remove("b").expect("remove");
    }
}

#[test]
fn a_variable_of_the_environment_disables_no_driver() {
    let lab = Lab::on(FileSystem::Ext4);
    let mut settings = setup::OVERLAY_EXT4.settings(&lab);
    for value in ["1", "0"] {
        settings.environment = vec![("WASMTIME_BACKTRACE_DETAILS".into(), value.into())];
        let daemon = settings.start();
        let status = daemon.client.get("/v1/status").expect("a status");
        assert_eq!(status["problems"], json!([]), "{status}");
        daemon
            .client
            .default_store()
            .create(value, None)
            .expect("create");
        assert!(daemon.stop().success());
    }
}

/// An older version of the contract is served, a newer one is not, and the refusal has both versions.
#[test]
fn a_component_for_another_version_of_the_contract_is_refused_with_both() {
    let lab = Lab::on(FileSystem::Machine);
    let daemon = Settings::new(&lab.root(), &lab.path("run"), "vfs").start();
    for (package, version, own) in [
        ("mica:host", "1.0.1", "mica:host@1.0.0"),
        ("mica:host", "1.1.0", "mica:host@1.0.0"),
        ("mica:host", "0.1.0", "mica:host@1.0.0"),
        ("mica:driver", "1.0.1", "mica:driver/proto-driver@1.0.0"),
        ("mica:driver", "2.0.0", "mica:driver/proto-driver@1.0.0"),
    ] {
        let other = odd::built_for(&hello_driver(), package, "1.0.0", version);
        let problem = daemon.client.load_driver(&other).expect_err(version);
        problem.is(422, "driver-rejected", own);
        assert!(
            problem.detail.contains(&format!("@{version}`")) && problem.remedy.is_some(),
            "{problem:?}"
        );
    }
    let again = odd::built_for(&hello_driver(), "mica:host", "1.0.0", "1.0.0");
    daemon.client.load_driver(&again).expect("its own version");
}

/// A component of an earlier draft of the contract has the right names and other types behind them.
#[test]
fn exports_of_other_types_are_refused_with_what_would_help() {
    let lab = Lab::on(FileSystem::Machine);
    let daemon = Settings::new(&lab.root(), &lab.path("run"), "vfs").start();
    let other = odd::renamed(&hello_driver(), "summary", "purpose");
    let problem = daemon.client.load_driver(&other).expect_err("another type");
    problem.is(422, "driver-rejected", "its exports do not fit");
    let remedy = problem.remedy.expect("a remedy");
    assert!(remedy.contains("`wit` directory"), "{remedy}");
}
