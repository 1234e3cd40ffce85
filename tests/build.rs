//! Compiles the protocol definitions that the product publishes, and those of others' that the tests speak, for clients
//! of the tests' own.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=../host/proto");
    println!("cargo::rerun-if-changed=proto");
    let snapshots = "containerd/services/snapshots/v1/snapshots.proto";
    let diff = "containerd/services/diff/v1/diff.proto";
    let files = protox::compile([snapshots, diff, "cri.proto"], ["../host/proto", "proto"])?;
    tonic_prost_build::configure()
        .build_server(false)
        .btree_map(".")
        .compile_fds(files)?;
    Ok(())
}
