//! Histories made by chance.
//!
//! Lines are made without a look at the tree; those that do not work on a plain directory are dropped, so that what
//! remains is a history that any driver must follow.
//!
//! Invariant: what is left out is left out for a reason that stands here. An overlay without an index breaks a hard
//! link when one of its names is copied up: from the second step on, nodes with several names are only removed. A
//! socket is in no archive, so the directories above one would be named in a layer's diff and not in that of its copy:
//! sockets are made by the first step alone, and stay. An overlay cannot rename a directory of a lower, so `mv` copies
//! it, and what is made in a directory with the set-group-id bit inherits that: no directory is moved into one.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use crate::history::History;
use crate::script::{self, Line, quote};
use crate::tree;

/// A capability set as the kernel keeps it: `cap_net_raw=ep`, revision 2.
const CAPABILITY: &str =
    r"\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";

/// Scripts for two to four layers.
pub fn scripts() -> impl Strategy<Value = Vec<String>> {
    let script = prop::collection::vec(line(), 4..24).prop_map(|lines| lines.join("\n"));
    prop::collection::vec(script, 2..=4).prop_map(|mut scripts| {
        // Something to work on, or most lines would find nothing there.
        scripts[0].insert_str(0, "d a\nd b\nd a/a\nd a/b\nd b/a\nf c data=1\nf a/c data=2\nf b/c data=3\nf a/a/a data=4\n\
            f a/k data=aaa mtime=1500000000\nf b/k data=bbb mtime=1500000000\n");
        scripts
    })
}

/// Turns scripts into a history that works, on plain directories below `model`.
pub fn history(name: &str, scripts: &[String], model: &Path) -> History {
    let mut steps: Vec<String> = Vec::new();
    for script in scripts {
        let mut kept = String::new();
        for line in script::parse(script) {
            let allowed = steps.is_empty() || is_common_ground(model, &line);
            if allowed && tree::try_line(model, &line).is_ok() {
                kept.push_str(&line.text);
                kept.push('\n');
            } else if allowed {
                // It may be done by half.
                begin_again(model, &steps, &kept);
            }
        }
        begin_again(model, &steps, &kept);
        steps.push(kept);
    }
    fs::remove_dir_all(model).expect("remove the model");
    History {
        name: name.to_owned(),
        steps,
        ..History::default()
    }
}

fn begin_again(model: &Path, steps: &[String], last: &str) {
    fs::remove_dir_all(model).expect("remove the model");
    fs::create_dir(model).expect("make the model anew");
    steps
        .iter()
        .map(String::as_str)
        .chain([last])
        .for_each(|step| tree::build(model, step));
}

/// Whether a line leaves alone all nodes of which drivers rightly differ.
fn is_common_ground(root: &Path, line: &Line) -> bool {
    let linked = |metadata: &Metadata| !metadata.is_dir() && metadata.nlink() > 1;
    let socket = |metadata: &Metadata| metadata.file_type().is_socket();
    let at = |path: &[u8]| root.join(OsStr::from_bytes(path));
    let (path, to) = (
        at(&line.path),
        line.field("to").filter(|_| line.verb != "l").map(at),
    );
    let links_stay = match line.verb.as_str() {
        "w" | "a" | "m" | ">" => !any(&path, &linked),
        "h" => !to.as_ref().is_some_and(|to| any(to, &linked)),
        _ => true,
    };
    let in_place = matches!(line.verb.as_str(), "d" | "m") && path.is_dir();
    let sockets_stay =
        in_place || !any(&path, &socket) && !to.as_ref().is_some_and(|to| any(to, &socket));
    let in_group = |to: &PathBuf| {
        let parent = to.parent().and_then(|parent| fs::metadata(parent).ok());
        parent.is_some_and(|parent| parent.mode() & 0o2000 != 0)
    };
    let modes_stay = !(line.verb == ">" && path.is_dir() && to.as_ref().is_some_and(in_group));
    links_stay && sockets_stay && modes_stay && line.verb != "s"
}

