//! Compiles the protocol definitions of `proto/`, without a system compiler.
//!
//! Invariant: what is generated depends on the files in `proto/` alone.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let snapshots = "containerd/services/snapshots/v1/snapshots.proto";
    let diff = "containerd/services/diff/v1/diff.proto";
    let served = protox::compile([snapshots, diff], ["proto"])?;
    tonic_prost_build::configure()
        .build_client(false)
        .btree_map(".")
        .compile_fds(served)?;
    let asked = ["content", "introspection", "leases"]
        .map(|name| format!("containerd/services/{name}/v1/{name}.proto"));
    let asked = protox::compile(asked, ["proto"])?;
    tonic_prost_build::configure()
        .build_server(false)
        .btree_map(".")
        .compile_fds(asked)?;
    Ok(())
}
