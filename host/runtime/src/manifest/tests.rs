use super::*;
use serde_json::{Value, json};

fn good() -> Value {
    json!({
        "manifest": 1, "name": "hello", "version": "1.2.3", "licence": "Apache-2.0", "homepage": "https://hello.example",
        "contract": "1.0.0", "mounts": ["bind"], "device_nodes": false, "state": { "writes": 2, "reads": [1, 2] },
        "capabilities": { "btrfs": "snapshots instead of copies" }, "limits": { "memory_bytes": 16 << 20 },
    })
}

/// The manifest with one field changed, or left out if that is null.
fn changed(field: &str, value: Value) -> Value {
    let mut document = good();
    let fields = document.as_object_mut().unwrap();
    match value {
        Value::Null => {
            fields.remove(field);
        }
        value => {
            fields.insert(field.to_owned(), value);
        }
    }
    document
}

fn read(document: &Value) -> Result<Manifest, BadManifest> {
    Manifest::of_json(&serde_json::to_vec(document).unwrap())
}

#[test]
fn a_manifest_is_read_as_it_was_written() {
    let manifest = read(&good()).unwrap();
    assert_eq!(manifest.name, "hello");
    assert!(manifest.asks(Grant::Btrfs) && manifest.asks(Grant::Log));
    assert!(!manifest.asks(Grant::Images));
    assert!(!manifest.rights.has(Right::MountOverlay) && manifest.rights.has(Right::XattrUser));
    let written: Value = serde_json::from_slice(&manifest.to_json().unwrap()).unwrap();
    assert_eq!(written, good());
    let least = json!({ "manifest": 1, "name": "a", "version": "0.1.0", "contract": "1.0.0" });
    assert_eq!(read(&least).unwrap().rights, Rights::all());
}

/// Each with what the refusal names.
#[test]
fn what_a_manifest_may_not_say_is_refused_by_its_field() {
    let long = "x".repeat(2000);
    for (field, value, named) in [
        ("manifest", json!(2), "`manifest` is 2"),
        ("manifest", json!(null), "`manifest`"),
        ("name", json!(null), "`name`"),
        ("name", json!(""), "`name` is empty"),
        ("name", json!("a\u{1b}[31mb"), "`name`"),
        ("name", json!(long), "`name`"),
        ("version", json!("1"), "`version` is `1`"),
        ("version", json!("1.0.0\n"), "`version`"),
        ("contract", json!("one"), "`contract` is `one`"),
        ("licence", json!("a\u{202e}b"), "`licence`"),
        ("colour", json!("red"), "`colour`"),
        (
            "capabilities",
            json!({ "network": "why not" }),
            "`capabilities.network`",
        ),
        (
            "capabilities",
            json!({ "btrfs": " " }),
            "`capabilities.btrfs` is empty",
        ),
        (
            "capabilities",
            json!({ "btrfs": long }),
            "`capabilities.btrfs`",
        ),
        ("limits", json!({ "operations": 1 }), "`limits.operations`"),
        (
            "limits",
            json!({ "memory_bytes": 1 }),
            "`limits.memory_bytes` is 1",
        ),
        ("limits", json!({ "memory_bytes": -1 }), "-1"),
        ("mounts", json!(["loop"]), "`loop`"),
        ("xattrs", json!(["trusted"]), "`trusted`"),
        (
            "state",
            json!({ "writes": 2, "reads": [1] }),
            "`state.reads` lacks 2",
        ),
        ("state", json!({ "writes": 2, "reads": [2], "x": 1 }), "`x`"),
    ] {
        let error = read(&changed(field, value.clone()))
            .unwrap_err()
            .to_string();
        assert!(error.contains(named), "{field} = {value}: {error}");
    }
}

