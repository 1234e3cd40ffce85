//! What no driver may do.
//!
//! Invariant: every crime ends with what the host said to it, or with the end of the instance.

use crate::exports::mica::driver::proto_driver::Error;
use crate::mica::host::directory::{AttributeChanges, Directory, Node, Xattr};
use crate::mica::host::log::{self, Level};
use crate::mica::host::types::Failure;
use crate::mica::host::{config, home, mounts};

/// What the host said, in the words of the contract.
pub(crate) fn answers<T>(results: Vec<Result<T, Failure>>) -> Error {
    let words = results.into_iter().map(|result| match result {
        Ok(_) => "done".to_owned(),
        Err(failure) => format!("{:?}", failure.code).replace("Code::", ""),
    });
    Error::Invalid(format!("answers: {}", words.collect::<Vec<_>>().join(", ")))
}

/// Whether a layer's id asks to change what it can in a call: its own room, another, and which layers there are.
pub(crate) fn reach(id: &str, call: &str) -> Result<(), Error> {
    if id.strip_prefix("reach-") != Some(call) {
        return Ok(());
    }
    // What a room has already, so that it is as it was.
    let changes = AttributeChanges {
        owner: None,
        mode: Some(0o755),
        modified: None,
        xattrs: Vec::new(),
    };
    let write = |layer| home::open(layer)?.set_attributes(&changes);
    Err(answers(vec![
        write(id),
        write("victim"),
        home::stage().map(drop),
        home::discard(id),
        home::discard("victim"),
    ]))
}

fn sleep() -> Result<(), Error> {
    std::thread::sleep(std::time::Duration::from_secs(1 << 40));
    Ok(())
}

pub(crate) fn before_create(id: &str) -> Result<(), Error> {
    match id {
        "trap" => core::arch::wasm32::unreachable(),
        "loop" => loop {
            core::hint::black_box(0);
        },
        "sleep" => sleep(),
        "loop-with-calls" => loop {
            config::options();
        },
        "recurse" => Err(Error::Invalid(recurse(1).to_string())),
        "eat" => {
            let mut eaten = Vec::new();
            loop {
                eaten.push(vec![1_u8; 1 << 20]);
                core::hint::black_box(&eaten);
            }
        }
        "hoard" => {
            let mut kept = Vec::new();
            for _ in 0..100_000 {
                match home::open("victim") {
                    Ok(room) => kept.push(room),
                    Err(failure) => return Err(answers::<()>(vec![Err(failure)])),
                }
            }
            Err(answers(vec![Ok(())]))
        }
        "stage-many" => {
            let mut kept = Vec::new();
            for _ in 0..100_000 {
                match home::stage() {
                    Ok(staged) => kept.push(staged),
                    Err(failure) => return Err(answers::<()>(vec![Err(failure)])),
                }
            }
            Err(answers(vec![Ok(())]))
        }
        "discard-other" => Err(answers(vec![home::discard("victim")])),
        "open-unknown" => Err(answers(vec![
            home::open("ghost"),
            home::open(".."),
            home::open("../victim"),
            home::open(""),
        ])),
        "network" => Err(network()),
        "write-other" => Err(write_other()),
        "mount-other" => Err(mount_other()),
        "long-error" => Err(Error::Invalid("\u{1b}[31mred\n".repeat(1 << 18))),
        "flood" => flood(),
        _ => Ok(()),
    }
}

/// Logs more than fits.
fn flood() -> Result<(), Error> {
    for number in 0..5000 {
        log::write(
            Level::Error,
            &format!("line {number}\n\u{1b}[31m{}", "x".repeat(8000)),
        );
    }
    Ok(())
}

/// Tries what `wasi:sockets` has functions for.
fn network() -> Error {
    use std::net::{TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket};
    let tried = [
        TcpListener::bind("127.0.0.1:0").map(drop),
        TcpStream::connect("127.0.0.1:1").map(drop),
        UdpSocket::bind("127.0.0.1:0").map(drop),
        "localhost:1".to_socket_addrs().map(drop),
    ];
    let kinds = tried.map(|result| match result {
        Ok(()) => "done".to_owned(),
        Err(error) => format!("{:?}", error.kind()),
    });
    Error::Invalid(format!("answers: {}", kinds.join(", ")))
}

fn recurse(depth: u64) -> u64 {
    let frame = [depth; 64];
    // The compiler cannot know that this never holds.
    if core::hint::black_box(&frame)[0] == 0 {
        return 0;
    }
    1 + recurse(depth + 1) + frame[0]
}

