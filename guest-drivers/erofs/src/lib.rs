//! The driver for archives: a layer is the archive that it came as, and an EROFS index over it.
//!
//! ```text
//! <room>/upper, work              what a layer has that is being changed, as the driver `overlay` keeps it
//! <room>/sealed/layer.tar         the archive, byte for byte
//! <room>/sealed/layer.erofs       the index over it
//! <room>/sealed/entries           the archive's entries, a number of 8 bytes, least significant first
//! <room>/image                    where the host shows the image
//! <room>/none                     nothing: an overlay has two directories at least
//! ```
//!
//! A layer begins with an upper. The first archive that is applied to it takes the upper's place, unless an index cannot
//! hold it. A layer that is changed later gets an upper above its image. Chains of both kinds are overlays of both.
//!
//! Invariant: what is sealed is never changed; a layer with children neither.

mod apply;
mod diffs;
mod layers;

use layers::{SEALED, UPPER, WORK, parts};
use mica_sdk::driver::known_options;
use mica_sdk::host::filesystem::{self, Feature, Support};
use mica_sdk::host::home;
use mica_sdk::host::mounts::{self, Access, Mount};
use mica_sdk::{CreateOptions, Description, Doing as _, Driver, Error, OwnContent, Result, Stack};

/// Mode of the top of an empty layer: Docker's.
const TOP_MODE: u32 = 0o755;
/// Mode of overlayfs' own directory.
const WORK_MODE: u32 = 0o700;

struct Erofs;

impl Driver for Erofs {
    fn describe() -> Description {
        Description {
            name: "erofs".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "Keeps layers as their archives and lets EROFS show them by an index."
                .to_owned(),
            options: Vec::new(),
            content: OwnContent::Stacked(Stack {
                upper: UPPER.to_vec(),
                work: WORK.to_vec(),
                sealed: Some(SEALED.to_vec()),
            }),
        }
    }

    fn init(options: &[(String, String)]) -> Result<()> {
        known(options)?;
        let needed = [
            (Feature::DType, "it does not tell types of entries"),
            (Feature::Overlay, "no overlay can be mounted on it"),
            (Feature::Images, "no EROFS image can be mounted from it"),
        ];
        for (feature, what) in needed {
            let found = filesystem::supports(feature).doing(|| "probe the file system")?;
            if let Support::Missing(reason) = found {
                let name = filesystem::identify();
                let name = name.map_or_else(|_| "<unknown>".to_owned(), |found| found.name);
                return Err(Error::IncompatibleFs(format!("`{name}`: {what}: {reason}")));
            }
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
                layers::like_parent(&upper, parent)?;
            }
        }
        home::publish(staged, id).doing(|| format!("publish layer `{id}`"))
    }

    fn get(id: &str, access: Access, label: Option<&str>) -> Result<Mount> {
        let mut parts = parts(id)?;
        if access == Access::ReadWrite {
            parts.make_writable(id)?;
        }
        parts
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
            ("Supports images".to_owned(), word(Feature::Images)),
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
    let sizes = ["size", "overlay.size", "overlay2.size", "erofs.size"];
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

mica_sdk::export_full!(Erofs);
