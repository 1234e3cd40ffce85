//! Which keys a query may have: those that the OpenAPI document tells of this path and method, and no other.
//!
//! A key that is not known is never ignored, because whoever sends `?dry_run=true` with a DELETE relies on it.
//!
//! Invariant: no route takes part in this by itself, so none can be forgotten.

use super::openapi;
use crate::api::refusal::{Refusal, RequestError};
use axum::extract::{Query, Request};
use axum::http::{Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use mica_engine::ClientCall;
use std::collections::BTreeSet;
use std::sync::OnceLock;

/// What the document tells of a path: its segments, and what can be done there.
#[derive(Debug)]
struct Known {
    segments: Vec<Segment>,
    operations: Vec<(Method, Operation)>,
}

#[derive(Debug, PartialEq, Eq)]
enum Segment {
    Word(String),
    /// Any one segment.
    Name,
}

/// What the document tells of an operation.
#[derive(Debug, Default)]
struct Operation {
    name: String,
    /// Keys that its query may have.
    keys: BTreeSet<String>,
}

/// Names the client's call, and refuses a request whose query has a key that is not known. What leads nowhere is the router's.
pub(super) fn check(request: &Request) -> Option<Response> {
    let (path, operation) = find(known(), request.uri().path(), request.method());
    if let (Some(call), Some(operation)) = (ClientCall::current(), operation) {
        call.name(&operation.name);
    }
    path?;
    // That the path does not take the method goes before what its query says.
    let refused = unknown(operation?, request.uri()).err()?;
    Some(Refusal::from(refused).into_response())
}

/// Whether a path takes the method of a request.
pub(super) fn takes(request: &Request) -> bool {
    let (_, operation) = find(known(), request.uri().path(), request.method());
    operation.is_some()
}

fn known() -> &'static [Known] {
    static KNOWN: OnceLock<Vec<Known>> = OnceLock::new();
    KNOWN.get_or_init(|| operations(&openapi::value()))
}

/// As [`check`], where something else has to be asked before.
pub(super) async fn layer(request: Request, next: Next) -> Response {
    match check(&request) {
        Some(refused) => refused,
        None => next.run(request).await,
    }
}

/// The path of the document that a path fits, and what the method does there.
fn find<'a>(
    known: &'a [Known],
    path: &str,
    method: &Method,
) -> (Option<&'a Known>, Option<&'a Operation>) {
    let length = path.split('/').skip(1).count();
    let fits = |known: &&Known| {
        let mut pairs = known.segments.iter().zip(path.split('/').skip(1));
        known.segments.len() == length
            && pairs.all(|(segment, given)| match segment {
                Segment::Word(word) => word == given,
                Segment::Name => !given.is_empty(),
            })
    };
    let Some(known) = known.iter().find(fits) else {
        return (None, None);
    };
    let method = if *method == Method::HEAD {
        &Method::GET
    } else {
        method
    };
    let mut operations = known.operations.iter();
    let found = operations.find(|(known, _)| known == method);
    (Some(known), found.map(|(_, operation)| operation))
}

fn unknown(operation: &Operation, uri: &Uri) -> Result<(), RequestError> {
    if uri.query().is_none_or(str::is_empty) {
        return Ok(());
    }
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|rejection| RequestError::Invalid(rejection.body_text()))?;
    let known = &operation.keys;
    let Some((key, _)) = pairs.iter().find(|(key, _)| !known.contains(key)) else {
        return Ok(());
    };
    let all: Vec<_> = known.iter().map(|key| format!("`{key}`")).collect();
    let takes = match all.is_empty() {
        true => "none".to_owned(),
        false => all.join(", "),
    };
    Err(RequestError::Invalid(format!(
        "the query has the key `{key}`, which is not known here; keys that are: {takes}"
    )))
}

/// The paths of an OpenAPI document; those with words go before those with names.
fn operations(document: &serde_json::Value) -> Vec<Known> {
    let fields = |value: &serde_json::Value| value.as_object().cloned().unwrap_or_default();
    let paths = fields(document.get("paths").unwrap_or_default());
    let known = paths.into_iter().map(|(path, item)| Known {
        segments: path.split('/').skip(1).map(segment).collect(),
        operations: fields(&item)
            .iter()
            .filter_map(|(method, told)| {
                let method = method.to_ascii_uppercase().parse().ok()?;
                Some((method, operation(told)))
            })
            .collect(),
    });
    let mut known: Vec<_> = known.collect();
    let names = |known: &Known| {
        let names = known.segments.iter();
        names.filter(|segment| **segment == Segment::Name).count()
    };
    known.sort_by_key(names);
    known
}

fn segment(text: &str) -> Segment {
    match text.starts_with('{') {
        true => Segment::Name,
        false => Segment::Word(text.to_owned()),
    }
}

fn operation(told: &serde_json::Value) -> Operation {
    let parameters = told.get("parameters").and_then(|all| all.as_array());
    let keys = parameters.into_iter().flatten().filter_map(|parameter| {
        let is_of_query = parameter.get("in")?.as_str()? == "query";
        is_of_query.then(|| parameter.get("name")?.as_str().map(str::to_owned))?
    });
    let name = told.get("operationId").and_then(|name| name.as_str());
    Operation {
        name: name.unwrap_or("unnamed").to_owned(),
        keys: keys.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_keys_of_the_document_are_taken() {
        let known = operations(&json!({"paths": {"/a/{b}": {
            "get": {"parameters": [{"in": "query", "name": "limit"}, {"in": "path", "name": "b"}]},
            "delete": {},
        }}}));
        let ask = |method: Method, uri: &'static str| {
            let uri = Uri::from_static(uri);
            let (_, operation) = find(&known, uri.path(), &method);
            let answer = unknown(operation.expect("an operation"), &uri);
            answer.map_err(|error| error.to_string())
        };
        for uri in [
            "/a/x",
            "/a/x?",
            "/a/x?limit=1",
            "/a/x?limit",
            "/a/x?%6Cimit=1",
        ] {
            ask(Method::GET, uri).unwrap();
            ask(Method::HEAD, uri).unwrap();
        }
        for uri in ["/a/x?b=1", "/a/x?limit=1&dry_run", "/a/x?=", "/a/x?Limit=1"] {
            let refused = ask(Method::GET, uri).unwrap_err();
            assert!(refused.contains("keys that are: `limit`"), "{refused}");
        }
        let refused = ask(Method::DELETE, "/a/x?limit=1").unwrap_err();
        assert!(
            refused.contains("`limit`") && refused.ends_with("none"),
            "{refused}"
        );
    }

    #[test]
    fn a_path_is_found_by_its_segments() {
        let known = operations(&json!({"paths": {
            "/a/{b}": {"get": {"operationId": "named"}},
            "/a/own": {"get": {"operationId": "own"}, "put": {"operationId": "write"}},
            "/a/{b}/c": {"get": {"operationId": "deep"}},
        }}));
        for (method, path, name) in [
            (Method::GET, "/a/x", Some("named")),
            (Method::GET, "/a/own", Some("own")),
            (Method::PUT, "/a/own", Some("write")),
            (Method::HEAD, "/a/%2F/c", Some("deep")),
            (Method::PUT, "/a/x", None),
            (Method::GET, "/a/", None),
            (Method::GET, "/a", None),
            (Method::GET, "/a/x/", None),
            (Method::GET, "/a/x/c/d", None),
            (Method::GET, "*", None),
        ] {
            let (_, found) = find(&known, path, &method);
            assert_eq!(found.map(|one| one.name.as_str()), name, "{method} {path}");
        }
    }
}
