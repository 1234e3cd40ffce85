//! The REST API as a test uses it.
//!
//! Invariant: an answer that is neither what was asked for nor a problem document is a panic.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::http::{self, Body, Response, percent};

/// An error as the daemon tells it: RFC 9457.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Problem {
    /// `urn:mica:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// A few words that depend on the code alone.
    pub title: String,
    /// The status code again.
    pub status: u16,
    /// The stable code.
    pub code: String,
    /// What failed, and on what.
    pub detail: String,
    /// What to do.
    pub remedy: Option<String>,
    /// What it is about.
    pub object: Option<String>,
}

impl Problem {
    /// Checks status and code, and that some text of the problem names `object`.
    #[track_caller]
    pub fn is(&self, status: u16, code: &str, object: &str) {
        assert_eq!(
            (self.status, self.code.as_str()),
            (status, code),
            "{self:?}"
        );
        assert_eq!(self.kind, format!("urn:mica:problem:{code}"));
        let texts = [
            Some(&self.detail),
            self.remedy.as_ref(),
            self.object.as_ref(),
        ];
        assert!(
            texts
                .into_iter()
                .flatten()
                .any(|text| text.contains(object)),
            "`{object}` is not named: {self:?}"
        );
        assert!(!self.detail.ends_with('.'), "a final stop: {self:?}");
    }
}

/// What a call came to.
pub type Answer<T> = Result<T, Box<Problem>>;

/// A connection to a daemon.
#[derive(Debug, Clone)]
pub struct Client {
    /// Where the daemon listens.
    pub socket: PathBuf,
}

impl Client {
    /// A client of the daemon that listens on `socket`.
    pub fn new(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
        }
    }

    /// Sends one request; the daemon must be there.
    pub fn send(&self, method: &str, target: &str, body: Body<'_>) -> Response {
        self.try_send(method, target, body)
            .unwrap_or_else(|error| panic!("{method} {target}: {error}"))
    }

    /// Sends one request.
    pub fn try_send(&self, method: &str, target: &str, body: Body<'_>) -> io::Result<Response> {
        http::send(&self.socket, method, target, &[], body)
    }

    /// Sends one request and sorts its answer.
    pub fn call(&self, method: &str, target: &str, body: Body<'_>) -> Answer<Response> {
        sort(self.send(method, target, body))
    }

    /// Sends a JSON document, reads one.
    pub fn json(&self, method: &str, target: &str, body: &Value) -> Answer<Value> {
        let body = if body.is_null() {
            Body::Empty
        } else {
            Body::Json(body)
        };
        self.call(method, target, body)
            .map(|response| response.json())
    }

    /// Sends bytes that say of themselves that they are JSON.
    pub fn raw_json(&self, method: &str, target: &str, body: &[u8]) -> Answer<Response> {
        let extra = [("Content-Type", "application/json")];
        let response = http::send(&self.socket, method, target, &extra, Body::Bytes(body));
        sort(response.unwrap_or_else(|error| panic!("{method} {target}: {error}")))
    }

    /// `GET` of a JSON document.
    pub fn get(&self, target: &str) -> Answer<Value> {
        self.json("GET", target, &Value::Null)
    }

    /// A store.
    pub fn store(&self, name: &str) -> Store {
        Store {
            client: self.clone(),
            name: name.to_owned(),
        }
    }

    /// The store that the first start made.
    pub fn default_store(&self) -> Store {
        self.store("default")
    }

    /// Makes a store.
    pub fn create_store(&self, name: &str, driver: &str, options: &Value) -> Answer<Store> {
        let request = json!({ "name": name, "driver": driver, "options": options });
        self.json("POST", "/v1/stores", &request)
            .map(|_| self.store(name))
    }

    /// Loads a driver.
    pub fn load_driver(&self, component: &[u8]) -> Answer<Value> {
        self.call("POST", "/v1/drivers", Body::Bytes(component))
            .map(|response| response.json())
    }

    /// Swaps a driver for another build, or for the same one.
    pub fn swap_driver(&self, name: &str, component: Option<&[u8]>) -> Answer<Value> {
        self.swap_driver_as(name, component, "")
    }

    /// Swaps a driver with a query.
    pub fn swap_driver_as(
        &self,
        name: &str,
        component: Option<&[u8]>,
        query: &str,
    ) -> Answer<Value> {
        let body = component.map_or(Body::Empty, Body::Bytes);
        self.call("POST", &format!("/v1/drivers/{name}/swap{query}"), body)
            .map(|response| response.json())
    }

    /// Goes back to another build of a driver.
    pub fn roll_back(&self, name: &str, query: &str) -> Answer<Value> {
        let target = format!("/v1/drivers/{name}/rollback{query}");
        self.json("POST", &target, &Value::Null)
    }

    /// The builds of a driver, the last first.
    pub fn builds(&self, name: &str) -> Vec<Value> {
        let history = self.get(&format!("/v1/drivers/{name}/history"));
        let history = history.expect("a history");
        history["builds"].as_array().expect("builds").clone()
    }
}

