//! Would an API server take what the chart for Helm makes, in every form that its values allow? And does the script of its init
//! container leave a node's containerd as it must be, and as it was?

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use mica_tests::build::{peer, repository};
use mica_tests::kubernetes::{RELEASES, going_out, read, refusal};
use serde_json::Value;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `helm` on the chart.
fn helm(verb: &[&str], set: &[&str]) -> Output {
    let chart = repository().join("examples/helm");
    let scratch = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(peer("helm").join("bin/helm"));
    command
        .args(verb)
        .arg(chart)
        .args(["--namespace", "storage"]);
    for value in set {
        command.args(["--set", value]);
    }
    // It keeps what it has asked of registries, which is nothing.
    command.env("HOME", scratch.path()).output().expect("helm")
}

/// The manifests for these values, as text.
#[track_caller]
fn manifests(set: &[&str]) -> String {
    let made = helm(&["template", "mica"], set);
    assert!(made.status.success(), "{set:?}: {}", text(&made.stderr));
    text(&made.stdout)
}

/// The manifests for these values, which releases of Kubernetes take.
#[track_caller]
fn taken(set: &[&str], releases: &[&str]) -> Vec<Value> {
    let made = manifests(set);
    let scratch = tempfile::tempdir().expect("a directory");
    let file = scratch.path().join("manifests.yaml");
    fs::write(&file, &made).expect("write");
    for release in releases {
        assert_eq!(refusal(&file, release), None, "{set:?}, {release}");
    }
    let manifests = read(&made);
    assert_eq!(going_out(&manifests), [""; 0], "{set:?}");
    manifests
}

/// The manifests for these values, which the newest release takes.
#[track_caller]
fn rendered(set: &[&str]) -> Vec<Value> {
    taken(set, &RELEASES[1..])
}

#[track_caller]
fn one<'a>(manifests: &'a [Value], kind: &str) -> &'a Value {
    let mut found = manifests.iter().filter(|one| one["kind"] == kind);
    found.next().expect("a manifest of this kind")
}

fn pod(manifests: &[Value]) -> &Value {
    &one(manifests, "DaemonSet")["spec"]["template"]["spec"]
}

#[test]
fn an_api_server_would_take_every_form_of_the_chart() {
    let lint = helm(&["lint", "--strict"], &[]);
    assert!(lint.status.success(), "{}", text(&lint.stdout));

    let usual = taken(&[], &RELEASES);
    // What an upgrade does is the operator's choice, and nothing by itself.
    let strategy = &one(&usual, "DaemonSet")["spec"]["updateStrategy"];
    assert_eq!(strategy["type"], "OnDelete");
    assert_eq!(pod(&usual)["hostPID"], Value::Null);
    assert_eq!(one(&usual, "RuntimeClass")["handler"], "mica");
    // The rights of the example without Helm.
    let example = repository().join("examples/containerd/kubernetes.yaml");
    let example = read(&fs::read_to_string(example).expect("the example"));
    let rights = |manifests: &[Value]| pod(manifests)["containers"][0]["securityContext"].clone();
    assert_eq!(rights(&usual), rights(&example));

    // Without its restoration nobody uninstalls it, and with it each node is visited.
    let hook = &one(&usual, "Job")["metadata"]["annotations"];
    assert_eq!(hook["helm.sh/hook"], "pre-delete");
    let restored = rendered(&["node.configuration=restored"]);
    assert!(restored.iter().all(|one| one["kind"] != "Job"));
    let strategy = &one(&restored, "DaemonSet")["spec"]["updateStrategy"];
    assert_eq!(strategy["type"], "RollingUpdate");

    let untouched = rendered(&["node.configuration=untouched", "driver=erofs"]);
    assert_eq!(pod(&untouched)["initContainers"], Value::Null);
    let restarts = rendered(&["node.restart=true", "updateStrategy.type=RollingUpdate"]);
    assert_eq!(pod(&restarts)["hostPID"], true);
    rendered(&[
        "root=/srv/mica",
        "runtimeClass.create=false",
        "containerd.content=",
        "driver=btrfs",
        "imagePullSecrets[0].name=key",
    ]);
}

#[test]
fn values_that_are_wrong_are_refused() {
    for (value, reason) in [
        ("driver=zfs", "/driver"),
        ("root=relative", "/root"),
        ("node.configuration=gone", "/node/configuration"),
        ("node.restart=perhaps", "/node/restart"),
        ("updateStrategy.type=Recreate", "/updateStrategy/type"),
        ("imagee.tag=1", "imagee"),
    ] {
        let refused = helm(&["template", "mica"], &[value]);
        let told = text(&refused.stderr);
        assert!(!refused.status.success(), "{value}");
        assert!(told.contains(reason), "{value}: {told}");
    }
}

/// Runs the script of the init container on a directory of containerd's.
fn node(what: &str, directory: &Path, files: &Path, restart: Option<&str>) -> Output {
    let script = repository().join("examples/helm/files/node.sh");
    let mut command = Command::new("sh");
    command.arg(script).arg(what).args([directory, files]);
    command.args(restart).output().expect("start the script")
}

