//! Builds the guest that plays programs as a component, without the flags of the fuzz build, and only for the fuzz targets.

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_LIBFUZZER").is_none() {
        return;
    }
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let guest = manifest.join("../guests/player");
    println!("cargo::rerun-if-changed={}", guest.display());
    println!(
        "cargo::rerun-if-changed={}",
        manifest.join("../../wit").display()
    );
    let mut command = Command::new(env::var_os("CARGO").expect("cargo sets it"));
    for name in [
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTFLAGS",
        "TARGET",
        "HOST",
        "RUSTC",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
    ] {
        command.env_remove(name);
    }
    let status = command
        .current_dir(&guest)
        .args([
            "build",
            "--release",
            "--quiet",
            "--target",
            "wasm32-wasip2",
            "--target-dir",
        ])
        .arg(out.join("guest"))
        .status()
        .expect("start cargo");
    assert!(status.success(), "the guest did not build");
    let built = out.join("guest/wasm32-wasip2/release/player.wasm");
    fs::copy(built, out.join("player.wasm")).expect("the component was built");
}
