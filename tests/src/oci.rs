//! Registries for drivers: a real one (Debian's `docker-registry`), and one that says whatever a test has it say.
//!
//! Invariant: both listen on the loopback interface alone and end with the test.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::build::peer;
use crate::http::{self, Response};
use crate::image::digest;

/// How long a registry may take to listen.
const START: Duration = Duration::from_secs(30);
/// The user `me` with the password `word`, as htpasswd writes it.
const HTPASSWD: &str = "me:$2b$05$YQgByL9RHj1KffYxANwpi.Ey0/8LQB3m0flBpoFiNZAWTK0OPFkY2\n";
/// The kind of a manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The kind of a list of manifests.
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The kind of a component's configuration.
pub const CONFIG: &str = "application/vnd.wasm.config.v0+json";

/// Who may ask a registry, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// Everyone.
    None,
    /// Who knows the password `word` of the user `me`.
    Password,
    /// Everyone, by TLS with a certificate of an authority that the file `ca.pem` beside its data has.
    Tls,
}

/// A real registry.
#[derive(Debug)]
pub struct RealRegistry {
    child: Child,
    /// Its host and port.
    pub address: SocketAddr,
    /// Where it keeps what it has.
    pub directory: PathBuf,
}

impl Drop for RealRegistry {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _ended = self.child.wait();
    }
}

impl RealRegistry {
    /// Starts one that keeps its data below a directory.
    pub fn start(directory: &Path, guard: Guard) -> Self {
        fs::create_dir_all(directory).expect("make a directory");
        // Between asking for a free port and listening there, somebody else may take it.
        for _ in 0..5 {
            let free = TcpListener::bind("127.0.0.1:0").expect("bind a port");
            let address = free.local_addr().expect("an address");
            drop(free);
            if let Some(registry) = Self::try_start(directory, guard, address) {
                return registry;
            }
        }
        let log = fs::read_to_string(directory.join("log")).unwrap_or_default();
        panic!("docker-registry does not start: {log}");
    }

    fn try_start(directory: &Path, guard: Guard, address: SocketAddr) -> Option<Self> {
        let shown = directory.display();
        let mut http = json!({ "addr": address.to_string() });
        let mut configuration = json!({
            "version": "0.1",
            "log": { "level": "warn" },
            "storage": { "filesystem": { "rootdirectory": format!("{shown}/data") }, "delete": { "enabled": true } },
        });
        match guard {
            Guard::None => {}
            Guard::Password => {
                fs::write(directory.join("htpasswd"), HTPASSWD).expect("write");
                configuration["auth"] =
                    json!({ "htpasswd": { "realm": "test", "path": format!("{shown}/htpasswd") } });
            }
            Guard::Tls => {
                certificates(directory);
                http["tls"] = json!({ "certificate": format!("{shown}/own.pem"), "key": format!("{shown}/own.key") });
            }
        }
        configuration["http"] = http;
        // JSON is YAML.
        let path = directory.join("config.yml");
        fs::write(&path, configuration.to_string()).expect("write");
        let log = fs::File::create(directory.join("log")).expect("a log");
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(peer("docker-registry").join("usr/bin/docker-registry"))
            .arg("serve")
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("start docker-registry");
        let deadline = Instant::now() + START;
        while TcpStream::connect(address).is_err() {
            if child.try_wait().expect("look at it").is_some() || Instant::now() > deadline {
                let _gone = child.kill();
                return None;
            }
            thread::sleep(Duration::from_millis(10));
        }
        Some(Self {
            child,
            address,
            directory: directory.to_owned(),
        })
    }

    /// A reference to something there.
    pub fn reference(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }

    /// Asks it by plain HTTP.
    pub fn ask(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> Response {
        let mut stream = TcpStream::connect(self.address).expect("connect");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAccept: {MANIFEST}, {INDEX}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("ask");
        stream.write_all(body).expect("ask");
        http::read_response(&mut BufReader::new(stream)).expect("an answer")
    }

    /// Puts a blob there.
    pub fn put_blob(&self, repository: &str, bytes: &[u8]) {
        let begun = self.ask("POST", &format!("/v2/{repository}/blobs/uploads/"), "", &[]);
        let place = begun.header("location").expect("a place for the upload");
        let path = place
            .split(&self.address.to_string())
            .last()
            .expect("a path")
            .to_owned();
        let path = format!("{path}&digest={}", digest(bytes));
        let put = self.ask("PUT", &path, "application/octet-stream", bytes);
        assert_eq!(put.status, 201, "{put:?}");
    }

    /// Puts a manifest there, under a tag or a digest.
    pub fn put_manifest(&self, repository: &str, name: &str, kind: &str, bytes: &[u8]) {
        let put = self.ask(
            "PUT",
            &format!("/v2/{repository}/manifests/{name}"),
            kind,
            bytes,
        );
        assert_eq!(put.status, 201, "{}", String::from_utf8_lossy(&put.body));
    }

    /// Puts a driver there, in the published layout.
    pub fn put(&self, layout: &Layout, repository: &str, tag: &str) {
        let (config, manifest) = layout.documents();
        self.put_blob(repository, &config);
        self.put_blob(repository, &layout.component);
        self.put_manifest(repository, tag, MANIFEST, &manifest);
    }

    /// A manifest that it has.
    pub fn manifest(&self, repository: &str, name: &str) -> Value {
        let got = self.ask(
            "GET",
            &format!("/v2/{repository}/manifests/{name}"),
            "",
            &[],
        );
        assert_eq!(got.status, 200, "{name}");
        serde_json::from_slice(&got.body).expect("JSON")
    }

    /// A blob that it has.
    pub fn blob(&self, repository: &str, digest: &Value) -> Vec<u8> {
        let digest = digest.as_str().expect("a digest");
        let got = self.ask("GET", &format!("/v2/{repository}/blobs/{digest}"), "", &[]);
        assert_eq!(got.status, 200, "{digest}");
        got.body
    }
}

/// An authority, and a certificate of it for 127.0.0.1.
fn certificates(directory: &Path) {
    let script = r#"set -eu
cd "$1"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=test
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout own.key -out own.csr -subj /CN=127.0.0.1
printf 'subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' >own.ext
openssl x509 -req -in own.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile own.ext -out own.pem"#;
    let made = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(directory)
        .output()
        .expect("start openssl");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
}

/// What a registry that a test makes is asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// `Authorization`, if it was shown.
    pub authorization: Option<String>,
}

