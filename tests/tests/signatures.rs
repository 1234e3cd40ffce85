//! Is a driver taken only from whom the operator trusts, and is it told from whom it is?

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use mica_tests::build::{hello_driver, noted, peer, repository};
use mica_tests::client::{Answer, sort};
use mica_tests::command::{mica, mica_alone};
use mica_tests::daemon::{Daemon, Settings};
use mica_tests::http::{self, Body};
use mica_tests::image::digest;
use mica_tests::lab::{FileSystem, Lab, run};
use mica_tests::oci::{Guard, MANIFEST, RealRegistry};
use serde::Deserialize;
use serde_json::{Value, json};

/// Keys of minisign in a lab: `a` is trusted, `b` is not.
struct Keys {
    lab: Lab,
    component: Vec<u8>,
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path that is text")
}

impl Keys {
    fn new() -> Self {
        let lab = Lab::on(FileSystem::Tmpfs);
        for name in ["a", "b"] {
            let [public, secret] =
                ["pub", "key"].map(|ending| lab.path(&format!("{name}.{ending}")));
            run(&[
                "minisign",
                "-G",
                "-W",
                "-p",
                text(&public),
                "-s",
                text(&secret),
            ]);
        }
        let component = hello_driver();
        Self { lab, component }
    }

    fn public(&self, name: &str) -> PathBuf {
        self.lab.path(&format!("{name}.pub"))
    }

    /// Signs a file; the signature lies beside it.
    fn sign(&self, key: &str, file: &Path, comment: &str) -> Vec<u8> {
        let secret = self.lab.path(&format!("{key}.key"));
        let signed = Command::new("minisign")
            .args(["-S", "-s", text(&secret), "-t", comment, "-m", text(file)])
            .output();
        assert!(signed.expect("start minisign").status.success());
        let mut path = file.as_os_str().to_owned();
        path.push(".minisig");
        fs::read(path).expect("the signature")
    }

    /// A component in a file.
    fn file(&self, name: &str, component: &[u8]) -> PathBuf {
        let path = self.lab.path(name);
        fs::write(&path, component).expect("write");
        path
    }

    fn settings(&self, configuration: &str) -> Settings {
        let mut settings = Settings::new(&self.lab.root(), &self.lab.path("run"), "");
        let configuration = configuration.replace("A.pub", text(&self.public("a")));
        settings.configuration = Some(configuration);
        settings
    }
}

/// Installs the example driver, which has no manifest that tells its name, and asks nothing.
fn install(reference: &str) -> [&str; 6] {
    ["driver", "install", reference, "--name", "hello", "--yes"]
}

/// Whoever is to be a driver of ours has to be signed.
const STRICT: &str = "[[drivers.trust]]\nkeys = ['A.pub']\n";

/// How a driver is vouched for.
fn provenance(daemon: &Daemon) -> Value {
    let driver = daemon.client.get("/v1/drivers/hello").expect("the driver");
    driver["provenance"].clone()
}

/// What a daemon is asked with beside a component.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    source: String,
    from: Option<String>,
    #[serde(default)]
    signatures: Vec<String>,
    #[serde(default)]
    unsigned: bool,
    names: Option<String>,
    #[serde(default)]
    signer: bool,
}

#[derive(Debug, Deserialize)]
struct Cases {
    case: Vec<Case>,
}

const RULES: &str = "
[[drivers.trust]]
registry = 'registry.example/team'
keys = ['A.pub']
[[drivers.trust]]
registry = 'registry.example/warn'
unsigned = 'warn'
[[drivers.trust]]
registry = 'registry.example/allow'
unsigned = 'allow'
[[drivers.trust]]
name = 'h*o'
registry = 'registry.example/mixed'
keys = ['A.pub']
unsigned = 'allow'
[[drivers.trust]]
name = 'elephant'
registry = 'registry.example/other'
unsigned = 'allow'
";