/// Whether something is so of a node or of any below.
fn any(path: &Path, is_so: &impl Fn(&Metadata) -> bool) -> bool {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return false;
    };
    let mut below = metadata
        .is_dir()
        .then(|| fs::read_dir(path).ok())
        .flatten()
        .into_iter()
        .flatten()
        .flatten();
    is_so(&metadata) || below.any(|entry| any(&entry.path(), is_so))
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        24 => "[a-c]".prop_map(String::into_bytes),
        1 => Just("a-b".into()),
        1 => Just("a.b c".into()),
        1 => Just("ünï".into()),
        1 => Just(b"\xff\xfe".to_vec()),
        1 => Just(b"line\nbreak".to_vec()),
        1 => Just(vec![b'n'; 255]),
        1 => Just(".whx".into()),
        1 => Just(vec![b'm'; 120]),
    ]
}

fn path() -> impl Strategy<Value = String> {
    let depth = prop_oneof![5 => Just(1), 4 => Just(2), 2 => Just(3_usize)];
    let names = depth.prop_flat_map(|depth| prop::collection::vec(name(), depth));
    names.prop_map(|names| quote(&names.join(&b'/')))
}

fn attributes() -> impl Strategy<Value = String> {
    let mode = prop::sample::select(vec![
        "755", "700", "644", "4755", "2711", "1777", "0", "600",
    ]);
    let owner = prop::sample::select(vec!["0:0", "1000:1000", "65534:1", "100000:4000000000"]);
    (mode, owner).prop_map(|(mode, owner)| format!("mode={mode} own={owner}"))
}

fn content() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[a-z]{1,40}".prop_map(|text| format!("data={text}")),
        prop::sample::select(vec![511, 512, 513, 70_000]).prop_map(|size| format!("fill={size}")),
    ]
}

/// A change that keeps size and time, more often than not.
fn kept() -> impl Strategy<Value = String> {
    let verb = prop::sample::select(vec!["f", "w"]);
    let name = prop_oneof![2 => Just("k".to_owned()), 1 => "[a-c]".prop_map(|name| name)];
    let time = prop_oneof![3 => Just("1500000000"), 1 => Just("1500000000.25")];
    let place = prop::sample::select(vec!["a/", "b/", "a/a/", ""]);
    (verb, place, name, "[ab]{3}", time).prop_map(|(verb, place, name, data, time)| {
        format!("{verb} {place}{name} data={data} mtime={time}")
    })
}

fn xattrs() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => Just(String::new()),
        1 => Just("x:user.comment=\"a b\\x00c\"".to_owned()),
        1 => Just(format!("x:user.b=1 x:security.capability={CAPABILITY}")),
    ]
}

fn line() -> impl Strategy<Value = String> {
    let device = prop::sample::select(vec!["1:3", "254:0", "511:262143"]);
    prop_oneof![
        6 => (path(), attributes(), content(), xattrs())
            .prop_map(|(path, attributes, content, xattrs)| format!("f {path} {attributes} {content} {xattrs}")),
        6 => (path(), attributes()).prop_map(|(path, attributes)| format!("d {path} {attributes}")),
        3 => (path(), content()).prop_map(|(path, content)| format!("w {path} {content}")),
        4 => kept(),
        2 => (path(), content()).prop_map(|(path, content)| format!("a {path} {content}")),
        2 => (path(), path()).prop_map(|(path, to)| format!("l {path} to={to}")),
        4 => (path(), path()).prop_map(|(path, to)| format!("h {path} to={to}")),
        1 => path().prop_map(|path| format!("p {path} mode=600")),
        1 => path().prop_map(|path| format!("s {path}")),
        1 => (path(), device.clone()).prop_map(|(path, device)| format!("c {path} rdev={device}")),
        1 => (path(), device).prop_map(|(path, device)| format!("b {path} rdev={device} own=0:6")),
        3 => (path(), attributes()).prop_map(|(path, attributes)| format!("m {path} {attributes}")),
        3 => (path(), path()).prop_map(|(path, to)| format!("> {path} to={to}")),
        5 => path().prop_map(|path| format!("- {path}")),
    ]
}