/// What it answers.
#[derive(Debug, Clone)]
pub struct Said {
    /// The status.
    pub status: u16,
    /// Headers besides the length.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Said {
    /// Bytes of a kind.
    pub fn bytes(kind: &str, body: Vec<u8>) -> Self {
        Self {
            status: 200,
            headers: vec![("Content-Type", kind.to_owned())],
            body,
        }
    }

    /// A status and nothing else.
    pub fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }
}

/// A registry that answers as a function says; it ends with the process.
pub fn odd_registry(answer: impl Fn(&Asked) -> Said + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind a port");
    let address = listener.local_addr().expect("an address");
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            // A client that goes away gets no answer.
            thread::spawn(move || serve(&*answer, stream).ok());
        }
    });
    address
}

/// The first byte of a client that would begin TLS.
const TLS_HANDSHAKE: u8 = 0x16;

/// Tells a client that tries TLS first that this is HTTP, as servers do.
fn refuse_tls(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")?;
    stream.shutdown(Shutdown::Write)?;
    // The answer would be lost if the connection were closed before all has been read.
    io::copy(&mut stream, &mut io::sink())?;
    Ok(())
}

fn serve(answer: &dyn Fn(&Asked) -> Said, mut stream: TcpStream) -> io::Result<()> {
    let mut first = [0];
    if stream.peek(&mut first)? == 1 && first == [TLS_HANDSHAKE] {
        return refuse_tls(stream);
    }
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let mut authorization = None;
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(": ")
            && name.eq_ignore_ascii_case("authorization")
        {
            authorization = Some(value.to_owned());
        }
    }
    let mut words = request.split(' ').map(str::to_owned);
    let asked = Asked {
        method: words.next().unwrap_or_default(),
        target: words.next().unwrap_or_default(),
        authorization,
    };
    let Said {
        status,
        headers,
        body,
    } = answer(&asked);
    let mut head = format!("HTTP/1.1 {status} Said\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "Content-Length") {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    if asked.method != "HEAD" {
        stream.write_all(&body)?;
    }
    Ok(())
}

/// A driver in the published layout, as documents.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The component.
    pub component: Vec<u8>,
    /// Its configuration.
    pub config: Value,
    /// The manifest, whose digests are set by [`Layout::documents`].
    pub manifest: Value,
}

impl Layout {
    /// As `wkg` writes it.
    pub fn of(component: &[u8]) -> Self {
        Self {
            component: component.to_vec(),
            config: json!({
                "created": "2026-01-01T00:00:00.123456789Z",
                "author": "somebody",
                "architecture": "wasm",
                "os": "wasip2",
                "layerDigests": [digest(component)],
                "component": { "exports": ["mica:driver/proto-driver@1.0.0"], "imports": ["mica:host/types@1.0.0"] },
            }),
            manifest: json!({
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": { "mediaType": CONFIG, "digest": "", "size": 0 },
                "layers": [{ "mediaType": "application/wasm", "digest": digest(component), "size": component.len() }],
                "annotations": { "org.opencontainers.image.version": "1.0.0" },
            }),
        }
    }

    /// The bytes of configuration and manifest.
    pub fn documents(&self) -> (Vec<u8>, Vec<u8>) {
        let config = self.config.to_string().into_bytes();
        let mut manifest = self.manifest.clone();
        if manifest["config"]["digest"] == "" {
            manifest["config"]["digest"] = json!(digest(&config));
            manifest["config"]["size"] = json!(config.len());
        }
        (config, manifest.to_string().into_bytes())
    }

    /// What a registry has of it, by path.
    pub fn shelf(&self, repository: &str, tag: &str) -> BTreeMap<String, Said> {
        let (config, manifest) = self.documents();
        let at = |kind: &str, name: &str| format!("/v2/{repository}/{kind}/{name}");
        let blob = |bytes: &[u8]| Said::bytes("application/octet-stream", bytes.to_vec());
        BTreeMap::from([
            (
                at("manifests", tag),
                Said::bytes(MANIFEST, manifest.clone()),
            ),
            (
                at("manifests", &digest(&manifest)),
                Said::bytes(MANIFEST, manifest),
            ),
            (at("blobs", &digest(&config)), blob(&config)),
            (at("blobs", &digest(&self.component)), blob(&self.component)),
        ])
    }
}
