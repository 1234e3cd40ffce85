//! Handles on layers.
//!
//! Invariant: directories come nearest first.

use mica_sdk::host::directory::Directory;
use mica_sdk::host::mounts::{self, Access, Mount};
use mica_sdk::host::{home, images};
use mica_sdk::stacked::{UPPER, WORK, make_upper, make_work};
use mica_sdk::tree::wanted;
use mica_sdk::{Code, Doing as _, Entry, Failure, Result, copy};

/// The archive and its index.
pub(crate) const SEALED: &[u8] = b"sealed";
/// An empty directory.
pub(crate) const NONE: &[u8] = b"none";

/// A layer, opened.
pub(crate) struct Parts {
    pub(crate) room: Directory,
    pub(crate) upper: Option<Directory>,
    pub(crate) image: Option<Directory>,
    /// What lies below the layer.
    pub(crate) below: Vec<Directory>,
}

/// What a layer itself has, opened.
pub(crate) struct Opened {
    pub(crate) room: Directory,
    pub(crate) upper: Option<Directory>,
    pub(crate) image: Option<Directory>,
}

/// Opens what a layer itself has.
pub(crate) fn open(id: &str) -> Result<Opened> {
    let room = home::open(id).doing(|| format!("open layer `{id}`"))?;
    let upper = room.open_directory(UPPER).unless(Code::NotFound);
    let upper = upper.doing(|| format!("open the upper of layer `{id}`"))?;
    let image = images::open(&room).unless(Code::NotFound);
    let image = image.doing(|| format!("open the image of layer `{id}`"))?;
    Ok(Opened { room, upper, image })
}

/// Opens a layer with all below.
pub(crate) fn parts(id: &str) -> Result<Parts> {
    let Opened { room, upper, image } = open(id)?;
    Ok(Parts {
        room,
        upper,
        image,
        below: below(id)?,
    })
}

/// Opens what lies below a layer.
fn below(id: &str) -> Result<Vec<Directory>> {
    let ancestors = home::ancestors(id).doing(|| format!("look up layer `{id}`"))?;
    open_all(&ancestors)
}

/// Opens the content of layers.
pub(crate) fn open_all(ancestors: &[String]) -> Result<Vec<Directory>> {
    let mut all = Vec::new();
    for ancestor in ancestors {
        let Opened { upper, image, .. } = open(ancestor)?;
        all.extend(upper.into_iter().chain(image));
    }
    Ok(all)
}

/// The top of a merged tree has the attributes of the uppermost directory's: a child begins with its parent's.
pub(crate) fn like_parent(top: &Directory, parent: &str) -> Result<()> {
    let Opened { upper, image, .. } = open(parent)?;
    if let Some(first) = upper.or(image) {
        copy::copy_attributes(&first, top)
            .doing(|| format!("give the top the attributes of parent `{parent}`'s"))?;
    }
    // Asked for early: a chain with a hole must not be published.
    let ancestors = home::ancestors(parent).doing(|| format!("look up layer `{parent}`"))?;
    ancestors.iter().try_for_each(|ancestor| {
        let room = home::open(ancestor);
        room.map(drop).doing(|| format!("open layer `{ancestor}`"))
    })
}

impl Parts {
    /// All directories that are only read when the layer is changed.
    pub(crate) fn lowers(&self) -> Vec<&Directory> {
        self.image.iter().chain(&self.below).collect()
    }

    /// Gives the layer an upper above its image, if it has none.
    pub(crate) fn make_writable(&mut self, id: &str) -> Result<()> {
        let making = || format!("make the upper of layer `{id}`");
        if self.upper.is_none() {
            let upper = make_upper(&self.room).doing(making)?;
            if let Some(image) = &self.image {
                copy::copy_attributes(image, &upper).doing(making)?;
            }
            self.upper = Some(upper);
        }
        // Looked for first, because a room cannot be changed while its view is planned.
        let work = self.room.open_directory(WORK).unless(Code::NotFound);
        if work.doing(making)?.is_none() && !self.lowers().is_empty() {
            make_work(&self.room).doing(making)?;
        }
        Ok(())
    }

    /// Mounts the layer.
    pub(crate) fn mount(&self, access: Access, label: Option<&str>) -> Result<Mount, Failure> {
        let lowers = self.lowers();
        match (access, &self.upper) {
            (Access::ReadWrite, Some(upper)) if !lowers.is_empty() => {
                let work = self.room.open_directory(WORK)?;
                mounts::overlay(&lowers, upper, &work, label)
            }
            (_, Some(upper)) if lowers.is_empty() => mounts::bind(upper, access),
            (_, upper) => {
                let all: Vec<&Directory> = upper.iter().chain(lowers).collect();
                match all.as_slice() {
                    // Nothing in the image's own mount could be run.
                    [only] => {
                        mounts::overlay_view(&[only, &self.room.open_directory(NONE)?], label)
                    }
                    all => mounts::overlay_view(all, label),
                }
            }
        }
    }

    /// Whether nothing was done in the upper: it has no entries and the attributes of the image's top.
    pub(crate) fn is_unchanged(&self) -> Result<bool, Failure> {
        let Some(upper) = &self.upper else {
            return Ok(true);
        };
        let Some(image) = &self.image else {
            return Ok(false);
        };
        if !is_empty(upper)? {
            return Ok(false);
        }
        let wanted = wanted::of_archives();
        let (upper, image) = (
            upper.get_attributes(&wanted)?,
            image.get_attributes(&wanted)?,
        );
        Ok(told(&upper) == told(&image))
    }
}

/// Whether a directory has no entries.
pub(crate) fn is_empty(directory: &Directory) -> Result<bool, Failure> {
    Ok(directory.list(&[])?.next()?.is_empty())
}

/// What an archive would tell of a top.
fn told(top: &Entry) -> impl PartialEq {
    let xattrs = top.xattrs.iter();
    let xattrs = xattrs.filter(|xattr| !xattr.name.starts_with(b"trusted.overlay."));
    let attributes = &top.attributes;
    (
        (attributes.mode, attributes.uid, attributes.gid),
        attributes.modified,
        xattrs.cloned().collect::<Vec<_>>(),
    )
}