/// Loads the driver over REST as a case has it.
fn load(
    daemon: &Daemon,
    keys: &Keys,
    case: &Case,
    signature: impl Fn(&str) -> Vec<u8>,
) -> Answer<Value> {
    let signatures = case.signatures.iter();
    let signatures =
        signatures.map(|kind| format!("minisign {}", BASE64_STANDARD.encode(signature(kind))));
    let reference = case
        .from
        .iter()
        .map(|from| format!("registry.example/{from}"));
    let headers: Vec<_> = reference
        .map(|value| ("Mica-Reference", value))
        .chain(signatures.map(|value| ("Mica-Signature", value)))
        .collect();
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let target = if case.unsigned {
        "/v1/drivers?unsigned=allow"
    } else {
        "/v1/drivers"
    };
    let body = Body::Bytes(&keys.component);
    let response = http::send(&daemon.client.socket, "POST", target, &headers, body);
    sort(response.expect("an answer")).map(|response| response.json())
}

#[test]
fn a_driver_is_taken_by_the_first_rule_that_is_about_it() {
    let keys = Keys::new();
    let file = keys.file("hello.wasm", &keys.component);
    let good = keys.sign("a", &file, "good");
    let other = keys.sign("b", &file, "other");
    let another = keys.file("another.wasm", &noted(keys.component.clone(), "2"));
    let elsewhere = keys.sign("a", &another, "elsewhere");
    let signature = |kind: &str| match kind {
        "good" => good.clone(),
        "other" => other.clone(),
        "elsewhere" => elsewhere.clone(),
        "forged" => String::from_utf8(good.clone())
            .expect("text")
            .replace("good", "evil")
            .into_bytes(),
        "odd" => b"untrusted comment: \x1b[31m\nnothing\n\n".to_vec(),
        other => panic!("no signature `{other}`"),
    };
    let daemon = keys.settings(RULES).start();
    let cases: Cases = toml::from_str(include_str!("../cases/trust.toml")).expect("cases");
    for case in cases.case {
        println!("{}", case.source);
        let loaded = load(&daemon, &keys, &case, signature);
        match (&case.names, loaded) {
            (Some(names), Err(problem)) => {
                problem.is(422, "driver-untrusted", names);
                let there = daemon.client.get("/v1/drivers/hello");
                there
                    .expect_err("nothing is loaded")
                    .is(404, "unknown-driver", "hello");
            }
            (None, Ok(driver)) => {
                let known = &driver["provenance"];
                assert_eq!(known["signer"].is_object(), case.signer, "{known}");
                assert_eq!(
                    known["reference"].is_string(),
                    case.from.is_some(),
                    "{known}"
                );
                daemon
                    .client
                    .call("DELETE", "/v1/drivers/hello", Body::Empty)
                    .expect("remove");
            }
            (_, loaded) => panic!("{case:?}: {loaded:?}"),
        }
    }
    assert!(
        daemon.log().contains("nobody signed it"),
        "a rule that warns tells the log"
    );
}

#[test]
fn a_signed_driver_goes_through_a_registry_and_its_signer_is_told_from_then_on() {
    let keys = Keys::new();
    let registry = RealRegistry::start(&keys.lab.path("registry"), Guard::None);
    let file = keys.file("hello.wasm", &keys.component);
    keys.sign("a", &file, "hello 1.0");
    let reference = registry.reference("team/hello:1");
    mica_alone(&["driver", "push", text(&file), &reference]).worked();
    let daemon = keys.settings(STRICT).start();
    let socket = daemon.client.socket.clone();
    mica(&socket, &install(&reference)).worked();
    let known = provenance(&daemon);
    let id = fs::read_to_string(keys.public("a")).expect("the key");
    let id = id
        .lines()
        .next()
        .and_then(|line| line.split(' ').next_back())
        .expect("an id");
    // minisign leaves out zeros at the beginning.
    assert_eq!(known["signer"]["identity"], format!("{id:0>16}"));
    assert_eq!(known["signer"]["comment"], "hello 1.0");
    for command in ["ls", "inspect", "explain"] {
        let arguments = [
            &["driver", command][..],
            if command == "ls" { &[] } else { &["hello"] },
        ]
        .concat();
        let told = mica(&socket, &arguments).worked();
        assert!(told.contains(id), "{command}: {told}");
    }
    // A key that is trusted no more concerns what comes from then on.
    let mut settings = daemon.settings.clone();
    assert!(daemon.stop().success());
    settings.configuration = Some(format!(
        "[[drivers.trust]]\nkeys = ['{}']\n",
        text(&keys.public("b"))
    ));
    let daemon = settings.start();
    assert_eq!(provenance(&daemon), known);
    daemon
        .client
        .call("DELETE", "/v1/drivers/hello", Body::Empty)
        .expect("remove");
    // The refusal comes behind what was shown.
    let refused = mica(&socket, &install(&reference));
    assert_eq!(refused.code, 6, "{}", refused.stderr);
    assert!(refused.stderr.contains("not trusted"), "{}", refused.stderr);
    assert!(refused.stderr.contains(id), "{}", refused.stderr);
}