/// Sorts an answer into what was asked for and a problem.
pub fn sort(response: Response) -> Answer<Response> {
    if response.status < 400 {
        return Ok(response);
    }
    assert_eq!(
        response.header("content-type"),
        Some("application/problem+json"),
        "{response:?}"
    );
    let problem: Box<Problem> =
        serde_json::from_value(response.json()).expect("a problem document");
    assert_eq!(problem.status, response.status, "{problem:?}");
    Err(problem)
}

/// Against what a layer is compared.
#[derive(Debug, Clone, Copy)]
pub enum Against<'a> {
    /// Its own parent.
    Parent,
    /// Nothing: the whole layer.
    Nothing,
    /// Another layer.
    Layer(&'a str),
}

impl Against<'_> {
    fn query(self) -> String {
        match self {
            Against::Parent => String::new(),
            Against::Nothing => "?parent=".to_owned(),
            Against::Layer(id) => format!("?parent={}", percent(id.as_bytes())),
        }
    }
}

/// A store of a daemon.
#[derive(Debug, Clone)]
pub struct Store {
    /// The daemon.
    pub client: Client,
    /// The store's name.
    pub name: String,
}

impl Store {
    /// The target of a layer, with more after it.
    pub fn target(&self, id: &str, rest: &str) -> String {
        format!(
            "/v1/stores/{}/layers/{}{rest}",
            self.name,
            percent(id.as_bytes())
        )
    }

    /// Creates a layer for content.
    pub fn create(&self, id: &str, parent: Option<&str>) -> Answer<Value> {
        self.create_as(json!({ "id": id, "parent": parent }))
    }

    /// Creates the writable layer of a container.
    pub fn create_read_write(&self, id: &str, parent: Option<&str>) -> Answer<Value> {
        self.create_as(json!({ "id": id, "parent": parent, "kind": "read-write" }))
    }

    /// Creates a layer as the request says; absent and `null` are the same.
    pub fn create_as(&self, mut request: Value) -> Answer<Value> {
        if let Value::Object(fields) = &mut request {
            fields.retain(|_, value| !value.is_null());
        }
        self.client.json(
            "POST",
            &format!("/v1/stores/{}/layers", self.name),
            &request,
        )
    }

    /// Removes a layer.
    pub fn remove(&self, id: &str) -> Answer<()> {
        self.client
            .call("DELETE", &self.target(id, ""), Body::Empty)
            .map(|response| {
                assert_eq!((response.status, response.body.len()), (204, 0));
            })
    }

    /// Describes a layer.
    pub fn inspect(&self, id: &str) -> Answer<Value> {
        self.client.get(&self.target(id, ""))
    }

