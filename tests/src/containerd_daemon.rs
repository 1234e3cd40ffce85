//! A real containerd, with Mica as its snapshotter `mica`.
//!
//! Invariant: all of it lives in memory below the lab and in namespaces of its own, whose first process ends when the
//! test does, however that happens. So no shim, no container and no mount outlives the test.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::build::peer;
use crate::containerd::Bench;
use crate::differ::Blob;
use crate::image::digest;
use crate::lab::run;

/// Ends, and with it whatever runs in its namespace, when its input does: when the test lets go of it, or dies.
/// Shims keep sockets below /run, whatever the configuration says.
const FIRST_PROCESS: &str = r#"
    mount -t tmpfs tmpfs /run || exit 1
    containerd --config "$0" &
    read -r _
    kill -TERM $!
    wait $!
"#;

const ALL_PODS: &str = r#"snapshotter = "mica""#;
const PODS_OF_A_HANDLER: &str = r#"
                snapshotter = "overlayfs"
                [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
                  runtime_type = "io.containerd.runc.v2"
                [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.mica]
                  runtime_type = "io.containerd.runc.v2"
                  snapshotter = "mica"
"#;

/// What a containerd offers beside its own services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interface<'a> {
    /// Nothing.
    Own,
    /// Nothing, and it knows nothing of Mica.
    Apart,
    /// Kubernetes' container runtime interface, whose pods begin with this image.
    Kubernetes {
        /// The image that holds a pod's namespaces.
        sandbox_image: &'a str,
        /// Who has the layers of which pods.
        pods: Pods,
    },
}

/// Which pods have their layers in Mica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pods {
    /// All.
    All,
    /// Those of the runtime handler `mica`; the others have them in containerd's own snapshotter `overlayfs`.
    Handler,
}

impl Pods {
    /// What their table says of it.
    fn settings(self) -> &'static str {
        match self {
            Self::All => ALL_PODS,
            Self::Handler => PODS_OF_A_HANDLER,
        }
    }

    /// Who unpacks what containerd 2 pulls for pods, which it does not take from the settings of others; those do not read it.
    fn unpacker(self) -> &'static str {
        match self {
            Self::All => {
                r#"
            [[plugins."io.containerd.transfer.v1.local".unpack_config]]
              platform = "linux"
              snapshotter = "mica"
            [plugins."io.containerd.cri.v1.images"]
              snapshotter = "mica"
            "#
            }
            Self::Handler => "",
        }
    }
}

/// A running containerd.
#[derive(Debug)]
pub struct Containerd {
    child: Child,
    directory: PathBuf,
    /// The control group below which a test puts its containers.
    pub group: String,
}

impl Containerd {
    /// Starts the machine's own for a daemon and waits until it answers.
    #[track_caller]
    pub fn start(bench: &Bench, interface: Interface<'_>) -> Self {
        Self::start_peer(bench, interface, None)
    }

