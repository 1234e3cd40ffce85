//! The mounts of a snapshot, for a runtime that carries them out itself.
//!
//! Invariant: every option is made here, of a [`CheckedView`] and of what the snapshot says; nothing of it is text that a
//! driver gave, but for names in rooms that were checked.

use super::view::{CheckedView, RoomDirectory, Shape};
use super::{Snapshot, SnapshotKind, SnapshotMount, Snapshots};
use crate::layers::LayerSet;
use crate::{Error, Result};
use mica_runtime::Access;
use std::path::Path;

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
/// [`Error::UnknownLayer`] when a layer has gone; [`Error::Invalid`] when the store's path has signs that no mount option
/// can carry.
pub(crate) fn synthesize(
    snapshots: &Snapshots,
    layers: &LayerSet,
    snapshot: &Snapshot,
    view: &CheckedView,
) -> Result<SnapshotMount> {
    let mapping = snapshot.mapping.as_ref();
    let maker = Maker {
        snapshots,
        layers,
        options: mapping.map_or_else(Vec::new, |mapping| mapping.options().to_vec()),
    };
    let is_alone = snapshot.late_parent && snapshot.kind == SnapshotKind::Active;
    match view.shape() {
        Shape::Bind(upper) | Shape::Overlay { upper, .. } if is_alone => maker.alone(upper),
        Shape::Bind(directory) => maker.bind(directory, view.access()),
        Shape::Stack(lowers) => maker.overlay(lowers, None),
        Shape::Overlay {
            lowers,
            upper,
            work,
        } => maker.overlay(lowers, Some((upper, work))),
    }
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

impl Maker<'_> {
    fn bind(mut self, directory: &RoomDirectory, access: Access) -> Result<SnapshotMount> {
        let options = [access_option(access), "rbind"];
        self.options.extend(options.map(str::to_owned));
        Ok(SnapshotMount {
            kind: "bind",
            source: text(&directory.path(self.layers)?)?,
            options: self.options,
        })
    }

    /// An overlay of which only the upper directory is known. No kernel mounts that: it says where to unpack, and that
    /// whiteouts are to be an overlay's.
    fn alone(mut self, upper: &RoomDirectory) -> Result<SnapshotMount> {
        let upper = self.option("upperdir", upper)?;
        self.options.extend(["rw".to_owned(), upper]);
        Ok(SnapshotMount {
            kind: "overlay",
            source: "overlay".to_owned(),
            options: self.options,
        })
    }

    fn overlay(
        mut self,
        lowers: &[RoomDirectory],
        upper_and_work: Option<(&RoomDirectory, &RoomDirectory)>,
    ) -> Result<SnapshotMount> {
        let mut options = std::mem::take(&mut self.options);
        options.push("index=off".to_owned());
        if mica_sys::mount::opaque_xattr().starts_with("user.") {
            options.push("userxattr".to_owned());
        }
        if let Some((upper, work)) = upper_and_work {
            options.push(self.option("workdir", work)?);
            options.push(self.option("upperdir", upper)?);
        }
        let taken: usize = options.iter().map(|option| option.len() + 1).sum();
        options.push(format!("lowerdir={}", self.join(lowers, taken)?));
        Ok(SnapshotMount {
            kind: "overlay",
            source: "overlay".to_owned(),
            options,
        })
    }

    fn option(&self, name: &str, directory: &RoomDirectory) -> Result<String> {
        let path = option_text(&directory.path(self.layers)?)?;
        Ok(format!("{name}={path}"))
    }

    /// Writes lower directories down: under their own paths as long as that fits, under short names otherwise.
    fn join(&self, lowers: &[RoomDirectory], taken: usize) -> Result<String> {
        let paths = lowers
            .iter()
            .map(|lower| option_text(&lower.path(self.layers)?));
        let paths = paths.collect::<Result<Vec<_>>>()?;
        let joined = paths.join(":");
        if taken + joined.len() < OPTIONS_BYTES {
            return Ok(joined);
        }
        let mut short = Vec::with_capacity(lowers.len());
        let mut bytes = taken;
        for lower in lowers {
            let number = lower.number(self.layers)?;
            let path = self.snapshots.links().path(number, lower.name());
            let path = path.map_err(|error| {
                let store = &self.layers.store;
                let text = format!("make a short name for layer {number} of store `{store}`");
                Error::io(text, error)
            })?;
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
