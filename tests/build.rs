//! Compiles the protocol definitions that the product publishes, for a client of the tests' own.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=../host/proto");
    let snapshots = "containerd/services/snapshots/v1/snapshots.proto";
    let files = protox::compile([snapshots], ["../host/proto"])?;
    tonic_prost_build::configure()
        .build_server(false)
        .btree_map(".")
        .compile_fds(files)?;
    Ok(())
}
