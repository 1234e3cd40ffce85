//! Programs of others that unpack layers: umoci, and a real dockerd with overlay2.
//!
//! Invariant: what a program made is told as it is; nothing of it is left behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use serde_json::{Value, json};

use crate::dump::{nodes, print};
use crate::image::{Image, digest};

/// What unpacking came to: the tree without times and without the line of its top, or what the program said.
pub type Unpacked = Result<String, String>;

/// The tree below a directory, without times.
pub fn tree_of(top: &Path) -> String {
    let mut nodes = nodes(top);
    nodes.retain(|node| node.path != b"/");
    for node in &mut nodes {
        node.modified = (0, 0);
    }
    print(&nodes)
}

/// Runs a program to its end; the text of its errors if it fails.
fn run(command: &mut Command) -> Result<String, String> {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; `make test` installs it"));
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// Unpacks layers, lowest first, with umoci.
pub fn umoci(scratch: &Path, layers: &[Vec<u8>]) -> Unpacked {
    let image = Image::new("case", layers, &["true"]);
    let (layout, bundle) = (scratch.join("layout"), scratch.join("bundle"));
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).expect("make an image layout");
    for blob in image.layers.iter().chain([&image.manifest, &image.config]) {
        let name = blob.digest();
        let name = name.strip_prefix("sha256:").expect("a digest");
        fs::write(blobs.join(name), &blob.bytes).expect("write a blob");
    }
    let index = json!({ "schemaVersion": 2, "manifests": [{
        "mediaType": image.manifest.media_type, "digest": image.manifest.digest(),
        "size": image.manifest.bytes.len(), "annotations": { "org.opencontainers.image.ref.name": "case" },
    }] });
    fs::write(layout.join("index.json"), index.to_string()).expect("write the index");
    fs::write(
        layout.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )
    .expect("write");
    let image = format!("{}:case", layout.display());
    let unpacked = run(Command::new("umoci")
        .args(["unpack", "--image", &image])
        .arg(&bundle));
    let tree = unpacked.map(|_| tree_of(&bundle.join("rootfs")));
    for made in [&layout, &bundle] {
        if made.exists() {
            fs::remove_dir_all(made).expect("remove what umoci made");
        }
    }
    tree
}

/// A dockerd with overlay2, in namespaces of its own.
#[derive(Debug)]
pub struct Dockerd {
    child: Child,
    socket: PathBuf,
    work: PathBuf,
}

impl Dockerd {
    /// Starts one whose layers lie below `work`, on a file system that overlayfs takes.
    pub fn start(work: &Path) -> Self {
        let socket = work.join("docker.sock");
        let log = fs::File::create(work.join("dockerd.log")).expect("make a log");
        // It writes a key into its own directory, and clears its mounts away with the namespace.
        let script = "mount -t tmpfs none /etc && exec dockerd --data-root \"$1/data\" --exec-root \"$1/exec\" \
             --pidfile \"$1/pid\" --host \"unix://$1/docker.sock\" --storage-driver overlay2 --bridge none \
             --iptables=false --ip6tables=false";
        let child = Command::new("unshare")
            .args(["--mount", "--propagation", "private"])
            .args(["--pid", "--fork", "--kill-child", "--mount-proc"])
            .args(["sh", "-c", script, "sh"])
            .arg(work)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("start dockerd; `make test` installs it");
        let dockerd = Self {
            child,
            socket,
            work: work.to_owned(),
        };
        let deadline = Instant::now() + Duration::from_secs(120);
        while dockerd.docker(&["version"]).is_err() {
            let log = || fs::read_to_string(work.join("dockerd.log")).unwrap_or_default();
            assert!(
                Instant::now() < deadline,
                "dockerd does not answer: {}",
                log()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        dockerd
    }

    fn docker(&self, arguments: &[&str]) -> Result<String, String> {
        let host = format!("unix://{}", self.socket.display());
        run(Command::new("docker")
            .args(["--host", &host])
            .args(arguments))
    }

    /// Unpacks layers, lowest first.
    pub fn unpack(&self, name: &str, layers: &[Vec<u8>]) -> Unpacked {
        let image = Image::new(name, layers, &["true"]);
        let folder = self.work.join("image");
        fs::create_dir_all(&folder).expect("make a directory");
        let mut files = vec!["manifest.json".to_owned(), "config.json".to_owned()];
        for (number, layer) in layers.iter().enumerate() {
            let file = format!("{number}.tar");
            fs::write(folder.join(&file), layer).expect("write a layer");
            files.push(file);
        }
        let manifest = json!([{ "Config": "config.json", "RepoTags": [format!("{name}:latest")], "Layers": &files[2..] }]);
        fs::write(folder.join("manifest.json"), manifest.to_string()).expect("write");
        fs::write(folder.join("config.json"), &image.config.bytes).expect("write");
        let file = self.work.join("image.tar");
        run(Command::new("tar")
            .arg("--create")
            .arg("--file")
            .arg(&file)
            .arg("--directory")
            .arg(&folder)
            .args(&files))
        .expect("make an image");
        fs::remove_dir_all(&folder).expect("remove the parts");
        let file = file.to_str().expect("a path that is text");
        self.docker(&["load", "--quiet", "--input", file])?;
        let inspected = self.docker(&["image", "inspect", &digest(&image.config.bytes)])?;
        let inspected: Value = serde_json::from_str(&inspected).expect("JSON");
        let data = &inspected[0]["GraphDriver"]["Data"];
        let place = |key: &str| data[key].as_str().map(str::to_owned);
        let lowers: Vec<String> = [place("UpperDir"), place("LowerDir")]
            .into_iter()
            .flatten()
            .collect();
        Ok(self.view(&lowers.join(":")))
    }

    fn view(&self, lowers: &str) -> String {
        let at = self.work.join("view");
        fs::create_dir_all(&at).expect("make a directory");
        let options = std::ffi::CString::new(format!("lowerdir={lowers}")).expect("no NUL");
        mount(
            "overlay",
            &at,
            "overlay",
            MountFlags::RDONLY,
            Some(&*options),
        )
        .expect("mount what overlay2 made");
        // overlay2 leaves whiteouts in directories that overlayfs does not merge. Those are listed, and are not there:
        // what can be copied is what a container sees.
        let copy = self.work.join("copy");
        let copied = Command::new("cp")
            .arg("--archive")
            .arg(&at)
            .arg(&copy)
            .output();
        copied.expect("start cp");
        let tree = tree_of(&copy);
        fs::remove_dir_all(&copy).expect("remove the copy");
        unmount(&at, UnmountFlags::empty()).expect("unmount");
        tree
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        // The namespace's first process ends with its parent, and all of the namespace with it.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
