//! Views that no driver may answer while others mount by path.
//!
//! The layers of a container runtime have no ids that a test could choose. So a layer whose tree has a file `crime` says
//! what is to be done to whichever layer is asked for.
//!
//! Invariant: as in `crimes`.

use crate::exports::mica::driver::proto_driver::{Access, Error, Mount};
use crate::mica::host::directory::Directory;
use crate::mica::host::types::Failure;
use crate::mica::host::{home, mounts};
use crate::{TREE, failed};
use std::cell::{Cell, RefCell};

/// The file that says it.
const ORDER: &[u8] = b"crime";
/// A context of SELinux that nobody asked for.
const LABEL: &str = "system_u:object_r:container_file_t:s0";

thread_local! {
    /// A handle that outlives the call which got it.
    static KEPT: RefCell<Option<Directory>> = const { RefCell::new(None) };
    /// Steps that this instance has made.
    static STEPS: Cell<u32> = const { Cell::new(0) };
}

/// What is to be done, if anything is.
pub(crate) fn order() -> Option<String> {
    let layers = home::list(None).ok()?;
    layers.iter().find_map(|layer| {
        let file = tree_of(layer).ok()?.open_file(ORDER).ok()?;
        let text = String::from_utf8(file.read(0, 64).ok()?).ok()?;
        (!text.is_empty()).then_some(text)
    })
}

/// Begins the next step of a call; with `trap-at-N` the instance ends at step N.
pub(crate) fn step(order: Option<&str>) {
    let step = STEPS.get() + 1;
    STEPS.set(step);
    let last = order.and_then(|order| order.strip_prefix("trap-at-")?.parse().ok());
    if last == Some(step) {
        core::arch::wasm32::unreachable()
    }
}

/// Makes what the crimes need.
pub(crate) fn furnish(room: &Directory, tree: &Directory) -> Result<(), Failure> {
    for name in [&b"work"[..], b"other", b"a,b"] {
        room.create_directory(name, 0o755)?;
    }
    room.create_symlink(b"link", b"/")?;
    tree.create_directory(b"a", 0o755)?
        .create_directory(b"b", 0o755)?;
    Ok(())
}

/// Keeps the room of a layer that is not published yet, where everything may be changed.
pub(crate) fn keep(room: Directory) {
    KEPT.with(|kept| kept.replace(Some(room)));
}

fn tree_of(layer: &str) -> Result<Directory, Failure> {
    home::open(layer)?.open_directory(TREE)
}

/// A layer that this one has nothing to do with.
fn stranger(id: &str) -> Result<Directory, Failure> {
    let below = home::ancestors(id)?;
    let layers = home::list(None)?;
    let other = layers
        .iter()
        .find(|layer| *layer != id && !below.contains(layer));
    tree_of(other.map_or("ghost", String::as_str))
}

fn below(id: &str) -> Result<Vec<Directory>, Failure> {
    home::ancestors(id)?
        .iter()
        .map(|layer| tree_of(layer))
        .collect()
}

/// The view of a layer, with the crime in it.
pub(crate) fn view(crime: &str, id: &str, access: Access) -> Result<Mount, Error> {
    step(Some(crime));
    let room = home::open(id).map_err(failed("open the room"))?;
    step(Some(crime));
    let made = match crime.split_once('-') {
        Some(("overlay", what)) => overlay(what, id, &room),
        _ => bind(crime, id, &room, access),
    };
    step(Some(crime));
    made.map_err(failed("make the view"))
}

fn bind(crime: &str, id: &str, room: &Directory, access: Access) -> Result<Mount, Failure> {
    let tree = room.open_directory(TREE)?;
    match crime {
        "deeper" => mounts::bind(&tree.open_directory(b"a")?.open_directory(b"b")?, access),
        "room" => mounts::bind(room, Access::ReadOnly),
        "read-only" => mounts::bind(&tree, Access::ReadOnly),
        "writable" => mounts::bind(&tree, Access::ReadWrite),
        "stranger" => mounts::bind(&stranger(id)?, Access::ReadOnly),
        "odd-name" => mounts::bind(&room.open_directory(b"a,b")?, access),
        "link" => mounts::bind(&room.open_directory(b"link")?, access),
        "writable-parent" => match below(id)?.first() {
            Some(parent) => mounts::bind(parent, Access::ReadWrite),
            None => mounts::bind(&tree, access),
        },
        "stack-stranger" => mounts::overlay_view(&[&tree, &stranger(id)?], None),
        "stack-label" => {
            mounts::overlay_view(&[&tree, &room.open_directory(b"other")?], Some(LABEL))
        }
        "stack" => stack(id, &tree, access),
        "exchange-kept" => {
            let mount = mounts::bind(&tree, access)?;
            KEPT.with_borrow(|kept| kept.as_ref().map_or(Ok(()), exchange))?;
            Ok(mount)
        }
        "exchange" => {
            let mount = mounts::bind(&tree, access)?;
            // Whether it is refused or not, the view is answered.
            exchange(room).ok();
            room.remove_tree(TREE).ok();
            Ok(mount)
        }
        "trap" => core::arch::wasm32::unreachable(),
        _ => mounts::bind(&tree, access),
    }
}

/// Puts a link in the place of the tree.
fn exchange(room: &Directory) -> Result<(), Failure> {
    room.rename(TREE, room, b"gone")?;
    room.create_symlink(TREE, b"/")
}

/// What an honest driver answers whose layers are stacked.
fn stack(id: &str, tree: &Directory, access: Access) -> Result<Mount, Failure> {
    let below = below(id)?;
    let mut all: Vec<&Directory> = below.iter().collect();
    match access {
        _ if all.is_empty() => mounts::bind(tree, access),
        Access::ReadWrite => {
            let work = home::open(id)?.open_directory(b"work")?;
            mounts::overlay(&all, tree, &work, None)
        }
        Access::ReadOnly => {
            all.insert(0, tree);
            mounts::overlay_view(&all, None)
        }
    }
}

fn overlay(what: &str, id: &str, room: &Directory) -> Result<Mount, Failure> {
    let tree = room.open_directory(TREE)?;
    let work = room.open_directory(b"work")?;
    let below = below(id)?;
    let Some(lower) = below.first() else {
        return mounts::bind(&tree, Access::ReadWrite);
    };
    let make = |lower: &Directory, upper: &Directory, work: &Directory, label| {
        mounts::overlay(&[lower], upper, work, label)
    };
    match what {
        "stranger" => make(&stranger(id)?, &tree, &work, None),
        "own-lower" => make(&room.open_directory(b"other")?, &tree, &work, None),
        "same" => make(lower, &tree, &tree, None),
        "deeper-upper" => make(lower, &tree.open_directory(b"a")?, &work, None),
        "deeper-work" => make(lower, &tree, &tree.open_directory(b"a")?, None),
        "deeper-lower" => make(&lower.open_directory(b"a")?, &tree, &work, None),
        "room-lower" => match home::ancestors(id)?.first() {
            Some(parent) => make(&home::open(parent)?, &tree, &work, None),
            None => make(lower, &tree, &work, None),
        },
        "label" => make(lower, &tree, &work, Some(LABEL)),
        _ => make(lower, &tree, &work, None),
    }
}