    /// Starts one of those that `tests/setup/peers.sh` has unpacked, or the machine's own.
    #[track_caller]
    pub fn start_peer(bench: &Bench, interface: Interface<'_>, name: Option<&str>) -> Self {
        let directory = bench.lab.path("containerd");
        fs::create_dir(&directory).expect("make a directory");
        run(&["mount", "-t", "tmpfs", "mica-test", text(&directory)]);
        let configuration = directory.join("config.toml");
        fs::write(
            &configuration,
            self::configuration(&directory, &bench.socket, interface),
        )
        .expect("write the configuration");
        let log = File::create(directory.join("log")).expect("make a log");
        let mut path = std::env::var_os("PATH").unwrap_or_default();
        if let Some(name) = name {
            let programs = peer(name).join("usr/bin");
            let all = [programs].into_iter().chain(std::env::split_paths(&path));
            path = std::env::join_paths(all).expect("a search path");
        }
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "unshare", "--mount", "--pid"])
            .args(["--fork", "--kill-child", "--mount-proc"])
            .args(["sh", "-c", FIRST_PROCESS])
            .arg(&configuration)
            .env_clear()
            .env("PATH", path)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("share the log"))
            .stderr(log)
            .spawn()
            .expect("start containerd");
        let group = bench.lab.path("");
        let group = group.file_name().expect("a name");
        let containerd = Self {
            child,
            directory,
            group: text(Path::new(group)).to_owned(),
        };
        containerd.wait_for(Duration::from_secs(60));
        containerd
    }

    #[track_caller]
    fn wait_for(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        while self.try_ctr("default", &["version"]).is_err() {
            let log = self.log();
            assert!(
                Instant::now() < deadline,
                "containerd does not answer: {log}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.join("containerd.sock")
    }

    /// What it printed.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// What its command line prints for a namespace.
    #[track_caller]
    pub fn ctr(&self, namespace: &str, arguments: &[&str]) -> String {
        self.try_ctr(namespace, arguments)
            .unwrap_or_else(|error| panic!("ctr {arguments:?}: {error}"))
    }

    fn try_ctr(&self, namespace: &str, arguments: &[&str]) -> Result<String, String> {
        let output = self.command(namespace, arguments).output();
        let output = output.expect("start ctr");
        let [told, errors] =
            [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        output.status.success().then_some(told).ok_or(errors)
    }

    fn command(&self, namespace: &str, arguments: &[&str]) -> Command {
        let mut ctr = Command::new("ctr");
        ctr.arg("--address").arg(self.socket());
        ctr.args(["--namespace", namespace]).args(arguments);
        ctr
    }

    /// Puts bytes into the content of a namespace, for good.
    #[track_caller]
    pub fn put(&self, namespace: &str, media_type: &str, bytes: &[u8]) -> Blob {
        let file = self.directory.join("put");
        fs::write(&file, bytes).expect("write");
        let digest = digest(bytes);
        let mut ingest = self.command(namespace, &["content", "ingest", &digest]);
        let ingest = ingest.stdin(File::open(&file).expect("open")).status();
        assert!(ingest.expect("start ctr").success());
        let root = ["content", "label", &digest, "containerd.io/gc.root=test"];
        self.ctr(namespace, &root);
        Blob {
            media_type: media_type.to_owned(),
            digest,
            size: bytes.len().try_into().expect("a size"),
        }
    }

    /// The bytes of a blob, which must be there and be what its descriptor says.
    #[track_caller]
    pub fn get(&self, namespace: &str, blob: &Blob) -> Vec<u8> {
        let output = self.command(namespace, &["content", "get", &blob.digest]);
        let output = { output }.output().expect("start ctr");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{blob:?}: {errors}");
        assert_eq!(digest(&output.stdout), blob.digest);
        assert_eq!(i64::try_from(output.stdout.len()), Ok(blob.size));
        output.stdout
    }

    /// Lets it collect its garbage, and returns when that is done.
    #[track_caller]
    pub fn collect_garbage(&self) {
        self.ctr("default", &["leases", "create", "--id", "garbage"]);
        self.ctr("default", &["leases", "rm", "--sync", "garbage"]);
    }

    /// Ends it and all that runs in it; no control group of a container may be left.
    #[track_caller]
    pub fn stop(mut self) {
        self.end();
        for group in self.groups() {
            // What a runtime made above its containers' groups is no one's; it can be removed if they are gone.
            fs::remove_dir(&group)
                .unwrap_or_else(|error| panic!("{} is in use: {error}", group.display()));
        }
    }

    fn end(&mut self) {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + Duration::from_secs(20);
        while let Ok(None) = self.child.try_wait() {
            if Instant::now() > deadline {
                self.child.kill().ok();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The group of the test in each hierarchy that has it.
    fn groups(&self) -> Vec<PathBuf> {
        let top = PathBuf::from("/sys/fs/cgroup");
        let below = fs::read_dir(&top).expect("control groups").flatten();
        let mut places: Vec<_> = below.map(|entry| entry.path()).collect();
        places.push(top);
        let groups = places.into_iter().map(|place| place.join(&self.group));
        groups.filter(|group| group.is_dir()).collect()
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        self.end();
        for group in self.groups() {
            remove_group(&group);
        }
        if std::thread::panicking() {
            println!("containerd's log is:\n{}", self.log());
        }
    }
}

fn remove_group(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_group(&entry.path());
        }
    }
    fs::remove_dir(group).ok();
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path that is text")
}

fn configuration(directory: &Path, mica: &Path, interface: Interface<'_>) -> String {
    let directory = text(directory);
    // `opt` would make a directory in /opt, and the others want tools and devices.
    let mut disabled = vec![
        "io.containerd.internal.v1.opt",
        "io.containerd.snapshotter.v1.aufs",
        "io.containerd.snapshotter.v1.btrfs",
        "io.containerd.snapshotter.v1.devmapper",
        "io.containerd.snapshotter.v1.zfs",
    ];
    let kubernetes = match interface {
        Interface::Own | Interface::Apart => {
            disabled.push("io.containerd.grpc.v1.cri");
            String::new()
        }
        Interface::Kubernetes {
            sandbox_image,
            pods,
        } => format!(
            r#"
            [plugins."io.containerd.grpc.v1.cri"]
              sandbox_image = "{sandbox_image}"
              disable_apparmor = true
              restrict_oom_score_adj = true
              stats_collect_period = 1
              [plugins."io.containerd.grpc.v1.cri".containerd]
                {}
              [plugins."io.containerd.grpc.v1.cri".cni]
                bin_dir = "{directory}/cni"
                conf_dir = "{directory}/cni"
            {}
            "#,
            pods.settings(),
            pods.unpacker()
        ),
    };
    let snapshotter = match interface {
        Interface::Apart => String::new(),
        _ => format!(
            r#"
            [proxy_plugins.mica]
              type = "snapshot"
              address = "{}"
            "#,
            text(mica)
        ),
    };
    format!(
        r#"
        version = 2
        root = "{directory}/root"
        state = "{directory}/state"
        disabled_plugins = {disabled:?}
        [grpc]
          address = "{directory}/containerd.sock"
        {snapshotter}
        {kubernetes}
        "#
    )
}
