//! The driver for btrfs: a layer is a subvolume, its child a snapshot of it.
//!
//! ```text
//! <room>/tree    the layer, a subvolume
//! <room>/limit   the bytes that may be reached from it, in decimal; only of a layer that was made with `size`
//! ```
//!
//! Invariant: a layer's limit is what its file says, whatever became of the file system's quotas: each writable view
//! sets it anew.

mod limit;

use limit::{LIMIT, Minimum};
use mica_sdk::driver::known_options;
use mica_sdk::host::btrfs::{self, Counting};
use mica_sdk::host::directory::Directory;
use mica_sdk::host::mounts::{self, Access, Mount};
use mica_sdk::host::{filesystem, home};
use mica_sdk::views::Compared;
use mica_sdk::walk::{Kept, Snapshot};
use mica_sdk::{Code, CreateOptions, Description, Doing as _, Driver, Error, OwnContent, Result};

/// Where a layer's subvolume is in its room.
const TREE: &[u8] = b"tree";
/// Mode of the top of an empty layer: Docker's.
const TOP_MODE: u32 = 0o755;
/// The original's FsMagicBtrfs.
const MAGIC: u32 = 0x9123_683e;

/// An option, with a sentence.
type Known = [(&'static str, &'static str); 1];
/// Options of a store.
const STORE_OPTIONS: Known = [(
    "btrfs.min_space",
    "The least that `size` of a layer may be: `1G`, for instance.",
)];
/// Options of a layer.
const LAYER_OPTIONS: Known = [(
    "size",
    "Of a layer: the most bytes that it may hold, its parents' included, or with simple quotas that may be written in it: `10G`, for instance.",
)];

struct Btrfs;

fn owned(known: Known) -> Vec<(String, String)> {
    known
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .into()
}

impl Driver for Btrfs {
    fn describe() -> Description {
        Description {
            name: "btrfs".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "Stores each layer as a subvolume, a snapshot of its parent.".to_owned(),
            options: [owned(STORE_OPTIONS), owned(LAYER_OPTIONS)].concat(),
            content: OwnContent::Complete(TREE.to_vec()),
        }
    }

    fn init(options: &[(String, String)]) -> Result<()> {
        // First: where it cannot work, its options say nothing.
        let found = filesystem::identify().doing(|| "identify the file system")?;
        if found.magic != MAGIC {
            return Err(Error::Prerequisites(format!(
                "the store lies on `{}`, not on btrfs; give Mica a root on a file system that `mkfs.btrfs` made, or \
                 choose the driver `overlay`",
                found.name
            )));
        }
        known_options(&owned(STORE_OPTIONS), options)?;
        Minimum::of(options).map(drop)
    }

    fn create(id: &str, parent: Option<&str>, options: &CreateOptions) -> Result<()> {
        known_options(&owned(LAYER_OPTIONS), &options.storage_options)?;
        let limit = limit::wanted(&options.storage_options)?;
        let staged = home::stage().doing(|| format!("begin layer `{id}`"))?;
        {
            let room = staged
                .room()
                .doing(|| format!("open the room of layer `{id}`"))?;
            let made = match parent {
                Some(parent) => {
                    let (_, below) = open(parent)?;
                    btrfs::snapshot(&below, &room, TREE, Access::ReadWrite)
                }
                None => btrfs::create_subvolume(&room, TREE, TOP_MODE),
            };
            let made = made.doing(|| format!("make the subvolume of layer `{id}`"))?;
            if let Some(bytes) = limit {
                limit::write(&room, bytes).doing(|| format!("note the size of layer `{id}`"))?;
                limit::set(&made, bytes).doing(|| format!("limit layer `{id}`"))?;
            }
        }
        home::publish(staged, id).doing(|| format!("publish layer `{id}`"))
    }

