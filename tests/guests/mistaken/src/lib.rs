//! A driver that copies, with one mistake that its author would not see: the store's option `mistake` says which.
//!
//! Invariant: each mistake is in one call and breaks no rule of the host's, so that only a case can find it.

use mica_sdk::bindings::diff::exports::mica::driver::diff_driver::{
    ApplyReport, ArchiveForm, DiffReport,
};
use mica_sdk::copy::copy_tree;
use mica_sdk::diff::Comparison;
use mica_sdk::driver::{DiffDriver, apply_report, known_options};
use mica_sdk::host::mounts::{self, Access, Mount};
use mica_sdk::host::streams::{ChangeSink, Sink, Source};
use mica_sdk::host::{config, home};
use mica_sdk::walk::{Kept, Sides};
use mica_sdk::{CreateOptions, Description, Doing, Driver, Error, OwnContent, Result, apply};

const TREE: &[u8] = b"tree";

struct Mistaken;

fn makes(mistake: &str) -> bool {
    let options = config::options();
    let mut given = options.iter().filter(|(key, _)| key == "mistake");
    given.any(|(_, value)| value == mistake)
}

/// A layer beside its parent, or alone.
fn compared(id: &str, parent: Option<&str>) -> Result<Comparison> {
    let mut mounts = Vec::new();
    let mut view = |id: &str| {
        let mount = Mistaken::get(id, Access::ReadOnly, None)?;
        let root = mount.root().doing(|| "open the view")?;
        mounts.push(mount);
        Ok(root)
    };
    Ok(Comparison {
        new: view(id)?,
        old: parent.map(view).transpose()?,
        sides: Sides::Views(Kept::Unknown),
        mounts,
    })
}

impl Driver for Mistaken {
    fn describe() -> Description {
        Description {
            name: "mistaken".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "Makes one mistake.".to_owned(),
            options: vec![("mistake".to_owned(), "which one".to_owned())],
            content: OwnContent::Complete(TREE.to_vec()),
        }
    }

    fn init(options: &[(String, String)]) -> Result<()> {
        match makes("takes-any-option") {
            true => Ok(()),
            false => known_options(&Self::describe().options, options),
        }
    }

    fn create(id: &str, parent: Option<&str>, _options: &CreateOptions) -> Result<()> {
        let plain = |character: char| character.is_ascii_alphanumeric() || character == '-';
        if makes("plain-ids") && !id.chars().all(plain) {
            return Err(Error::Invalid(format!("layer `{id}` has an odd name")));
        }
        let staged = home::stage().doing(|| "begin a layer")?;
        {
            let room = staged.room().doing(|| "open the room")?;
            let mode = if makes("private-top") { 0o700 } else { 0o755 };
            let tree = room.create_directory(TREE, mode).doing(|| "make `tree`")?;
            if makes("note-in-the-tree") {
                tree.create_file(b".note", 0o644).doing(|| "make a note")?;
            }
            if let Some(parent) = parent.filter(|_| !makes("forgets-the-parent")) {
                let below = home::open(parent).doing(|| "open the parent")?;
                let theirs = below.open_directory(TREE).doing(|| "open its tree")?;
                copy_tree(theirs, tree)?;
            }
        }
        home::publish(staged, id).doing(|| "publish the layer")
    }

    fn get(id: &str, access: Access, _label: Option<&str>) -> Result<Mount> {
        let room = home::open(id).doing(|| "open the layer")?;
        let tree = room.open_directory(TREE).doing(|| "open its tree")?;
        mounts::bind(&tree, access).doing(|| "mount the layer")
    }

    fn put(id: &str) -> Result<()> {
        match makes("fails-to-put") {
            true => Err(Error::Invalid(format!("layer `{id}` cannot be put"))),
            false => Ok(()),
        }
    }

    fn remove(id: &str) -> Result<()> {
        match makes("removes-nothing") {
            true => Ok(()),
            false => home::discard(id).doing(|| "remove the layer"),
        }
    }
}

impl DiffDriver for Mistaken {
    fn diff(id: &str, parent: Option<&str>, form: ArchiveForm, sink: &Sink) -> Result<DiffReport> {
        let parent = parent.filter(|_| !makes("sends-all"));
        compared(id, parent)?.archive(form, sink)
    }

    fn changes(id: &str, parent: Option<&str>, sink: &ChangeSink) -> Result<()> {
        assert!(!makes("panics"), "changes of `{id}` are too much");
        match makes("tells-no-change") {
            true => Ok(()),
            false => compared(id, parent)?.changes(sink),
        }
    }

    fn apply_diff(
        id: &str,
        _parent: Option<&str>,
        form: ArchiveForm,
        source: &Source,
    ) -> Result<ApplyReport> {
        let mount = Self::get(id, Access::ReadWrite, None)?;
        let root = mount.root().doing(|| "open the layer")?;
        match apply::apply(root, form, source) {
            Err(_) if makes("takes-half") => Ok(apply_report(apply::Report::default())),
            report => Ok(apply_report(report?)),
        }
    }

    fn diff_size(id: &str, parent: Option<&str>) -> Result<u64> {
        match makes("size-is-zero") {
            true => Ok(0),
            false => compared(id, parent)?.size(),
        }
    }
}

mica_sdk::export_full!(Mistaken);
