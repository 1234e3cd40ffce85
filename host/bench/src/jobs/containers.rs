//! What a user of containerd waits for: images and containers through a real containerd, on Mica and on the overlayfs
//! snapshotter that is built into it.
//!
//! What is measured as unpacking begins when containerd has the image's content, and ends when the file system has written the
//! layers. A round removes what the one before has unpacked, and where a disk is large and has been in use for long, ext4 then
//! makes files several times as slowly (`place::Names`): on the disk both sides that make a tree of files are slower here than in
//! the job `sealed`.
//!
//! Invariant: both sides are the same containerd, asked by its own command line; only the snapshotter differs.

use crate::Arguments;
use crate::containerd::{Containerd, Inflater, OWN_CODE, Programs};
use crate::daemon::Daemon;
use crate::measure::{Report, Side, Spent, watched};
use crate::place::{Place, run, settle, sync};
use anyhow::{Context, Result};
use sha2::{Digest as _, Sha256};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Layers of an image of many, and the files and bytes of each.
const LAYERS: usize = 31;
const FILES: usize = 30;
const FILE_BYTES: usize = 4096;

/// The sides: how they are called here, and by containerd. The drivers of Mica have daemons of their own.
const SIDES: [(&str, &str); 3] = [
    ("Mica erofs", "erofs"),
    ("Mica overlay", "overlay"),
    ("overlayfs in process", "overlayfs"),
];

/// Measures images and containers, on an ext4 in memory and on the disk.
pub(super) fn containers(arguments: &Arguments, place: &Place, report: &mut Report) -> Result<()> {
    let programs = Programs::find()?;
    let (version, inflater) = (&programs.version, programs.inflater());
    report.tell(format!(
        "containers: containerd {version}, {}; for gzip it found {inflater}",
        if programs.has_differ() {
            "which unpacks through Mica"
        } else {
            "which unpacks by itself into Mica's mounts"
        }
    ));
    let others = [Inflater::Own].into_iter().filter(|_| inflater != OWN_CODE);
    let inflaters: Vec<_> = [Inflater::Found].into_iter().chain(others).collect();
    for (above, place) in [(place.looped()?, "loop ext4"), (place.disk(), "disk")] {
        let above = above.join("containers");
        fs::create_dir(&above)?;
        for inflater in &inflaters {
            let with = match inflater {
                Inflater::Found => programs.inflater(),
                Inflater::Own => OWN_CODE,
            };
            report.begin(&format!("containerd {version} with {with}, on {place}"));
            let at = above.join(format!("{inflater:?}"));
            fs::create_dir(&at)?;
            measure(arguments, &at, place, (&programs, *inflater), report)?;
            fs::remove_dir_all(&at)?;
        }
        fs::remove_dir_all(&above)?;
    }
    Ok(())
}

fn measure(
    arguments: &Arguments,
    above: &Path,
    place: &str,
    (programs, inflater): (&Programs, Inflater),
    report: &mut Report,
) -> Result<()> {
    let images = images(&arguments.rootfs, above)?;
    let drivers = SIDES.iter().filter(|(name, _)| name.starts_with("Mica"));
    let drivers: Vec<_> = drivers.map(|(_, driver)| *driver).collect();
    let paths: Vec<_> = drivers.iter().map(|driver| above.join(driver)).collect();
    let socket = |driver: &&'static str| (*driver, above.join(format!("{driver}.sock")));
    let sockets: Vec<_> = drivers.iter().map(socket).collect();
    let configuration = configuration(above)?;
    let mut daemons = Vec::new();
    for (path, (driver, socket)) in paths.iter().zip(&sockets) {
        let flags = [
            "--config".as_ref(),
            configuration.as_os_str(),
            "--driver".as_ref(),
            OsStr::new(driver),
            "--containerd-socket".as_ref(),
            socket.as_os_str(),
        ];
        daemons.push(Daemon::start(&arguments.mica, path, &flags)?);
    }
    let containerd = Containerd::start(&above.join("containerd"), programs, &sockets, inflater)?;
    for (what, image) in &images {
        come_and_go((what, image), &containerd, (above, &paths), place, report)?;
    }
    let Some((_, large)) = images.first() else {
        return Ok(());
    };
    large.import(&containerd)?;
    for (_, snapshotter) in SIDES {
        large.unpack(&containerd, snapshotter)?;
    }
    let container = sides(|snapshotter| watched(|| large.run(&containerd, snapshotter)));
    report.compare(&format!("{place}: run a container"), container)?;
    large.remove(&containerd)
}