    /// Mounts a layer read-write and says where.
    pub fn mount(&self, id: &str) -> Answer<PathBuf> {
        self.mount_as(id, &json!({ "access": "read-write" }))
            .map(|view| path_of(&view))
    }

    /// Mounts a layer read-only and says where.
    pub fn view(&self, id: &str) -> Answer<PathBuf> {
        self.mount_as(id, &json!({ "access": "read-only" }))
            .map(|view| path_of(&view))
    }

    /// Mounts a layer as the request says.
    pub fn mount_as(&self, id: &str, request: &Value) -> Answer<Value> {
        self.client
            .json("POST", &self.target(id, "/mount"), request)
    }

    /// Gives one reference back, and says how many remain.
    pub fn unmount(&self, id: &str) -> Answer<u64> {
        let view = self
            .client
            .json("POST", &self.target(id, "/unmount"), &Value::Null)?;
        Ok(view["references"]
            .as_u64()
            .unwrap_or_else(|| panic!("no number of references: {view}")))
    }

    /// The layer as an archive.
    pub fn diff(&self, id: &str, against: Against<'_>) -> Answer<Vec<u8>> {
        let response = self.client.call(
            "GET",
            &self.target(id, &format!("/diff{}", against.query())),
            Body::Empty,
        )?;
        assert!(
            response.complete,
            "the archive of `{id}` broke off after {} bytes",
            response.body.len()
        );
        assert_eq!(response.header("content-type"), Some("application/x-tar"));
        Ok(response.body)
    }

    /// Applies an archive.
    pub fn apply(&self, id: &str, archive: &[u8]) -> Answer<Value> {
        self.client
            .call("PUT", &self.target(id, "/diff"), Body::Bytes(archive))
            .map(|response| response.json())
    }

    /// The changes, one `A /path` a line.
    pub fn changes(&self, id: &str, against: Against<'_>) -> Answer<String> {
        let view = self
            .client
            .get(&self.target(id, &format!("/changes{}", against.query())))?;
        let changes = view["changes"]
            .as_array()
            .unwrap_or_else(|| panic!("no changes: {view}"));
        Ok(changes
            .iter()
            .map(|change| change_line(change) + "\n")
            .collect())
    }

    /// The size of the difference in bytes.
    pub fn size(&self, id: &str, against: Against<'_>) -> Answer<u64> {
        let view = self
            .client
            .get(&self.target(id, &format!("/size{}", against.query())))?;
        Ok(view["size_bytes"]
            .as_u64()
            .unwrap_or_else(|| panic!("no size: {view}")))
    }

    /// The ids of all layers.
    pub fn ids(&self) -> Vec<String> {
        let mut ids: Vec<String> = Vec::new();
        loop {
            let after = ids
                .last()
                .map(|id| format!("?after={}", percent(id.as_bytes())))
                .unwrap_or_default();
            let view = self
                .client
                .get(&format!("/v1/stores/{}/layers{after}", self.name))
                .expect("a list");
            let page = view["layers"].as_array().expect("layers");
            ids.extend(
                page.iter()
                    .map(|layer| layer["id"].as_str().expect("an id").to_owned()),
            );
            if view.get("next").is_none_or(Value::is_null) {
                return ids;
            }
            assert!(!page.is_empty(), "an empty page with a next one");
        }
    }
}

fn path_of(view: &Value) -> PathBuf {
    PathBuf::from(
        view["path"]
            .as_str()
            .unwrap_or_else(|| panic!("no path: {view}")),
    )
}

fn change_line(change: &Value) -> String {
    let letter = match change["kind"].as_str() {
        Some("modify") => 'C',
        Some("add") => 'A',
        Some("delete") => 'D',
        other => panic!("kind {other:?} of {change}"),
    };
    match change.get("path_base64").and_then(Value::as_str) {
        Some(encoded) => format!("{letter} base64:{encoded}"),
        None => {
            let path = change["path"].as_str().expect("a path");
            format!("{letter} {}", path.replace('\n', "\\n"))
        }
    }
}
