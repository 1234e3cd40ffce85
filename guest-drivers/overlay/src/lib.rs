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

use layers::{lowers, parts, upper};
use mica_sdk::host::directory::Directory;
use mica_sdk::host::filesystem::{self, Feature, Support};
use mica_sdk::host::mounts::{Access, Mount};
use mica_sdk::stacked::{self, UPPER, WORK};
use mica_sdk::{
    CreateOptions, Description, Doing as _, Driver, Error, OwnContent, Result, Stack, copy,
};

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
        stacked::create(id, parent, like_parent)
    }

    fn get(id: &str, access: Access, label: Option<&str>) -> Result<Mount> {
        parts(id)?
            .mount(access, label)
            .doing(|| format!("mount layer `{id}`"))
    }

    fn status() -> Result<Vec<(String, String)>> {
        // The host mounts with `metacopy=off`, whatever the kernel's default is.
        stacked::status(("Using metacopy", "false".to_owned()))
    }
}

/// Refuses every option: there are none.
fn known(options: &[(String, String)]) -> Result<()> {
    stacked::no_options(&[], options)
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

#[cfg(test)]
mod tests {
    use super::*;
    use mica_sdk::testing::{Store, View};

    fn chain() -> Store<Overlay> {
        let store = Store::<Overlay>::new().unwrap();
        store.init().unwrap();
        store.create("base", None).unwrap();
        store.create("middle", Some("base")).unwrap();
        store.create("top", Some("middle")).unwrap();
        store
    }

    #[test]
    fn a_view_is_the_uppers_of_the_chain_nearest_first() {
        let store = chain();
        let part = |id: &str, name: &str| store.room(id).join(name);
        let mount = store.get("top", Access::ReadWrite).unwrap();
        let expected = View::Overlay {
            lowers: vec![part("middle", "upper"), part("base", "upper")],
            upper_and_work: Some((part("top", "upper"), part("top", "work"))),
            label: None,
        };
        assert_eq!(*mount.view(), expected);
        let mount = store.get("base", Access::ReadOnly).unwrap();
        let expected = View::Bind {
            directory: part("base", "upper"),
            access: Access::ReadOnly,
        };
        assert_eq!(*mount.view(), expected);
    }

    #[test]
    fn a_view_that_is_only_read_has_no_upper() {
        let store = chain();
        let mount = store.get("top", Access::ReadOnly).unwrap();
        let View::Overlay {
            lowers,
            upper_and_work: None,
            ..
        } = mount.view()
        else {
            panic!("{:?}", mount.view())
        };
        assert_eq!(lowers.len(), 3);
    }
}