/// The images, each with words for it; the large one first.
fn images(rootfs: &Path, above: &Path) -> Result<[(String, Image); 3]> {
    let rootfs = fs::canonicalize(rootfs)?;
    let small = small_layers(&above.join("layers"))?;
    let mib = fs::metadata(&rootfs)?.len() >> 20;
    Ok([
        (
            format!("an image of {mib} MiB, gzip"),
            Image::make(above, "gzip", std::slice::from_ref(&rootfs), Packed::Gzip)?,
        ),
        (
            format!("an image of {mib} MiB, plain"),
            Image::make(above, "plain", &[rootfs], Packed::Not)?,
        ),
        (
            format!("an image of {LAYERS} small layers, gzip"),
            Image::make(above, "many", &small, Packed::Gzip)?,
        ),
    ])
}

/// Tells Mica's daemons where containerd keeps its content.
fn configuration(above: &Path) -> Result<PathBuf> {
    let path = above.join("mica.toml");
    let content = above.join("containerd/root/io.containerd.content.v1.content");
    let content = content.display().to_string();
    fs::write(&path, format!("[containerd]\ncontent_root = {content:?}\n"))?;
    Ok(path)
}

/// Measures how an image is unpacked and removed.
fn come_and_go(
    (what, image): (&str, &Image),
    containerd: &Containerd,
    (above, paths): (&Path, &[PathBuf]),
    place: &str,
    report: &mut Report,
) -> Result<()> {
    let unpack = sides(|snapshotter| {
        image.import(containerd)?;
        settle(paths)?;
        let took = watched(|| {
            image.unpack(containerd, snapshotter)?;
            sync(above)
        })?;
        image.remove(containerd)?;
        Ok(took)
    });
    report.compare(&format!("{place}: unpack {what}, durable"), unpack)?;
    let remove = sides(|snapshotter| {
        image.import(containerd)?;
        image.unpack(containerd, snapshotter)?;
        settle(paths)?;
        watched(|| image.remove(containerd))
    });
    report.compare(&format!("{place}: remove {what}"), remove)
}

/// The sides of a comparison, of which each gets its snapshotter's name.
fn sides<'a>(run: impl Fn(&'static str) -> Result<Spent> + Copy + 'a) -> Vec<Side<'a>> {
    let side = |(name, snapshotter)| Side::timed(name, move || run(snapshotter));
    SIDES.into_iter().map(side).collect()
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

/// Whether the layers of an image are compressed.
#[derive(Clone, Copy)]
enum Packed {
    Not,
    Gzip,
}

/// An image in a file.
struct Image {
    name: String,
    archive: PathBuf,
}

impl Image {
    /// Makes an image of layers.
    fn make(above: &Path, name: &str, layers: &[PathBuf], packed: Packed) -> Result<Self> {
        let tree = above.join(name);
        fs::create_dir(&tree)?;
        let (mut digests, mut names) = (Vec::new(), Vec::new());
        for (number, layer) in layers.iter().enumerate() {
            let file = format!("{number}.tar");
            match packed {
                Packed::Not => drop(fs::copy(layer, tree.join(&file))?),
                Packed::Gzip => {
                    let to = File::create(tree.join(&file))?;
                    run(Command::new("gzip").arg("-c").arg(layer).stdout(to))?;
                }
            }
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

    /// Brings its content into containerd, and no layer.
    fn import(&self, containerd: &Containerd) -> Result<()> {
        let import = ["images", "import", "--no-unpack"].map(OsStr::new);
        containerd.ctr(&[&import[..], &[self.archive.as_os_str()]].concat())
    }

    /// Makes its layers. containerd asks for the digest of what it has imported.
    fn unpack(&self, containerd: &Containerd, snapshotter: &str) -> Result<()> {
        let filter = format!("name=={}", self.name);
        let listed = containerd.told(&["images", "ls", &filter])?;
        let digest = listed
            .split_whitespace()
            .find(|word| word.starts_with("sha256:"))
            .context("the image is not listed")?;
        containerd.ctr(&["snapshots", "unpack", "--snapshotter", snapshotter, digest])
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
