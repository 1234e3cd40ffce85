//! my-driver: a storage driver for Mica.
//!
//! ```text
//! <room>/files   the layer's files: a complete copy of its parent's
//! ```
//!
//! It exports `proto-driver`; Mica composes it with its naive-diff component, which gives it diffs. What each function must do
//! stands in `wit/proto-driver.wit`. Every call is a fresh instance: what must last lies in a room.

mod copy;

#[cfg(target_family = "wasm")]
wit_bindgen::generate!({ path: "wit", world: "mica:driver/proto", generate_all });
// The same names, for `cargo test`.
#[cfg(not(target_family = "wasm"))]
use mica_native::{exports, mica};

use exports::mica::driver::proto_driver::{
    Access, CreateOptions, Description, Error, Guest, Mount,
};
use mica::driver::types::{HostFailure, OwnContent};
use mica::host::types::Failure;
use mica::host::{home, mounts};

const FILES: &[u8] = b"files";

struct Driver;

/// Says what was being done when a host call failed: people read both.
fn failed(doing: &str) -> impl FnOnce(Failure) -> Error + '_ {
    move |failure| {
        Error::Host(HostFailure {
            doing: doing.to_owned(),
            failure,
        })
    }
}

impl Guest for Driver {
    fn describe() -> Description {
        Description {
            name: "my-driver".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "Copies every layer.".to_owned(),
            options: Vec::new(),
            content: OwnContent::Complete(FILES.to_vec()),
        }
    }

    fn init(options: Vec<(String, String)>) -> Result<(), Error> {
        match options.first() {
            Some((key, _)) => Err(Error::Invalid(format!(
                "option `{key}` is not known; there are none"
            ))),
            None => Ok(()),
        }
    }

    // Stage, fill, publish. Until the last line no one sees the layer; if anything fails, nothing of it stays.
    fn create(id: String, parent: Option<String>, _options: CreateOptions) -> Result<(), Error> {
        let staged = home::stage().map_err(failed("begin the layer"))?;
        {
            let room = staged.room().map_err(failed("open its room"))?;
            let files = room
                .create_directory(FILES, 0o755)
                .map_err(failed("make `files`"))?;
            if let Some(parent) = parent {
                let below = home::open(&parent).map_err(failed("open the parent"))?;
                let theirs = below
                    .open_directory(FILES)
                    .map_err(failed("open the parent's files"))?;
                copy::tree(&theirs, &files).map_err(failed("copy the parent"))?;
            }
        }
        home::publish(staged, &id).map_err(failed("publish the layer"))
    }

    fn create_read_write(
        id: String,
        parent: Option<String>,
        options: CreateOptions,
    ) -> Result<(), Error> {
        Self::create(id, parent, options)
    }

    fn remove(id: String) -> Result<(), Error> {
        home::discard(&id).map_err(failed("remove the layer"))
    }

    // A view is a mount that the host attaches; `bind` shows one directory.
    fn get(id: String, access: Access, _label: Option<String>) -> Result<Mount, Error> {
        let room = home::open(&id).map_err(failed("open the layer"))?;
        let files = room
            .open_directory(FILES)
            .map_err(failed("open its files"))?;
        mounts::bind(&files, access).map_err(failed("mount the layer"))
    }

    fn put(_id: String) -> Result<(), Error> {
        Ok(())
    }

    fn exists(id: String) -> Result<bool, Error> {
        home::exists(&id).map_err(failed("look for the layer"))
    }

    fn status() -> Result<Vec<(String, String)>, Error> {
        Ok(Vec::new())
    }

    fn metadata(_id: String) -> Result<Vec<(String, String)>, Error> {
        Ok(Vec::new())
    }

    fn cleanup() -> Result<(), Error> {
        Ok(())
    }
}

#[cfg(target_family = "wasm")]
export!(Driver);

#[cfg(test)]
mod tests {
    use std::fs;

    use mica_native::{Store, View};

    use super::*;

    fn files(store: &Store<Driver>, id: &str) -> std::path::PathBuf {
        store.room(id).join("files")
    }

    #[test]
    fn a_layer_has_its_parents_files_and_keeps_its_changes_to_itself() {
        let store = Store::<Driver>::new().unwrap();
        store.init().unwrap();
        store.create("base", None).unwrap();
        fs::write(files(&store, "base").join("hello"), "hello").unwrap();
        store.create("child", Some("base")).unwrap();
        fs::write(files(&store, "child").join("hello"), "changed").unwrap();
        let base = fs::read_to_string(files(&store, "base").join("hello"));
        assert_eq!(base.unwrap(), "hello");
        store.remove("child").unwrap();
        assert_eq!(store.layers(), ["base"]);
    }

    #[test]
    fn a_view_is_the_layers_files() {
        let store = Store::<Driver>::new().unwrap();
        store.create("base", None).unwrap();
        let mount = store.get("base", Access::ReadOnly).unwrap();
        let expected = View::Bind {
            directory: files(&store, "base"),
            access: Access::ReadOnly,
        };
        assert_eq!(*mount.view(), expected);
    }

    #[test]
    fn what_is_not_there_is_told() {
        let store = Store::<Driver>::new().unwrap();
        assert!(store.create("child", Some("none")).is_err());
        assert!(store.get("none", Access::ReadOnly).is_err());
        let unknown = vec![("color".to_owned(), "red".to_owned())];
        assert!(Store::<Driver>::with_options(unknown).unwrap().init().is_err());
    }
}