#[test]
fn what_is_no_manifest_at_all_is_refused() {
    for (bytes, named) in [
        (&b"{"[..], "EOF"),
        (b"\xff\xfe", "expected value"),
        (b"[]", "invalid"),
        (br#"{"manifest": 1, "manifest": 1}"#, "duplicate field"),
    ] {
        let error = Manifest::of_json(bytes).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
    let large = vec![b' '; MANIFEST_BYTES + 1];
    let error = Manifest::of_json(&large).unwrap_err().to_string();
    assert!(error.contains("65536 are allowed"), "{error}");
}

#[test]
fn a_contract_is_compared_with_the_host_and_with_the_imports() {
    let with = |contract: &str, import: &str| {
        let manifest = read(&changed("contract", json!(contract))).unwrap();
        let checked = manifest.check_contract(&[import.to_owned()]);
        checked.map_err(|error| error.to_string())
    };
    assert_eq!(with("1.0.0", "mica:host/home@1.0.0"), Ok(()));
    assert_eq!(with("1.0.0", "wasi:io/streams@0.2.6"), Ok(()));
    assert!(
        with("1.1.0", "mica:host/home@1.0.0")
            .unwrap_err()
            .contains("1.1.0")
    );
    assert!(
        with("2.0.0", "mica:host/home@1.0.0")
            .unwrap_err()
            .contains("2.0.0")
    );
    assert!(
        with("1.0.0", "mica:host/home@1.0.1")
            .unwrap_err()
            .contains("home@1.0.1")
    );
}

#[test]
fn the_manifest_that_lies_least_deep_counts_and_two_there_are_none() {
    let json = |name: &str| serde_json::to_vec(&changed("name", json!(name))).unwrap();
    let mut sections = Sections::default();
    assert_eq!(sections.manifest().unwrap(), None);
    sections.note(3, SECTION, &json("deep")).unwrap();
    sections.note(2, "name", b"what others keep").unwrap();
    sections.note(2, SECTION, &json("inner")).unwrap();
    sections.note(3, SECTION, &json("deep")).unwrap();
    assert_eq!(sections.manifest().unwrap().unwrap().name, "inner");
    sections.note(1, SECTION, &json("outer")).unwrap();
    assert_eq!(sections.manifest().unwrap().unwrap().name, "outer");
    sections.note(1, SECTION, &json("outer")).unwrap();
    let error = sections.manifest().unwrap_err().to_string();
    assert!(error.contains("two sections"), "{error}");
    let large = vec![b' '; MANIFEST_BYTES + 1];
    assert!(sections.note(1, SECTION, &large).is_err());
}

#[test]
fn adding_a_manifest_replaces_the_one_before_and_changes_nothing_else() {
    let component = b"\0asm\x0d\0\x01\0\0\x05\x04name";
    let manifest = read(&good()).unwrap();
    let once = add(component, &manifest).unwrap();
    assert!(has(&once) && !has(component) && once.starts_with(component));
    assert_eq!(add(&once, &manifest).unwrap(), once);
    let other = read(&changed("name", json!("other"))).unwrap();
    let twice = add(&once, &other).unwrap();
    assert!(twice.starts_with(component) && twice != once);
    for bad in [&b"\0asm\x01\0\0\0"[..], b"", b"\0asm\x0d\0\x01\0\0\x7f\x01"] {
        assert!(add(bad, &manifest).is_err(), "{bad:?}");
    }
}

#[test]
fn what_is_asked_for_more_is_told_first() {
    let (old, mut new) = (read(&good()).unwrap(), read(&good()).unwrap());
    new.version = Version::new(2, 0, 0);
    new.rights = Rights::all();
    new.limits = BTreeMap::from([("memory_bytes", 32 << 20)]);
    let imports = [vec!["mica:host/btrfs@1.0.0".to_owned()], Vec::new()];
    let profile = |manifest, imports| Profile {
        imports,
        contract: "mica:driver/proto-driver@1.0.0",
        version: None,
        manifest: Some(manifest),
    };
    let (fewer, more) = (&imports[1][..], &imports[0][..]);
    let found = differences(profile(&old, fewer), profile(&new, more));
    let asks: Vec<_> = found.iter().filter_map(|one| one.asks).collect();
    assert_eq!(
        asks,
        [
            Ask::Interface(Grant::Btrfs),
            Ask::Right(Right::MountOverlay),
            Ask::Right(Right::DeviceNodes),
            Ask::Limit("memory_bytes"),
        ]
    );
    assert_eq!(found[0].new, "snapshots instead of copies");
    let back = differences(profile(&new, more), profile(&old, fewer));
    assert!(back.iter().all(|one| one.asks.is_none()), "{back:?}");
    let without = Profile {
        manifest: None,
        ..profile(&old, fewer)
    };
    let lost = differences(profile(&old, fewer), without);
    assert!(
        lost.iter()
            .any(|one| one.asks == Some(Ask::Limit("memory_bytes")))
    );
    for ask in asks {
        assert_eq!(ask.to_string().parse(), Ok(ask));
    }
    assert!("limits.operations".parse::<Ask>().is_err());
}
