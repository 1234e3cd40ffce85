//! Finds what is under test, and builds it when it is not there yet: the binary, the example driver, hostile guests.
//!
//! Invariant: a build runs at most once for each run of the tests, whatever the number of test processes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use rustix::fs::{FlockOperation, flock};

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace")
}

/// The binary: `MICA_BIN`, or the one that cargo builds beside the tests.
pub fn mica() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os("MICA_BIN") {
        Some(path) => PathBuf::from(path),
        None => {
            once("mica", || {
                // Of the whole workspace, because cargo then takes the same features, and so the same compiled
                // dependencies, as for the tests.
                cargo(&["build", "--workspace", "--bin", "mica"], &[], None)
            });
            target().join("debug/mica")
        }
    })
}

/// The example driver as a component.
pub fn hello_driver() -> Vec<u8> {
    component(
        &repository().join("examples/hello-driver"),
        "hello_driver",
        "hello",
        &[],
    )
}

/// The same component with a note in it that nobody reads: another build that does the same.
pub fn noted(mut component: Vec<u8>, note: &str) -> Vec<u8> {
    let name = b"note";
    let length = 1 + name.len() + note.len();
    assert!(length < 128, "a short note");
    // A custom section: its number, its length, the length of its name, its name, and what is in it.
    let [length, name_length] = [length, name.len()].map(|length| length as u8);
    component.extend([0, length, name_length]);
    component.extend_from_slice(name);
    component.extend_from_slice(note.as_bytes());
    component
}

