//! What real containerds asked of one socket that is snapshotter and differ, asked of Mica: the answers are the same.
//!
//! `tests/golden/containerd-differ` has what containerd 1.7.34 and a beta of 2.4 asked of another proxy plugin, which keeps
//! layers as images over their archives: imports, pulls, containers, differences, removals. Its blobs are not there, so each
//! of its digests gets a blob of its own here; its directories are its own, so of mounts only their kinds are compared.

use std::collections::HashMap;

use mica_tests::archive::archive;
use mica_tests::command::packed;
use mica_tests::containerd::{Bench, Mount, Snapshotter};
use mica_tests::differ::{Blob, Content, Differ};
use mica_tests::golden::{Call, Told, ask, calls, golden_infos, list, text, texts};
use mica_tests::image::digest;
use mica_tests::lab::{FileSystem, Lab};
use serde_json::Value;

/// A containerd's view of Mica.
struct Peer {
    snapshots: Snapshotter,
    differ: Differ,
    content: Content,
    /// Mica's mounts, by what the transcript has in their place.
    mounts: HashMap<String, Vec<Mount>>,
}

/// Whether something can be changed, and of which kind it is.
fn kinds(mounts: &[Mount]) -> Vec<(&str, bool)> {
    let takes_changes = |mount: &Mount| {
        let is_one = |option: &String| option == "rw" || option.starts_with("upperdir=");
        mount.options.iter().any(is_one)
    };
    let all = mounts.iter();
    all.map(|mount| (&*mount.r#type, takes_changes(mount)))
        .collect()
}

/// Mounts as the transcript has them: those of other snapshotters, too.
fn written(mounts: &Value) -> Vec<Mount> {
    let mount = |mount: &Value| Mount {
        r#type: text(&mount["type"]).to_owned(),
        source: text(&mount["source"]).to_owned(),
        target: String::new(),
        options: texts(&mount["options"]),
    };
    list(mounts).iter().map(mount).collect()
}

impl Peer {
    /// What Mica told where the transcript has these.
    fn own(&self, mounts: &Value) -> Vec<Mount> {
        let known = self.mounts.get(&mounts.to_string());
        known.cloned().unwrap_or_else(|| written(mounts))
    }

    /// A blob that stands for one of the transcript, and its archive.
    fn blob(&self, descriptor: &Value) -> (Blob, Vec<u8>) {
        let (media_type, name) = (text(&descriptor["media_type"]), text(&descriptor["digest"]));
        let name = name.replace([':', '.'], "");
        let plain = archive(&format!(
            "d layers\nf layers/{name} data=1\nf top data={name}"
        ));
        let bytes = match media_type.rsplit_once('+') {
            Some((_, program)) => packed(program, &plain).expect("the program"),
            None => plain.clone(),
        };
        (self.content.put(media_type, &bytes), plain)
    }

    /// Asks, and compares. What came is told when it is not what the transcript has.
    fn check(&mut self, call: &Call) -> Result<(), String> {
        let code = match &*call.method {
            "Apply" => {
                let (blob, plain) = self.blob(&call.request["diff"]);
                let applied = self.differ.apply(&blob, &self.own(&call.request["mounts"]));
                let size = plain.len().try_into().expect("a size");
                applied.map(|applied| assert_eq!(applied, (digest(&plain), size)))
            }
            "Diff" => {
                let sides = ["left", "right"].map(|side| self.own(&call.request[side]));
                self.differ.diff(&sides[0], &sides[1]).map(drop)
            }
            _ => match ask(&mut self.snapshots, call) {
                Ok(told) => self.compare(call, told).map(Ok)?,
                Err(error) => Err(error),
            },
        };
        let code = code.map_or_else(|(code, _)| format!("{code:?}"), |()| "OK".to_owned());
        (code == call.code).then_some(()).ok_or(code)
    }

    fn compare(&mut self, call: &Call, told: Told) -> Result<(), String> {
        match told {
            Told::Nothing => {}
            Told::Mounts(mounts) => {
                let expected = written(&call.answer["mounts"]);
                // A read-only look at one layer is a bind or an overlay, as the driver has it.
                let is_like = call.method == "View" || kinds(&mounts) == kinds(&expected);
                if !is_like {
                    return Err(format!("{mounts:?}"));
                }
                let key = call.answer["mounts"].to_string();
                self.mounts.insert(key, mounts);
            }
            Told::Infos(infos) => {
                let is_like = match text(&call.answer).split_once(" infos, folded") {
                    Some((count, _)) => count.trim_start_matches('(') == infos.len().to_string(),
                    None => infos == golden_infos(&[call.answer["info"].clone()]),
                };
                if !is_like {
                    return Err(format!("{infos:?}"));
                }
            }
        }
        Ok(())
    }
}

#[track_caller]
fn replay(transcript: &str, driver: &str) {
    let lab = Lab::on(FileSystem::Ext4);
    let content = lab.path("content");
    let mut settings = Bench::settings(&lab, driver);
    settings.configuration = Some(format!(
        "[containerd]\ncontent_root = \"{}\"\n",
        content.display()
    ));
    let bench = Bench::of(lab, &settings);
    let mut peer = Peer {
        snapshots: bench.client(),
        differ: Differ::new(&bench.socket),
        content: Content::new(&content),
        mounts: HashMap::new(),
    };
    let mut applied = 0;
    for mut call in calls(&format!("containerd-differ/{transcript}")) {
        let (_, method) = call.method.split_once('.').expect("service and method");
        call.method = method.to_owned();
        applied += usize::from(call.method == "Apply");
        if let Err(came) = peer.check(&call) {
            let Call {
                line,
                method,
                request,
                code,
                answer,
            } = call;
            panic!(
                "{transcript}:{line}: {method} {request}: {code} {answer} expected, {came} came"
            );
        }
    }
    assert!(applied > 0);
}

#[test]
fn imports_pulls_and_differences_of_1_7() {
    replay("1.7.34", "erofs");
    replay("1.7.34", "overlay");
}

#[test]
fn imports_containers_and_differences_of_2_4() {
    replay("2.4.0beta-ctr", "erofs");
    replay("2.4.0beta-ctr", "overlay");
}

#[test]
fn pulls_of_kubernetes_of_2_4() {
    replay("2.4.0beta-cri", "erofs");
    replay("2.4.0beta-cri", "overlay");
}

/// Only overlay takes layers before their parents.
#[test]
fn layers_unpacked_at_once_of_2_4() {
    replay("2.4.0beta-parallel", "overlay");
}

#[test]
fn layers_of_another_snapshotter() {
    replay("2.4.0beta-foreign", "overlay");
}
