//! Installing: `make install`, `make uninstall`, and the Debian package in a machine of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mica_tests::build::{self, repository};
use mica_tests::lab::{FileSystem, Lab, run};

/// The binary without symbols, because packing hundreds of megabytes of them takes longer than all else.
fn stripped(lab: &Lab) -> PathBuf {
    let path = lab.scratch("stripped").join("mica");
    let (from, to) = (build::mica(), path.to_str().expect("text"));
    run(&[
        "strip",
        "--strip-all",
        "-o",
        to,
        from.to_str().expect("text"),
    ]);
    path
}

/// Files below a directory, as paths in it, in order.
fn files(directory: &Path) -> Vec<String> {
    let found = Command::new("find")
        .arg(directory)
        .args(["-type", "f", "-printf", "%P\n"])
        .output();
    let found = String::from_utf8(found.expect("start find").stdout).expect("text");
    let mut found: Vec<_> = found.lines().map(str::to_owned).collect();
    found.sort();
    found
}

/// Runs a program with an environment, and returns what it prints.
#[track_caller]
fn said(command: &mut Command) -> String {
    let ended = command.output().expect("start a program");
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{command:?}: {errors}");
    String::from_utf8(ended.stdout).expect("text")
}

/// What a unit starts is what was installed.
#[track_caller]
fn starts_what_is_there(root: &Path, unit: &Path) {
    let unit = fs::read_to_string(root.join(unit)).expect("a unit");
    let line = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart=/"))
        .expect("a program");
    let program = line.split(' ').next().expect("a word");
    assert!(root.join(program).is_file(), "{program}");
}

#[test]
fn an_installation_is_whole_and_goes_without_a_trace_but_the_configuration() {
    let lab = Lab::on(FileSystem::Machine);
    let (binary, root) = (stripped(&lab), lab.scratch("root"));
    let script = |name: &str| {
        let mut command = Command::new(repository().join("host/package").join(name));
        command.env("DESTDIR", &root).env("PREFIX", "/opt/mica");
        command
    };
    said(script("install.sh").arg(&binary));
    let installed = files(&root);
    for file in [
        "etc/mica/mica.toml",
        "opt/mica/bin/mica",
        "opt/mica/lib/systemd/system/mica.service",
        "opt/mica/lib/systemd/system/mica.socket",
        "opt/mica/share/bash-completion/completions/mica",
        "opt/mica/share/man/man1/mica-layer-apply.1.gz",
    ] {
        assert!(
            installed.iter().any(|found| found == file),
            "{file} is missing: {installed:?}"
        );
    }
    starts_what_is_there(&root, Path::new("opt/mica/lib/systemd/system/mica.service"));
    let completion = root.join("opt/mica/share/bash-completion/completions/mica");
    said(Command::new("bash").arg("-n").arg(completion));

    // Once more: the configuration is the operator's.
    let configuration = root.join("etc/mica/mica.toml");
    fs::write(&configuration, "log = \"warn\"\n").expect("write");
    said(script("install.sh").arg(&binary));
    assert_eq!(fs::read(&configuration).expect("read"), b"log = \"warn\"\n");
    assert_eq!(files(&root), installed);

    said(&mut script("uninstall.sh"));
    assert_eq!(files(&root), ["etc/mica/mica.toml"]);
}

/// Debian's own package manager in a tree of Debian's judges the package.
#[test]
fn the_package_is_installed_upgraded_and_purged_and_no_layer_goes() {
    let lab = Lab::on(FileSystem::Machine);
    let machine = lab.scratch("machine");
    let at = |path: &str| machine.join(path);
    let tree = repository().join("target/demo/rootfs.tar");
    said(
        Command::new("tar")
            .arg("-xf")
            .arg(tree)
            .arg("-C")
            .arg(&machine),
    );
    let package = said(
        Command::new(repository().join("host/package/deb.sh"))
            .arg(stripped(&lab))
            .arg(lab.scratch("package"))
            .env("COMPRESSION", "gzip"),
    );
    let dpkg = |arguments: &[&str]| {
        let mut root = std::ffi::OsString::from("--root=");
        root.push(&machine);
        said(
            Command::new("dpkg")
                .arg(root)
                .args(arguments)
                .env("DEBIAN_FRONTEND", "noninteractive"),
        )
    };
    let within = |arguments: &[&str]| said(Command::new("chroot").arg(&machine).args(arguments));

    dpkg(&["--install", package.trim()]);
    assert!(within(&["mica", "--version"]).starts_with("mica "));
    within(&[
        "mica",
        "serve",
        "--check",
        "--config",
        "/etc/mica/mica.toml",
    ]);
    starts_what_is_there(&machine, Path::new("usr/lib/systemd/system/mica.service"));
    assert!(within(&["dpkg", "--verify", "mica"]).is_empty());

    fs::create_dir_all(at("var/lib/mica/stores")).expect("make a directory");
    fs::write(at("etc/mica/mica.toml"), "log = \"warn\"\n").expect("write");
    dpkg(&["--install", package.trim()]);
    assert_eq!(
        fs::read(at("etc/mica/mica.toml")).expect("read"),
        b"log = \"warn\"\n"
    );

    dpkg(&["--remove", "mica"]);
    assert!(!at("usr/bin/mica").exists() && at("etc/mica/mica.toml").exists());
    let told = dpkg(&["--purge", "mica"]);
    assert!(told.contains("/var/lib/mica"), "{told}");
    assert!(!at("etc/mica").exists() && at("var/lib/mica/stores").exists());
    let left = files(&machine);
    let left: Vec<_> = left.iter().filter(|path| path.contains("mica")).collect();
    assert!(left.is_empty(), "{left:?}");
}
