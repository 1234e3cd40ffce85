//! Container images in the OCI image format.
//!
//! Invariant: an image is a function of its layers' bytes and its command.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Bytes with their media type, as a registry keeps them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// What they are.
    pub media_type: &'static str,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Blob {
    fn new(media_type: &'static str, bytes: Vec<u8>) -> Self {
        Self { media_type, bytes }
    }

    fn json(media_type: &'static str, document: &Value) -> Self {
        Self::new(media_type, document.to_string().into_bytes())
    }

    /// The digest by which they are known.
    pub fn digest(&self) -> String {
        digest(&self.bytes)
    }

    fn descriptor(&self) -> Value {
        json!({ "mediaType": self.media_type, "digest": self.digest(), "size": self.bytes.len() })
    }
}

/// An image for this machine's architecture.
#[derive(Debug, Clone)]
pub struct Image {
    /// Its name in a registry.
    pub name: String,
    /// The document that lists all else.
    pub manifest: Blob,
    /// What it runs, and its layers.
    pub config: Blob,
    /// The layers, lowest first.
    pub layers: Vec<Blob>,
}

impl Image {
    /// An image of layers, which are tar archives, and the command that it runs.
    pub fn new(name: &str, layers: &[Vec<u8>], command: &[&str]) -> Self {
        let layer =
            |bytes: &Vec<u8>| Blob::new("application/vnd.oci.image.layer.v1.tar", bytes.clone());
        let layers: Vec<_> = layers.iter().map(layer).collect();
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let config = json!({
            "architecture": architecture,
            "os": "linux",
            "config": { "Cmd": command, "Env": ["PATH=/bin"] },
            "rootfs": { "type": "layers", "diff_ids": layers.iter().map(Blob::digest).collect::<Vec<_>>() },
        });
        let config = Blob::json("application/vnd.oci.image.config.v1+json", &config);
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": kind,
            "config": config.descriptor(),
            "layers": layers.iter().map(Blob::descriptor).collect::<Vec<_>>(),
        });
        Self {
            name: name.to_owned(),
            manifest: Blob::json(kind, &manifest),
            config,
            layers,
        }
    }

    /// The names of the snapshots that a container runtime makes of the layers: a digest over each layer and all below.
    pub fn chain(&self) -> Vec<String> {
        let mut chain: Vec<String> = Vec::new();
        for layer in &self.layers {
            let own = layer.digest();
            chain.push(match chain.last() {
                Some(below) => digest(format!("{below} {own}").as_bytes()),
                None => own,
            });
        }
        chain
    }
}

/// The digest of bytes, as the image format writes it.
pub fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    let hexadecimal = hash.iter().map(|byte| format!("{byte:02x}"));
    format!("sha256:{}", hexadecimal.collect::<String>())
}

/// A layer of a tree, with whatever it has that means something in the image format.
pub fn layer(tree: &Path) -> Vec<u8> {
    let output = Command::new("tar")
        .arg("--directory")
        .arg(tree)
        .args(["--create", "--format=posix", "--sort=name"])
        .args(["--numeric-owner", "--xattrs", "."])
        .output()
        .expect("start tar");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    output.stdout
}

/// The static busybox of this machine.
pub fn busybox() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).map(|place| place.join("busybox"));
    places
        .find(|place| place.is_file())
        .expect("busybox is needed: `make test` installs it")
}
