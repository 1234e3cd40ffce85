//! Would an API server take the example for Kubernetes?

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use mica_tests::build::repository;
use serde_json::Value;

/// The oldest release that still gets fixes when this was written, and the newest one.
const RELEASES: [&str; 2] = ["1.34.0", "1.37.0"];

fn python(arguments: &[&str]) -> Command {
    let library = repository().join("target/peers/kubernetes-validate");
    assert!(
        library.join("VERSION").exists(),
        "kubernetes-validate is missing: run `tests/setup/peers.sh target/peers`"
    );
    let mut command = Command::new("python3");
    command.args(arguments).env("PYTHONPATH", library);
    command
}

/// What the published schemas say of manifests; nothing if they take them.
fn refusal(manifests: &Path, release: &str) -> Option<String> {
    let module = ["-m", "kubernetes_validate", "--strict", "-k", release];
    let mut command = python(&module);
    let output = command.arg(manifests).output().expect("start python3");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    (!output.status.success()).then_some(told)
}

/// Manifests as JSON.
fn read(manifests: &str) -> Vec<Value> {
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
fn going_out(manifests: &[Value]) -> Vec<String> {
    let none = Vec::new();
    let list = |value: &Value| value.as_array().unwrap_or(&none).clone();
    let containers = manifests
        .iter()
        .flat_map(|one| list(&one["spec"]["template"]["spec"]["containers"]));
    let unprivileged =
        containers.filter(|one| one["securityContext"]["privileged"] != Value::Bool(true));
    let mounts = unprivileged.flat_map(|one| list(&one["volumeMounts"]));
    let out = mounts.filter(|mount| mount["mountPropagation"] == "Bidirectional");
    out.map(|mount| mount["mountPath"].to_string()).collect()
}

#[test]
fn an_api_server_would_take_the_manifests() {
    let file = repository().join("examples/containerd/kubernetes.yaml");
    let text = fs::read_to_string(&file).expect("the example");
    for release in RELEASES {
        assert_eq!(refusal(&file, release), None, "{release}");
    }
    let manifests = read(&text);
    let kinds: Vec<_> = manifests.iter().map(|one| one["kind"].as_str()).collect();
    let known = [Some("Namespace"), Some("ConfigMap"), Some("DaemonSet")];
    assert_eq!(kinds, known);
    assert_eq!(going_out(&manifests), [""; 0]);
    // What is wrong is found.
    let scratch = tempfile::tempdir().expect("a directory");
    let wrong = scratch.path().join("wrong.yaml");
    for (good, bad) in [
        ("readinessProbe:", "readinesProbe:"),
        ("runAsUser: 0", "runAsUser: root"),
        (
            "hostPath: { path: /run/mica",
            "hostPath: { paths: /run/mica",
        ),
        ("matchLabels: { app: mica }", "matchLabels: [app]"),
    ] {
        fs::write(&wrong, text.replacen(good, bad, 1)).expect("write");
        assert!(text.contains(good), "{good}");
        assert!(refusal(&wrong, RELEASES[1]).is_some(), "{bad}");
    }
    let out = text.replace(
        "mountPath: /run/mica }",
        "mountPath: /run/mica, mountPropagation: Bidirectional }",
    );
    assert_eq!(going_out(&read(&out)), ["\"/run/mica\""]);
}
