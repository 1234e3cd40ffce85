//! What no driver may do with subvolumes. Only the build that `HOSTILE_BTRFS` is set for imports them.
//!
//! Invariant: as in `crimes`.

use crate::crimes::answers;
use crate::exports::mica::driver::proto_driver::Error;
use crate::mica::host::btrfs::{
    create_subvolume, inspect, measure, remove_subvolume, set_access, set_limit, snapshot,
};
use crate::mica::host::directory::Directory;
use crate::mica::host::home;
use crate::mica::host::mounts::Access::{ReadOnly, ReadWrite};
use crate::mica::host::types::Failure;

/// The staged layer's own room may be changed; the victim's may not.
pub(crate) fn while_staged(id: &str, room: &Directory) -> Result<(), Error> {
    let results = match id {
        "plain-is-no-subvolume" => plain(room),
        "subvolumes-of-others" => of_others(room),
        "subvolume-names" => {
            let long = [b'n'; 256];
            let names: [&[u8]; 6] = [b"", b"..", b"a/b", b"/", b"a\0b", &long];
            let make = |name: &[u8]| create_subvolume(room, name, 0o755).map(drop);
            Ok(names.into_iter().map(make).collect())
        }
        // Subvolumes within one another that nobody removes, and no layer: the host has to.
        "subvolumes-and-trap" => {
            let deep = create_subvolume(room, b"a", 0o755)
                .and_then(|a| create_subvolume(&a, b"b", 0o755))
                .and_then(|b| snapshot(&b, room, b"closed", ReadOnly));
            match deep {
                Ok(_) => core::arch::wasm32::unreachable(),
                Err(failure) => Err(failure),
            }
        }
        _ => return Ok(()),
    };
    Err(answers(
        results.unwrap_or_else(|failure| vec![Err(failure)]),
    ))
}

type Results = Result<Vec<Result<(), Failure>>, Failure>;

/// A directory must not stand for the subvolume that it lies in: that is the whole file system.
fn plain(room: &Directory) -> Results {
    let tree = room.open_directory(b"tree")?;
    let victim = home::open("victim")?.open_directory(b"tree")?;
    Ok(vec![
        snapshot(&tree, room, b"s", ReadWrite).map(drop),
        snapshot(room, room, b"s", ReadWrite).map(drop),
        snapshot(&victim, room, b"s", ReadOnly).map(drop),
        remove_subvolume(room, b"tree"),
        set_access(room, ReadOnly),
        set_limit(room, Some(1 << 20)),
        inspect(room).map(drop),
        measure(room).map(drop),
    ])
}

fn of_others(room: &Directory) -> Results {
    let victim = home::open("victim")?;
    let tree = victim.open_directory(b"tree")?;
    let own = create_subvolume(room, b"own", 0o755)?;
    let closed = snapshot(&own, room, b"closed", ReadOnly)?;
    Ok(vec![
        create_subvolume(&victim, b"planted", 0o755).map(drop),
        snapshot(&own, &tree, b"planted", ReadWrite).map(drop),
        remove_subvolume(&victim, b"tree"),
        set_access(&victim, ReadWrite),
        set_limit(&tree, None),
        closed.create_file(b"planted", 0o644).map(drop),
        set_access(&closed, ReadWrite),
    ])
}