/// The component with a section of this name at its end.
pub fn with_section(component: &[u8], name: &str, data: &[u8]) -> Vec<u8> {
    let number = |mut value: usize| {
        let mut bytes = Vec::new();
        while value > 0x7f {
            bytes.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
        bytes
    };
    let content = [&number(name.len())[..], name.as_bytes(), data].concat();
    [component, &[0], &number(content.len())[..], &content].concat()
}

/// The component with this manifest in it.
pub fn with_manifest(component: &[u8], manifest: &serde_json::Value) -> Vec<u8> {
    with_section(component, "mica:manifest", manifest.to_string().as_bytes())
}

/// The directory of a program or library that `tests/setup/peers.sh` unpacks.
#[track_caller]
pub fn peer(name: &str) -> PathBuf {
    let directory = repository().join("target/peers").join(name);
    assert!(
        directory.join("VERSION").exists(),
        "{name} is missing: run `tests/setup/peers.sh target/peers`"
    );
    directory
}

/// The directory with the tool that makes components of Python.
#[track_caller]
pub fn python_tools() -> PathBuf {
    peer("componentize-py")
}

/// Where components are built.
pub fn guests() -> PathBuf {
    target().join("test-guests")
}

/// The example driver in Python as a component.
#[track_caller]
pub fn python_driver() -> Vec<u8> {
    let library = python_tools();
    let kept = target().join("test-guests/python.wasm");
    once("python-driver", || {
        fs::create_dir_all(target().join("test-guests")).expect("make a directory");
        let built = Command::new(repository().join("examples/python-driver/build.sh"))
            .arg(&kept)
            .env("COMPONENTIZE_PY", library.join("bin/componentize-py"))
            .env("PYTHONPATH", &library)
            .status();
        assert!(built.expect("start build.sh").success(), "build.sh");
    });
    fs::read(&kept).expect("a component")
}

/// The guest that misbehaves as its layers' ids say, under the name `name`; see its source.
pub fn hostile_driver(name: &str, fault: &str) -> Vec<u8> {
    let key = format!("hostile-{name}-{fault}");
    let environment = [("HOSTILE_NAME", name), ("HOSTILE_FAULT", fault)];
    component(
        &repository().join("tests/guests/hostile"),
        "hostile",
        &key,
        &environment,
    )
}

/// The same guest in another version.
pub fn hostile_version(version: &str) -> Vec<u8> {
    let key = format!("hostile-version-{version}");
    let environment = [("HOSTILE_NAME", "hostile"), ("HOSTILE_VERSION", version)];
    component(
        &repository().join("tests/guests/hostile"),
        "hostile",
        &key,
        &environment,
    )
}

/// The same guest, but that it imports `btrfs`.
pub fn hostile_btrfs_driver() -> Vec<u8> {
    let environment = [("HOSTILE_NAME", "hostile"), ("HOSTILE_BTRFS", "1")];
    component(
        &repository().join("tests/guests/hostile"),
        "hostile",
        "hostile-btrfs",
        &environment,
    )
}

/// The same guest, but that it exports `diff-driver`, and lies in it.
pub fn hostile_diff_driver() -> Vec<u8> {
    hostile_full_driver("hostile", "")
}

/// The same, under a name, and with a fault.
pub fn hostile_full_driver(name: &str, fault: &str) -> Vec<u8> {
    let source = repository().join("tests/guests/hostile");
    let key = format!("hostile-diffs-{name}-{fault}");
    let environment = [("HOSTILE_NAME", name), ("HOSTILE_FAULT", fault)];
    featured(&source, "hostile", &key, &environment, &["diffs"])
}

/// The guest that writes indexes which no kernel should read; see its source.
pub fn forger() -> Vec<u8> {
    component(
        &repository().join("tests/guests/forger"),
        "forger",
        "forger",
        &[],
    )
}

/// The guest that makes one mistake, which an option chooses; see its source.
pub fn mistaken_driver() -> Vec<u8> {
    component(
        &repository().join("tests/guests/mistaken"),
        "mistaken",
        "mistaken",
        &[],
    )
}

/// A driver that ships with Mica, as a component of its own.
pub fn shipped_driver(name: &str) -> Vec<u8> {
    component(
        &repository().join("guest-drivers").join(name),
        &format!("mica_driver_{name}"),
        &format!("shipped-{name}"),
        &[],
    )
}

/// The directory with programs of other projects that Mica is compared with; `build` makes them in it.
pub fn peers(project: &str, build: impl FnOnce(&Path)) -> PathBuf {
    let directory = target().join("peers").join(project);
    once(&format!("peers-{project}"), || build(&directory));
    directory
}

fn component(source: &Path, library: &str, key: &str, environment: &[(&str, &str)]) -> Vec<u8> {
    featured(source, library, key, environment, &[])
}

fn featured(
    source: &Path,
    library: &str,
    key: &str,
    environment: &[(&str, &str)],
    features: &[&str],
) -> Vec<u8> {
    let directory = target().join("test-guests");
    let kept = directory.join(format!("{key}.wasm"));
    once(key, || {
        let manifest = source.join("Cargo.toml");
        let manifest = manifest.to_str().expect("a path that is text");
        let arguments = [
            "build",
            "--release",
            "--target",
            "wasm32-wasip2",
            "--manifest-path",
            manifest,
            "--features",
            &features.join(","),
        ];
        // Variants are built to one path: no other may be built before this one is copied.
        let lock = directory.join(format!("{library}.build"));
        let lock = File::create(lock).expect("make a lock");
        flock(&lock, FlockOperation::LockExclusive).expect("lock");
        cargo(&arguments, environment, Some(&directory));
        let built = directory.join(format!("wasm32-wasip2/release/{library}.wasm"));
        fs::copy(&built, &kept).unwrap_or_else(|error| panic!("{}: {error}", built.display()));
    });
    fs::read(&kept).expect("a component")
}

fn cargo(arguments: &[&str], environment: &[(&str, &str)], target: Option<&Path>) {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(repository())
        .args(arguments)
        .envs(environment.iter().copied());
    // Of the test's own build nothing may reach this one. Build scripts that run again when such a variable changes (ring's does) would
    // have half of the program compiled anew by each of the two builds in turn.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let is_of_build = [
            "CARGO_PKG_",
            "CARGO_MANIFEST_",
            "CARGO_CRATE_",
            "CARGO_BIN_",
        ]
        .iter()
        .any(|prefix| text.starts_with(prefix));
        let is_flag = matches!(
            text.as_ref(),
            "CARGO_ENCODED_RUSTFLAGS" | "OUT_DIR" | "RUSTFLAGS" | "RUSTC_WORKSPACE_WRAPPER"
        );
        if is_of_build || is_flag {
            command.env_remove(&name);
        }
    }
    if let Some(target) = target {
        command.env("CARGO_TARGET_DIR", target);
    }
    let output = command.output().expect("start cargo");
    assert!(
        output.status.success(),
        "cargo {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Where cargo keeps what it built: the directory above `debug/deps`, where this test lies.
pub(crate) fn target() -> PathBuf {
    let test = std::env::current_exe().expect("the path of the test");
    let at = test
        .ancestors()
        .find(|path| path.ends_with("deps"))
        .expect("a test lies in `deps`");
    at.ancestors()
        .nth(2)
        .expect("`deps` lies two directories deep")
        .to_owned()
}

/// Runs `build` unless another process of the same run of the tests has done so.
fn once(key: &str, build: impl FnOnce()) {
    let run = std::env::var("NEXTEST_RUN_ID").unwrap_or_else(|_| {
        // `cargo test` starts one process after another: their parent is the run.
        let parent = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
        let started = fs::read_to_string(format!("/proc/{parent}/stat")).unwrap_or_default();
        format!(
            "{parent} {}",
            started.split(' ').nth(21).unwrap_or_default()
        )
    });
    let directory = target().join("test-guests");
    fs::create_dir_all(&directory).expect("make a directory for guests");
    let lock = File::create(directory.join(format!("{key}.lock"))).expect("make a lock");
    flock(&lock, FlockOperation::LockExclusive).expect("lock");
    let stamp = directory.join(format!("{key}.run"));
    if fs::read_to_string(&stamp).is_ok_and(|last| last == run) {
        return;
    }
    build();
    fs::write(&stamp, run).expect("write a stamp");
}
