//! What real containerds asked of containerd's own overlay snapshotter, asked of Mica: the answers are the same.
//!
//! `tests/golden/containerd` has transcripts of containerd 1.6.20 and of a beta of 2.4: pulls, imports, containers, pods,
//! garbage collection, restarts. What containerd does with files in between is not repeated, so sizes are not compared; times
//! and paths differ, but two paths are the same for Mica exactly if they are for containerd's.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use mica_tests::containerd::{Answer, Bench, Labels, Mount, Snapshotter, wire};
use mica_tests::lab::{FileSystem, Lab};
use serde_json::Value;

/// A call, and what came back.
struct Call {
    line: usize,
    method: String,
    request: Value,
    code: String,
    answer: Value,
}

/// Reads a transcript: `Method {request} …`, and below it `    -> Code {answer}` or `    -> Code text`.
fn calls(text: &str) -> Vec<Call> {
    let mut lines = (1..).zip(text.lines());
    let mut calls = Vec::new();
    while let Some((line, asked)) = lines.next() {
        if asked.is_empty() || asked.starts_with("##") {
            continue;
        }
        let (method, request) = asked.split_once(' ').expect("a method and a request");
        let (_, answered) = lines.next().expect("an answer");
        let answered = answered
            .trim_start()
            .strip_prefix("-> ")
            .expect("an answer");
        let (code, answer) = answered.split_once(' ').unwrap_or((answered, ""));
        let request = first(request).expect("a request");
        calls.push(Call {
            line,
            method: method.to_owned(),
            // A stream's messages are a list.
            request: request.get(0).cloned().unwrap_or(request),
            code: code.to_owned(),
            answer: first(answer).unwrap_or_default(),
        });
    }
    calls
}

/// The first value of a text that goes on otherwise.
fn first(text: &str) -> Option<Value> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter();
    values.next()?.ok()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn labels(value: &Value) -> Labels {
    let pairs = value.as_object().into_iter().flatten();
    pairs
        .map(|(key, value)| (key.clone(), text(value).to_owned()))
        .collect()
}

fn texts(value: &Value) -> Vec<String> {
    let values = list(value);
    values.iter().map(|value| text(value).to_owned()).collect()
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

/// What an answer says that does not depend on where and when it was given.
#[derive(Debug, PartialEq)]
enum Said {
    Nothing,
    /// Kinds and options, in order of the letters, with numbers in the place of paths.
    Mounts(Vec<(String, Vec<String>)>),
    /// Kind, name, parent and labels.
    Infos(Vec<(String, String, String, Labels)>),
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

fn infos(infos: &[wire::Info]) -> Said {
    let info = |info: &wire::Info| {
        let kind = info.kind().as_str_name().to_owned();
        let labels = info.labels.clone().into_iter().collect();
        (kind, info.name.clone(), info.parent.clone(), labels)
    };
    let mut all: Vec<_> = infos.iter().map(info).collect();
    all.sort();
    Said::Infos(all)
}

fn golden_infos(infos: &[Value]) -> Said {
    let field = |info: &Value, name: &str| text(&info[name]).to_owned();
    let info = |info: &Value| {
        let labels = labels(&info["labels"]);
        (
            field(info, "kind"),
            field(info, "name"),
            field(info, "parent"),
            labels,
        )
    };
    let mut all: Vec<_> = infos.iter().map(info).collect();
    all.sort();
    Said::Infos(all)
}

/// A client, and the paths that it was told.
struct Asked {
    client: Snapshotter,
    paths: Paths,
}

impl Asked {
    /// Makes a call.
    fn ask(&mut self, call: &Call) -> Answer<Said> {
        let field = |name: &str| text(&call.request[name]);
        let (key, parent) = (field("key"), field("parent"));
        let with = labels(&call.request["labels"]);
        let Self { client, paths } = self;
        let nothing = |answer: Answer<()>| answer.map(|()| Said::Nothing);
        match &*call.method {
            "Prepare" => client
                .prepare(key, parent, &with)
                .map(|told| paths.of_mica(&told)),
            "View" => client.view(key, parent).map(|told| paths.of_mica(&told)),
            "Mounts" => client.mounts(key).map(|told| paths.of_mica(&told)),
            "Commit" => nothing(client.commit(field("name"), key, parent, &with)),
            "Remove" => nothing(client.remove(key)),
            "Cleanup" => nothing(client.clean_up()),
            "Usage" => client.usage(key).map(|_| Said::Nothing),
            "Stat" => client.stat(key).map(|info| infos(&[info])),
            "Update" => {
                let info = wire::Info {
                    name: text(&call.request["info"]["name"]).to_owned(),
                    labels: labels(&call.request["info"]["labels"])
                        .into_iter()
                        .collect(),
                    ..wire::Info::default()
                };
                let mask = texts(&call.request["update_mask"]["paths"]);
                client.update(info, &mask).map(|info| infos(&[info]))
            }
            "List" => {
                let listed = client.list(&texts(&call.request["filters"]));
                listed.map(|pages| infos(&pages.concat()))
            }
            other => panic!("an unknown call: {other}"),
        }
    }
}

/// What containerd's own snapshotter said.
fn told(call: &Call, paths: &mut Paths) -> Said {
    match &*call.method {
        "Prepare" | "View" | "Mounts" => paths.of_golden(&call.answer),
        "Stat" | "Update" => golden_infos(&[call.answer["info"].clone()]),
        "List" => {
            let pages = list(&call.answer);
            let all: Vec<_> = pages.iter().flat_map(|page| list(&page["info"])).collect();
            golden_infos(&all)
        }
        _ => Said::Nothing,
    }
}

/// Asks a daemon with these settings what a transcript asks.
#[track_caller]
fn replay(transcript: &str, setting: &str) {
    let path = format!(
        "{}/golden/containerd/{transcript}.txt",
        env!("CARGO_MANIFEST_DIR")
    );
    let calls = calls(&fs::read_to_string(Path::new(&path)).expect("read a transcript"));
    assert!(!calls.is_empty());
    let lab = Lab::on(FileSystem::Ext4);
    let mut settings = Bench::settings(&lab, "overlay");
    settings.configuration = Some(format!("[containerd]\n{setting}\n"));
    let _daemon = settings.start();
    let mut asked = Asked {
        client: Snapshotter::new(&lab.path("run/containerd.sock")),
        paths: Paths::default(),
    };
    let mut paths = Paths::default();
    for call in calls {
        let place = format!(
            "{transcript}:{}: {} {}",
            call.line, call.method, call.request
        );
        let golden = told(&call, &mut paths);
        match asked.ask(&call) {
            Ok(said) => {
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
