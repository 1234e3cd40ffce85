//! What real containerds asked of containerd's own overlay snapshotter, asked of Mica: the answers are the same.
//!
//! `tests/golden/containerd` has transcripts of containerd 1.6.20 and of a beta of 2.4: pulls, imports, containers, pods,
//! garbage collection, restarts. What containerd does with files in between is not repeated, so sizes are not compared; times
//! and paths differ, but two paths are the same for Mica exactly if they are for containerd's.

use std::collections::HashMap;

use mica_tests::containerd::{Bench, Mount, Snapshotter};
use mica_tests::golden::{Call, Info, Told, ask, calls, golden_infos, list, text, texts};
use mica_tests::lab::{FileSystem, Lab};
use serde_json::Value;

/// What an answer says that does not depend on where and when it was given.
#[derive(Debug, PartialEq)]
enum Said {
    Nothing,
    /// Kinds and options, in order of the letters, with numbers in the place of paths.
    Mounts(Vec<(String, Vec<String>)>),
    Infos(Vec<Info>),
}

/// Paths by their first mention: for Mica's and for containerd's own they get the same numbers.
#[derive(Default)]
struct Paths(HashMap<String, usize>);

impl Paths {
    fn number(&mut self, path: &str) -> usize {
        let next = self.0.len();
        *self.0.entry(path.to_owned()).or_insert(next)
    }

    /// Puts numbers in the place of paths; the order of the options is the version's.
    fn mounts<'a>(
        &mut self,
        mounts: impl Iterator<Item = (&'a str, &'a str, Vec<String>)>,
    ) -> Said {
        let mut seen = Vec::new();
        for (kind, source, mut options) in mounts {
            let source = if source.starts_with(['/', '@']) {
                format!("source={source}")
            } else {
                source.to_owned()
            };
            options.push(source);
            options.sort();
            let options = options
                .into_iter()
                .map(|option| match option.split_once('=') {
                    Some((name, paths)) if paths.starts_with(['/', '@']) => {
                        let numbers = paths.split(':').map(|path| self.number(path).to_string());
                        format!("{name}={}", numbers.collect::<Vec<_>>().join(":"))
                    }
                    _ => option,
                });
            seen.push((kind.to_owned(), options.collect()));
        }
        Said::Mounts(seen)
    }

    fn of_mica(&mut self, mounts: &[Mount]) -> Said {
        let parts = |mount: &'_ Mount| {
            (
                mount.r#type.clone(),
                mount.source.clone(),
                mount.options.clone(),
            )
        };
        let mounts: Vec<_> = mounts.iter().map(parts).collect();
        let borrowed = mounts
            .iter()
            .map(|(kind, source, options)| (&**kind, &**source, options.clone()));
        self.mounts(borrowed)
    }

    fn of_golden(&mut self, answer: &Value) -> Said {
        let mounts = list(&answer["mounts"]);
        let parts = mounts.iter().map(|mount| {
            (
                text(&mount["type"]),
                text(&mount["source"]),
                texts(&mount["options"]),
            )
        });
        self.mounts(parts)
    }
}

/// What containerd's own snapshotter said.
fn told(call: &Call, paths: &mut Paths) -> Said {
    match &*call.method {
        "Prepare" | "View" | "Mounts" => paths.of_golden(&call.answer),
        "Stat" | "Update" => Said::Infos(golden_infos(&[call.answer["info"].clone()])),
        "List" => {
            let pages = list(&call.answer);
            let all: Vec<_> = pages.iter().flat_map(|page| list(&page["info"])).collect();
            Said::Infos(golden_infos(&all))
        }
        _ => Said::Nothing,
    }
}

/// Asks a daemon with these settings what a transcript asks.
#[track_caller]
fn replay(transcript: &str, setting: &str) {
    let calls = calls(&format!("containerd/{transcript}"));
    let lab = Lab::on(FileSystem::Ext4);
    let mut settings = Bench::settings(&lab, "overlay");
    settings.configuration = Some(format!("[containerd]\n{setting}\n"));
    let _daemon = settings.start();
    let mut client = Snapshotter::new(&lab.path("run/containerd.sock"));
    let mut own_paths = Paths::default();
    let mut paths = Paths::default();
    for call in calls {
        let place = format!(
            "{transcript}:{}: {} {}",
            call.line, call.method, call.request
        );
        let golden = told(&call, &mut paths);
        match ask(&mut client, &call) {
            Ok(told) => {
                let said = match told {
                    Told::Nothing => Said::Nothing,
                    Told::Mounts(mounts) => own_paths.of_mica(&mounts),
                    Told::Infos(infos) => Said::Infos(infos),
                };
                assert_eq!(call.code, "OK", "{place}");
                assert_eq!(said, golden, "{place}");
            }
            Err((code, _)) => assert_eq!(format!("{code:?}"), call.code, "{place}"),
        }
    }
}

#[test]
fn imports_containers_and_commits_of_1_6() {
    replay("1.6.20-ctr", "");
}

#[test]
fn pods_of_1_6() {
    replay("1.6.20-cri-overlay", "");
}

#[test]
fn imports_containers_and_pods_of_2_4() {
    replay("2.4.0beta-ctr-cri", "");
}

#[test]
fn content_that_namespaces_share() {
    replay("2.4.0beta-alreadyexists-dedupe", "share_content = true");
}

#[test]
fn layers_unpacked_at_once() {
    replay("2.4.0beta-rebase-ok-overlay", "");
}

#[test]
fn mapped_owners() {
    replay("2.4.0beta-remapids", "");
}

#[test]
fn mapped_owners_without_the_capability() {
    replay("2.4.0beta-noremap", "");
}