    fn get(id: &str, access: Access, _label: Option<&str>) -> Result<Mount> {
        let (room, tree) = open(id)?;
        if access == Access::ReadWrite
            && let Some(bytes) = limit::read(&room, id)?
        {
            limit::set(&tree, bytes).doing(|| format!("limit layer `{id}`"))?;
        }
        mounts::bind(&tree, access).doing(|| format!("mount layer `{id}`"))
    }

    fn status() -> Result<Vec<(String, String)>> {
        let identity = filesystem::identify().doing(|| "identify the file system")?;
        let counts = btrfs::counts().doing(|| "ask for quotas")?;
        let quotas = match counts {
            Counting::Off => "off",
            Counting::Begun => "being counted",
            Counting::On => "on",
            Counting::Simple => {
                "simple: `size` bounds what is written in a layer, not what it has of its parents"
            }
        };
        let pairs = [
            // Moby's only key, without a value.
            ("Btrfs", ""),
            ("Backing Filesystem", identity.name.as_str()),
            ("Quotas", quotas),
        ];
        Ok(pairs
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into())
    }

    fn metadata(id: &str) -> Result<Vec<(String, String)>> {
        let (room, tree) = open(id)?;
        let found = btrfs::inspect(&tree).doing(|| format!("look at layer `{id}`"))?;
        let mut pairs = vec![("Subvolume".to_owned(), found.id.to_string())];
        let usage = btrfs::measure(&tree).doing(|| format!("measure layer `{id}`"))?;
        if let Some(usage) = usage {
            let mut number = |key: &str, bytes: u64| {
                pairs.push((key.to_owned(), bytes.to_string()));
            };
            if btrfs::counts().doing(|| "ask for quotas")? == Counting::Simple {
                number("Written Bytes", usage.exclusive_bytes);
            } else {
                number("Referenced Bytes", usage.referenced_bytes);
                number("Exclusive Bytes", usage.exclusive_bytes);
            }
            if let Some(bytes) = limit::read(&room, id)? {
                number(LIMIT, bytes);
            }
        }
        Ok(pairs)
    }
}

/// Opens the room of a layer, and its subvolume.
fn open(id: &str) -> Result<(Directory, Directory)> {
    let room = home::open(id).doing(|| format!("open layer `{id}`"))?;
    let tree = room
        .open_directory(TREE)
        .doing(|| format!("open the subvolume of layer `{id}`"))?;
    match btrfs::inspect(&tree) {
        // The host knows it of layers that it has noted; those of earlier versions it has not.
        Err(failure) if failure.code == Code::Invalid => Err(Error::Prerequisites(format!(
            "the subvolume `tree` of layer `{id}` is missing, a directory without its content is in its place; bring it back, \
             or remove the layer"
        ))),
        found => {
            found.doing(|| format!("look at layer `{id}`"))?;
            Ok((room, tree))
        }
    }
}

impl Compared for Btrfs {
    fn kept(id: &str, old_id: &str, new: &Directory, old: &Directory) -> Result<Kept> {
        let layer = home::inspect(id).doing(|| format!("look up layer `{id}`"))?;
        if layer.parent.as_deref() != Some(old_id) {
            return Ok(Kept::Unknown);
        }
        let (room, _) = open(id)?;
        let (_, original) = open(old_id)?;
        let since = btrfs::since(&room, TREE, &original);
        let since = since.doing(|| format!("search what was touched in layer `{id}`"))?;
        let Some(since) = since else {
            return Ok(Kept::Unknown);
        };
        let device = |of: &Directory| {
            let top = of.get_attributes(&[]);
            top.map(|top| top.attributes.device)
                .doing(|| "look at the top of a view")
        };
        let touched = since.touched.map(|touched| {
            let pairs = touched.into_iter();
            pairs.map(|of| (of.directory, of.names)).collect()
        });
        Ok(Kept::Snapshot(Snapshot {
            new_device: device(new)?,
            old_device: device(old)?,
            made: since.made,
            touched,
        }))
    }

    fn before_apply(_id: &str) -> Result<()> {
        Ok(())
    }
}

mica_sdk::export_full!(Btrfs);
