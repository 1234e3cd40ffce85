//! Compiles the protocol definitions of `proto/`, without a system compiler.
//!
//! Invariant: what is generated depends on the files in `proto/` alone.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let snapshots = "containerd/services/snapshots/v1/snapshots.proto";
    let diff = "containerd/services/diff/v1/diff.proto";
    let files = protox::compile([snapshots, diff], ["proto"])?;
    tonic_prost_build::configure()
        .build_client(false)
        .btree_map(".")
        .compile_fds(files)?;
    Ok(())
}
