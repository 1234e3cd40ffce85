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

#[cfg(test)]
mod tests {
    use super::*;
    use mica_sdk::bindings::diff::exports::mica::driver::diff_driver::ArchiveForm;
    use mica_sdk::testing::{Store, View};
    use mica_sdk::{Change, ChangeKind};
    use std::fs;
    use std::io::Cursor;
    use std::path::PathBuf;

    fn tree(store: &Store<Vfs>, id: &str) -> PathBuf {
        store.room(id).join("tree")
    }

    #[test]
    fn a_child_is_a_copy_and_its_view_is_its_tree() {
        let store = Store::<Vfs>::new().unwrap();
        store.init().unwrap();
        store.create("base", None).unwrap();
        fs::write(tree(&store, "base").join("kept"), "kept").unwrap();
        fs::hard_link(
            tree(&store, "base").join("kept"),
            tree(&store, "base").join("again"),
        )
        .unwrap();
        store.create("child", Some("base")).unwrap();
        fs::write(tree(&store, "child").join("again"), "changed").unwrap();
        assert_eq!(
            fs::read(tree(&store, "child").join("kept")).unwrap(),
            b"changed"
        );
        assert_eq!(
            fs::read(tree(&store, "base").join("kept")).unwrap(),
            b"kept"
        );
        let mount = store.get("child", Access::ReadWrite).unwrap();
        let expected = View::Bind {
            directory: tree(&store, "child"),
            access: Access::ReadWrite,
        };
        assert_eq!(*mount.view(), expected);
        store.remove("child").unwrap();
        assert_eq!(store.layers(), ["base"]);
    }

    #[test]
    fn what_is_sent_of_a_layer_makes_the_same_layer_elsewhere() {
        let store = Store::<Vfs>::new().unwrap();
        store.create("base", None).unwrap();
        fs::write(tree(&store, "base").join("gone"), "gone").unwrap();
        for id in ["child", "copy"] {
            store.create(id, Some("base")).unwrap();
        }
        fs::remove_file(tree(&store, "child").join("gone")).unwrap();
        fs::write(tree(&store, "child").join("new"), "new").unwrap();
        let change = |kind, path: &str| Change {
            path: path.into(),
            kind,
        };
        let expected = [
            change(ChangeKind::Delete, "/gone"),
            change(ChangeKind::Add, "/new"),
        ];
        assert_eq!(store.changes("child", Some("base")).unwrap(), expected);
        let (report, archive) = store
            .diff("child", Some("base"), ArchiveForm::Faithful)
            .unwrap();
        assert_eq!(report.archive_bytes, archive.len() as u64);
        let applied = store
            .apply("copy", ArchiveForm::Faithful, Cursor::new(archive))
            .unwrap();
        assert_eq!(applied.entries, report.entries);
        assert_eq!(store.changes("copy", Some("base")).unwrap(), expected);
    }

    #[test]
    fn an_archive_that_is_none_changes_nothing() {
        let store = Store::<Vfs>::new().unwrap();
        store.create("base", None).unwrap();
        fs::write(tree(&store, "base").join("kept"), "kept").unwrap();
        let junk = Cursor::new(vec![7; 4096]);
        assert!(store.apply("base", ArchiveForm::Faithful, junk).is_err());
        assert_eq!(
            fs::read(tree(&store, "base").join("kept")).unwrap(),
            b"kept"
        );
    }
}