fn write_other() -> Error {
    let Ok(room) = home::open("victim") else {
        return answers::<()>(vec![]);
    };
    let changes = AttributeChanges {
        owner: None,
        mode: Some(0o777),
        modified: None,
        xattrs: Vec::new(),
    };
    let mut results = vec![
        room.create_file(b"planted", 0o644).map(drop),
        room.create_directory(b"planted", 0o755).map(drop),
        room.create_symlink(b"planted", b"/etc/passwd"),
        room.create_node(b"planted", Node::Fifo, 0o600),
        room.remove_tree(b"tree"),
        room.set_attributes(&changes),
        room.set_entry_attributes(b"tree", &changes),
        room.rename(b"tree", &room, b"other"),
        room.link(b"tree", &room, b"other"),
    ];
    if let Ok(tree) = room.open_directory(b"tree") {
        results.push(tree.create_file(b"planted", 0o644).map(drop));
        results.push(mounts::make_opaque(&tree));
        results.push(mounts::make_whiteout(&tree, b"f"));
    }
    answers(results)
}

fn mount_other() -> Error {
    let Ok(tree) = home::open("victim").and_then(|room| room.open_directory(b"tree")) else {
        return answers::<()>(vec![]);
    };
    let write = mounts::bind(&tree, mounts::Access::ReadWrite);
    let upper = mounts::overlay(&[&tree], &tree, &tree, None);
    answers(vec![write.map(drop), upper.map(drop)])
}

pub(crate) fn while_staged(id: &str, room: &Directory) -> Result<(), Error> {
    match id {
        "half" => {
            for number in 0..50 {
                room.create_file(format!("f{number}").as_bytes(), 0o644)
                    .ok();
            }
            core::arch::wasm32::unreachable()
        }
        "names" => {
            let long = [b'n'; 256];
            let names: [&[u8]; 8] = [b"", b".", b"..", b"a/b", b"/", b"a\0b", b"../victim", &long];
            Err(answers(
                names
                    .into_iter()
                    .map(|name| room.create_directory(name, 0o755).map(drop))
                    .collect(),
            ))
        }
        "escape" => {
            room.create_symlink(b"out", b"../../../../../..").ok();
            room.create_symlink(b"root", b"/").ok();
            let names: [&[u8]; 2] = [b"out", b"root"];
            let mut results: Vec<_> = names
                .into_iter()
                .map(|name| room.open_directory(name).map(drop))
                .collect();
            results.push(room.open_file(b"out").map(drop));
            results.push(room.remove_directory(b"out"));
            Err(answers(results))
        }
        _ => with_attributes(id, room),
    }
}

/// What a driver may not make of nodes and files.
fn with_attributes(id: &str, room: &Directory) -> Result<(), Error> {
    match id {
        "attributes" => {
            let names = [
                "trusted.overlay.opaque",
                "user.overlay.opaque",
                "security.selinux",
                "system.posix_acl_access",
            ];
            let set = |name: &str| {
                let xattr = Xattr {
                    name: name.as_bytes().to_vec(),
                    value: b"y".to_vec(),
                };
                room.set_attributes(&AttributeChanges {
                    owner: None,
                    mode: None,
                    modified: None,
                    xattrs: vec![xattr],
                })
            };
            Err(answers(names.into_iter().map(set).collect()))
        }
        "devices" => {
            let nodes = [
                Node::CharacterDevice((0, 0)),
                Node::CharacterDevice((u32::MAX, 1)),
                Node::BlockDevice((1, u32::MAX)),
            ];
            Err(answers(
                nodes
                    .into_iter()
                    .map(|node| room.create_node(b"node", node, 0o600))
                    .collect(),
            ))
        }
        "pipe" => {
            room.create_node(b"pipe", Node::Fifo, 0o600).ok();
            Err(answers(vec![
                room.open_file(b"pipe").map(drop),
                room.open_directory(b"pipe").map(drop),
            ]))
        }
        "ranges" => {
            let file = room
                .create_file(b"f", 0o644)
                .map_err(|failure| answers::<()>(vec![Err(failure)]))?;
            let results = vec![
                file.read(u64::MAX, 1).map(drop),
                file.read(0, u32::MAX).map(drop),
                file.write(u64::MAX, b"x"),
                file.write(0, &vec![0; 300 << 10]),
                room.create_directory(b"mode", 0o177_777).map(drop),
            ];
            Err(answers(results))
        }
        _ => Ok(()),
    }
}

pub(crate) fn after_publish(id: &str) -> Result<(), Error> {
    match id {
        "trap-after-publish" => core::arch::wasm32::unreachable(),
        "error-after-publish" => Err(Error::Busy("changed its mind".to_owned())),
        "publish-twice" => {
            let second = home::stage().and_then(|staged| home::publish(staged, id));
            Err(answers(vec![second]))
        }
        _ => Ok(()),
    }
}
