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
        "opt/mica/share/zsh/site-functions/_mica",
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

/// A machine of Debian's, and a package for it.
struct Machine {
    _lab: Lab,
    root: PathBuf,
    package: String,
}

impl Machine {
    fn new() -> Self {
        let lab = Lab::on(FileSystem::Machine);
        let root = lab.scratch("machine");
        let tree = repository().join("target/demo/rootfs.tar");
        said(
            Command::new("tar")
                .arg("-xf")
                .arg(tree)
                .arg("-C")
                .arg(&root),
        );
        let package = said(
            Command::new(repository().join("host/package/deb.sh"))
                .arg(stripped(&lab))
                .arg(lab.scratch("package"))
                .env("COMPRESSION", "gzip"),
        );
        let package = package.trim().to_owned();
        Self {
            _lab: lab,
            root,
            package,
        }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Debian's own package manager judges the package.
    #[track_caller]
    fn dpkg(&self, arguments: &[&str]) -> String {
        let mut root = std::ffi::OsString::from("--root=");
        root.push(&self.root);
        said(
            Command::new("dpkg")
                .arg(root)
                .args(arguments)
                .env("DEBIAN_FRONTEND", "noninteractive"),
        )
    }

    #[track_caller]
    fn install(&self) {
        self.dpkg(&["--install", &self.package]);
    }

    /// From now on the package's scripts find systemd.
    fn has_systemd(&self) {
        let systemctl = self.at("usr/bin/systemctl");
        if systemctl.exists() {
            fs::remove_file(&systemctl).expect("remove the machine's own");
        }
        fs::write(&systemctl, SYSTEMCTL).expect("write");
        said(Command::new("chmod").arg("755").arg(&systemctl));
        fs::create_dir_all(self.at("run/systemd/system")).expect("make a directory");
    }

    #[track_caller]
    fn within(&self, arguments: &[&str]) -> String {
        said(Command::new("chroot").arg(&self.root).args(arguments))
    }
}

#[test]
fn the_package_is_installed_upgraded_and_purged_and_no_layer_goes() {
    let machine = Machine::new();
    let at = |path: &str| machine.at(path);

    machine.install();
    assert!(machine.within(&["mica", "--version"]).starts_with("mica "));
    machine.within(&[
        "mica",
        "serve",
        "--check",
        "--config",
        "/etc/mica/mica.toml",
    ]);
    let unit = Path::new("usr/lib/systemd/system/mica.service");
    starts_what_is_there(&machine.root, unit);
    assert!(machine.within(&["dpkg", "--verify", "mica"]).is_empty());
    let needed = machine.within(&["dpkg-query", "--show", "--showformat=${Depends}", "mica"]);
    assert!(needed.contains("libc6"), "{needed}");

    fs::create_dir_all(at("var/lib/mica/stores")).expect("make a directory");
    fs::write(at("etc/mica/mica.toml"), "log = \"warn\"\n").expect("write");
    machine.install();
    assert_eq!(
        fs::read(at("etc/mica/mica.toml")).expect("read"),
        b"log = \"warn\"\n"
    );

    machine.dpkg(&["--remove", "mica"]);
    assert!(!at("usr/bin/mica").exists() && at("etc/mica/mica.toml").exists());
    let told = machine.dpkg(&["--purge", "mica"]);
    assert!(told.contains("/var/lib/mica"), "{told}");
    assert!(!at("etc/mica").exists() && at("var/lib/mica/stores").exists());
    nothing_is_left(&machine);
}

#[track_caller]
fn nothing_is_left(machine: &Machine) {
    let left = files(&machine.root);
    let left: Vec<_> = left.iter().filter(|path| path.contains("mica")).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Notes what it is asked, knows what is enabled, and can restart nothing.
const SYSTEMCTL: &str = r#"#!/bin/sh
echo "$*" >>/asked
case $1 in
is-enabled) grep -qx "$3" /enabled ;;
enable) shift 2 && printf '%s\n' "$@" >>/enabled ;;
disable) : >/enabled ;;
try-restart) exit 1 ;;
esac
"#;

#[test]
fn the_package_enables_what_the_operator_has_not_disabled() {
    let machine = Machine::new();
    let at = |path: &str| machine.at(path);
    machine.has_systemd();
    let enable = |units: &str| fs::write(at("enabled"), units).expect("write");
    let enabled = || fs::read_to_string(at("enabled")).expect("read");
    let asked = || {
        let asked = fs::read_to_string(at("asked")).expect("read");
        fs::remove_file(at("asked")).expect("remove");
        asked
    };
    let both = "mica.socket\nmica.service\n";
    enable("");
    machine.install();
    assert_eq!(enabled(), both);
    assert_eq!(
        asked(),
        "enable --quiet mica.socket mica.service\ndaemon-reload\nstart mica.socket mica.service\n"
    );

    // An upgrade, whose restart fails.
    machine.install();
    let state = machine.within(&["dpkg-query", "--show", "--showformat=${Status}", "mica"]);
    assert_eq!(state, "install ok installed");
    let upgrade = "daemon-reload\ntry-restart mica.service\n";
    assert!(asked().ends_with(upgrade));
    assert_eq!(enabled(), both);

    // Whatever was enabled at a removal is so again after the next installation.
    for units in [both, "mica.socket\n", ""] {
        enable(units);
        machine.install();
        assert_eq!(enabled(), units);
        machine.dpkg(&["--remove", "mica"]);
        let removal = asked();
        assert!(
            removal.contains("stop mica.socket mica.service\n"),
            "{removal}"
        );
        assert_eq!(enabled(), "");
        machine.install();
        assert_eq!(enabled(), units);
        let started = asked();
        assert_eq!(
            started.contains("\nstart mica"),
            !units.is_empty(),
            "{started}"
        );
    }

    machine.dpkg(&["--purge", "mica"]);
    nothing_is_left(&machine);
    machine.install();
    assert_eq!(enabled(), both);
}
