//! What a user of containerd waits for: images and containers through a real containerd, on Mica and on the overlayfs
//! snapshotter that is built into it.
//!
//! On the disk Mica's removal takes longer, for its commits bring files to the device: what was never written is freed for
//! nothing.
//!
//! Invariant: both sides are the same containerd, asked by its own command line; only the snapshotter differs.

use crate::Arguments;
use crate::containerd::Containerd;
use crate::daemon::Daemon;
use crate::measure::{Report, Side};
use crate::place::{Place, run};
use anyhow::Result;
use sha2::{Digest as _, Sha256};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Layers of an image of many, and the files and bytes of each.
const LAYERS: usize = 30;
const FILES: usize = 20;
const FILE_BYTES: usize = 4096;

/// The sides: how they are called here, and by containerd.
const SIDES: [(&str, &str); 2] = [("Mica", "mica"), ("overlayfs in process", "overlayfs")];

/// Measures images and containers, in memory and on the disk.
pub(super) fn containers(arguments: &Arguments, place: &Place, report: &mut Report) -> Result<()> {
    for (above, place) in [(place.memory(), "in memory"), (place.disk(), "on disk")] {
        let above = above.join("containers");
        fs::create_dir(&above)?;
        measure(arguments, &above, place, report)?;
        fs::remove_dir_all(&above)?;
    }
    Ok(())
}

fn measure(arguments: &Arguments, above: &Path, place: &str, report: &mut Report) -> Result<()> {
    let rootfs = fs::canonicalize(&arguments.rootfs)?;
    let large = Image::make(above, "large", &[rootfs])?;
    let many = Image::make(above, "many", &small_layers(&above.join("layers"))?)?;
    let (socket, path) = (above.join("mica.sock"), above.join("mica"));
    let flags = ["--driver", "overlay", "--containerd-socket"].map(OsStr::new);
    let flags = [&flags[..], &[socket.as_os_str()]].concat();
    let _daemon = Daemon::start(&arguments.mica, &path, &flags)?;
    let containerd = Containerd::start(&above.join("containerd"), &socket)?;

    let mib = fs::metadata(&arguments.rootfs)?.len() >> 20;
    let (one, small) = (
        format!("an image of {mib} MiB"),
        format!("an image of {LAYERS} small layers"),
    );
    for (what, image) in [(&one, &large), (&small, &many)] {
        let import = sides(|snapshotter| {
            let took = timed(|| image.import(&containerd, snapshotter))?;
            image.remove(&containerd)?;
            Ok(took)
        });
        report.compare(&format!("{place}: import {what}"), import)?;
        let remove = sides(|snapshotter| {
            image.import(&containerd, snapshotter)?;
            timed(|| image.remove(&containerd))
        });
        report.compare(&format!("{place}: remove {what}"), remove)?;
    }
    for (_, snapshotter) in SIDES {
        large.import(&containerd, snapshotter)?;
    }
    let container = sides(|snapshotter| timed(|| large.run(&containerd, snapshotter)));
    report.compare(&format!("{place}: run a container"), container)?;
    large.remove(&containerd)
}

/// The sides of a comparison, of which each gets its snapshotter's name.
fn sides<'a>(run: impl Fn(&'static str) -> Result<Duration> + Copy + 'a) -> Vec<Side<'a>> {
    let side = |(name, snapshotter)| Side::timed(name, move || run(snapshotter));
    SIDES.into_iter().map(side).collect()
}

fn timed(run: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let began = Instant::now();
    run()?;
    Ok(began.elapsed())
}

/// Makes archives of layers, of which none has a file of another.
fn small_layers(directory: &Path) -> Result<Vec<PathBuf>> {
    let layer = |number| {
        let tree = directory.join(format!("tree-{number}/directory-{number}"));
        fs::create_dir_all(&tree)?;
        for file in 0..FILES {
            fs::write(tree.join(format!("file-{file}")), [b'x'; FILE_BYTES])?;
        }
        let archive = directory.join(format!("{number}.tar"));
        pack(&directory.join(format!("tree-{number}")), &archive)?;
        Ok(archive)
    };
    (0..LAYERS).map(layer).collect()
}

fn pack(tree: &Path, archive: &Path) -> Result<()> {
    let mut command = Command::new("tar");
    command.arg("--directory").arg(tree);
    command.args(["--create", "--file"]).arg(archive).arg(".");
    run(&mut command)
}

/// An image in a file.
struct Image {
    name: String,
    archive: PathBuf,
}

impl Image {
    /// Makes an image of layers.
    fn make(above: &Path, name: &str, layers: &[PathBuf]) -> Result<Self> {
        let tree = above.join(name);
        fs::create_dir(&tree)?;
        let (mut digests, mut names) = (Vec::new(), Vec::new());
        for (number, layer) in layers.iter().enumerate() {
            let file = format!("{number}.tar");
            fs::copy(layer, tree.join(&file))?;
            digests.push(digest(layer)?);
            names.push(file);
        }
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let name = format!("mica.invalid/bench/{name}:latest");
        // Lists of plain words look the same here and in JSON.
        let config = format!(
            r#"{{"architecture": "{architecture}", "os": "linux", "config": {{"Cmd": ["/bin/true"]}},
                "rootfs": {{"type": "layers", "diff_ids": {digests:?}}}}}"#
        );
        let manifest = format!(
            r#"[{{"Config": "config.json", "RepoTags": ["{name}"], "Layers": {names:?}}}]"#
        );
        fs::write(tree.join("config.json"), config)?;
        fs::write(tree.join("manifest.json"), manifest)?;
        let archive = tree.with_extension("tar");
        pack(&tree, &archive)?;
        fs::remove_dir_all(&tree)?;
        Ok(Self { name, archive })
    }

    fn import(&self, containerd: &Containerd, snapshotter: &str) -> Result<()> {
        let import = ["images", "import", "--snapshotter", snapshotter].map(OsStr::new);
        containerd.ctr(&[&import[..], &[self.archive.as_os_str()]].concat())
    }

    /// Removes it, and waits until its layers are removed, too.
    fn remove(&self, containerd: &Containerd) -> Result<()> {
        containerd.ctr(&["images", "rm", "--sync", &self.name])
    }

    /// Runs a container that does nothing.
    fn run(&self, containerd: &Containerd, snapshotter: &str) -> Result<()> {
        let run = ["run", "--rm", "--null-io", "--snapshotter", snapshotter];
        let rest = ["--cgroup", "/mica-bench", &self.name, "bench", "/bin/true"];
        containerd.ctr(&[run, rest].concat())
    }
}

fn digest(path: &Path) -> Result<String> {
    let hexadecimal: String = Sha256::digest(fs::read(path)?)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok(format!("sha256:{hexadecimal}"))
}
