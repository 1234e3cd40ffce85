//! Compiles the protocol definitions that the product publishes, and those of others' that the tests speak, for clients
//! of the tests' own; and what the product keeps of its own code for them, to be compared with.

use std::error::Error;
use std::path::Path;
use std::{env, fs};

/// Services that the product serves, and those that it asks.
const SERVED: [&str; 2] = ["snapshots", "diff"];
const ASKED: [&str; 3] = ["content", "introspection", "leases"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=../host/proto/containerd");
    println!("cargo::rerun-if-changed=proto");
    let clients = SERVED.map(definition).into_iter();
    let clients = clients.chain(["cri.proto".to_owned()]);
    let files = protox::compile(clients, ["../host/proto", "proto"])?;
    let builder = tonic_prost_build::configure().btree_map(".");
    builder.build_server(false).compile_fds(files)?;
    let out = env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?;
    of_product(&Path::new(&out).join("product"))
}

fn definition(service: &str) -> String {
    format!("containerd/services/{service}/v1/{service}.proto")
}

/// Generates what lies in `host/proto/generated`.
fn of_product(out: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(out)?;
    let builder = || tonic_prost_build::configure().btree_map(".").out_dir(out);
    let served = protox::compile(SERVED.map(definition), ["../host/proto"])?;
    builder().build_client(false).compile_fds(served)?;
    let asked = protox::compile(ASKED.map(definition), ["../host/proto"])?;
    builder().build_server(false).compile_fds(asked)?;
    Ok(())
}
