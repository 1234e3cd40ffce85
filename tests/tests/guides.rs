//! README's five minutes and `docs/operating.md`, as they stand there: what is told to be typed is typed.
//!
//! Each text runs in one shell, in a mount namespace in which `/etc`, `/run`, `/srv`, `/usr/lib/mica` and `/var/lib` are the test's own. Of what a
//! machine has besides, three programs are replaced: `systemctl` and `journalctl` by what starts the daemon without systemd,
//! and `cargo` by nothing, because the program is built.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use mica_tests::build::{self, repository};
use mica_tests::lab::{FileSystem, Lab, run};

/// A manager of one service: its daemon's process, and its log.
const SYSTEMCTL: &str = r#"#!/bin/sh
set -eu
stop() {
    [ ! -e /run/mica.pid ] || { kill "$(cat /run/mica.pid)"; while [ -e "/proc/$(cat /run/mica.pid)" ]; do sleep 0.05; done; rm /run/mica.pid; }
}
start() {
    setsid mica serve --config /etc/mica/mica.toml >>/run/mica.log 2>&1 </dev/null &
    echo $! >/run/mica.pid
}
case $1 in
start) start ;;
stop) stop ;;
restart) stop; start ;;
*) echo "systemctl $1 is not known here" >&2; exit 1 ;;
esac
"#;

const JOURNALCTL: &str = "#!/bin/sh\ntail -n 20 /run/mica.log\n";

/// The blocks of shell commands between a heading and the next of its kind, or of the whole text.
fn blocks(text: &str, heading: Option<&str>) -> String {
    let part = match heading {
        None => text,
        Some(heading) => {
            let (_, part) = text.split_once(heading).expect(heading);
            part.split("\n## ").next().expect("a part")
        }
    };
    let mut commands = String::new();
    for block in part.split("```sh\n").skip(1) {
        let (block, _) = block.split_once("```").expect("an end of the block");
        commands.push_str(block);
    }
    assert!(!commands.is_empty(), "no commands in the text");
    commands
}

fn program(directory: &Path, name: &str, text: &str) {
    let path = directory.join(name);
    fs::write(&path, text).expect("write");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod");
}

/// Hides the machine's directories behind the lab's.
fn hide(lab: &Lab) {
    let own = |name: &str| {
        let path = lab.path("fs").join(name);
        fs::create_dir(&path).expect("make a directory");
        path.to_str().expect("a path that is text").to_owned()
    };
    for (place, name) in [("/etc", "etc"), ("/usr/lib", "lib")] {
        let (upper, work) = (own(name), own(&format!("{name}-work")));
        let options = format!("lowerdir={place},upperdir={upper},workdir={work}");
        run(&["mount", "-t", "overlay", "-o", &options, "overlay", place]);
    }
    run(&["mount", "--bind", &own("var-lib"), "/var/lib"]);
    run(&["mount", "--bind", &own("srv"), "/srv"]);
    run(&["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"]);
    for directory in ["/etc/mica", "/usr/lib/mica"] {
        fs::create_dir(directory).expect("make a directory");
    }
}

/// Runs commands until the first that fails.
fn follows(lab: &Lab, commands: &str) -> String {
    let programs = lab.scratch("programs");
    program(&programs, "systemctl", SYSTEMCTL);
    program(&programs, "journalctl", JOURNALCTL);
    program(&programs, "cargo", "#!/bin/sh\n");
    std::os::unix::fs::symlink(build::mica(), programs.join("mica")).expect("link");
    let path = std::env::var("PATH").expect("PATH");
    let script = format!("shopt -s expand_aliases\nset -eux\n{commands}\n");
    // Whatever happens, no daemon is left.
    let ended = Command::new("bash")
        .args(["-c", "trap 'kill $(jobs -p) $(cat /run/mica.pid 2>/dev/null) 2>/dev/null || true' EXIT; eval \"$0\""])
        .arg(script)
        .current_dir(lab.scratch("here"))
        .env("PATH", format!("{}:{path}", programs.display()))
        .output()
        .expect("start bash");
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert!(
        ended.status.success(),
        "{errors}{}",
        fs::read_to_string("/run/mica.log").unwrap_or_default()
    );
    String::from_utf8(ended.stdout).expect("text")
}

#[test]
fn the_readmes_five_minutes_work_as_they_stand() {
    let lab = Lab::on(FileSystem::Ext4);
    hide(&lab);
    let here = lab.scratch("here");
    let release = here.join("target/release");
    fs::create_dir_all(&release).expect("make a directory");
    std::os::unix::fs::symlink(build::mica(), release.join("mica")).expect("link");
    let tree = repository().join("target/demo/rootfs.tar");
    let packed = fs::File::create(here.join("rootfs.tar.gz")).expect("make a file");
    let gzip = Command::new("gzip")
        .arg("-1c")
        .arg(&tree)
        .stdout(packed)
        .status();
    assert!(gzip.expect("start gzip").success());
    let text = fs::read_to_string(repository().join("README.md")).expect("read");
    let said = follows(&lab, &blocks(&text, Some("## Five minutes\n")));
    // What the comments promise.
    for line in ["C /etc", "D /etc/issue", "C /etc/motd"] {
        assert!(
            said.lines().any(|said| said == line),
            "`{line}` is missing: {said}"
        );
    }
    for file in ["box.tar", "image.tar"] {
        assert!(
            fs::metadata(here.join(file)).expect(file).len() > 1024,
            "{file}"
        );
    }
}

#[test]
fn the_operators_guide_works_as_it_stands() {
    let lab = Lab::on(FileSystem::Ext4);
    hide(&lab);
    fs::copy(
        repository().join("host/package/mica.toml"),
        "/etc/mica/mica.toml",
    )
    .expect("copy");
    let driver = build::hello_driver();
    fs::write("/usr/lib/mica/hello.wasm", &driver).expect("write");
    fs::write("/usr/lib/mica/hello-2.wasm", build::noted(driver, "2")).expect("write");
    let text = fs::read_to_string(repository().join("docs/operating.md")).expect("read");
    let said = follows(&lab, &blocks(&text, None));
    assert!(said.contains("hello"), "{said}");
    assert!(
        !Path::new("/var/lib/mica").exists(),
        "the layers are still there"
    );
    assert!(Path::new("/var/lib/mica.before").exists() && Path::new("/srv/mica.tar").exists());
}