#[test]
fn a_signature_is_pulled_with_its_component_and_serves_as_a_file() {
    let keys = Keys::new();
    let registry = RealRegistry::start(&keys.lab.path("registry"), Guard::None);
    let file = keys.file("hello.wasm", &keys.component);
    let signature = keys.sign("b", &file, "by b");
    let kept = keys.lab.path("b.minisig");
    fs::rename(keys.lab.path("hello.wasm.minisig"), &kept).expect("rename");
    let reference = registry.reference("hello:1");
    let push = [
        "driver",
        "push",
        text(&file),
        &reference,
        "--signature",
        text(&kept),
    ];
    mica_alone(&push).worked();
    // A second signature comes along with what was there.
    let second = keys.sign("a", &file, "by a");
    mica_alone(&["driver", "push", text(&file), &reference]).worked();
    let out = keys.lab.path("out.wasm");
    mica_alone(&["driver", "pull", &reference, "-o", text(&out)]).worked();
    let pulled = fs::read(keys.lab.path("out.wasm.minisig")).expect("a signature");
    assert_eq!(pulled, signature);
    let daemon = keys.settings(STRICT).start();
    let socket = daemon.client.socket.clone();
    mica(&socket, &["driver", "load", text(&out)]).failed(6, "is not trusted");
    mica(&socket, &install(&reference)).worked();
    assert_eq!(provenance(&daemon)["signer"]["comment"], "by a");
    assert_ne!(signature, second);
}

#[test]
fn a_list_of_signatures_at_a_registry_loses_nothing_of_others() {
    let keys = Keys::new();
    let registry = RealRegistry::start(&keys.lab.path("registry"), Guard::None);
    let file = keys.file("hello.wasm", &keys.component);
    let reference = registry.reference("hello:1");
    let push = |comment: &str| {
        keys.sign("b", &file, comment);
        mica_alone(&["driver", "push", text(&file), &reference])
    };
    push("first").worked();
    let manifest = registry
        .ask("GET", "/v2/hello/manifests/1", MANIFEST, b"")
        .body;
    let tag = digest(&manifest).replace(':', "-");
    let mut list = registry.manifest("hello", &tag);
    let kind = list["mediaType"].as_str().expect("a kind").to_owned();
    list["annotations"] = json!({ "others": "yes" });
    list["manifests"][0]["urls"] = json!(["https://registry.example/a"]);
    registry.put_manifest("hello", &tag, &kind, list.to_string().as_bytes());
    push("second").worked();
    let longer = registry.manifest("hello", &tag);
    assert_eq!(longer["annotations"], list["annotations"]);
    assert_eq!(longer["manifests"][0], list["manifests"][0]);
    assert_eq!(longer["manifests"].as_array().expect("a list").len(), 2);
    // Somebody has put something else there.
    registry.put_manifest("hello", &tag, MANIFEST, &manifest);
    push("third").failed(6, &format!("hello:{tag}"));
    assert_eq!(
        registry.manifest("hello", &tag),
        registry.manifest("hello", "1")
    );
}