/// What a containerd reads, as it understands it.
fn understood(containerd: &str, configuration: &Path) -> String {
    let output = Command::new(peer(containerd).join("usr/bin/containerd"))
        .arg("--config")
        .arg(configuration)
        .args(["config", "dump"])
        .output()
        .expect("start containerd");
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// The files that a node's containerd gets, as the pod has them.
fn files_of_the_pod(directory: &Path) {
    let manifests = read(&manifests(&[]));
    let data = one(&manifests, "ConfigMap")["data"].as_object();
    for (name, content) in data.expect("files") {
        let content = content.as_str().expect("a file of text");
        fs::write(directory.join(name), content).expect("write");
    }
}

#[track_caller]
fn a_node_is_managed_and_restored(containerd: &str, has_last_end: bool) {
    let scratch = tempfile::tempdir().expect("a directory");
    let files = scratch.path().join("files");
    let directory = scratch.path().join("containerd");
    for made in [&files, &directory] {
        fs::create_dir(made).expect("make a directory");
    }
    files_of_the_pod(&files);
    let main = directory.join("config.toml");
    let default = Command::new(peer(containerd).join("usr/bin/containerd"))
        .args(["config", "default"])
        .output();
    let mut before = text(&default.expect("start containerd").stdout);
    if !has_last_end {
        before.truncate(before.trim_end().len());
    }
    fs::write(&main, &before).expect("write");
    let plain = understood(containerd, &main);

    let told = node("managed", &directory, &files, None);
    assert!(told.status.success(), "{}", text(&told.stderr));
    assert!(text(&told.stdout).contains("restart containerd on this node"));
    // containerd has what is new, and nothing less than before but a list of what it read.
    let managed = understood(containerd, &main);
    let has = |text: &str, line: &str| text.lines().any(|one| one.trim() == line);
    for line in plain.lines().filter(|line| !line.starts_with("imports")) {
        assert!(has(&managed, line.trim()), "{line} is lost: {managed}");
    }
    let quote = if containerd == "containerd-2" {
        "'"
    } else {
        "\""
    };
    assert!(
        has(&managed, &format!("snapshotter = {quote}mica{quote}")),
        "{managed}"
    );
    assert!(has(&managed, "[proxy_plugins.mica]"), "{managed}");
    // Asked again, nothing changes and nothing is restarted.
    let after = fs::read(&main).expect("read");
    let restart = scratch.path().join("restarted");
    let touch = format!("touch {}", restart.display());
    let told = node("managed", &directory, &files, Some(&touch));
    assert!(text(&told.stdout).contains("is managed already"));
    assert_eq!(fs::read(&main).expect("read"), after);
    assert!(!restart.exists());

    // What cannot be restarted stays as it is, so that the next start tries it again.
    let told = node("restored", &directory, &files, Some("false"));
    assert_eq!(told.status.code(), Some(1), "{told:?}");
    assert_eq!(fs::read(&main).expect("read"), after);

    let told = node("restored", &directory, &files, Some(&touch));
    assert!(told.status.success(), "{}", text(&told.stderr));
    assert!(restart.exists());
    assert_eq!(fs::read_to_string(&main).expect("read"), before);
    let left = fs::read_dir(&directory).expect("list").count();
    assert_eq!(left, 1, "files are left");
}

#[test]
fn a_node_with_containerd_1_7_is_managed_and_restored() {
    a_node_is_managed_and_restored("containerd-1.7", true);
}

#[test]
fn a_node_with_containerd_2_is_managed_and_restored() {
    a_node_is_managed_and_restored("containerd-2", true);
    a_node_is_managed_and_restored("containerd-2", false);
}

#[test]
fn a_node_that_is_not_understood_is_left_alone() {
    let scratch = tempfile::tempdir().expect("a directory");
    files_of_the_pod(scratch.path());
    let directory = scratch.path().join("containerd");
    fs::create_dir(&directory).expect("make a directory");
    let main = directory.join("config.toml");
    let refused = |what: &str, reason: &str| {
        let before = fs::read(&main).ok();
        let told = node(what, &directory, scratch.path(), None);
        assert_eq!(told.status.code(), Some(1), "{reason}");
        let told = text(&told.stderr);
        assert!(told.contains(reason), "{told}");
        assert_eq!(fs::read(&main).ok(), before, "{reason}");
        let left = fs::read_dir(&directory).expect("list").count();
        assert_eq!(left, usize::from(before.is_some()), "{reason}");
    };
    refused("managed", "there is no such file");
    fs::write(&main, "version = 1\n").expect("write");
    refused("managed", "Mica knows 2 and 3");
    fs::write(&main, "root = \"/srv\"\n").expect("write");
    refused("managed", "Mica knows 2 and 3");
    for table in ["proxy_plugins.mica", "proxy_plugins.\"mica\""] {
        fs::write(&main, format!("version = 3\n[{table}]\n")).expect("write");
        refused("managed", "a snapshotter or a runtime `mica` already");
    }
    refused("removed", "managed or restored, not `removed`");
    // What somebody has written behind a mark without its end is not Mica's.
    let begin = "# Mica begins here, and is taken away when it is restored";
    fs::write(&main, format!("version = 3\n{begin}\n[grpc]\n")).expect("write");
    refused("restored", "the marks around the lines of Mica");
    fs::remove_file(&main).expect("remove");
    std::os::unix::fs::symlink("elsewhere", &main).expect("link");
    let told = text(&node("managed", &directory, scratch.path(), None).stderr);
    assert!(told.contains("it is a symbolic link"), "{told}");
}
