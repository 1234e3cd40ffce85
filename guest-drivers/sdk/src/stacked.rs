//! Layers that overlayfs stacks: what the drivers have in common that keep an upper directory for each layer.
//!
//! ```text
//! <room>/upper   what the layer itself has
//! <room>/work    overlayfs' own; only of a layer with parents
//! ```
//!
//! Invariant: a layer is published with its upper, and with a work directory if it has a parent.

use crate::driver::known_options;
use crate::host::directory::Directory;
use crate::host::filesystem::{self, Feature, Support};
use crate::host::{home, mounts};
use crate::{Doing as _, Error, Failure, Result};

/// What a layer itself has.
pub const UPPER: &[u8] = b"upper";
/// Overlayfs' own.
pub const WORK: &[u8] = b"work";
/// Mode of the top of an empty layer: Docker's.
const TOP_MODE: u32 = 0o755;
/// Mode of overlayfs' own directory.
const WORK_MODE: u32 = 0o700;

/// Creates a layer with an empty upper. `like_parent` gives the upper the attributes of what it lies on, and makes sure that
/// nothing is missing of that.
///
/// # Errors
/// What `like_parent` answers; [`Error::Host`] if a host call fails; so for all functions.
pub fn create(
    id: &str,
    parent: Option<&str>,
    like_parent: impl FnOnce(&Directory, &str) -> Result<()>,
) -> Result<()> {
    let staged = home::stage().doing(|| format!("begin layer `{id}`"))?;
    // Handles of the room are closed before the layer is published.
    {
        let room = staged
            .room()
            .doing(|| format!("open the room of layer `{id}`"))?;
        let upper = make_upper(&room).doing(|| format!("make the upper of layer `{id}`"))?;
        if let Some(parent) = parent {
            make_work(&room).doing(|| format!("make the work of layer `{id}`"))?;
            like_parent(&upper, parent)?;
        }
    }
    home::publish(staged, id).doing(|| format!("publish layer `{id}`"))
}

/// Makes the upper directory in a room.
///
/// # Errors
/// Those of the host.
pub fn make_upper(room: &Directory) -> std::result::Result<Directory, Failure> {
    room.create_directory(UPPER, TOP_MODE)
}

/// Makes overlayfs' own directory in a room.
///
/// # Errors
/// Those of the host.
pub fn make_work(room: &Directory) -> std::result::Result<(), Failure> {
    room.create_directory(WORK, WORK_MODE).map(drop)
}

/// Refuses every option of a layer or a store: there are none. Of Docker's sizes, and of a driver's `own`, it says why.
///
/// # Errors
/// [`Error::Invalid`].
pub fn no_options(own: &[&str], options: &[(String, String)]) -> Result<()> {
    let sizes = ["size", "overlay.size", "overlay2.size"];
    let is_size = |key: &str| sizes.iter().chain(own).any(|size| *size == key);
    match options.iter().find(|(key, _)| is_size(key)) {
        Some((key, _)) => Err(Error::Invalid(format!(
            "option `{key}`: a size needs project quotas, which this driver does not set; layers of the driver `btrfs` \
             can have one"
        ))),
        None => known_options(&[], options),
    }
}

/// Tells what Docker's users know of `overlay2`, with `own` where a driver has more to tell.
///
/// # Errors
/// See [`create`].
pub fn status(own: (&str, String)) -> Result<Vec<(String, String)>> {
    let identity = filesystem::identify().doing(|| "identify the file system")?;
    let userxattr = mounts::opaque_xattr().starts_with("user.").to_string();
    let pairs = [
        ("Backing Filesystem", identity.name),
        ("Supports d_type", is_supported(Feature::DType)),
        own,
        (
            "Native Overlay Diff",
            is_supported(Feature::OverlayNativeDiff),
        ),
        ("userxattr", userxattr),
    ];
    Ok(pairs.map(|(key, value)| (key.to_owned(), value)).into())
}

/// `true` or `false`, as Docker writes it.
#[must_use]
pub fn is_supported(feature: Feature) -> String {
    matches!(filesystem::supports(feature), Ok(Support::Available)).to_string()
}
