//! The simplest home there can be: one published layer, one that can be made, a directory for each.
//!
//! Invariant: what an operation may do is what the engine allows (`host/engine/src/store/scope.rs`): it changes its own layer,
//! reads the other, and publishes once.

use std::any::Any;
use std::fs::{self, File};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use mica_runtime::{
    Access, Code, Failure, Feature, Home, LayerInfo, LayerKind, Room, Staged, Support,
};

/// The layer that every operation is about.
pub const OWN: &str = "own";
/// A layer that may be read.
pub const OTHER: &str = "other";

/// A home in a directory.
#[derive(Debug)]
pub struct PlainHome {
    path: PathBuf,
    fd: OwnedFd,
    staged: AtomicU32,
}

#[derive(Debug)]
struct PlainStage(PathBuf);

impl Staged for PlainStage {
    fn room(&self) -> Result<OwnedFd, Failure> {
        open(&self.0)
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

fn open(path: &Path) -> Result<OwnedFd, Failure> {
    File::open(path)
        .map(OwnedFd::from)
        .map_err(|error| Failure::from_io("open", &error))
}

fn denied<T>(what: &str) -> Result<T, Failure> {
    Err(Failure::new(Code::Denied, what))
}

impl PlainHome {
    /// Makes the directories of a home in `path`.
    ///
    /// # Panics
    /// If the file system refuses.
    pub fn new(path: &Path) -> Self {
        for name in [OWN, OTHER, "staging"] {
            fs::create_dir_all(path.join(name)).expect("make a directory of the home");
        }
        fs::create_dir_all(path.join(OTHER).join("a/b")).expect("fill the other layer");
        Self {
            path: path.to_owned(),
            fd: open(path).expect("open the home"),
            staged: AtomicU32::new(0),
        }
    }

    /// Empties the layer that operations are about and all that was staged.
    ///
    /// # Panics
    /// If something cannot be removed.
    pub fn clear(&self) {
        for name in [OWN, "staging"] {
            let path = self.path.join(name);
            let home = self.fd.as_fd();
            let name = mica_sys::Name::new(name.as_bytes()).expect("a name");
            mica_sys::tree::remove(home, &name).expect("remove");
            fs::create_dir(&path).expect("make it anew");
        }
    }
}

impl Home for PlainHome {
    fn exists(&self, id: &str) -> Result<bool, Failure> {
        Ok(id == OWN || id == OTHER)
    }

    fn inspect(&self, id: &str) -> Result<LayerInfo, Failure> {
        if !self.exists(id)? {
            return Err(Failure::new(Code::NotFound, "no such layer"));
        }
        Ok(LayerInfo {
            id: id.to_owned(),
            parent: (id == OWN).then(|| OTHER.to_owned()),
            kind: LayerKind::Content,
        })
    }

    fn ancestors(&self, id: &str) -> Result<Vec<String>, Failure> {
        Ok(self.inspect(id)?.parent.into_iter().collect())
    }

    fn list(&self, _: Option<&str>) -> Result<Vec<String>, Failure> {
        Ok(vec![OTHER.to_owned(), OWN.to_owned()])
    }

    fn open(&self, id: &str) -> Result<Room, Failure> {
        self.inspect(id)?;
        let access = match id {
            OWN => Access::ReadWrite,
            _ => Access::ReadOnly,
        };
        Ok(Room {
            fd: open(&self.path.join(id))?,
            access,
            shared: None,
        })
    }

    fn stage(&self) -> Result<Box<dyn Staged>, Failure> {
        let number = self.staged.fetch_add(1, Ordering::Relaxed);
        let path = self.path.join("staging").join(number.to_string());
        fs::create_dir(&path).map_err(|error| Failure::from_io("stage", &error))?;
        Ok(Box::new(PlainStage(path)))
    }

    fn publish(&self, _: Box<dyn Staged>, id: &str) -> Result<(), Failure> {
        match id {
            OWN => Ok(()),
            _ => denied("it is not what is made"),
        }
    }

    fn discard(&self, _: &str) -> Result<(), Failure> {
        denied("nothing is removed")
    }

    fn backing(&self) -> Result<BorrowedFd<'_>, Failure> {
        Ok(self.fd.as_fd())
    }

    fn probe(&self, _: Feature) -> Result<Support, Failure> {
        Ok(Support::Missing("nothing was tried".to_owned()))
    }
}
