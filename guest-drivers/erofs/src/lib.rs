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

use layers::{SEALED, parts};
use mica_sdk::host::filesystem::{self, Feature, Support};
use mica_sdk::host::mounts::{Access, Mount};
use mica_sdk::stacked::{self, UPPER, WORK};
use mica_sdk::{CreateOptions, Description, Doing as _, Driver, Error, OwnContent, Result, Stack};

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
        stacked::create(id, parent, layers::like_parent)
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
        stacked::status(("Supports images", stacked::is_supported(Feature::Images)))
    }
}

/// Refuses every option: there are none.
fn known(options: &[(String, String)]) -> Result<()> {
    stacked::no_options(&["erofs.size"], options)
}

mica_sdk::export_full!(Erofs);
