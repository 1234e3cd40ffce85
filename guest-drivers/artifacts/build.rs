//! Builds the drivers that ship with Mica as components, with the cargo and the compiler that build this crate.
//!
//! They go into a target directory of their own: the outer cargo holds the lock of the workspace's. Nothing of the
//! outer build's environment is passed on but where cargo and rustup live, so a flag meant for the host cannot change
//! a guest.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Driver crates by the name under which they are embedded.
const GUESTS: [(&str, &str); 5] = [
    ("btrfs", "mica-driver-btrfs"),
    ("erofs", "mica-driver-erofs"),
    ("overlay", "mica-driver-overlay"),
    ("vfs", "mica-driver-vfs"),
    ("naive-diff", "mica-driver-naive-diff"),
];

const TARGET: &str = "wasm32-wasip2";

/// Small and fast code; a panic ends the instance anyway.
const PROFILE: [&str; 5] = [
    "profile.release.opt-level=3",
    "profile.release.codegen-units=1",
    "profile.release.lto=\"fat\"",
    "profile.release.panic=\"abort\"",
    "profile.release.strip=true",
];

fn main() {
    let manifest = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let out = PathBuf::from(variable("OUT_DIR"));
    let root = manifest.join("../..");
    watch(&root);
    let target_dir = out.join("guests");
    let status = cargo(&root, &target_dir).status().expect("cargo runs");
    assert!(
        status.success(),
        "the drivers did not build as components; if the target is missing: rustup target add {TARGET}"
    );
    for (name, package) in GUESTS {
        let built = format!("{}.wasm", package.replace('-', "_"));
        let from = target_dir.join(TARGET).join("release").join(built);
        fs::copy(&from, out.join(format!("{name}.wasm"))).expect("the component was built");
    }
}

fn variable(name: &str) -> OsString {
    env::var_os(name).unwrap_or_else(|| panic!("cargo sets {name}"))
}

/// What the components are made of.
fn watch(root: &Path) {
    let sources = [
        "wit",
        "Cargo.lock",
        "guest-drivers/sdk",
        "guest-drivers/btrfs",
        "guest-drivers/erofs",
        "guest-drivers/erofs-index",
        "guest-drivers/overlay",
        "guest-drivers/vfs",
    ];
    for source in sources.into_iter().chain(["guest-drivers/naive-diff"]) {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }
}

fn cargo(root: &Path, target_dir: &Path) -> Command {
    let mut command = Command::new(variable("CARGO"));
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let ours = [
            "CARGO_HOME",
            "CARGO_HTTP",
            "CARGO_NET",
            "CARGO_REGISTRIES",
            "CARGO_SOURCE",
        ];
        let cargos =
            text.starts_with("CARGO") && !ours.iter().any(|prefix| text.starts_with(prefix));
        let flags = text.starts_with("RUSTC")
            || text.starts_with("RUSTFLAGS")
            || text.starts_with("RUSTDOC");
        if cargos
            || flags
            || [
                "TARGET",
                "HOST",
                "PROFILE",
                "OPT_LEVEL",
                "DEBUG",
                "MAKEFLAGS",
            ]
            .contains(&&*text)
        {
            command.env_remove(&name);
        }
    }
    command.current_dir(root).args([
        "build",
        "--release",
        "--quiet",
        "--target",
        TARGET,
        "--target-dir",
    ]);
    command.arg(target_dir);
    for (_, package) in GUESTS {
        command.args(["--package", package]);
    }
    for setting in PROFILE {
        command.args(["--config", setting]);
    }
    command
}
