//! Where a store is to go, and what it needs there.
//!
//! Invariant: looks only; what a trial of the driver makes goes again.

use super::Beside;
use crate::disk::files;
use crate::layers::{Entry, LayerSet, Owner};
use crate::store::scratch::Scratch;
use crate::store::{Store, Stores, site};
use crate::words::counted;
use crate::{Error, Result, StoreName};
use mica_runtime::CancelToken;
use mica_sys::mount::{self, Access};
use mica_sys::{Name, btrfs, filesystem, node, tree};
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// Bits of a mode by which others than the owner may change a directory, and the bit that keeps them from its entries.
const WRITABLE: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// Where a store is to go.
pub(super) enum Target {
    /// A directory in it, on whatever file system.
    Into(PathBuf),
    /// Its place below the root.
    Home(PathBuf),
}

impl Target {
    /// Checks the directory that was asked for; none is the place below the root.
    pub(super) fn of(stores: Stores<'_>, store: &Store, to: Option<&Path>) -> Result<Self> {
        let home = stores.path();
        let Some(to) = to else {
            return match site::is_elsewhere(&home.join(store.name.as_str())) {
                true => Ok(Self::Home(home)),
                false => Err(Error::Invalid(format!(
                    "store `{}` lies below the daemon's root already: name a directory",
                    store.name
                ))),
            };
        };
        let wrong = |what: &str| Error::Invalid(format!("directory `{}` {what}", to.display()));
        if !to.is_absolute() {
            return Err(wrong("is no absolute path"));
        }
        let directory = to.canonicalize().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => wrong("is not there: make it, or mount its file system"),
            _ => Error::path("look at", to, error),
        })?;
        if !directory.is_dir() {
            return Err(wrong("is no directory"));
        }
        let settings = &stores.engine.settings;
        if [&settings.root, &settings.run_dir]
            .iter()
            .any(|ours| directory.starts_with(ours))
        {
            return Err(wrong(
                "lies in the daemon's own: name one outside, or none to move the store back",
            ));
        }
        if store.path.parent() == Some(&*directory) {
            return Err(wrong("has the store already"));
        }
        for path in directory.ancestors() {
            let found = fs::metadata(path).map_err(|error| Error::path("look at", path, error))?;
            let is_open = found.mode() & WRITABLE != 0 && found.mode() & STICKY == 0;
            if found.uid() != 0 || is_open {
                return Err(wrong(&format!(
                    "will not do, because others than root may change `{}`",
                    path.display()
                )));
            }
        }
        Ok(Self::Into(directory))
    }

    /// The directory that the store's will be in.
    fn directory(&self) -> &Path {
        match self {
            Self::Into(directory) | Self::Home(directory) => directory,
        }
    }

    /// The same, for people.
    pub(super) fn shown(&self) -> PathBuf {
        self.directory().to_owned()
    }

    /// Makes the new directory, to which what stands beside the store's entry leads, and says where it is.
    pub(super) fn make(&self, beside: &Beside, name: &StoreName) -> io::Result<PathBuf> {
        match self {
            Self::Home(stores) => {
                node::create_directory(beside.top(), &beside.name, 0o700)?;
                Ok(stores.join(beside.name.to_string()))
            }
            Self::Into(directory) => {
                let home = directory.join(site::new_name(name)?);
                // First of all: a start finds by it what was left.
                site::make_link(beside.top(), &beside.name, &home)?;
                filesystem::sync_file(beside.top())?;
                fs::DirBuilder::new().mode(0o700).create(&home)?;
                Ok(home)
            }
        }
    }

    /// Asks the driver whether it can work there: in a new place that goes again.
    pub(super) fn try_driver(&self, stores: Stores<'_>, store: &Store) -> Result<()> {
        let engine = stores.engine;
        store.make_ready(engine)?;
        let directory = self.directory();
        let failed = |error| Error::path("make a directory in", directory, error);
        let beside = Beside::new(stores.path())?;
        let tried = self.make(&beside, &store.name).map_err(failed);
        let tried = tried.and_then(|home| {
            let scratch = Scratch::new(&home).map_err(failed)?;
            try_in(stores, store, &scratch)
        });
        beside.clear();
        tried
    }
}