#[test]
fn a_swap_is_judged_as_a_load_is() {
    let keys = Keys::new();
    let first = keys.file("1.wasm", &keys.component);
    keys.sign("a", &first, "1");
    let daemon = keys.settings(STRICT).start();
    let socket = daemon.client.socket.clone();
    mica(&socket, &["driver", "load", text(&first)]).worked();
    let before = provenance(&daemon);
    let second = keys.file("2.wasm", &noted(keys.component.clone(), "2"));
    mica(&socket, &["driver", "swap", "hello", text(&second)]).failed(6, "nobody signed it");
    keys.sign("b", &second, "2");
    mica(&socket, &["driver", "swap", "hello", text(&second)]).failed(6, "is not trusted");
    assert_eq!(provenance(&daemon), before);
    assert_eq!(daemon.client.builds("hello").len(), 1);
    keys.sign("a", &second, "2");
    mica(&socket, &["driver", "swap", "hello", text(&second)]).worked();
    assert_eq!(provenance(&daemon)["signer"]["comment"], "2");
    // The build before was judged when it came.
    mica(&socket, &["driver", "rollback", "hello"]).worked();
    assert_eq!(provenance(&daemon), before);
}

#[test]
fn files_of_the_drivers_directory_are_judged_at_each_start() {
    let keys = Keys::new();
    let directory = keys.lab.scratch("drivers");
    let file = directory.join("hello.wasm");
    fs::write(&file, &keys.component).expect("write");
    let mut settings = keys.settings(STRICT);
    settings.arguments = vec!["--drivers-dir".to_owned(), text(&directory).to_owned()];
    let daemon = settings.start();
    let there = daemon.client.get("/v1/drivers/hello");
    there
        .expect_err("it is not loaded")
        .is(404, "unknown-driver", "hello");
    let status = daemon.client.get("/v1/status").expect("the status");
    assert!(
        status["problems"].to_string().contains("nobody signed it"),
        "{status}"
    );
    // What ships with the program is part of it.
    daemon
        .client
        .get("/v1/drivers/vfs")
        .expect("a driver that ships");
    assert!(daemon.stop().success());
    keys.sign("a", &file, "in the directory");
    let daemon = settings.start();
    assert_eq!(provenance(&daemon)["signer"]["comment"], "in the directory");
}

#[test]
fn a_build_that_is_kept_is_not_judged_by_what_lies_in_the_directory_by_now() {
    let keys = Keys::new();
    let directory = keys.lab.scratch("drivers");
    let file = directory.join("hello.wasm");
    fs::write(&file, &keys.component).expect("write");
    keys.sign("a", &file, "1");
    let mut settings = keys.settings(STRICT);
    settings.arguments = vec!["--drivers-dir".to_owned(), text(&directory).to_owned()];
    let daemon = settings.start();
    let socket = daemon.client.socket.clone();
    let before = provenance(&daemon);
    fs::write(&file, noted(keys.component.clone(), "2")).expect("write");
    // The signature that lies there is that of the file before.
    mica(&socket, &["driver", "swap", "hello"]).failed(6, "another component");
    keys.sign("a", &file, "2");
    mica(&socket, &["driver", "swap", "hello"]).worked();
    assert_eq!(provenance(&daemon)["signer"]["comment"], "2");
    mica(&socket, &["driver", "rollback", "hello"]).worked();
    assert!(daemon.stop().success());
    let daemon = settings.start();
    assert_eq!(provenance(&daemon), before);
}

