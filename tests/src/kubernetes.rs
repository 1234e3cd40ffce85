//! Judges manifests as an API server would.
//!
//! Invariant: knows the published schemas and the rules beyond them that a test names; it asks no cluster.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::build::peer;

/// The oldest release that still gets fixes when this was written, and the newest one.
pub const RELEASES: [&str; 2] = ["1.34.0", "1.37.0"];

fn python(arguments: &[&str]) -> Command {
    let library = peer("kubernetes-validate");
    let mut command = Command::new("python3");
    command.args(arguments).env("PYTHONPATH", library);
    command
}

/// What the published schemas say of manifests; nothing if they take them.
pub fn refusal(manifests: &Path, release: &str) -> Option<String> {
    let module = ["-m", "kubernetes_validate", "--strict", "-k", release];
    let mut command = python(&module);
    let output = command.arg(manifests).output().expect("start python3");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    (!output.status.success()).then_some(told)
}

/// Manifests as JSON.
#[track_caller]
pub fn read(manifests: &str) -> Vec<Value> {
    let main = "import sys, json, yaml; print(json.dumps(list(yaml.safe_load_all(sys.stdin))))";
    let mut command = python(&["-c", main]);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("start python3");
    let mut input = child.stdin.take().expect("its input");
    std::io::Write::write_all(&mut input, manifests.as_bytes()).expect("write");
    drop(input);
    let output = child.wait_with_output().expect("its output");
    serde_json::from_slice(&output.stdout).expect("documents")
}

/// What an API server refuses beyond the schema: mounts that go out of a container that is not privileged.
pub fn going_out(manifests: &[Value]) -> Vec<String> {
    let none = Vec::new();
    let list = |value: &Value| value.as_array().unwrap_or(&none).clone();
    let pods = manifests.iter().map(|one| &one["spec"]["template"]["spec"]);
    let containers = pods.flat_map(|pod| {
        let both = [list(&pod["containers"]), list(&pod["initContainers"])];
        both.concat()
    });
    let unprivileged =
        containers.filter(|one| one["securityContext"]["privileged"] != Value::Bool(true));
    let mounts = unprivileged.flat_map(|one| list(&one["volumeMounts"]));
    let out = mounts.filter(|mount| mount["mountPropagation"] == "Bidirectional");
    out.map(|mount| mount["mountPath"].to_string()).collect()
}
