//! A storage driver in under 100 lines: every layer is a complete copy of its parent, beside a note that says hello.
//!
//! ```text
//! <room>/files   the layer's files
//! <room>/hello   the note: a driver keeps in its room whatever it needs
//! ```
//!
//! Build and load it, and give it a store:
//! ```text
//! cargo build --release --target wasm32-wasip2
//! mica driver load target/wasm32-wasip2/release/hello_driver.wasm
//! mica store create greetings --driver hello
//! ```
//! It knows nothing of archives. Mica composes it with its naive-diff component, which gives it diffs.

use mica_sdk::copy::copy_tree;
use mica_sdk::host::home;
use mica_sdk::host::mounts::{self, Access, Mount};
use mica_sdk::{CreateOptions, Description, Doing, Driver, OwnContent, Result};

struct Hello;

impl Driver for Hello {
    fn describe() -> Description {
        Description {
            name: "hello".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "Copies every layer and says hello.".to_owned(),
            options: Vec::new(),
            // All that counts as the layer's; the note does not.
            content: OwnContent::Complete(b"files".to_vec()),
        }
    }

    // Stage, fill, publish. Until the last line no one sees the layer; if anything fails, nothing of it stays.
    fn create(id: &str, parent: Option<&str>, _options: &CreateOptions) -> Result<()> {
        let staged = home::stage().doing(|| format!("begin layer `{id}`"))?;
        {
            let room = staged.room().doing(|| "open the room")?;
            let files = room
                .create_directory(b"files", 0o755)
                .doing(|| "make `files`")?;
            let note = room
                .create_file(b"hello", 0o644)
                .doing(|| "make the note")?;
            note.write(0, format!("hello, {id}\n").as_bytes())
                .doing(|| "write the note")?;
            if let Some(parent) = parent {
                let below = home::open(parent).doing(|| format!("open parent `{parent}`"))?;
                let theirs = below.open_directory(b"files");
                copy_tree(theirs.doing(|| "open its files")?, files)?;
            }
        }
        home::publish(staged, id).doing(|| format!("publish layer `{id}`"))
    }

    // A view is a mount that the host attaches; `bind` shows one directory.
    fn get(id: &str, access: Access, _label: Option<&str>) -> Result<Mount> {
        let room = home::open(id).doing(|| format!("open layer `{id}`"))?;
        let files = room.open_directory(b"files").doing(|| "open its files")?;
        mounts::bind(&files, access).doing(|| format!("mount layer `{id}`"))
    }
}

mica_sdk::export_proto!(Hello);
