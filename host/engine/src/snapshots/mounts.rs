//! The mounts of a snapshot, for a runtime that carries them out itself.
//!
//! The driver builds its view of handles as for any mount; the sandbox writes down what the view consists of and where
//! the handles lie. Here the places become paths, each checked against the directory that the driver held.
//!
//! Invariant: every option is made here; nothing of it is text that a driver gave, but for an SELinux context that the
//! sandbox has checked.

use super::{Snapshot, SnapshotKind, SnapshotMount, Snapshots, shown};
use crate::layers::LayerSet;
use crate::{Error, Result};
use mica_runtime::{Access, MountPlan, Place};
use mica_sys::{Name, node};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Bytes of options from which on lower directories get short names. The kernel takes a page; containerd keeps 512
/// bytes of it free before it makes names relative, and older mount programs do not do that at all.
const OPTIONS_BYTES: usize = 3000;
/// Bytes of options that one call can pass on, relative to the directory of the short names.
const MOST_BYTES: usize = 4096;
/// What ends an option, or a lower directory, or is an escape.
const SIGNS: &[u8] = b",:\\\"";

/// Makes the mount of a snapshot from what its view consists of.
///
/// # Errors
/// [`Error::Io`] when a directory is not where it was; [`Error::Invalid`] when the store's path has signs that no mount
/// option can carry.
pub(crate) fn synthesize(
    snapshots: &Snapshots,
    layers: &LayerSet,
    snapshot: &Snapshot,
    plan: &MountPlan,
) -> Result<SnapshotMount> {
    let mapping = snapshot.mapping.as_ref();
    let maker = Maker {
        snapshots,
        layers,
        options: mapping.map_or_else(Vec::new, |mapping| mapping.options().to_vec()),
    };
    if snapshot.late_parent && snapshot.kind == SnapshotKind::Active {
        return maker.alone(snapshot, plan);
    }
    match plan {
        MountPlan::Bind { directory, access } => maker.bind(directory, *access),
        MountPlan::Overlay {
            lowers,
            upper_and_work,
            label,
        } => maker.overlay(lowers, upper_and_work.as_ref(), label.as_deref()),
    }
}

/// Opens a directory of a view, which is where it was.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn open_place(layers: &LayerSet, place: &Place) -> Result<OwnedFd> {
    locate(layers, place).map(|(_, directory)| directory)
}

fn access_option(access: Access) -> &'static str {
    match access {
        Access::ReadOnly => "ro",
        Access::ReadWrite => "rw",
    }
}

struct Maker<'a> {
    snapshots: &'a Snapshots,
    layers: &'a LayerSet,
    /// What every mount begins with.
    options: Vec<String>,
}

/// A directory that was found where it should be.
struct Located {
    number: u64,
    /// From the layer's own directory on.
    below: Vec<u8>,
    path: PathBuf,
}