#[test]
fn what_comes_with_a_component_is_bounded_and_read_whole() {
    let keys = Keys::new();
    let daemon = keys.settings(STRICT).start();
    let body = Body::Bytes(&keys.component);
    // As many as may come, and as large as they may be, reach the rules: 16 KiB in base64.
    let largest = format!("minisign {}", "A".repeat(16 * 1024 / 3 * 4));
    let most = vec![("Mica-Signature", &*largest); 16];
    let response = http::send(&daemon.client.socket, "POST", "/v1/drivers", &most, body);
    let problem = sort(response.expect("an answer")).expect_err("no signature");
    problem.is(422, "driver-untrusted", "it cannot be read");
    let many = vec![("Mica-Signature", "minisign YQ=="); 17];
    let long = format!("minisign {}", "A".repeat(90_000));
    for (headers, names) in [
        (vec![("Mica-Signature", "pgp YQ==")], "no kind"),
        (vec![("Mica-Signature", "minisign *")], "no base64"),
        (vec![("Mica-Signature", &*long)], "longer"),
        (vec![("Mica-Reference", "hello")], "HOST/NAME"),
        (many, "more than 16"),
    ] {
        for target in ["/v1/drivers", "/v1/drivers/vfs/swap"] {
            let response = http::send(&daemon.client.socket, "POST", target, &headers, body);
            let problem = sort(response.expect("an answer")).expect_err(names);
            problem.is(400, "invalid-request", names);
        }
    }
    // Nothing comes that it could be about.
    let headers = [("Mica-Signature", "minisign YQ==")];
    let swap = "/v1/drivers/vfs/swap";
    let response = http::send(&daemon.client.socket, "POST", swap, &headers, Body::Empty);
    let problem = sort(response.expect("an answer")).expect_err("no component");
    problem.is(400, "invalid-option", "none came with it");
    let large = keys.file("large.minisig", &vec![b'u'; 70_000]);
    let file = keys.file("hello.wasm", &keys.component);
    let socket = &daemon.client.socket;
    let load = ["driver", "load", text(&file), "--signature", text(&large)];
    mica(socket, &load).failed(6, "large.minisig");
}

/// A small sigstore, whose authorities' keys lie in a directory of the lab.
struct Sigstore<'a> {
    keys: &'a Keys,
    directory: PathBuf,
}

impl<'a> Sigstore<'a> {
    fn new(keys: &'a Keys, name: &str) -> Self {
        let directory = keys.lab.scratch(name);
        Self { keys, directory }
    }

    /// Signs a file as somebody; the bundle lies beside it.
    fn sign(&self, file: &Path, identity: &str) -> PathBuf {
        self.sign_with(file, &[identity])
    }

    /// The same, with all arguments of `make.py` behind the bundle's.
    fn sign_with(&self, file: &Path, arguments: &[&str]) -> PathBuf {
        let mut bundle = file.as_os_str().to_owned();
        bundle.push(".sigstore.json");
        let made = Command::new("python3")
            .arg(repository().join("tests/fixtures/sigstore/make.py"))
            .arg(&self.directory)
            .arg(file)
            .arg(&bundle)
            .args(arguments)
            .env("PYTHONPATH", peer("cryptography"))
            .output()
            .expect("start python3");
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        bundle.into()
    }

    /// The rule that trusts somebody who is known to it.
    fn rule(&self, identity: &str) -> String {
        let root = self.directory.join("trusted_root.json");
        let root = text(&root);
        format!(
            "[[drivers.trust]]\nidentity = '{identity}'\nissuer = 'https://issuer.test'\ntrust_root = '{root}'\n"
        )
    }

    fn daemon(&self, identity: &str) -> Daemon {
        self.keys.settings(&self.rule(identity)).start()
    }
}

const AUTHOR: &str = "author@driver.test";

#[test]
fn a_bundle_of_sigstore_is_verified_without_a_network() {
    let keys = Keys::new();
    let sigstore = Sigstore::new(&keys, "sigstore");
    let file = keys.file("hello.wasm", &keys.component);
    sigstore.sign(&file, AUTHOR);
    let registry = RealRegistry::start(&keys.lab.path("registry"), Guard::None);
    let reference = registry.reference("team/hello:1");
    mica_alone(&["driver", "push", text(&file), &reference]).worked();
    let daemon = sigstore.daemon(AUTHOR);
    let socket = daemon.client.socket.clone();
    mica(&socket, &["driver", "load", &reference]).worked();
    let signer = provenance(&daemon)["signer"].clone();
    assert_eq!(
        (&signer["kind"], &signer["identity"], &signer["issuer"]),
        (
            &json!("sigstore"),
            &json!(AUTHOR),
            &json!("https://issuer.test")
        )
    );
    let told = mica(&socket, &["driver", "explain", "hello"]).worked();
    assert!(
        told.contains("author@driver.test (https://issuer.test)"),
        "{told}"
    );
}

