//! Which keys a query may have: those that the OpenAPI document tells of this path and method, and no other.
//!
//! A key that is not known is never ignored, because whoever sends `?dry_run=true` with a DELETE relies on it.
//!
//! Invariant: no route takes part in this by itself, so none can be forgotten.

use super::openapi;
use crate::api::refusal::{Refusal, RequestError};
use axum::extract::{MatchedPath, Query, Request};
use axum::http::{Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use mica_engine::ClientCall;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

/// Operations by path and method, the latter in lower case.
type Operations = BTreeMap<(String, String), Operation>;

/// What the document tells of an operation.
#[derive(Debug, Default)]
struct Operation {
    name: String,
    /// Keys that its query may have.
    keys: BTreeSet<String>,
}

/// Names the client's call, and refuses a request whose query has a key that is not known.
pub(super) async fn check(path: MatchedPath, request: Request, next: Next) -> Response {
    static KNOWN: OnceLock<Operations> = OnceLock::new();
    let known = KNOWN.get_or_init(|| operations(&openapi::value()));
    let operation = operation(known, path.as_str(), request.method());
    if let (Some(call), Some(operation)) = (ClientCall::current(), operation) {
        call.name(&operation.name);
    }
    match unknown(operation, request.uri()) {
        Ok(()) => next.run(request).await,
        Err(error) => Refusal::from(error).into_response(),
    }
}

fn operation<'a>(known: &'a Operations, path: &str, method: &Method) -> Option<&'a Operation> {
    let method = match *method {
        Method::HEAD => "get".to_owned(),
        _ => method.as_str().to_ascii_lowercase(),
    };
    known.get(&(path.to_owned(), method))
}

fn unknown(operation: Option<&Operation>, uri: &Uri) -> Result<(), RequestError> {
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|rejection| RequestError::Invalid(rejection.body_text()))?;
    let none = BTreeSet::new();
    let known = operation.map_or(&none, |operation| &operation.keys);
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

/// The operations of an OpenAPI document.
fn operations(document: &serde_json::Value) -> Operations {
    let mut operations = Operations::new();
    let fields = |value: &serde_json::Value| value.as_object().cloned().unwrap_or_default();
    for (path, item) in fields(document.get("paths").unwrap_or_default()) {
        for (method, operation) in fields(&item) {
            let parameters = operation.get("parameters").and_then(|all| all.as_array());
            let names = parameters.into_iter().flatten().filter_map(|parameter| {
                let is_of_query = parameter.get("in")?.as_str()? == "query";
                is_of_query.then(|| parameter.get("name")?.as_str().map(str::to_owned))?
            });
            let name = operation.get("operationId").and_then(|name| name.as_str());
            let told = Operation {
                name: name.unwrap_or("unnamed").to_owned(),
                keys: names.collect(),
            };
            operations.insert((path.clone(), method), told);
        }
    }
    operations
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
            let operation = operation(&known, "/a/{b}", &method);
            let answer = unknown(operation, &Uri::from_static(uri));
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
        ask(Method::POST, "/a/x?limit=1").unwrap_err();
    }
}
