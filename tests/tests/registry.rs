//! Do drivers go to registries and come back as what they were, and is everything else refused for what it is?

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use mica_tests::build::{hello_driver, noted};
use mica_tests::command::{Ended, bare, mica, mica_alone};
use mica_tests::daemon::{Daemon, Settings};
use mica_tests::image::digest;
use mica_tests::lab::{FileSystem, Lab};
use mica_tests::oci::{Guard, Layout, RealRegistry, Said, odd_registry};
use serde::Deserialize;
use serde_json::{Value, json};

/// Runs `mica` with these variables and this standard input.
fn mica_with(variables: &[(&str, &Path)], arguments: &[&str], input: &str) -> Ended {
    let mut command = bare();
    command.envs(variables.iter().copied()).args(arguments);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("start mica");
    let mut stdin = child.stdin.take().expect("a pipe");
    // One that does not read its input is fine.
    let _written = std::io::Write::write_all(&mut stdin, input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("wait for mica");
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// What a command says to programs.
fn document(ended: &Ended) -> Value {
    serde_json::from_str(&ended.worked()).expect("JSON")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path that is text")
}

/// A component in a file, a registry, and a place to pull to.
struct Place {
    lab: Lab,
    registry: RealRegistry,
    component: Vec<u8>,
}

impl Place {
    fn new(guard: Guard) -> Self {
        let lab = Lab::on(FileSystem::Tmpfs);
        let registry = RealRegistry::start(&lab.path("registry"), guard);
        let component = hello_driver();
        fs::write(lab.path("hello.wasm"), &component).expect("write");
        Self {
            lab,
            registry,
            component,
        }
    }

    fn file(&self, name: &str) -> String {
        text(&self.lab.path(name)).to_owned()
    }

    fn daemon(&self, configuration: &str) -> Daemon {
        let mut settings = Settings::new(&self.lab.root(), &self.lab.path("run"), "");
        settings.configuration = Some(configuration.to_owned());
        settings.start()
    }

    /// Pushes the file and says what the command says.
    fn push(&self, rest: &str) -> Value {
        let (file, reference) = (self.file("hello.wasm"), self.registry.reference(rest));
        document(&mica_alone(&[
            "--output", "json", "driver", "push", &file, &reference,
        ]))
    }
}

/// Lets a driver be loaded that nobody signed, if whoever asks wants that.
const LENIENT: &str = "[[drivers.trust]]\nunsigned = 'allow'\n";

#[test]
fn a_driver_goes_to_a_registry_and_comes_back() {
    let place = Place::new(Guard::None);
    let pushed = place.push("team/hello:1");
    let reference = pushed["reference"].as_str().expect("a reference");
    assert_eq!(pushed["digest"], digest(&place.component));
    // Pushed again, it is the same manifest.
    assert_eq!(place.push("team/hello:1"), pushed);
    let out = place.file("pulled.wasm");
    for asked in [
        place.registry.reference("team/hello:1"),
        format!("oci://{reference}"),
        reference.to_owned(),
    ] {
        let pulled = document(&mica_alone(&[
            "--output", "json", "driver", "pull", &asked, "-o", &out,
        ]));
        assert_eq!(
            (&pulled["reference"], &pulled["digest"]),
            (&pushed["reference"], &pushed["digest"])
        );
        assert_eq!(fs::read(&out).expect("the file"), place.component);
        fs::remove_file(&out).expect("remove");
    }
}

#[test]
fn what_is_pushed_has_the_published_layout() {
    let place = Place::new(Guard::None);
    place.push("hello:1");
    let manifest = place.registry.manifest("hello", "1");
    assert_eq!(manifest["schemaVersion"], 2);
    assert_eq!(
        manifest["mediaType"],
        "application/vnd.oci.image.manifest.v1+json"
    );
    assert_eq!(
        manifest["config"]["mediaType"],
        "application/vnd.wasm.config.v0+json"
    );
    let layers = manifest["layers"].as_array().expect("layers");
    assert_eq!(layers.len(), 1);
    assert_eq!(layers[0]["mediaType"], "application/wasm");
    assert_eq!(layers[0]["digest"], digest(&place.component));
    assert_eq!(layers[0]["size"], place.component.len());
    assert_eq!(
        layers[0]["annotations"]["org.opencontainers.image.title"],
        "hello.wasm"
    );
    let config = place.registry.blob("hello", &manifest["config"]["digest"]);
    let config: Value = serde_json::from_slice(&config).expect("JSON");
    assert_eq!(
        (&config["architecture"], &config["os"]),
        (&json!("wasm"), &json!("wasip2"))
    );
    assert_eq!(config["layerDigests"], json!([digest(&place.component)]));
    assert!(
        config["created"]
            .as_str()
            .is_some_and(|created| created.ends_with('Z')),
        "{config}"
    );
    let has = |list: &str, name: &str| {
        config["component"][list]
            .as_array()
            .expect(list)
            .contains(&json!(name))
    };
    assert!(has("exports", "mica:driver/proto-driver@1.0.0"), "{config}");
    assert!(has("imports", "mica:host/home@1.0.0"), "{config}");
    assert_eq!(config["component"]["target"], "mica:driver/proto@1.0.0");
}

#[test]
fn what_other_tools_have_put_there_is_pulled() {
    let place = Place::new(Guard::None);
    let wkg = Layout::of(&place.component);
    let mut oras = wkg.clone();
    oras.manifest["artifactType"] = json!("application/vnd.wasm.config.v0+json");
    oras.manifest["layers"][0]["annotations"] =
        json!({ "org.opencontainers.image.title": "hello.wasm" });
    oras.config = json!({
        "created": null, "architecture": "wasm", "os": "wasip2", "layerDigests": [digest(&place.component)],
        "component": { "exports": [], "imports": [], "target": null }, "later": { "field": 1 },
    });
    for (tag, layout) in [("wkg", wkg), ("oras", oras)] {
        place.registry.put(&layout, "team/hello", tag);
        let reference = place.registry.reference(&format!("team/hello:{tag}"));
        let out = place.file(tag);
        mica_alone(&["driver", "pull", &reference, "-o", &out]).worked();
        assert_eq!(fs::read(&out).expect("the file"), place.component, "{tag}");
    }
}

#[test]
fn a_driver_is_installed_by_its_reference_and_the_reference_is_kept() {
    let place = Place::new(Guard::None);
    let pushed = place.push("team/hello:1");
    let reference = pushed["reference"].as_str().expect("a reference");
    let daemon = place.daemon(LENIENT);
    let socket = daemon.client.socket.clone();
    let asked = place.registry.reference("team/hello:1");
    let refused = mica(&socket, &["driver", "install", &asked]);
    // The refusal comes behind what was shown.
    assert_eq!(refused.code, 6, "{}", refused.stderr);
    let told = refused.stderr.contains("--allow-unsigned");
    assert!(told, "{}", refused.stderr);
    daemon
        .client
        .get("/v1/drivers/hello")
        .expect_err("nothing is loaded")
        .is(404, "unknown-driver", "hello");
    // The example driver has no manifest that tells its name.
    let install = ["driver", "install", &asked, "--allow-unsigned"];
    let said = mica(
        &socket,
        &[&install[..], &["--name", "hello", "--yes"]].concat(),
    );
    assert!(said.worked().starts_with("hello "), "{said:?}");
    // A reference without a digest is resolved, and that is told.
    assert!(said.stderr.contains(reference), "{}", said.stderr);
    let kept = |daemon: &Daemon| {
        daemon.client.get("/v1/drivers/hello").expect("the driver")["provenance"].clone()
    };
    let first = kept(&daemon);
    assert_eq!(
        (&first["reference"], &first["signer"]),
        (&json!(reference), &Value::Null)
    );
    let again = daemon.settings.clone();
    assert!(daemon.stop().success());
    let daemon = again.start();
    assert_eq!(kept(&daemon), first);
    let explained = mica(&socket, &["driver", "explain", "hello"]).worked();
    assert!(explained.contains(reference), "{explained}");
    // The next build comes from a file, and goes back.
    let file = place.lab.path("2.wasm");
    fs::write(&file, noted(place.component.clone(), "2")).expect("write");
    mica(&socket, &["driver", "swap", "hello", text(&file)]).worked();
    assert_eq!(kept(&daemon)["reference"], Value::Null);
    mica(&socket, &["driver", "rollback", "hello"]).worked();
    assert_eq!(kept(&daemon)["reference"], json!(reference));
    let builds = daemon.client.builds("hello");
    let references: Vec<_> = builds
        .iter()
        .map(|build| &build["provenance"]["reference"])
        .collect();
    assert_eq!(references, [&Value::Null, &json!(reference)]);
}

#[test]
fn a_pinned_reference_stays_what_it_was_when_its_tag_moves() {
    let place = Place::new(Guard::None);
    let first = place.push("hello:latest");
    fs::write(
        place.lab.path("hello.wasm"),
        noted(place.component.clone(), "2"),
    )
    .expect("write");
    let second = place.push("hello:latest");
    assert_ne!(first["digest"], second["digest"]);
    let pulled = |reference: &str| {
        let out = place.file("out.wasm");
        document(&mica_alone(&[
            "--output", "json", "driver", "pull", reference, "-o", &out,
        ]))["digest"]
            .clone()
    };
    // Without a tag it is `latest`.
    assert_eq!(pulled(&place.registry.reference("hello")), second["digest"]);
    let pinned = first["reference"].as_str().expect("a reference");
    assert!(pinned.contains(":latest@sha256:"), "{pinned}");
    assert_eq!(pulled(pinned), first["digest"]);
}

#[test]
fn a_registry_with_passwords_is_shown_who_asks() {
    let place = Place::new(Guard::Password);
    let reference = place.registry.reference("team/hello:1");
    let file = place.file("hello.wasm");
    let push = ["driver", "push", &file, &reference];
    let none = place.lab.path("none");
    let usual = |home: &Path| mica_with(&[("HOME", home)], &push, "");
    usual(&none).failed(1, "--password-stdin");
    let given = |password: &str| {
        let arguments = [&push[..], &["--username", "me", "--password-stdin"]].concat();
        mica_with(&[("HOME", &none)], &arguments, password)
    };
    given("wrong\n").failed(1, "whose name and password");
    given("word\n").worked();
    let home = place.lab.path("home");
    fs::create_dir_all(home.join(".docker")).expect("make a directory");
    let config = home.join(".docker/config.json");
    let address = place.registry.address.to_string();
    let write = |document: Value| fs::write(&config, document.to_string()).expect("write");
    // NAME:PASSWORD in base64.
    write(json!({ "auths": { &address: { "auth": "bWU6d29yZA==" } } }));
    usual(&home).worked();
    mica_with(&[("REGISTRY_AUTH_FILE", &config)], &push, "").worked();
    write(json!({ "auths": { &address: {} }, "credsStore": "desktop" }));
    usual(&home).failed(1, "docker-credential-desktop");
    fs::write(&config, "{ hunter2").expect("write");
    let refused = usual(&home);
    refused.failed(6, text(&config));
    assert!(!refused.stderr.contains("hunter2"), "{}", refused.stderr);
}

#[test]
fn a_token_is_fetched_where_the_registry_says_and_shown_to_nobody_else() {
    let component = hello_driver();
    let shelf = Layout::of(&component).shelf("team/hello", "1");
    let layer = format!("/v2/team/hello/blobs/{}", digest(&component));
    let moved = shelf[&layer].clone();
    // Whoever keeps blobs elsewhere sends its clients there; they have nothing to show there.
    let store = odd_registry(
        move |asked| match (&asked.authorization, asked.target.as_str()) {
            (None, "/elsewhere?sign=1") => moved.clone(),
            _ => Said::status(400),
        },
    );
    let tokens = odd_registry(|asked| {
        let is_right = asked.target == "/token?a=1&scope=repository:team/hello:pull&service=a%20b";
        match (is_right, asked.authorization.as_deref()) {
            (true, Some("Basic bWU6d29yZA==")) => {
                Said::bytes("application/json", br#"{"access_token": "t0k"}"#.to_vec())
            }
            _ => Said::status(401),
        }
    });
    let registry = odd_registry(move |asked| match asked.authorization.as_deref() {
        Some("Bearer t0k") if asked.target == layer => Said {
            headers: vec![("Location", format!("http://{store}/elsewhere?sign=1"))],
            ..Said::status(307)
        },
        Some("Bearer t0k") => shelf
            .get(&asked.target)
            .cloned()
            .unwrap_or(Said::status(404)),
        _ => Said {
            headers: vec![(
                "WWW-Authenticate",
                format!(r#"Bearer realm="http://{tokens}/token?a=1",service="a b""#),
            )],
            ..Said::status(401)
        },
    });
    let lab = Lab::on(FileSystem::Tmpfs);
    let out = lab.path("out.wasm");
    let reference = format!("{registry}/team/hello:1");
    let pull = [
        "driver",
        "pull",
        &reference,
        "-o",
        text(&out),
        "--username",
        "me",
        "--password-stdin",
    ];
    mica_with(&[], &pull, "word").worked();
    assert_eq!(fs::read(&out).expect("the file"), component);
    mica_with(&[], &pull, "wrong").failed(1, "refuses access");
}

#[test]
fn a_registry_with_tls_is_believed_if_this_machine_knows_its_authority() {
    let place = Place::new(Guard::Tls);
    let reference = place.registry.reference("team/hello:1");
    let file = place.file("hello.wasm");
    let push = ["driver", "push", &file, &reference, "--tls"];
    let authority = place.registry.directory.join("ca.pem");
    mica_with(&[("SSL_CERT_FILE", &authority)], &push, "").worked();
    let other = place.lab.path("other");
    drop(RealRegistry::start(&other, Guard::Tls));
    let strange = mica_with(&[("SSL_CERT_FILE", &other.join("ca.pem"))], &push, "");
    strange.failed(1, "SSL_CERT_FILE");
    assert!(strange.stderr.contains("certificate"), "{}", strange.stderr);
    // Without TLS it says so itself.
    mica_alone(&["driver", "push", &file, &reference]).failed(6, "HTTPS");
}

#[test]
fn a_registry_that_is_away_is_named_and_one_elsewhere_needs_tls() {
    let lab = Lab::on(FileSystem::Tmpfs);
    let out = lab.path("out.wasm");
    let free = TcpListener::bind("127.0.0.1:0").expect("bind a port");
    let address = free.local_addr().expect("an address").to_string();
    drop(free);
    let pull = |reference: &str| mica_alone(&["driver", "pull", reference, "-o", text(&out)]);
    pull(&format!("{address}/hello:1")).failed(1, &address);
    // Where a registry of this machine leads to a host that is asked without TLS, nobody goes.
    let leads = odd_registry(|_| Said {
        headers: vec![(
            "Location",
            "http://registry.example/v2/hello/manifests/1".to_owned(),
        )],
        ..Said::status(307)
    });
    pull(&format!("{leads}/hello:1")).failed(6, "registry.example");
    let circles = odd_registry(|asked| Said {
        headers: vec![("Location", asked.target.clone())],
        ..Said::status(307)
    });
    pull(&format!("{circles}/hello:1")).failed(1, "never ends");
    let silent = odd_registry(|_| Said {
        headers: vec![("Content-Length", "100".to_owned())],
        ..Said::bytes("text/plain", b"short".to_vec())
    });
    pull(&format!("{silent}/hello:1")).failed(1, "read the manifest");
    assert!(!out.exists());
}

#[test]
fn what_is_no_reference_or_no_driver_is_refused_before_a_registry_is_asked() {
    let lab = Lab::on(FileSystem::Tmpfs);
    let module = lab.path("module.wasm");
    fs::write(&module, b"\0asm\x01\0\0\0").expect("write");
    fs::write(lab.path("hello.wasm"), hello_driver()).expect("write");
    let hello = lab.path("hello.wasm");
    let pinned = format!("127.0.0.1:1/a:1@{}", digest(b""));
    for (file, reference, names) in [
        (&hello, "hello:1", "no registry"),
        (&hello, "oci://127.0.0.1:1/Hello:1", "small letters"),
        (&hello, "127.0.0.1:1/hello", "needs a tag"),
        (&hello, &*pinned, "leave it out"),
        (&module, "127.0.0.1:1/hello:1", "driver rejected"),
    ] {
        mica_alone(&["driver", "push", text(file), reference]).failed(6, names);
    }
}

/// A registry that has something else than it should.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    source: String,
    path: String,
    #[serde(default)]
    set: toml::Table,
    #[serde(default)]
    config: toml::Table,
    status: Option<u16>,
    body: Option<String>,
    #[serde(default)]
    flip: bool,
    #[serde(default)]
    cut: usize,
    told: Option<String>,
    #[serde(default)]
    pinned: bool,
    exit: i32,
    code: String,
    names: String,
}

#[derive(Debug, Deserialize)]
struct Cases {
    case: Vec<Case>,
}

/// Sets fields of a document by their pointers.
fn set(document: &mut Value, fields: &toml::Table) {
    for (pointer, value) in fields {
        let field = document.pointer_mut(pointer).expect(pointer);
        *field = serde_json::to_value(value).expect("JSON");
    }
}

/// Begins a registry for a case, and says by what it is asked.
fn begin(case: &Case, component: &[u8]) -> String {
    let mut layout = Layout::of(component);
    set(&mut layout.manifest, &case.set);
    set(&mut layout.config, &case.config);
    let mut shelf = layout.shelf("team/hello", "1");
    let (config, manifest) = layout.documents();
    let wanted = match case.pinned {
        true => digest(&manifest),
        false => "1".to_owned(),
    };
    let path = match case.path.as_str() {
        "manifest" => format!("/v2/team/hello/manifests/{wanted}"),
        "config" => format!("/v2/team/hello/blobs/{}", digest(&config)),
        "layer" => format!("/v2/team/hello/blobs/{}", digest(component)),
        other => panic!("no path `{other}`"),
    };
    let said = shelf.get_mut(&path).expect("an answer");
    if let Some(status) = case.status {
        *said = Said::status(status);
    }
    if let Some(body) = &case.body {
        said.body = body.clone().into_bytes();
    }
    if case.flip {
        said.body[100] ^= 1;
    }
    said.body.truncate(said.body.len() - case.cut);
    said.headers.extend(
        case.told
            .clone()
            .map(|told| ("Docker-Content-Digest", told)),
    );
    let address = odd_registry(move |asked| {
        shelf
            .get(&asked.target)
            .cloned()
            .unwrap_or(Said::status(404))
    });
    match case.pinned {
        true => format!("{address}/team/hello@{wanted}"),
        false => format!("{address}/team/hello:{wanted}"),
    }
}

#[test]
fn what_a_registry_should_not_say_is_refused_and_nothing_is_written() {
    let cases: Cases = toml::from_str(include_str!("../cases/registries.toml")).expect("cases");
    let component = hello_driver();
    let lab = Lab::on(FileSystem::Tmpfs);
    let here = lab.scratch("here");
    for case in cases.case {
        println!("{}", case.source);
        let reference = begin(&case, &component);
        let out = here.join("out.wasm");
        let ended = mica_alone(&[
            "--output",
            "json",
            "driver",
            "pull",
            &reference,
            "-o",
            text(&out),
        ]);
        let problem: Value = serde_json::from_str(&ended.stderr).expect("a problem document");
        assert_eq!(
            (problem["code"].as_str(), ended.code),
            (Some(case.code.as_str()), case.exit),
            "{problem}"
        );
        let told = mica_alone(&["driver", "pull", &reference, "-o", text(&out)]);
        told.failed(case.exit, &case.names);
        assert_eq!(
            fs::read_dir(&here).expect("list").count(),
            0,
            "something was written"
        );
    }
}
