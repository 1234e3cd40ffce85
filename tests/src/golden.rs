//! What real containerds asked of a snapshotter, written down: reading it, and asking it again.
//!
//! Invariant: what is compared does not depend on where and when it was said: no times, no sizes.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::containerd::{Answer, Labels, Mount, Snapshotter, wire};

/// A call, and what came back.
#[derive(Debug)]
pub struct Call {
    /// Where it stands.
    pub line: usize,
    /// The method.
    pub method: String,
    /// Its message.
    pub request: Value,
    /// The code that was answered.
    pub code: String,
    /// The message that was answered.
    pub answer: Value,
}

/// Reads a transcript below `golden`.
#[track_caller]
pub fn calls(transcript: &str) -> Vec<Call> {
    let path = format!("{}/golden/{transcript}.txt", env!("CARGO_MANIFEST_DIR"));
    let calls = parse(&fs::read_to_string(Path::new(&path)).expect("read a transcript"));
    assert!(!calls.is_empty());
    calls
}

/// Reads `Method {request} …`, and below it `    -> Code {answer}` or `    -> Code text`. Calls that were folded are left out.
fn parse(text: &str) -> Vec<Call> {
    let mut lines = (1..).zip(text.lines());
    let mut calls = Vec::new();
    while let Some((line, asked)) = lines.next() {
        if asked.is_empty() || asked.starts_with("##") || asked.ends_with(", folded)") {
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

/// A text, or none.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Labels, or none.
pub fn labels(value: &Value) -> Labels {
    let pairs = value.as_object().into_iter().flatten();
    pairs
        .map(|(key, value)| (key.clone(), text(value).to_owned()))
        .collect()
}

/// A list of texts, or none.
pub fn texts(value: &Value) -> Vec<String> {
    let values = list(value);
    values.iter().map(|value| text(value).to_owned()).collect()
}

/// A list, or none.
pub fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

/// Kind, name, parent and labels of a snapshot.
pub type Info = (String, String, String, Labels);

/// What a client was told.
#[derive(Debug)]
pub enum Told {
    /// That it is done.
    Nothing,
    /// How to mount.
    Mounts(Vec<Mount>),
    /// What snapshots are.
    Infos(Vec<Info>),
}

/// What a client was told of snapshots, in order.
pub fn infos(infos: &[wire::Info]) -> Vec<Info> {
    let info = |info: &wire::Info| {
        let kind = info.kind().as_str_name().to_owned();
        let labels = info.labels.clone().into_iter().collect();
        (kind, info.name.clone(), info.parent.clone(), labels)
    };
    let mut all: Vec<_> = infos.iter().map(info).collect();
    all.sort();
    all
}

/// What a transcript tells of snapshots, in order.
pub fn golden_infos(infos: &[Value]) -> Vec<Info> {
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
    all
}

/// Makes a call of the snapshot service.
pub fn ask(client: &mut Snapshotter, call: &Call) -> Answer<Told> {
    let field = |name: &str| text(&call.request[name]);
    let (key, parent) = (field("key"), field("parent"));
    let with = labels(&call.request["labels"]);
    let nothing = |answer: Answer<()>| answer.map(|()| Told::Nothing);
    match &*call.method {
        "Prepare" => client.prepare(key, parent, &with).map(Told::Mounts),
        "View" => client.view(key, parent).map(Told::Mounts),
        "Mounts" => client.mounts(key).map(Told::Mounts),
        "Commit" => nothing(client.commit(field("name"), key, parent, &with)),
        "Remove" => nothing(client.remove(key)),
        "Cleanup" => nothing(client.clean_up()),
        "Usage" => client.usage(key).map(|_| Told::Nothing),
        "Stat" => client.stat(key).map(|info| Told::Infos(infos(&[info]))),
        "Update" => {
            let info = wire::Info {
                name: text(&call.request["info"]["name"]).to_owned(),
                labels: labels(&call.request["info"]["labels"]),
                ..wire::Info::default()
            };
            let mask = texts(&call.request["update_mask"]["paths"]);
            let updated = client.update(info, &mask);
            updated.map(|info| Told::Infos(infos(&[info])))
        }
        "List" => {
            let listed = client.list(&texts(&call.request["filters"]));
            listed.map(|pages| Told::Infos(infos(&pages.concat())))
        }
        other => panic!("an unknown call: {other}"),
    }
}
