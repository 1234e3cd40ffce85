//! Docker's plugin protocol as dockerd speaks it.
//!
//! Invariant: what a call sends and what comes back is not interpreted beyond the protocol's form.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::build;
use crate::daemon::{Daemon, Settings};
use crate::http::{self, Body, Response, percent};
use crate::lab::{FileSystem, Lab};

/// The media type of moby's plugin client.
const MEDIA_TYPE: &str = "application/vnd.docker.plugins.v1.2+json";

/// A socket that speaks the protocol.
#[derive(Debug, Clone)]
pub struct Plugin {
    /// Where it is.
    pub socket: PathBuf,
}

/// What a call came to: the answer, or the text of `Err`.
pub type Answer<T> = Result<T, String>;

impl Plugin {
    /// Calls with these bytes as the body.
    pub fn raw(&self, call: &str, body: Body<'_>) -> Response {
        let extra = [("Accept", MEDIA_TYPE), ("Content-Type", MEDIA_TYPE)];
        http::send(&self.socket, "POST", &format!("/{call}"), &extra, body)
            .unwrap_or_else(|error| panic!("{call}: {error}"))
    }

    /// Calls `GraphDriver.<call>` with a document.
    pub fn call(&self, call: &str, request: &Value) -> Answer<Value> {
        sort(self.raw(&format!("GraphDriver.{call}"), Body::Json(request)))
            .map(|answer| answer.json())
    }

    /// Calls with the id of a layer alone.
    pub fn about(&self, call: &str, id: &str) -> Answer<Value> {
        self.call(call, &json!({ "ID": id }))
    }

    /// `Init` as a dockerd with this data root does.
    pub fn init(&self, home: &str, options: &[&str]) -> Answer<Value> {
        self.call(
            "Init",
            &json!({ "Home": home, "Opts": options, "UIDMaps": null, "GIDMaps": null }),
        )
    }

    /// `Create`.
    pub fn create(&self, id: &str, parent: &str) -> Answer<Value> {
        self.call("Create", &json!({ "ID": id, "Parent": parent }))
    }

    /// `Get`; the directory.
    pub fn get(&self, id: &str) -> Answer<PathBuf> {
        let answer = self.about("Get", id)?;
        Ok(PathBuf::from(answer["Dir"].as_str().expect("a directory")))
    }

    /// `Diff`; the archive, which must be whole.
    pub fn diff(&self, id: &str, parent: &str) -> Answer<Vec<u8>> {
        let request = json!({ "ID": id, "Parent": parent });
        let answer = sort(self.raw("GraphDriver.Diff", Body::Json(&request)))?;
        assert!(answer.complete, "the archive of `{id}` broke off");
        Ok(answer.body)
    }

    /// `ApplyDiff`, in chunks as dockerd sends it; the size.
    pub fn apply(&self, id: &str, parent: &str, archive: &[u8]) -> Answer<u64> {
        let call = format!(
            "GraphDriver.ApplyDiff?id={}&parent={}",
            percent(id.as_bytes()),
            percent(parent.as_bytes())
        );
        let answer = sort(self.raw(&call, Body::Chunked(archive, 32 << 10)))?;
        Ok(answer.json()["Size"].as_u64().expect("a size"))
    }
}

/// Sorts an answer into what was asked for and an error in the protocol's form.
///
/// # Errors
/// The text of `Err`.
pub fn sort(answer: Response) -> Answer<Response> {
    assert_eq!(
        answer.header("content-type"),
        Some(MEDIA_TYPE),
        "{answer:?}"
    );
    if answer.status == 200 {
        return Ok(answer);
    }
    assert_eq!(answer.status, 500, "{answer:?}");
    let told = answer.json();
    let text = told["Err"].as_str().unwrap_or_default().to_owned();
    assert!(!text.is_empty() && !text.ends_with('.'), "{told}");
    Err(text)
}

/// A daemon that speaks the protocol.
#[derive(Debug)]
pub struct Bench {
    /// The daemon. Ends before the lab does.
    pub daemon: Daemon,
    /// The socket.
    pub plugin: Plugin,
    /// Where it all lies.
    pub lab: Lab,
}

impl Bench {
    /// Starts a daemon on a file system; no `Init` has come yet.
    pub fn start(file_system: FileSystem) -> Self {
        Self::configured(file_system, None)
    }

    /// Starts one with a configuration file.
    pub fn configured(file_system: FileSystem, configuration: Option<&str>) -> Self {
        let lab = Lab::on(file_system);
        let socket = lab.path("docker.sock");
        let mut settings = Settings::new(&lab.root(), &lab.path("run"), "");
        let path = socket.to_str().expect("a path that is text").to_owned();
        settings.configuration = configuration.map(str::to_owned);
        settings.arguments = vec!["--docker-socket".to_owned(), path];
        Self {
            daemon: settings.start(),
            plugin: Plugin { socket },
            lab,
        }
    }

    /// Starts one whose store has this driver.
    pub fn with(file_system: FileSystem, driver: &str) -> Self {
        let bench = Self::start(file_system);
        let option = format!("mica.driver={driver}");
        bench.plugin.init("/docker/mica", &[&option]).expect("init");
        bench
    }

    /// Ends the daemon with `end` and starts it again.
    pub fn restart(self, end: impl FnOnce(Daemon)) -> Self {
        let settings = self.daemon.settings.clone();
        end(self.daemon);
        Self {
            daemon: settings.start(),
            ..self
        }
    }
}

/// A program that is built from moby's sources; see `tests/peers/docker/build.sh`.
pub fn peer(program: &str) -> PathBuf {
    let directory = build::peers("docker", |out| {
        let script = build::repository().join("tests/peers/docker/build.sh");
        let output = Command::new(script)
            .arg(out)
            .output()
            .expect("start a shell");
        assert!(
            output.status.success(),
            "build moby's programs; `make test` installs what they need: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    });
    directory.join(program)
}
