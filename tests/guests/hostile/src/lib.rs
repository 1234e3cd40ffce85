//! A driver that behaves, but for layers whose id asks for something else: `trap`, `loop`, `eat`, and so on.
//!
//! What the host answered to a forbidden call is told back as an `invalid` error: `answers: denied, read-only`.
//! `HOSTILE_NAME`, `HOSTILE_VERSION`, `HOSTILE_FAULT` and `HOSTILE_BTRFS` are set when it is built: its name and version, the call in which every layer
//! traps, or with `hang-` before it hangs (or `texts`, for a driver that says what it must not; `late`, for one that is worse
//! than the one before it; `layout`, for one whose layers lie elsewhere), and whether it imports `btrfs`. With the feature `diffs` it exports `diff-driver` as well.
//!
//! Invariant: uses the contract alone, not the SDK, so that it is a stranger's driver in every respect.

mod apply;
mod crimes;
#[cfg(feature = "diffs")]
mod diffs;
mod late;
mod snapshots;
mod speech;
mod texts;
mod views;

#[cfg(not(feature = "diffs"))]
wit_bindgen::generate!({
    path: "../../../wit",
    inline: "package mica:hostile; world proto { include mica:driver/all-host-functions@1.0.0; include mica:driver/proto@1.0.0; }",
    world: "mica:hostile/proto",
    generate_all,
});
#[cfg(feature = "diffs")]
wit_bindgen::generate!({
    path: "../../../wit",
    inline: "package mica:hostile; world full { include mica:driver/all-host-functions@1.0.0; include mica:driver/full@1.0.0; }",
    world: "mica:hostile/full",
    generate_all,
});

use exports::mica::driver::proto_driver::{
    Access, CreateOptions, Description, Error, Guest, Mount,
};
use mica::driver::types::{HostFailure, OwnContent};
use mica::host::types::Failure;
use mica::host::{home, mounts};

const NAME: &str = match option_env!("HOSTILE_NAME") {
    Some(name) => name,
    None => "hostile",
};
const VERSION: &str = match option_env!("HOSTILE_VERSION") {
    Some(version) => version,
    None => "0.1.0",
};
const FAULT: &str = match option_env!("HOSTILE_FAULT") {
    Some(fault) => fault,
    None => "",
};
/// Whether it says what no driver may say.
const TEXTS: bool = matches!(FAULT.as_bytes(), b"texts");
/// Without it the imports are not there.
const BTRFS: bool = option_env!("HOSTILE_BTRFS").is_some();

/// Where a layer's files are in its room.
const TREE: &[u8] = match FAULT.as_bytes() {
    b"layout" => b"data",
    _ => b"tree",
};

struct Hostile;

fn trap_in(call: &str) {
    if FAULT == call {
        core::arch::wasm32::unreachable()
    }
    while FAULT.strip_prefix("hang-") == Some(call) {
        core::hint::spin_loop();
    }
}

fn failed(doing: &str) -> impl FnOnce(Failure) -> Error + '_ {
    move |failure| {
        Error::Host(HostFailure {
            doing: doing.to_owned(),
            failure,
        })
    }
}

impl Guest for Hostile {
    fn describe() -> Description {
        trap_in("describe");
        if TEXTS {
            return texts::describe(NAME);
        }
        let options = Vec::new();
        let summary = "Does what no driver may do.".to_owned();
        Description {
            name: NAME.to_owned(),
            version: VERSION.to_owned(),
            summary,
            options,
            content: OwnContent::Complete(match FAULT {
                "content-escapes" => b"../../8/d".to_vec(),
                _ => TREE.to_vec(),
            }),
        }
    }

    fn init(_options: Vec<(String, String)>) -> Result<(), Error> {
        trap_in("init");
        Ok(())
    }

