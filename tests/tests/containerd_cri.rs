//! A node of Kubernetes: a kubelet's calls to containerd's runtime interface, with Mica as its snapshotter.
//!
//! Pods are on the machine's own network, so nothing of a network has to be there; images come from a registry of the
//! test's own.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use mica_tests::archive::archive;
use mica_tests::containerd::Bench;
use mica_tests::containerd_daemon::{Containerd, Interface, Pods};
use mica_tests::cri::{Cri, wire};
use mica_tests::image::{self, Image};
use mica_tests::lab::{FileSystem, Lab, run};
use mica_tests::registry::Registry;
use mica_tests::tree;

const BASE: &str = r#"
    d bin
    d etc
    d proc
    d sys
    d dev
    d tmp mode=1777
    d opaque mode=750
    f opaque/old data=old
    f gone data=gone
    f kept own=12:34 mode=4755 data=kept
    h link to=kept
    l bin/sh to=busybox
    l bin/cat to=busybox
    l bin/dd to=busybox
    l bin/ls to=busybox
    l bin/sleep to=busybox
    l bin/stat to=busybox
"#;

const UPPER: &str = r#"
    f .wh.gone
    d opaque mode=700
    f opaque/.wh..wh..opq
    f opaque/new data=new
"#;

const TOP: &str = "f top data=top\n";

/// Ends with 7 when it is asked to.
const SERVE: &str = "trap 'exit 7' TERM; while :; do sleep 60 & wait; done";

/// The image of pods; one of three layers, and one that shares the lowest of them.
fn images(lab: &Lab) -> [Image; 3] {
    let root = lab.scratch("image");
    tree::build(&root, BASE);
    fs::copy(image::busybox(), root.join("bin/busybox")).expect("copy busybox");
    let base = image::layer(&root);
    let three = [base.clone(), archive(UPPER), archive(TOP)];
    [
        Image::new(
            "pause",
            std::slice::from_ref(&base),
            &["/bin/sleep", "3600"],
        ),
        Image::new("three", &three, &["/bin/sh", "-c", SERVE]),
        Image::new("two", &[base, archive(TOP)], &["/bin/sh", "-c", SERVE]),
    ]
}

fn named(image: &str) -> Option<wire::ImageSpec> {
    Some(wire::ImageSpec {
        image: image.to_owned(),
    })
}