/// A component is not loaded with a bundle, and the refusal names this.
fn refused(keys: &Keys, daemon: &Daemon, file: &Path, bundle: &[u8], names: &str) {
    let path = keys.file("bundle.sigstore.json", bundle);
    let load = ["driver", "load", text(file), "--signature", text(&path)];
    mica(&daemon.client.socket, &load).failed(6, names);
    let answer = daemon.client.get("/v1/drivers/hello");
    answer
        .expect_err("nothing is loaded")
        .is(404, "unknown-driver", "hello");
}

#[test]
fn a_bundle_that_does_not_hold_is_refused_for_what_it_is() {
    let keys = Keys::new();
    let (sigstore, strange) = (
        Sigstore::new(&keys, "sigstore"),
        Sigstore::new(&keys, "strange"),
    );
    let file = keys.file("hello.wasm", &keys.component);
    let good = fs::read(sigstore.sign(&file, AUTHOR)).expect("the bundle");
    let somebody = fs::read(sigstore.sign(&file, "somebody@driver.test")).expect("the bundle");
    let other = fs::read(sigstore.sign_with(&file, &[AUTHOR, "https://other.test"]));
    let late = fs::read(sigstore.sign_with(&file, &[AUTHOR, "https://issuer.test", "600"]));
    let another = keys.file("another.wasm", &noted(keys.component.clone(), "2"));
    let elsewhere = fs::read(sigstore.sign(&another, AUTHOR)).expect("the bundle");
    let forged = fs::read(strange.sign(&file, AUTHOR)).expect("the bundle");
    let daemon = sigstore.daemon(AUTHOR);
    let socket = daemon.client.socket.clone();
    let refused = |bundle: &[u8], names: &str| refused(&keys, &daemon, &file, bundle, names);
    refused(&somebody, "by `somebody@driver.test`, which is not trusted");
    refused(&other.expect("the bundle"), "`https://other.test`");
    refused(&late.expect("the bundle"), "does not hold");
    refused(&elsewhere, "another component");
    refused(&forged, "does not hold");
    refused(b"{}", "cannot be read");
    refused(
        &[good.clone(), b" ".repeat(64 << 10)].concat(),
        "are allowed",
    );
    refused(&good[..good.len() / 2], "cannot be read");
    mica(
        &socket,
        &[
            "driver",
            "load",
            text(&file),
            "--signature",
            text(&keys.file("good", &good)),
        ],
    )
    .worked();
}

#[test]
fn a_bundle_of_which_a_part_was_changed_is_refused() {
    let keys = Keys::new();
    let sigstore = Sigstore::new(&keys, "sigstore");
    let file = keys.file("hello.wasm", &keys.component);
    let good = fs::read(sigstore.sign(&file, AUTHOR)).expect("the bundle");
    let daemon = sigstore.daemon(AUTHOR);
    let refused = |bundle: &[u8], names: &str| refused(&keys, &daemon, &file, bundle, names);
    let document: Value = serde_json::from_slice(&good).expect("JSON");
    let changed = |pointer: &str, value: Value| {
        let mut document = document.clone();
        *document.pointer_mut(pointer).expect(pointer) = value;
        document.to_string().into_bytes()
    };
    refused(
        &changed("/messageSignature/signature", json!("AAAA")),
        "driver not trusted",
    );
    refused(
        &changed("/verificationMaterial/tlogEntries", json!([])),
        "driver not trusted",
    );
    refused(
        &changed(
            "/verificationMaterial/tlogEntries/0/integratedTime",
            json!("1"),
        ),
        "driver not trusted",
    );
    refused(
        &changed(
            "/verificationMaterial/tlogEntries/0/inclusionProof/rootHash",
            json!("AAAA"),
        ),
        "driver not trusted",
    );
    refused(
        &changed("/verificationMaterial/certificate/rawBytes", json!("AAAA")),
        "driver not trusted",
    );
}
