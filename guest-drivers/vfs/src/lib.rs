//! The driver that works everywhere: each layer is a complete copy of its parent, by reflink where the file system can.
//!
//! ```text
//! <room>/tree     the layer
//! <room>/copied   which files are copies of the parent's, until an archive is applied
//! ```
//!
//! Invariant: a layer shares nothing with its parent that either could change.

use mica_sdk::copies::Copies;
use mica_sdk::copy::copy_tree_noted;
use mica_sdk::driver::known_options;
use mica_sdk::host::directory::Directory;
use mica_sdk::host::mounts::{self, Access, Mount};
use mica_sdk::host::{filesystem, home};
use mica_sdk::views::Compared;
use mica_sdk::walk::Kept;
use mica_sdk::{CreateOptions, Description, Doing as _, Driver, OwnContent, Result};

/// Where a layer's tree is in its room.
const TREE: &[u8] = b"tree";
/// Mode of the top of an empty layer: Docker's.
const TOP_MODE: u32 = 0o755;

struct Vfs;

impl Driver for Vfs {
    fn describe() -> Description {
        Description {
            name: "vfs".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "Copies every layer from its parent; works on every file system.".to_owned(),
            options: Vec::new(),
            content: OwnContent::Complete(TREE.to_vec()),
        }
    }

    fn create(id: &str, parent: Option<&str>, options: &CreateOptions) -> Result<()> {
        known_options(&[], &options.storage_options)?;
        let staged = home::stage().doing(|| format!("begin layer `{id}`"))?;
        {
            let room = staged
                .room()
                .doing(|| format!("open the room of layer `{id}`"))?;
            let tree = room
                .create_directory(TREE, TOP_MODE)
                .doing(|| format!("make the tree of layer `{id}`"))?;
            if let Some(parent) = parent {
                let below = home::open(parent).doing(|| format!("open parent `{parent}`"))?;
                let from = below
                    .open_directory(TREE)
                    .doing(|| format!("open the tree of parent `{parent}`"))?;
                let (file, mut notes) = Copies::begin(&room)?;
                copy_tree_noted(from, tree, &mut notes)?;
                Copies::write(&file, notes)?;
            }
        }
        home::publish(staged, id).doing(|| format!("publish layer `{id}`"))
    }

    fn get(id: &str, access: Access, _label: Option<&str>) -> Result<Mount> {
        let room = home::open(id).doing(|| format!("open layer `{id}`"))?;
        let tree = room
            .open_directory(TREE)
            .doing(|| format!("open the tree of layer `{id}`"))?;
        mounts::bind(&tree, access).doing(|| format!("mount layer `{id}`"))
    }

    fn status() -> Result<Vec<(String, String)>> {
        let identity = filesystem::identify().doing(|| "identify the file system")?;
        Ok(vec![("Backing Filesystem".to_owned(), identity.name)])
    }
}

impl Compared for Vfs {
    fn kept(id: &str, old_id: &str, _new: &Directory, _old: &Directory) -> Result<Kept> {
        let layer = home::inspect(id).doing(|| format!("look up layer `{id}`"))?;
        if layer.parent.as_deref() != Some(old_id) {
            return Ok(Kept::Unknown);
        }
        let room = home::open(id).doing(|| format!("open layer `{id}`"))?;
        Copies::read(&room).map(Kept::Copies)
    }

    fn before_apply(id: &str) -> Result<()> {
        // The host's private copy is made of further names, each a change of its file.
        let room = home::open(id).doing(|| format!("open layer `{id}`"))?;
        Copies::forget(&room)
    }
}

mica_sdk::export_full!(Vfs);