/// Asks until the answer is what it must be.
#[track_caller]
fn eventually<T: std::fmt::Debug>(mut ask: impl FnMut() -> Result<(), T>) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while let Err(answer) = ask() {
        assert!(Instant::now() < deadline, "still {answer:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A node with a pod.
struct Node {
    containerd: Containerd,
    bench: Bench,
    cri: Cri,
    pod: wire::PodSandboxConfig,
}

/// A container.
#[derive(Debug, Clone)]
struct Id(String);

impl Id {
    fn request(&self) -> wire::ContainerRequest {
        wire::ContainerRequest {
            container_id: self.0.clone(),
        }
    }
}

/// Creates a container of an image in a pod and starts it.
fn start(cri: &mut Cri, pod: &str, config: &wire::PodSandboxConfig, image: &str, name: &str) -> Id {
    let container = wire::ContainerConfig {
        metadata: Some(wire::ContainerMetadata {
            name: name.to_owned(),
            attempt: 0,
        }),
        image: named(image),
        command: Vec::new(),
        linux: Some(wire::LinuxContainerConfig {
            security_context: Some(wire::LinuxContainerSecurityContext {
                namespace_options: Some(host_network()),
            }),
        }),
    };
    let request = wire::CreateContainerRequest {
        pod_sandbox_id: pod.to_owned(),
        config: Some(container),
        sandbox_config: Some(config.clone()),
    };
    let id = Id(cri.create_container(request).expect("create").container_id);
    cri.start_container(id.request()).expect("start");
    id
}

/// Runs a command of a shell in a container: its output and how it ended.
fn shell(cri: &mut Cri, container: &Id, script: &str) -> (String, i32) {
    let request = wire::ExecSyncRequest {
        container_id: container.0.clone(),
        cmd: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        timeout: 30,
    };
    let answer = cri.exec_sync(request).expect("exec");
    let text = [answer.stdout, answer.stderr].concat();
    (
        String::from_utf8_lossy(&text).into_owned(),
        answer.exit_code,
    )
}

/// Stops a container and removes it; the code with which it ended.
fn stop(cri: &mut Cri, container: &Id) -> i32 {
    let request = wire::StopContainerRequest {
        container_id: container.0.clone(),
        timeout: 20,
    };
    cri.stop_container(request).expect("stop");
    let answer = cri.container_status(container.request()).expect("a status");
    let status = answer.status.expect("a status");
    assert_eq!(
        status.state(),
        wire::ContainerState::ContainerExited,
        "{status:?}"
    );
    cri.remove_container(container.request()).expect("remove");
    status.exit_code
}

fn host_network() -> wire::NamespaceOption {
    let mut options = wire::NamespaceOption::default();
    options.set_network(wire::NamespaceMode::Node);
    options
}

fn figures(usage: Option<&wire::FilesystemUsage>) -> Option<(u64, u64)> {
    let usage = usage?;
    Some((usage.used_bytes?.value, usage.inodes_used?.value))
}

impl Node {
    fn start(bench: Bench, sandbox_image: &str, pods: Pods, peer: Option<&str>) -> Self {
        let interface = Interface::Kubernetes {
            sandbox_image,
            pods,
        };
        let containerd = Containerd::start_peer(&bench, interface, peer);
        let linux = wire::LinuxPodSandboxConfig {
            cgroup_parent: format!("/{}", containerd.group),
            security_context: Some(wire::LinuxSandboxSecurityContext {
                namespace_options: Some(host_network()),
            }),
        };
        let metadata = wire::PodSandboxMetadata {
            name: "pod".to_owned(),
            uid: "1".to_owned(),
            namespace: "default".to_owned(),
            attempt: 0,
        };
        Self {
            cri: Cri::connect(&containerd.socket()),
            containerd,
            bench,
            pod: wire::PodSandboxConfig {
                metadata: Some(metadata),
                linux: Some(linux),
            },
        }
    }

    /// Runs the pod by a runtime handler; its id.
    #[track_caller]
    fn run_pod(&mut self, handler: &str) -> String {
        let request = wire::RunPodSandboxRequest {
            config: Some(self.pod.clone()),
            runtime_handler: handler.to_owned(),
        };
        let answer = self.cri.run_pod_sandbox(request).expect("run a pod");
        answer.pod_sandbox_id
    }

    /// Pulls images at the same time.
    fn pull(&self, references: &[&str]) {
        std::thread::scope(|scope| {
            for reference in references {
                scope.spawn(|| {
                    let request = wire::PullImageRequest {
                        image: named(reference),
                        sandbox_config: Some(self.pod.clone()),
                    };
                    let mut cri = Cri::connect(&self.containerd.socket());
                    cri.pull_image(request).expect("pull");
                });
            }
        });
    }

    /// The names of the committed snapshots that Mica has, as containerd's clients know them.
    fn committed(&self) -> BTreeSet<String> {
        let filters = ["kind==committed".to_owned()];
        let pages = self.bench.client().list(&filters).expect("a list");
        let name = |key: &str| key.splitn(3, '/').nth(2).expect("a name").to_owned();
        pages
            .iter()
            .flatten()
            .map(|info| name(&info.name))
            .collect()
    }

    /// What Mica says that these snapshots occupy: bytes and inodes.
    fn occupied(&self, counts: impl Fn(&str) -> bool) -> (u64, u64) {
        let mut client = self.bench.client();
        let pages = client.list(&[]).expect("a list");
        let mut sum = (0, 0);
        for info in pages.iter().flatten().filter(|info| counts(&info.name)) {
            let (bytes, inodes) = client.usage(&info.name).expect("usage");
            sum.0 += u64::try_from(bytes).expect("bytes");
            sum.1 += u64::try_from(inodes).expect("inodes");
        }
        sum
    }

    /// The images are there as they were made, and Mica has their layers, each once.
    fn check_images(&mut self, pulled: &[(&Image, &str)]) {
        let mut expected = BTreeSet::new();
        for (image, reference) in pulled {
            let request = wire::ImageRequest {
                image: named(reference),
            };
            let answer = self.cri.image_status(request).expect("a status");
            let status = answer.image.expect("an image");
            assert_eq!(status.id, image.config.digest());
            assert_eq!(status.repo_tags, [*reference]);
            assert!(status.repo_digests[0].ends_with(&image.manifest.digest()));
            let blobs = image.layers.iter().chain([&image.config, &image.manifest]);
            let bytes: usize = blobs.map(|blob| blob.bytes.len()).sum();
            assert_eq!(status.size, u64::try_from(bytes).expect("bytes"));
            expected.extend(image.chain());
        }
        let listed = self.cri.list_images(wire::Empty {}).expect("images");
        assert_eq!(listed.images.len(), pulled.len(), "{listed:?}");
        assert_eq!(self.committed(), expected);
    }

    /// The file system of images is said to hold what Mica's snapshots do. Those of containers that are `gone` are no
    /// longer known to containerd, and stay until it collects garbage.
    fn check_file_system(&mut self, gone: &[Id]) {
        let is_known = |key: &str| !gone.iter().any(|id| key.ends_with(&id.0));
        eventually(|| {
            let answer = self.cri.image_fs_info(wire::Empty {}).expect("figures");
            let [told] = &answer.image_filesystems[..] else {
                panic!("{answer:?}");
            };
            let place = told.fs_id.as_ref().expect("a place");
            assert!(place.mountpoint.ends_with(".mica"), "{place:?}");
            let (told, occupied) = (figures(Some(told)), self.occupied(is_known));
            let is_right = told == Some(occupied) && occupied.0 > 1 << 20 && occupied.1 > 20;
            is_right.then_some(()).ok_or((told, occupied))
        });
    }

    /// What is written into a container is counted as its own.
    fn check_statistics(&mut self, container: &Id) {
        let is_own = |key: &str| key.ends_with(&container.0);
        // A file system that is asked what changed tells of what is on the device.
        let path = self.bench.lab.path("fs");
        let sync = || run(&["sync", "-f", path.to_str().expect("text")]);
        sync();
        let before = self.occupied(is_own);
        let (told, code) = shell(
            &mut self.cri,
            container,
            "dd if=/dev/urandom of=/big bs=64k count=32 && ls /big",
        );
        assert_eq!(code, 0, "{told}");
        sync();
        eventually(|| {
            let one = self
                .cri
                .container_stats(container.request())
                .expect("figures")
                .stats;
            let all = self
                .cri
                .list_container_stats(wire::Empty {})
                .expect("figures")
                .stats;
            let one = one.expect("figures");
            assert!(
                one.cpu
                    .is_some_and(|cpu| cpu.usage_core_nano_seconds.is_some())
            );
            assert!(
                one.memory
                    .is_some_and(|memory| memory.working_set_bytes.is_some())
            );
            let listed = all.iter().find(|stats| {
                stats
                    .attributes
                    .as_ref()
                    .is_some_and(|own| own.id == container.0)
            });
            let listed = figures(listed.expect("the container").writable_layer.as_ref());
            let (told, occupied) = (figures(one.writable_layer.as_ref()), self.occupied(is_own));
            let is_right = told == Some(occupied)
                && listed == told
                && (before.0 + (2 << 20)..before.0 + (3 << 20)).contains(&occupied.0)
                && occupied.1 == before.1 + 1;
            is_right
                .then_some(())
                .ok_or((before, told, listed, occupied))
        });
    }

    /// Containers that come and go at the same time.
    fn check_crowd(&self, pod: &str, image: &str) -> Vec<Id> {
        std::thread::scope(|scope| {
            let one = |number| {
                scope.spawn(move || {
                    let mut cri = Cri::connect(&self.containerd.socket());
                    let name = format!("crowd-{number}");
                    let id = start(&mut cri, pod, &self.pod, image, &name);
                    let (told, code) =
                        shell(&mut cri, &id, "echo mine >>/top && cat /top && exit 3");
                    assert_eq!((told.as_str(), code), ("topmine\n", 3));
                    assert_eq!(stop(&mut cri, &id), 7);
                    id
                })
            };
            let all = [0, 1, 2].map(one);
            all.map(|one| one.join().expect("a container")).into()
        })
    }
}

#[track_caller]
fn kubelet(file_system: FileSystem, driver: &str, peer: Option<&str>) {
    let bench = Bench::start(file_system, driver);
    let [pause, three, two] = &images(&bench.lab);
    let registry = Registry::serve(&[pause, three, two]);
    let references = [pause, three, two].map(|image| registry.reference(image));
    let [of_pause, of_three, of_two] = references.each_ref().map(String::as_str);

    let mut node = Node::start(bench, of_pause, Pods::All, peer);
    node.pull(&[of_three, of_two]);
    node.check_images(&[(three, of_three), (two, of_two)]);

    // The runtime pulls the pod's own image itself.
    let pod = node.run_pod("");
    let pods = node
        .cri
        .list_pod_sandbox(wire::Empty {})
        .expect("pods")
        .items;
    assert!(
        matches!(&pods[..], [only] if only.id == pod && only.state() == wire::PodSandboxState::SandboxReady)
    );
    node.check_images(&[(pause, of_pause), (three, of_three), (two, of_two)]);

    let container = start(&mut node.cri, &pod, &node.pod, of_three, "one");
    let looks =
        "ls / /opaque && cat /opaque/new /top && stat -c '%a %u %g %h' /kept && stat -c %a /opaque";
    assert_eq!(
        shell(&mut node.cri, &container, looks),
        ("/:\nbin\ndev\netc\nkept\nlink\nopaque\nproc\nsys\ntmp\ntop\n\n/opaque:\nnew\nnewtop4755 12 34 2\n700\n".to_owned(), 0)
    );
    node.check_statistics(&container);
    let gone = node.check_crowd(&pod, of_two);
    node.check_file_system(&gone);
    let all = node
        .cri
        .list_containers(wire::Empty {})
        .expect("containers")
        .containers;
    assert!(matches!(&all[..], [only] if only.id == container.0 && only.pod_sandbox_id == pod));

    assert_eq!(stop(&mut node.cri, &container), 7);
    clear(node, pod, &references);
}

/// Ends the pod and removes the images: nothing is left.
#[track_caller]
fn clear(mut node: Node, pod: String, references: &[String]) {
    let request = wire::PodSandboxRequest {
        pod_sandbox_id: pod,
    };
    node.cri
        .stop_pod_sandbox(request.clone())
        .expect("stop the pod");
    node.cri
        .remove_pod_sandbox(request)
        .expect("remove the pod");
    for image in references.iter().map(|reference| named(reference)) {
        let request = wire::ImageRequest { image };
        node.cri.remove_image(request).expect("remove the image");
    }
    let listed = node.cri.list_images(wire::Empty {}).expect("images");
    assert_eq!(listed.images, []);
    // No garbage is collected here: to remove an image is to do so.
    node.bench.assert_empty();
    node.containerd.stop();
}

#[test]
fn a_node_of_kubernetes_works_on_overlay() {
    kubelet(FileSystem::Ext4, "overlay", None);
}

#[test]
fn a_node_of_kubernetes_works_on_btrfs() {
    kubelet(FileSystem::Btrfs, "btrfs", None);
}

#[test]
fn a_node_of_kubernetes_works_on_vfs() {
    kubelet(FileSystem::Xfs, "vfs", None);
}

#[test]
fn a_node_with_containerd_1_7_works_on_overlay() {
    kubelet(FileSystem::Ext4, "overlay", Some("containerd-1.7"));
}

#[test]
fn a_node_with_containerd_2_works_on_overlay() {
    kubelet(FileSystem::Ext4, "overlay", Some("containerd-2"));
}

/// As the chart sets nodes up: what does not ask for Mica does not need it, and so Mica's own pod does not.
#[track_caller]
fn by_a_runtime_class(peer: &str) {
    let bench = Bench::start(FileSystem::Ext4, "overlay");
    let [pause, three, _] = &images(&bench.lab);
    let registry = Registry::serve(&[pause, three]);
    let references = [pause, three].map(|image| registry.reference(image));
    let [of_pause, of_three] = references.each_ref().map(String::as_str);

    let mut node = Node::start(bench, of_pause, Pods::Handler, Some(peer));
    node.pull(&[of_three]);
    let without = node.run_pod("");
    let container = start(&mut node.cri, &without, &node.pod, of_three, "without");
    assert_eq!(
        shell(&mut node.cri, &container, "cat /top"),
        ("top".to_owned(), 0)
    );
    assert_eq!(node.bench.client().lines(), [""; 0]);
    assert_eq!(stop(&mut node.cri, &container), 7);
    let request = wire::PodSandboxRequest {
        pod_sandbox_id: without,
    };
    node.cri.stop_pod_sandbox(request.clone()).expect("stop");
    node.cri.remove_pod_sandbox(request).expect("remove");

    let pod = node.run_pod("mica");
    let container = start(&mut node.cri, &pod, &node.pod, of_three, "with");
    let both = pause.chain().into_iter().chain(three.chain());
    assert_eq!(node.committed(), both.collect::<BTreeSet<_>>());
    assert_eq!(
        shell(&mut node.cri, &container, "cat /top"),
        ("top".to_owned(), 0)
    );
    assert_eq!(stop(&mut node.cri, &container), 7);
    clear(node, pod, &references);
}

#[test]
fn pods_choose_mica_by_a_runtime_class_of_containerd_1_7() {
    by_a_runtime_class("containerd-1.7");
}

#[test]
fn pods_choose_mica_by_a_runtime_class_of_containerd_2() {
    by_a_runtime_class("containerd-2");
}
