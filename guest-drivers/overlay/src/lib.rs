//! The driver for overlayfs: a layer is what differs from its parents, and the kernel shows them as one.
//!
//! ```text
//! <room>/upper   what the layer itself has: all of it for a base layer
//! <room>/work    overlayfs' own; only of a layer with parents
//! ```
//!
//! Invariant: the upper of a layer that has children is never written to.

mod layers;
mod native;

use layers::{UPPER, WORK, lowers, parts, upper};
use mica_sdk::copy;
use mica_sdk::driver::known_options;
use mica_sdk::host::filesystem::{self, Feature, Support};
use mica_sdk::host::mounts::{self, Access, Mount};
use mica_sdk::host::{directory::Directory, home};
use mica_sdk::{CreateOptions, Description, Doing as _, Driver, Error, OwnContent, Result, Stack};

/// Mode of the top of an empty layer: Docker's.
const TOP_MODE: u32 = 0o755;
/// Mode of overlayfs' own directory.
const WORK_MODE: u32 = 0o700;

struct Overlay;

impl Driver for Overlay {
    fn describe() -> Description {
        Description {
            name: "overlay".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "Stores what differs and lets overlayfs show layers as one tree.".to_owned(),
            options: Vec::new(),
            content: OwnContent::Stacked(Stack {
                upper: UPPER.to_vec(),
                work: WORK.to_vec(),
                sealed: None,
            }),
        }
    }

    fn init(options: &[(String, String)]) -> Result<()> {
        known(options)?;
        let supports = |feature| filesystem::supports(feature).doing(|| "probe the file system");
        let name =
            || filesystem::identify().map_or_else(|_| "<unknown>".to_owned(), |found| found.name);
        if let Support::Missing(reason) = supports(Feature::DType)? {
            return Err(Error::IncompatibleFs(format!(
                "`{}` does not tell types of entries: {reason}",
                name()
            )));
        }
        if let Support::Missing(reason) = supports(Feature::Overlay)? {
            return Err(Error::IncompatibleFs(format!(
                "no overlay can be mounted on `{}`: {reason}",
                name()
            )));
        }
        Ok(())
    }

    fn create(id: &str, parent: Option<&str>, options: &CreateOptions) -> Result<()> {
        known(&options.storage_options)?;
        let staged = home::stage().doing(|| format!("begin layer `{id}`"))?;
        {
            let room = staged
                .room()
                .doing(|| format!("open the room of layer `{id}`"))?;
            let upper = room
                .create_directory(UPPER, TOP_MODE)
                .doing(|| format!("make the upper of layer `{id}`"))?;
            if let Some(parent) = parent {
                drop(
                    room.create_directory(WORK, WORK_MODE)
                        .doing(|| format!("make the work of layer `{id}`"))?,
                );
                like_parent(&upper, parent)?;
            }
        }
        home::publish(staged, id).doing(|| format!("publish layer `{id}`"))
    }

    fn get(id: &str, access: Access, label: Option<&str>) -> Result<Mount> {
        parts(id)?
            .mount(access, label)
            .doing(|| format!("mount layer `{id}`"))
    }

    fn status() -> Result<Vec<(String, String)>> {
        let identity = filesystem::identify().doing(|| "identify the file system")?;
        let word = |feature| match filesystem::supports(feature) {
            Ok(Support::Available) => "true".to_owned(),
            _ => "false".to_owned(),
        };
        Ok(vec![
            ("Backing Filesystem".to_owned(), identity.name),
            ("Supports d_type".to_owned(), word(Feature::DType)),
            // The host mounts with `metacopy=off`, whatever the kernel's default is.
            ("Using metacopy".to_owned(), "false".to_owned()),
            (
                "Native Overlay Diff".to_owned(),
                word(Feature::OverlayNativeDiff),
            ),
            (
                "userxattr".to_owned(),
                mounts::opaque_xattr().starts_with("user.").to_string(),
            ),
        ])
    }
}

/// Refuses every option: there are none. Of Docker's it says why.
fn known(options: &[(String, String)]) -> Result<()> {
    let sizes = ["size", "overlay.size", "overlay2.size"];
    match options
        .iter()
        .find(|(key, _)| sizes.contains(&key.as_str()))
    {
        Some((key, _)) => Err(Error::Invalid(format!(
            "option `{key}`: a size needs project quotas, which this driver does not set; layers of the driver `btrfs` \
             can have one"
        ))),
        None => known_options(&[], options),
    }
}

/// The top of a merged tree has the attributes of the upper's: a child begins with its parent's.
fn like_parent(top: &Directory, parent: &str) -> Result<()> {
    let below = upper(parent)?;
    copy::copy_attributes(&below, top)
        .doing(|| format!("give the top the attributes of parent `{parent}`'s"))?;
    // Asked for early: a chain with a hole must not be published.
    lowers(parent).map(drop)
}

mica_sdk::export_full!(Overlay);