/// Asks the driver of a store whether it can work in a directory.
fn try_in(stores: Stores<'_>, store: &Store, scratch: &Scratch) -> Result<()> {
    let engine = stores.engine;
    let owner = Owner {
        store: store.name.as_str().to_owned(),
        driver: store.description.driver.clone(),
        options: store.description.options.clone(),
    };
    let layers = LayerSet::open_scratch(owner, &scratch.path, &engine.reaper)?;
    Store::init(&layers, engine)
}

/// What a store needs at its new place.
pub(super) struct Needs {
    pub(super) layers: u64,
    pub(super) inodes: u64,
    /// Bytes that it occupies.
    pub(super) bytes: u64,
    /// Those of them that it will occupy anew: none where files are only linked.
    pub(super) new_bytes: u64,
    pub(super) free_bytes: u64,
    free_inodes: Option<u64>,
    /// A layer with subvolumes.
    subvolumes: Option<String>,
}

impl Needs {
    pub(super) fn of(store: &Store, target: &Target, cancel: &CancelToken) -> Result<Self> {
        let directory = target.directory();
        let measure = |error| Error::path("measure", directory, error);
        let found = files::open_directory(directory).map_err(measure)?;
        let room = filesystem::statfs(found.as_fd()).map_err(measure)?;
        let top = store.layers.home().layout().top();
        // Images that are attached in layers are no part of it.
        let view = mount::bind(top, Access::ReadOnly).and_then(|view| view.root());
        let view = view.map_err(measure)?;
        let all =
            tree::measure(view.as_fd(), &|| !cancel.is_cancelled()).map_err(|error| match error
                .kind()
            {
                io::ErrorKind::Interrupted => Error::Cancelled,
                _ => Error::path("measure", &store.path, error),
            })?;
        let device = |path: &Path| fs::metadata(path).map(|found| found.dev()).ok();
        let is_btrfs = filesystem::statfs(top).is_ok_and(|found| found.magic == btrfs::MAGIC);
        let is_linked = !is_btrfs && device(directory) == device(&store.path);
        let entries: Vec<(String, u64)> = {
            let table = store.layers.table();
            let facts = table.entries_from("", None).map(Entry::facts);
            facts
                .map(|facts| (facts.record.id.into(), facts.number))
                .collect()
        };
        let layout = store.layers.home().layout();
        let has_subvolumes = |number: u64| {
            let room = layout.open_room(number);
            is_btrfs && room.is_ok_and(|room| has_subvolume(room.as_fd()).unwrap_or(false))
        };
        Ok(Self {
            layers: entries.len() as u64,
            inodes: all.inodes,
            bytes: all.bytes,
            new_bytes: if is_linked { 0 } else { all.bytes },
            free_bytes: room.free_bytes,
            free_inodes: (room.total_inodes > 0).then_some(room.free_inodes),
            subvolumes: entries
                .into_iter()
                .find(|(_, number)| has_subvolumes(*number))
                .map(|(id, _)| id),
        })
    }

    /// Refuses a place that is too small.
    pub(super) fn check_room(&self, store: &Store, target: &Target) -> Result<()> {
        let (name, directory) = (&store.name, target.directory().display());
        if self.new_bytes > self.free_bytes {
            return Err(Error::NoSpace(format!(
                "store `{name}` occupies {} bytes, and the file system of `{directory}` has {} free",
                self.new_bytes, self.free_bytes
            )));
        }
        match self.free_inodes {
            Some(free) if self.new_bytes > 0 && self.inodes > free => Err(Error::NoSpace(format!(
                "store `{name}` has {}, and the file system of `{directory}` has room for {free}",
                counted(self.inodes, "file")
            ))),
            _ => Ok(()),
        }
    }

    /// Refuses layers that are subvolumes: as files they would lose what they share and their limits.
    pub(super) fn check_subvolumes(&self, store: &Store) -> Result<()> {
        match &self.subvolumes {
            None => Ok(()),
            Some(layer) => Err(Error::Invalid(format!(
                "layers of store `{}` are subvolumes of btrfs, for instance `{layer}`, which cannot be moved: move a new store while it is empty, and copy them to it with `mica layer copy`",
                store.name
            ))),
        }
    }
}

/// Whether one of the directories in a layer's room is a subvolume.
fn has_subvolume(room: BorrowedFd<'_>) -> io::Result<bool> {
    for name in node::names(room)? {
        let name = Name::new(&name).map_err(io::Error::other)?;
        if let Ok(child) = node::open_directory(room, &name)
            && btrfs::is_subvolume(child.as_fd())?
        {
            return Ok(true);
        }
    }
    Ok(false)
}