impl Maker<'_> {
    fn bind(mut self, directory: &Place, access: Access) -> Result<SnapshotMount> {
        let options = [access_option(access), "rbind"];
        self.options.extend(options.map(str::to_owned));
        Ok(SnapshotMount {
            kind: "bind",
            source: text(&self.locate(directory)?.path)?,
            options: self.options,
        })
    }

    /// An overlay of which only the upper directory is known. No kernel mounts that: it says where to unpack, and that
    /// whiteouts are to be an overlay's.
    fn alone(mut self, snapshot: &Snapshot, plan: &MountPlan) -> Result<SnapshotMount> {
        let (MountPlan::Bind {
            directory: upper, ..
        }
        | MountPlan::Overlay {
            upper_and_work: Some((upper, _)),
            ..
        }) = plan
        else {
            let key = shown(&snapshot.key);
            let text = format!("snapshot `{key}` has no directory of its own");
            return Err(Error::Invalid(text));
        };
        let upper = option_text(&self.locate(upper)?.path)?;
        let options = ["rw".to_owned(), format!("upperdir={upper}")];
        self.options.extend(options);
        Ok(SnapshotMount {
            kind: "overlay",
            source: "overlay".to_owned(),
            options: self.options,
        })
    }

    fn overlay(
        mut self,
        lowers: &[Place],
        upper_and_work: Option<&(Place, Place)>,
        label: Option<&str>,
    ) -> Result<SnapshotMount> {
        let mut options = std::mem::take(&mut self.options);
        options.push("index=off".to_owned());
        if mica_sys::mount::opaque_xattr().starts_with("user.") {
            options.push("userxattr".to_owned());
        }
        if let Some(label) = label {
            options.push(format!("context=\"{label}\""));
        }
        if let Some((upper, work)) = upper_and_work {
            options.push(format!(
                "workdir={}",
                option_text(&self.locate(work)?.path)?
            ));
            options.push(format!(
                "upperdir={}",
                option_text(&self.locate(upper)?.path)?
            ));
        }
        let taken: usize = options.iter().map(|option| option.len() + 1).sum();
        let lowers: Vec<Located> = lowers
            .iter()
            .map(|lower| self.locate(lower))
            .collect::<Result<_>>()?;
        options.push(format!("lowerdir={}", self.join(&lowers, taken)?));
        Ok(SnapshotMount {
            kind: "overlay",
            source: "overlay".to_owned(),
            options,
        })
    }

    /// Writes lower directories down: under their own paths as long as that fits, under short names otherwise.
    fn join(&self, lowers: &[Located], taken: usize) -> Result<String> {
        let paths = lowers.iter().map(|lower| option_text(&lower.path));
        let paths = paths.collect::<Result<Vec<_>>>()?;
        let joined = paths.join(":");
        if taken + joined.len() < OPTIONS_BYTES {
            return Ok(joined);
        }
        let mut short = Vec::with_capacity(lowers.len());
        let mut bytes = taken;
        for lower in lowers {
            let path = self.snapshots.links().path(lower.number, &lower.below);
            let path = path.map_err(|error| self.explain(&lower.path, error))?;
            bytes += path.file_name().map_or(0, |name| name.len() + 1);
            short.push(option_text(&path)?);
        }
        if bytes > MOST_BYTES {
            let text = format!(
                "{} lower directories need {bytes} bytes of mount options in store `{}`; {MOST_BYTES} are possible",
                lowers.len(),
                self.layers.store
            );
            return Err(Error::Invalid(text));
        }
        Ok(short.join(":"))
    }

    fn locate(&self, place: &Place) -> Result<Located> {
        locate(self.layers, place).map(|(found, _)| found)
    }

    fn explain(&self, path: &Path, error: io::Error) -> Error {
        explain(self.layers, path, error)
    }
}

/// Goes to a place name by name and makes sure that the directory is the one that the driver held.
fn locate(layers: &LayerSet, place: &Place) -> Result<(Located, OwnedFd)> {
    let number = layers
        .table()
        .get(&place.layer)
        .map(|entry| entry.number)
        .ok_or_else(|| Error::UnknownLayer {
            store: layers.store.clone(),
            layer: place.layer.clone(),
        })?;
    let mut path = layers.room_path(number);
    let mut below = b"d".to_vec();
    for name in &place.names {
        below.push(b'/');
        below.extend(name.as_bytes());
        path.push(as_path(name));
    }
    let open = || -> io::Result<OwnedFd> {
        let at = layers.open_in_room(number, &place.names)?;
        let found = node::stat_fd(at.as_fd())?;
        if (found.device, found.inode) == (place.device, place.inode) {
            return Ok(at);
        }
        Err(io::ErrorKind::NotFound.into())
    };
    match open() {
        Ok(directory) => {
            let found = Located {
                number,
                below,
                path,
            };
            Ok((found, directory))
        }
        Err(error) => Err(explain(layers, &path, error)),
    }
}

fn explain(layers: &LayerSet, path: &Path, error: io::Error) -> Error {
    let text = format!("find `{}` of store `{}`", path.display(), layers.store);
    Error::io(text, error)
}

fn as_path(name: &Name) -> &Path {
    use std::os::unix::ffi::OsStrExt as _;
    Path::new(std::ffi::OsStr::from_bytes(name.as_bytes()))
}

/// A path that a message can carry.
fn text(path: &Path) -> Result<String> {
    let refused = || {
        Error::Invalid(format!(
            "`{}` is no UTF-8, as mounts need it",
            path.display()
        ))
    };
    path.to_str().map(str::to_owned).ok_or_else(refused)
}

/// A path that a mount option can carry.
fn option_text(path: &Path) -> Result<String> {
    let text = text(path)?;
    if text.bytes().any(|byte| SIGNS.contains(&byte)) {
        return Err(Error::Invalid(format!(
            "`{text}` has a `,`, `:`, `\\` or `\"`, which mount options cannot carry: choose another root directory"
        )));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_would_end_an_option_is_refused() {
        assert!(option_text(Path::new("/var/lib/mica/stores/a b")).is_ok());
        for bad in ["/a,upperdir=/etc", "/a:b", "/a\\b", "/a\"b"] {
            let error = option_text(Path::new(bad)).unwrap_err();
            assert!(error.to_string().contains("root directory"), "{bad}");
        }
    }
}
