//! Is what happened told to whom it concerns, also when he comes later?

use std::io::BufReader;

use mica_tests::command::mica;
use mica_tests::http::{self, Body};
use mica_tests::setup;
use serde_json::Value;

#[test]
fn events_that_were_missed_are_heard_later_and_filtered() {
    let bench = setup::VFS_EXT4.start();
    let socket = &bench.daemon.client.socket;
    for id in ["a", "b"] {
        bench.store.create(id, None).expect("create");
    }
    bench.store.remove("a").expect("remove");
    let told = |arguments: &[&str]| {
        let all = [
            &["--output", "json", "events", "--no-follow", "--since"],
            arguments,
        ]
        .concat();
        let text = mica(socket, &all).worked();
        let events = text.lines().map(|line| {
            let event: Value = serde_json::from_str(line).expect("a document a line");
            let layer = event["layer"].as_str().unwrap_or("-").to_owned();
            format!("{} {layer}", event["kind"].as_str().expect("a kind"))
        });
        events.collect::<Vec<_>>()
    };
    let layers = ["layer.created a", "layer.created b", "layer.removed a"];
    assert_eq!(told(&["0", "--kind", "layer"]), layers);
    assert_eq!(
        told(&["1h", "--kind", "layer.created,layer.removed"]),
        layers
    );
    assert_eq!(told(&["0", "--layer", "b"]), ["layer.created b"]);
    assert_eq!(told(&["0", "--layer", "b", "--store", "other"]), [""; 0]);
    assert_eq!(told(&["99999"]), [""; 0]);
    mica(
        socket,
        &["events", "--since", "0", "--kind", "layer.creatd"],
    )
    .failed(6, "layer.creatd");
    mica(socket, &["events", "--since", "yesterday"]).failed(6, "yesterday");
}

#[test]
fn a_listener_goes_on_after_the_event_that_it_heard_last() {
    let bench = setup::VFS_EXT4.start();
    let socket = &bench.daemon.client.socket;
    for id in ["a", "b", "c"] {
        bench.store.create(id, None).expect("create");
    }
    let ask = |header: &str| {
        let headers = [("Last-Event-ID", header)];
        let target = "/v1/events?follow=false&kind=layer";
        let stream = http::begin(socket, "GET", target, &headers, Body::Empty).expect("connect");
        let answer = http::read_response(&mut BufReader::new(stream)).expect("an answer");
        String::from_utf8(answer.body).expect("text")
    };
    let first = ask("0");
    let ids: Vec<_> = first
        .lines()
        .filter_map(|line| line.strip_prefix("id: "))
        .collect();
    assert_eq!(ids.len(), 3, "{first}");
    assert_eq!(
        ask(ids[1]).matches("\nid: ").count(),
        1,
        "only the last one"
    );
    assert_eq!(
        ask("1-1").matches("id: ").count(),
        3,
        "an event of another daemon"
    );
}
