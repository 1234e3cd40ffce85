//! Can tools trust the description of the REST interface?

use std::collections::BTreeSet;
use std::process::Command;

use mica_tests::archive::archive;
use mica_tests::build::repository;
use mica_tests::http::{self, Body, Response, percent};
use mica_tests::setup::{self, Bench};
use serde_json::{Value, json};

fn document(bench: &Bench) -> Value {
    let document = bench.daemon.client.get("/v1/openapi.json");
    document.expect("a document")
}

/// Method, path and description of every operation.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().expect("paths").iter();
    let operations = paths.flat_map(|(path, item)| {
        let methods = item.as_object().expect("methods").iter();
        methods.map(move |(method, operation)| (method.clone(), path.clone(), operation.clone()))
    });
    operations.collect()
}

#[test]
fn a_judge_of_such_documents_finds_nothing() {
    let library = repository().join("target/peers/openapi-spec-validator");
    assert!(
        library.join("VERSION").exists(),
        "openapi-spec-validator is missing: run `tests/setup/peers.sh target/peers`"
    );
    let bench = setup::VFS_EXT4.start();
    let judge = |document: &Value| {
        let path = bench.lab.path("openapi.json");
        std::fs::write(&path, document.to_string()).expect("write");
        let mut judge = Command::new("python3");
        judge.args(["-m", "openapi_spec_validator"]).arg(path);
        let judged = judge
            .env("PYTHONPATH", &library)
            .output()
            .expect("start python3");
        let told = [judged.stdout, judged.stderr].concat();
        (
            judged.status.success(),
            String::from_utf8_lossy(&told).into_owned(),
        )
    };
    let good = document(&bench);
    let (is_good, told) = judge(&good);
    assert!(is_good, "{told}");
    // It finds what is wrong: an id that two operations have, and a parameter that the path has not.
    let mut bad = good.clone();
    bad["paths"]["/v1/stores"]["get"]["operationId"] = json!("get_status");
    let (is_good, told) = judge(&bad);
    assert!(!is_good && told.contains("get_status"), "{told}");
}

#[test]
fn operations_have_ids_of_their_own_and_bodies_of_bytes_are_bytes() {
    let bench = setup::VFS_EXT4.start();
    let document = document(&bench);
    let operations = operations(&document);
    let ids: BTreeSet<_> = operations
        .iter()
        .map(|(method, path, operation)| {
            let id = operation["operationId"].as_str();
            id.unwrap_or_else(|| panic!("{method} {path} has no id"))
        })
        .collect();
    assert_eq!(ids.len(), operations.len());
    let mut bytes = 0;
    for (method, path, operation) in &operations {
        let responses = operation["responses"].as_object().expect("responses");
        let of_answers = responses.values().map(|response| &response["content"]);
        for content in of_answers.chain([&operation["requestBody"]["content"]]) {
            for (kind, body) in content.as_object().into_iter().flatten() {
                let is_bytes = body["schema"]["format"] == "binary";
                let is_told = [
                    "application/x-tar",
                    "application/wasm",
                    "application/octet-stream",
                ]
                .contains(&kind.as_str());
                assert_eq!(is_bytes, is_told, "{method} {path}: {kind}: {body}");
                bytes += usize::from(is_bytes);
            }
        }
    }
    assert_eq!(
        bytes, 10,
        "diff, apply, repair, content, load, judge, swap, a trace, and two parts"
    );
}

#[test]
fn what_is_answered_is_a_status_that_is_described() {
    let bench = setup::VFS_EXT4.start();
    bench.store.create("there", None).expect("create");
    let document = document(&bench);
    let fill = |path: &str, id: &str, store: &str, driver: &str| {
        let path = path.replace("{id}", id).replace("{key}", id);
        let path = path.replace("{store}", store).replace("{driver}", driver);
        path.replace("{operation}", "1-1")
    };
    let mut seen = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        // It would go on for as long as the daemon does.
        if path == "/v1/events" {
            continue;
        }
        let targets = [
            fill(&path, "none", "none", "none"),
            fill(&path, "none", "default", "none"),
            fill(&path, &percent("\u{1}".as_bytes()), "default", "%2e"),
            format!("{}?bad=1", fill(&path, "there", "default", "vfs")),
        ];
        let bodies = [Body::Empty, Body::Bytes(b"{"), Body::Bytes(b"{}")];
        for (target, body) in targets
            .iter()
            .flat_map(|target| bodies.map(|body| (target, body)))
        {
            let socket = &bench.daemon.client.socket;
            let method = method.to_uppercase();
            let answer = http::send(socket, &method, target, &[], body).expect("an answer");
            let status = answer.status.to_string();
            let described = &operation["responses"][&status];
            assert!(
                described.is_object(),
                "{method} {target}: {status} is not described"
            );
            seen.insert(status);
        }
    }
    for status in ["200", "400", "404", "409", "422"] {
        assert!(
            seen.contains(status),
            "{status} was never answered: {seen:?}"
        );
    }
}

