//! Where the benchmarks work: a directory of their own, a tmpfs in it, and an engine on either.
//!
//! Invariant: whatever was mounted is unmounted when the place goes.

use anyhow::{Context, Result, ensure};
use mica_engine::{
    DriverSource, Durability, Engine, EngineSettings, LayerRequest, MountRequest, Origin, Pairs,
    StoreRequest, WhenBusy,
};
use mica_runtime::Runtime;
use std::borrow::Cow;
use std::cell::Cell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use tempfile::TempDir;

/// Bytes of the file system that lies in memory.
const LOOP_BYTES: u64 = 8 << 30;

/// A directory on the disk, and one in memory.
#[derive(Debug)]
pub(crate) struct Place {
    directory: TempDir,
}

impl Place {
    /// Makes the directories.
    pub(crate) fn make(above: &Path) -> Result<Self> {
        let directory = TempDir::with_prefix_in("mica-bench-", above)
            .with_context(|| format!("make a directory in `{}`", above.display()))?;
        let place = Self { directory };
        for name in ["disk", "memory"] {
            fs::create_dir(place.directory.path().join(name))?;
        }
        let (disk, memory) = (place.disk(), place.memory());
        run(Command::new("mount").arg("--bind").arg(&disk).arg(&disk))?;
        run(Command::new("mount")
            .args(["-t", "tmpfs", "mica-bench"])
            .arg(&memory))?;
        [disk, memory].iter().try_for_each(|path| share(path))?;
        Ok(place)
    }

    /// On the disk.
    pub(crate) fn disk(&self) -> PathBuf {
        self.directory.path().join("disk")
    }

    /// In memory.
    pub(crate) fn memory(&self) -> PathBuf {
        self.directory.path().join("memory")
    }

    /// On an ext4 in memory: a file system as on a disk, without the disk. It is made when it is asked for first.
    pub(crate) fn looped(&self) -> Result<PathBuf> {
        let target = self.directory.path().join("loop");
        if !target.is_dir() {
            let image = self.memory().join("ext4");
            File::create(&image)?.set_len(LOOP_BYTES)?;
            run(Command::new("mkfs.ext4").arg("-q").arg(&image))?;
            fs::create_dir(&target)?;
            let mut mount = Command::new("mount");
            // What is deleted there is free in memory again.
            run(mount.args(["-o", "loop,discard"]).arg(&image).arg(&target))?;
            share(&target)?;
        }
        Ok(target)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let own = self.directory.path().display().to_string();
        let below = table
            .lines()
            .filter_map(|line| line.split(' ').nth(1))
            .filter(|path| path.starts_with(&own));
        for path in below.collect::<Vec<_>>().into_iter().rev() {
            // What is left is told by the directory that cannot be removed.
            let _unmounted = run(Command::new("umount").arg("--lazy").arg(path));
        }
    }
}

/// An engine with one store.
pub(crate) struct Bench {
    /// The engine.
    pub(crate) engine: Arc<Engine>,
    /// Where it all lies.
    pub(crate) path: PathBuf,
}

/// The store of a [`Bench`].
pub(crate) const STORE: &str = "bench";

impl Bench {
    /// Opens an engine in a new directory below `above`. Nothing is synced: the disk is not what is measured.
    pub(crate) fn open(above: &Path, driver: &str) -> Result<Self> {
        let path = above.join(format!("engine-{driver}"));
        fs::create_dir_all(&path)?;
        let runtime = Runtime::new(mica_runtime::Settings::default())?;
        let drivers = mica_artifacts::component(driver).map(|bytes| DriverSource {
            name: Some(driver.to_owned()),
            bytes: Cow::Borrowed(bytes),
            origin: Origin::Embedded,
            provenance: None,
        });
        let settings = EngineSettings {
            durability: Durability::None,
            drivers: drivers.into_iter().collect(),
            ..EngineSettings::new(path.join("root"), path.join("run"))
        };
        let engine = Engine::open(settings, runtime)?;
        engine.stores().create(StoreRequest {
            name: STORE.to_owned(),
            driver: Some(driver.to_owned()),
            options: Pairs::default(),
            client: None,
        })?;
        Ok(Self { engine, path })
    }

    /// Makes a layer.
    pub(crate) fn create(&self, id: &str, parent: Option<&str>) -> Result<()> {
        self.engine
            .layers(STORE)?
            .create(LayerRequest::new(id, parent))?;
        Ok(())
    }

    /// Mounts a layer and tells where.
    pub(crate) fn mount(&self, id: &str) -> Result<PathBuf> {
        Ok(self
            .engine
            .store(STORE)?
            .mount(id, MountRequest::default())?
            .path)
    }

    /// Unmounts a layer.
    pub(crate) fn unmount(&self, id: &str) -> Result<()> {
        self.engine.store(STORE)?.unmount(id, WhenBusy::Hold)?;
        Ok(())
    }

    /// Waits until nothing is deleted in the background.
    pub(crate) fn swept(&self) -> Result<()> {
        let trash = self.path.join("root/stores").join(STORE).join("trash");
        while fs::read_dir(&trash)?.next().is_some() {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        Ok(())
    }

    /// Removes a layer.
    pub(crate) fn remove(&self, id: &str) -> Result<()> {
        Ok(self.engine.layers(STORE)?.remove(id)?)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.engine.close();
        // What is left is removed with the place.
        let _removed = fs::remove_dir_all(&self.path);
    }
}

/// Lets others see what is mounted there later: a containerd in namespaces of its own.
fn share(path: &Path) -> Result<()> {
    run(Command::new("mount").arg("--make-shared").arg(path))
}

/// Names that are new each time. What is made for a run stays until a comparison is over: for a minute or more ext4 does not
/// take the inodes of deleted files again, and looks at every one of them for each file that it makes, so that whoever makes
/// files after others were deleted pays several times as much.
#[derive(Debug)]
pub(crate) struct Names(&'static str, Cell<u32>);

impl Names {
    /// Names that begin so.
    pub(crate) fn new(begin: &'static str) -> Self {
        Self(begin, Cell::new(0))
    }

    /// A new one.
    pub(crate) fn next(&self) -> String {
        self.1.set(self.1.get() + 1);
        format!("{}-{}", self.0, self.1.get())
    }

    /// All that there were, which are forgotten.
    pub(crate) fn take(&self) -> Vec<String> {
        let count = self.1.replace(0);
        (1..=count)
            .map(|number| format!("{}-{number}", self.0))
            .collect()
    }
}

/// Waits until daemons delete nothing any more in the background, and their file systems have written everything.
pub(crate) fn settle(roots: &[PathBuf]) -> Result<()> {
    for root in roots {
        for store in fs::read_dir(root.join("root/stores"))? {
            let trash = store?.path().join("trash");
            while fs::read_dir(&trash).is_ok_and(|mut left| left.next().is_some()) {
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        }
    }
    roots.iter().try_for_each(|root| sync(root))
}

/// Brings everything of a file system to its device.
pub(crate) fn sync(path: &Path) -> Result<()> {
    run(Command::new("sync").arg("--file-system").arg(path))
}

/// Runs a program that must work.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("run {command:?}"))?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}
