//! Would an API server take the example for Kubernetes?

use std::fs;

use mica_tests::build::repository;
use mica_tests::kubernetes::{RELEASES, going_out, read, refusal};

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
