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

#[path = "src/table.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    reason = "what is not needed to build them, the library reads"
)]
mod table;

/// The component that is no driver, but half of one.
const NAIVE_DIFF: (&str, &str) = ("naive-diff", "mica-driver-naive-diff");
/// The folders of `guest-drivers` that no component is made of.
const NO_GUESTS: [&str; 2] = ["artifacts", "native"];

const TARGET: &str = "wasm32-wasip2";

/// Small and fast code; a panic ends the instance anyway.
const PROFILE: [&str; 5] = [
    "profile.release.opt-level=3",
    "profile.release.codegen-units=1",
    "profile.release.lto=\"fat\"",
    "profile.release.panic=\"abort\"",
    "profile.release.strip=true",
];

/// Every host of Mica's has these instructions, and sums, comparisons and searches of bytes take a fraction with them.
const FLAGS: &str = "-Ctarget-feature=+simd128";

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
    for (name, package) in guests() {
        let built = format!("{}.wasm", package.replace('-', "_"));
        let from = target_dir.join(TARGET).join("release").join(built);
        let mut component = fs::read(&from).expect("the component was built");
        // naive-diff is no driver, and has none.
        let manifest = root.join("guest-drivers").join(name).join("manifest.json");
        if let Ok(manifest) = fs::read_to_string(manifest) {
            component.extend(manifest_section(&manifest));
        }
        fs::write(out.join(format!("{name}.wasm")), component).expect("it can be written");
    }
    let component = |driver: &table::Driver| {
        let name = driver.name;
        format!("    include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}.wasm\")),\n")
    };
    let components: String = table::DRIVERS.iter().map(component).collect();
    let list = format!("const COMPONENTS: &[&[u8]] = &[\n{components}];\n");
    fs::write(out.join("components.rs"), list).expect("the list can be written");
}

/// The custom section of a manifest that has the version of this build. The host's tests read it as those of strangers are read.
fn manifest_section(manifest: &str) -> Vec<u8> {
    let version = variable("CARGO_PKG_VERSION");
    let manifest = manifest.replace("VERSION", &version.to_string_lossy());
    let name = b"mica:manifest";
    let content = [&number(name.len())[..], name, manifest.as_bytes()].concat();
    [&[0], &number(content.len())[..], &content].concat()
}

/// A number as WebAssembly writes it.
fn number(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// What is built: names with their crates.
fn guests() -> impl Iterator<Item = (&'static str, &'static str)> {
    let drivers = table::DRIVERS.iter();
    drivers
        .map(|driver| (driver.name, driver.package))
        .chain([NAIVE_DIFF])
}

fn variable(name: &str) -> OsString {
    env::var_os(name).unwrap_or_else(|| panic!("cargo sets {name}"))
}

/// What the components are made of.
fn watch(root: &Path) {
    let guests = fs::read_dir(root.join("guest-drivers")).expect("the drivers' folder");
    let guests = guests.map(|entry| entry.expect("an entry").path());
    let sources = ["wit", "Cargo.lock"].map(|source| root.join(source));
    for source in guests.chain(sources) {
        if !NO_GUESTS.iter().any(|folder| source.ends_with(folder)) {
            println!("cargo::rerun-if-changed={}", source.display());
        }
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/table.rs");
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
    command.env("CARGO_ENCODED_RUSTFLAGS", FLAGS);
    command.current_dir(root).args([
        "build",
        "--release",
        "--quiet",
        "--target",
        TARGET,
        "--target-dir",
    ]);
    command.arg(target_dir);
    for (_, package) in guests() {
        command.args(["--package", package]);
    }
    for setting in PROFILE {
        command.args(["--config", setting]);
    }
    command
}