#[test]
fn what_was_made_is_where_the_answer_says() {
    let bench = setup::VFS_EXT4.start();
    let client = &bench.daemon.client;
    let store = json!({"name": "made", "driver": "vfs"});
    let odd = json!({"id": "sha256:a b%?#é"});
    for (target, request) in [
        ("/v1/stores", store),
        ("/v1/stores/made/layers", json!({"id": "plain"})),
        ("/v1/stores/made/layers", odd),
    ] {
        let answer = client
            .call("POST", target, Body::Json(&request))
            .expect("it is made");
        assert_eq!(answer.status, 201);
        let location = answer.header("location").expect("a place").to_owned();
        let found = client.get(&location).expect(&location);
        for field in ["id", "name"] {
            assert!(
                request[field].is_null() || found[field] == request[field],
                "{found}"
            );
        }
    }
    let loaded = client.call(
        "POST",
        "/v1/drivers",
        Body::Bytes(&mica_tests::build::hello_driver()),
    );
    let loaded = loaded.expect("it is loaded");
    assert_eq!(loaded.header("location"), Some("/v1/drivers/hello"));
}

/// A layer of a daemon, asked with headers.
struct Tagged(Bench);

impl Tagged {
    fn new() -> Self {
        let bench = setup::VFS_EXT4.start();
        bench.store.create("a", None).expect("create");
        Self(bench)
    }

    fn ask(&self, method: &str, rest: &str, header: (&str, &str), body: Body<'_>) -> Response {
        let target = self.0.store.target("a", rest);
        let socket = &self.0.daemon.client.socket;
        http::send(socket, method, &target, &[header], body).expect("an answer")
    }

    fn tag(&self) -> String {
        let answer = self.ask("GET", "", ("Accept", "*/*"), Body::Empty);
        answer.header("etag").expect("a tag").to_owned()
    }

    /// The tags that the layer has while this and that is done to it, the last one at its end.
    fn tags(&self) -> Vec<String> {
        let store = &self.0.store;
        let mut tags = vec![self.tag()];
        store.apply("a", &archive("f x data=1")).expect("apply");
        tags.push(self.tag());
        store.mount("a").expect("mount");
        tags.push(self.tag());
        store.unmount("a").expect("unmount");
        assert_eq!(self.tag(), tags[1], "it is as it was");
        store.create("child", Some("a")).expect("create");
        tags.push(self.tag());
        store.remove("child").expect("remove");
        assert_eq!(self.tag(), tags[1], "it is as it was");
        tags
    }
}

#[test]
fn a_layer_has_another_tag_whenever_it_is_another() {
    let layer = Tagged::new();
    let tags = layer.tags();
    let distinct: BTreeSet<_> = tags.iter().collect();
    assert_eq!(distinct.len(), tags.len(), "{tags:?}");
    let now = layer.tag();
    for (sent, status) in [(now.as_str(), 304), ("*", 304), (&tags[0], 200)] {
        let answer = layer.ask("GET", "", ("If-None-Match", sent), Body::Empty);
        let is_empty = answer.body.is_empty();
        assert_eq!((answer.status, is_empty), (status, status == 304), "{sent}");
    }
    let request = json!({"id": "b"});
    let made = (layer.0.daemon.client)
        .call("POST", "/v1/stores/default/layers", Body::Json(&request))
        .expect("create");
    let seen = (layer.0.daemon.client)
        .call("GET", "/v1/stores/default/layers/b", Body::Empty)
        .expect("it is there");
    assert_eq!(made.header("etag"), seen.header("etag"));
}

#[test]
fn a_layer_that_has_changed_is_not_changed_by_who_has_not_seen_it() {
    let layer = Tagged::new();
    let (tags, now) = (layer.tags(), layer.tag());
    let more = archive("f y data=2");
    let weak = format!("W/{now}");
    for stale in [&tags[0], &tags[2], &weak, "x", "\"x\", \"y\"", ""] {
        let header = ("If-Match", stale);
        let removed = layer.ask("DELETE", "", header, Body::Empty);
        let applied = layer.ask("PUT", "/diff", header, Body::Bytes(&more));
        for answer in [removed, applied] {
            assert_eq!(answer.status, 412, "{stale}");
            assert_eq!(answer.json()["code"], "layer-changed");
        }
    }
    assert_eq!(layer.tag(), now, "nothing was done");
    let several = format!("\"x\", {now}");
    let applied = layer.ask("PUT", "/diff", ("If-Match", &several), Body::Bytes(&more));
    assert_eq!(applied.status, 200);
    for (tag, status) in [(now, 412), (layer.tag(), 204), ("*".to_owned(), 404)] {
        let removed = layer.ask("DELETE", "", ("If-Match", &tag), Body::Empty);
        assert_eq!(removed.status, status, "{tag}");
    }
}
