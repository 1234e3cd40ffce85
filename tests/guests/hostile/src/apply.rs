//! The worst that can be done to a layer's private copy, in every way that leads to its nodes.
//!
//! A layer whose id begins with `worst` is defaced when its room can be changed, which is while an archive is applied:
//! `worst-trap…` traps then, `worst-error…` fails, and any other goes on.
//!
//! Invariant: whatever the host refuses is passed over, so that one refusal spares nothing else.

use crate::crimes::answers;
use crate::exports::mica::driver::proto_driver::{Access, Error};
use crate::mica::host::directory::{
    AttributeChanges, Directory, NodeKind, Ownership, Timestamp, Xattr,
};
use crate::mica::host::mounts;

/// How deep trees are gone into.
const LEVELS: usize = 8;

/// Each kind of change alone: where one is refused, the others are made.
fn all_changes(round: u32) -> Vec<AttributeChanges> {
    let none = || AttributeChanges {
        owner: None,
        mode: None,
        modified: None,
        xattrs: Vec::new(),
    };
    let owner = Some(Ownership {
        uid: 4000 + round,
        gid: 5000 + round,
    });
    let modified = Some(Timestamp {
        seconds: 77,
        nanoseconds: round,
    });
    let xattr = |name: &[u8], value: &[u8]| {
        vec![Xattr {
            name: name.to_vec(),
            value: value.to_vec(),
        }]
    };
    let capability = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    vec![
        AttributeChanges { owner, ..none() },
        AttributeChanges {
            mode: Some(0o4777),
            ..none()
        },
        AttributeChanges {
            xattrs: xattr(b"user.defaced", &round.to_le_bytes()),
            ..none()
        },
        AttributeChanges {
            xattrs: xattr(b"security.capability", &capability),
            ..none()
        },
        AttributeChanges { modified, ..none() },
    ]
}

/// Defaces the room of a layer, if it can be changed.
pub(crate) fn worst(id: &str, room: &Directory) -> Result<(), Error> {
    if !id.starts_with("worst") || room.create_directory(b"work", 0o700).is_err() {
        return Ok(());
    }
    deface(room, 1, LEVELS);
    if let Ok(tree) = room.open_directory(b"tree") {
        if let Ok(root) = mounts::bind(&tree, Access::ReadWrite).and_then(|mount| mount.root()) {
            deface(&root, 2, LEVELS);
        }
        let below = room.create_directory(b"below", 0o755);
        let work = room.open_directory(b"work");
        if let (Ok(below), Ok(work)) = (below, work) {
            let overlay = mounts::overlay(&[&below], &tree, &work, None);
            if let Ok(mount) = overlay {
                if let Ok(root) = mount.root() {
                    deface(&root, 3, LEVELS);
                }
            }
        }
    }
    if id.starts_with("worst-trap") {
        core::arch::wasm32::unreachable();
    }
    if id.starts_with("worst-error") {
        return Err(answers(vec![Ok(())]));
    }
    Ok(())
}

fn deface(directory: &Directory, round: u32, levels: usize) {
    let mut names = Vec::new();
    if let Ok(listing) = directory.list(&[]) {
        while let Ok(page) = listing.next() {
            if page.is_empty() {
                break;
            }
            names.extend(page.into_iter().map(|entry| (entry.name, entry.attributes.kind)));
        }
    }
    for (name, kind) in names {
        if kind == NodeKind::Directory {
            if let (Ok(below), true) = (directory.open_directory(&name), levels > 0) {
                deface(&below, round, levels - 1);
            }
        } else {
            deface_node(directory, &name, round);
        }
    }
    for changes in all_changes(round) {
        directory.set_attributes(&changes).ok();
    }
}

fn deface_node(directory: &Directory, name: &[u8], round: u32) {
    // Moved and under a further name first, so that a place alone does not tell what is shared.
    let (moved, again) = (b".moved", format!(".again-{round}").into_bytes());
    directory.rename(name, directory, moved).ok();
    directory.link(moved, directory, &again).ok();
    for changes in all_changes(round) {
        directory.set_entry_attributes(&again, &changes).ok();
        directory.set_entry_attributes(moved, &changes).ok();
    }
    if let Ok(file) = directory.open_file(moved) {
        file.write(0, b"defaced").ok();
        file.copy_content(&file).ok();
        for changes in all_changes(round) {
            file.set_attributes(&changes).ok();
        }
        if let Ok(made) = directory.create_file(b".made", 0o666) {
            made.copy_content(&file).ok();
            made.write(0, b"defaced").ok();
        }
        directory.remove_file(b".made").ok();
    }
    directory.remove_file(&again).ok();
    directory.rename(moved, directory, name).ok();
    for changes in all_changes(round) {
        directory.set_entry_attributes(name, &changes).ok();
    }
    // Replaced by another one: the original must not mind that either.
    if round == 3 {
        directory.remove_file(name).ok();
        if let Ok(file) = directory.create_file(name, 0o666) {
            file.write(0, b"another").ok();
        }
    }
}
