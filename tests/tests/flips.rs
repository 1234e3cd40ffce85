//! Is a single flipped bit of any file of any layer found, whatever the driver, and is it told of that layer alone?
//!
//! `MICA_FLIPS` says how many there are, `MICA_SEED` which; `make crash` sets 300.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use mica_tests::archive::archive;
use mica_tests::command::mica_alone;
use mica_tests::lab::{FileSystem, Lab};
use mica_tests::script::noise;
use mica_tests::setup::VFS_BTRFS;
use serde_json::{Value, json};

const FLIPS: u64 = 24;
const SEED: u64 = 1;
const DRIVERS: [&str; 4] = ["overlay", "vfs", "erofs", "btrfs"];

fn number(name: &str, otherwise: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.map_or(otherwise, |text| text.parse().expect("a number"))
}

/// Files with content, with the layers that they are of: as `STORE ID`.
fn victims(lab: &Lab, layers: &[(String, String, u64)]) -> Vec<(PathBuf, String, String)> {
    let mut found = Vec::new();
    for (store, id, number) in layers {
        let layer = lab.home(store).join("layers").join(number.to_string());
        let mut paths = Vec::new();
        walk(&layer.join("d"), &mut paths);
        // Its record and its digests are in `damage.rs` and `scrub.rs`.
        found.extend(
            paths
                .into_iter()
                .map(|path| (path, store.clone(), id.clone())),
        );
    }
    found
}

fn walk(top: &Path, found: &mut Vec<PathBuf>) {
    let mut paths: Vec<_> = fs::read_dir(top)
        .expect("list")
        .flatten()
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    for path in paths {
        let stat = fs::symlink_metadata(&path).expect("stat");
        if stat.is_dir() && !path.ends_with("d/image") {
            walk(&path, found);
        } else if stat.is_file() && stat.len() > 0 {
            found.push(path);
        }
    }
}

/// Flips a bit of a file; the same again puts it right.
fn flip(path: &Path, chance: u64) {
    let file = File::options()
        .read(true)
        .write(true)
        .open(path)
        .expect("open");
    let at = chance % file.metadata().expect("stat").len();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("read");
    byte[0] ^= 1 << (chance % 8);
    file.write_all_at(&byte, at).expect("write");
}

fn findings(lab: &Lab) -> Vec<Value> {
    let (root, run) = (lab.root(), lab.path("run"));
    let [root, run] = [&root, &run].map(|path| path.to_str().expect("text"));
    let arguments = [
        "--output",
        "json",
        "check",
        "--content",
        "--root",
        root,
        "--run-dir",
        run,
    ];
    let document: Value = serde_json::from_slice(&mica_alone(&arguments).stdout).expect("JSON");
    document["findings"].as_array().expect("findings").clone()
}

/// Layers with their stores and numbers, whose digests were taken.
type Layers = Vec<(String, String, u64)>;

/// A root with layers of all drivers, and no daemon any more.
fn made() -> (Lab, Layers) {
    let bench = VFS_BTRFS.start_in(Lab::on(FileSystem::Btrfs));
    let client = &bench.daemon.client;
    let mut layers = Vec::new();
    for driver in DRIVERS {
        let store = client.create_store(&format!("on-{driver}"), driver, &json!({}));
        let store = store.expect("create a store");
        let base = "d d\nf d/a fill=9000\nf d/b data=x\nf c fill=300\nl e to=c\nf .h fill=70000\n";
        for (id, parent, content) in [
            ("base", None, base),
            (
                "child",
                Some("base"),
                "f d/n data=y\nf c fill=10\nf d/.wh.b",
            ),
            ("other", None, "d q\nf q/a fill=40000"),
        ] {
            store.create(id, parent).expect("create");
            store.apply(id, &archive(content)).expect("apply");
            let view = client.json("POST", &store.target(id, "/verify"), &Value::Null);
            assert_eq!(view.expect("verify")["verdict"], "taken");
            let number = store.inspect(id).expect("inspect")["number"].as_u64();
            layers.push((store.name.clone(), id.to_owned(), number.expect("a number")));
        }
    }
    let lab = bench.lab;
    assert!(bench.daemon.stop().success());
    (lab, layers)
}

#[test]
fn each_flipped_bit_is_found_in_its_layer_and_in_no_other() {
    let (flips, seed) = (number("MICA_FLIPS", FLIPS), number("MICA_SEED", SEED));
    println!("MICA_SEED={seed}");
    let (lab, layers) = made();
    assert_eq!(findings(&lab), [Value::Null; 0]);
    let victims = victims(&lab, &layers);
    let mut stores = std::collections::BTreeMap::new();
    for round in 0..flips {
        let bytes = noise(format!("{seed} {round}").as_bytes(), 16);
        let (one, other) = bytes.split_at(8);
        let chance = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("8 bytes"));
        let count = victims.len() as u64;
        // Each driver has its turn.
        let of_driver = chance(one) % count;
        let place = usize::try_from(of_driver).expect("a place");
        let (path, store, id) = &victims[place];
        flip(path, chance(other));
        let found = findings(&lab);
        let told: Vec<_> = found
            .iter()
            .map(|one| (&one["store"], &one["layer"]))
            .collect();
        assert_eq!(
            told,
            [(&json!(store), &json!(id))],
            "round {round}: {}: {found:?}",
            path.display()
        );
        let name = path.file_name().expect("a name").to_string_lossy();
        let detail = found[0]["detail"].as_str().expect("words");
        assert!(detail.contains(&*name), "{name}: {detail}");
        flip(path, chance(other));
        *stores.entry(store.clone()).or_insert(0) += 1;
    }
    assert_eq!(findings(&lab), [Value::Null; 0]);
    println!(
        "{flips} of {flips} found: {stores:?}, in {} files",
        victims.len()
    );
}