    fn create(id: String, parent: Option<String>, options: CreateOptions) -> Result<(), Error> {
        trap_in("create");
        let _ = (parent, options);
        if TEXTS {
            texts::create(&id)?;
        }
        speech::before_create(&id);
        crimes::before_create(&id)?;
        let deed = late::act("create", &id)?;
        let order = views::order();
        let step = || views::step(order.as_deref());
        step();
        let staged = home::stage().map_err(failed("begin a layer"))?;
        step();
        let room = staged.room().map_err(failed("open the room"))?;
        step();
        let tree = room
            .create_directory(TREE, 0o755)
            .map_err(failed("make `tree`"))?;
        step();
        crimes::while_staged(&id, &room)?;
        if deed == late::Deed::Layout {
            room.remove_directory(TREE)
                .and_then(|()| room.create_directory(b"elsewhere", 0o755).map(drop))
                .map_err(failed("make another directory"))?;
        }
        if id.starts_with("content-link") {
            room.remove_directory(TREE)
                .and_then(|()| room.create_symlink(TREE, b"/etc"))
                .map_err(failed("make a link"))?;
        }
        if order.is_some() {
            views::furnish(&room, &tree).map_err(failed("furnish the room"))?;
            views::keep(staged.room().map_err(failed("open the room"))?);
        }
        if BTRFS {
            snapshots::while_staged(&id, &room)?;
        }
        drop((tree, room));
        if id.starts_with("no-publish") {
            return Ok(());
        }
        let under = if id.starts_with("publish-other") {
            "stolen"
        } else {
            &id
        };
        step();
        home::publish(staged, under).map_err(failed("publish"))?;
        step();
        crimes::after_publish(&id)
    }

    fn create_read_write(
        id: String,
        parent: Option<String>,
        options: CreateOptions,
    ) -> Result<(), Error> {
        Self::create(id, parent, options)
    }

    fn remove(id: String) -> Result<(), Error> {
        trap_in("remove");
        late::act("remove", &id)?;
        match id.as_str() {
            "remove-nothing" => Ok(()),
            "remove-trap" => core::arch::wasm32::unreachable(),
            _ => home::discard(&id).map_err(failed("discard")),
        }
    }

    fn get(id: String, access: Access, _label: Option<String>) -> Result<Mount, Error> {
        trap_in("get");
        if id.starts_with("get-trap") {
            core::arch::wasm32::unreachable();
        }
        crimes::reach(&id, "get")?;
        let deed = late::act("get", &id)?;
        if let Some(crime) = views::order() {
            return views::view(&crime, &id, access);
        }
        let of = if id.starts_with("get-other") {
            "victim"
        } else {
            &id
        };
        let room = home::open(of).map_err(failed("open the room"))?;
        apply::worst(&id, &room)?;
        let name = match deed {
            late::Deed::Layout => &b"elsewhere"[..],
            _ => TREE,
        };
        let tree = room.open_directory(name).map_err(failed("open `tree`"))?;
        let shown = if id.starts_with("get-room") {
            &room
        } else {
            &tree
        };
        let mount = mounts::bind(shown, access).map_err(failed("bind `tree`"))?;
        if id.starts_with("get-keeps") {
            // Held over the end of the call: the host must not mind.
            core::mem::forget(tree);
            core::mem::forget(room);
        }
        Ok(mount)
    }

    fn put(id: String) -> Result<(), Error> {
        if id.starts_with("put-trap") {
            core::arch::wasm32::unreachable();
        }
        late::act("put", &id)?;
        crimes::reach(&id, "put")
    }

    fn exists(id: String) -> Result<bool, Error> {
        home::exists(&id).map_err(failed("look for the layer"))
    }

    fn status() -> Result<Vec<(String, String)>, Error> {
        if TEXTS {
            return Ok(texts::pairs());
        }
        trap_in("status");
        if FAULT == "status-flood" {
            let pair = |number: u32| (format!("Key {number}"), "v".repeat(8));
            return Ok((0..300_000).map(pair).collect());
        }
        Ok(vec![(
            "Mood".to_owned(),
            "bad\u{1b}[31m\nand more".to_owned(),
        )])
    }

    fn metadata(id: String) -> Result<Vec<(String, String)>, Error> {
        if TEXTS {
            return Ok(texts::pairs());
        }
        crimes::reach(&id, "metadata")?;
        late::act("metadata", &id)?;
        if let Some(key) = id.strip_prefix("metadata-") {
            return Ok(vec![(key.to_owned(), "/etc".to_owned())]);
        }
        Ok(Vec::new())
    }

    fn cleanup() -> Result<(), Error> {
        Ok(())
    }
}

export!(Hostile);
