//! The driver `erofs`: layers that are their archives.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use mica_tests::archive::{BLOCK, archive, entries};
use mica_tests::build;
use mica_tests::client::{Against, Store};
use mica_tests::docker;
use mica_tests::history::seen;
use mica_tests::http::Body;
use mica_tests::lab::{FileSystem, Lab};
use mica_tests::setup::{self, Bench};
use mica_tests::tree;
use serde_json::json;

/// A layer with a little of everything.
const CONTENT: &str = "
d d mode=750 own=3:4 mtime=1700000000.123456789
f d/f data=hello x:user.comment=some
h hard to=d/f
l link to=d/f
c null rdev=1:3
p pipe
f big fill=70000
f set mode=4755 fill=600
";

/// Archives that other writers would not give back as they came.
fn odd_archives() -> Vec<(&'static str, Vec<u8>)> {
    let trailing = [archive("f f data=1"), vec![0x5a; 3 * BLOCK]].concat();
    let padded = [archive("f f data=1"), vec![0; 17 * BLOCK]].concat();
    vec![
        ("no end mark", entries("f f data=1")),
        ("bytes behind the end", trailing),
        ("many blocks behind the end", padded),
        (
            "the same name often",
            archive("f f data=1\nf f data=22\nd d\nd d mode=700\nf f data=3"),
        ),
        (
            "GNU's long names",
            archive("L long data=some/name\nf some/name data=1"),
        ),
        ("directories without entries", archive("f a/b/c data=1")),
        ("nothing", archive("")),
    ]
}

/// The directory of the only layer with a sealed archive.
fn sealed(bench: &Bench, store: &str) -> PathBuf {
    let layers = fs::read_dir(bench.lab.home(store).join("layers")).expect("the layers");
    let mut found = layers
        .flatten()
        .map(|layer| layer.path().join("d/sealed"))
        .filter(|path| path.exists());
    let first = found.next().expect("a sealed layer");
    assert_eq!(found.next(), None, "one layer is sealed");
    first
}

/// The lines of the table of mounts that show images.
fn images(lab: &Lab) -> Vec<String> {
    let table = fs::read_to_string("/proc/thread-self/mountinfo").expect("the table of mounts");
    let inside = lab.root().display().to_string();
    let lines = table.lines().filter(|line| line.contains(" - erofs "));
    lines
        .filter(|line| line.contains(&inside))
        .map(str::to_owned)
        .collect()
}

fn base(bench: &Bench, content: &[u8]) {
    bench.store.create("base", None).expect("create");
    bench.store.apply("base", content).expect("apply");
}

#[test]
fn the_archive_comes_back_as_it_was_applied() {
    let bench = setup::EROFS_EXT4.start();
    let store = &bench.store;
    store.create("below", None).expect("create");
    store
        .apply("below", &archive("f old data=1\nd a\nf a/x data=1"))
        .expect("apply");
    let rich = ("a little of everything", archive(CONTENT));
    for (name, bytes) in odd_archives().into_iter().chain([rich]) {
        for parent in [None, Some("below")] {
            store.create("layer", parent).expect("create");
            let report = store.apply("layer", &bytes).expect(name);
            let back = store.diff("layer", Against::Parent).expect(name);
            assert!(
                back == bytes,
                "{name}: {} bytes, not {}",
                back.len(),
                bytes.len()
            );
            let other = store.diff("layer", Against::Nothing).expect(name);
            assert!(
                parent.is_none() || other != bytes,
                "{name}: more than the layer was asked for"
            );
            assert!(report["entries"].as_u64().is_some(), "{name}: {report}");
            store.remove("layer").expect("remove");
        }
    }
}

#[test]
fn docker_is_given_the_archive_as_it_was_applied() {
    let bench = docker::Bench::with(FileSystem::Ext4, "erofs");
    let content = archive(CONTENT);
    bench.plugin.create("base", "").expect("create");
    bench.plugin.apply("base", "", &content).expect("apply");
    bench.plugin.create("top", "base").expect("create");
    let deleted = archive("f .wh.big\nf new data=1");
    bench.plugin.apply("top", "base", &deleted).expect("apply");
    assert!(bench.plugin.diff("base", "").expect("diff") == content);
    assert!(bench.plugin.diff("top", "base").expect("diff") == deleted);
}

#[test]
fn an_image_is_attached_once_without_rights_and_goes_with_its_layer() {
    let bench = setup::EROFS_EXT4.start();
    base(&bench, &archive(CONTENT));
    let store = &bench.store;
    assert_eq!(
        images(&bench.lab),
        Vec::<String>::new(),
        "nobody has asked for it"
    );
    for id in ["one", "two"] {
        store.create_read_write(id, Some("base")).expect("create");
        let path = store.mount(id).expect("mount");
        assert_eq!(fs::read_to_string(path.join("d/f")).expect("read"), "hello");
        fs::write(path.join("d/f"), "changed").expect("write");
    }
    let attached = images(&bench.lab);
    let [line] = &attached[..] else {
        panic!("one image is attached: {attached:?}")
    };
    assert!(line.contains(" ro,nosuid,nodev,noexec"), "{line}");
    // A view of the layer alone lets its programs run.
    let view = store.view("base").expect("view");
    let table = fs::read_to_string("/proc/thread-self/mountinfo").expect("the table of mounts");
    let shown = table
        .lines()
        .find(|line| line.contains(&format!(" {} ", view.display())));
    let shown = shown.expect("the view is mounted");
    assert!(
        !shown.contains("noexec") && !shown.contains("nosuid"),
        "{shown}"
    );
    for id in ["one", "two"] {
        store.unmount(id).expect("unmount");
        store.remove(id).expect("remove");
    }
    store.unmount("base").expect("unmount");
    store.remove("base").expect("remove");
    assert_eq!(images(&bench.lab), Vec::<String>::new());
}

#[test]
fn a_sealed_layer_outlives_its_daemon_and_a_reboot() {
    let bench = setup::EROFS_EXT4.start();
    base(&bench, &archive(CONTENT));
    bench.store.create("child", Some("base")).expect("create");
    let before = seen(&bench.store, "child");
    let bench = bench.restart(|daemon| assert!(daemon.stop().success()));
    assert_eq!(images(&bench.lab).len(), 1, "containers may have it");
    assert_eq!(seen(&bench.store, "child"), before);
    assert_eq!(images(&bench.lab).len(), 1, "it was found attached");
    // After a reboot nothing is mounted.
    let bench = bench.restart(|daemon| daemon.kill());
    let image = sealed(&bench, "default").with_file_name("image");
    mica_tests::lab::run(&["umount", image.to_str().expect("text")]);
    assert_eq!(seen(&bench.store, "child"), before);
    assert_eq!(images(&bench.lab).len(), 1);
}

/// Panics unless the directories of a layer have these names in their rooms: those below it as they are mounted, its upper,
/// overlayfs' own, and what it is without an upper.
#[track_caller]
fn lies(bench: &Bench, id: &str, expected: [&str; 4]) {
    let target = bench.store.target(id, "/metadata");
    let told = bench.daemon.client.get(&target).expect("metadata");
    let names = |key: &str| {
        let text = told["metadata"][key].as_str().unwrap_or_default();
        let names = text.split(':').filter_map(|path| path.rsplit('/').next());
        names.collect::<Vec<_>>().join(" ")
    };
    let found = ["LowerDir", "UpperDir", "WorkDir", "SourceDir"].map(names);
    assert_eq!(found, expected, "{told}");
}

#[test]
fn a_layer_that_changes_keeps_its_image_and_gets_an_upper() {
    let bench = setup::EROFS_EXT4.start();
    let (store, content) = (&bench.store, archive(CONTENT));
    base(&bench, &content);
    let room = sealed(&bench, "default")
        .parent()
        .expect("the room")
        .to_owned();
    // A mount through which nothing was changed changes nothing.
    store.mount("base").expect("mount");
    store.unmount("base").expect("unmount");
    assert!(store.diff("base", Against::Nothing).expect("diff") == content);
    let path = store.mount("base").expect("mount");
    tree::build(&path, "f added data=1\n- big\n");
    store.unmount("base").expect("unmount");
    assert!(room.join("sealed").exists() && room.join("upper/added").exists());
    let changed = seen(&bench.store, "base");
    let diff = store.diff("base", Against::Nothing).expect("diff");
    store.create("copy", None).expect("create");
    store.apply("copy", &diff).expect("apply");
    assert_eq!(seen(store, "copy"), changed);
    // A second archive goes above, too.
    store
        .apply("copy", &archive("f .wh.added\nf more data=2"))
        .expect("apply");
    let path = store.view("copy").expect("view");
    assert!(!path.join("added").exists() && path.join("more").exists());
    store.unmount("copy").expect("unmount");
    // Chains of both kinds.
    store.create("top", Some("copy")).expect("create");
    store
        .apply("top", &archive("f .wh.more\nd d\nf d/new data=3"))
        .expect("apply");
    let path = store.view("top").expect("view");
    assert!(
        !path.join("more").exists() && path.join("d/f").exists() && path.join("d/new").exists()
    );
    store.unmount("top").expect("unmount");
    lies(&bench, "copy", ["image", "upper", "work", ""]);
    lies(&bench, "top", ["upper image", "", "", "sealed"]);
    assert_eq!(
        store.changes("top", Against::Parent).expect("changes"),
        "C /d\nA /d/new\nD /more\n"
    );
}

/// What cannot be an index is unpacked, by the archive that was kept; nothing of it stays.
/// Panics unless the only sealed layer occupies what its image and its upper have on the device.
#[track_caller]
fn occupies_what_it_has(bench: &Bench) {
    let sync = std::process::Command::new("sync")
        .arg("-f")
        .arg(bench.lab.root())
        .status();
    assert!(sync.expect("sync").success());
    let sealed = sealed(bench, "default");
    let upper = sealed.with_file_name("upper");
    let (mut bytes, mut inodes) = tree::disk_usage(&sealed);
    if upper.exists() {
        let (more_bytes, more_inodes) = tree::disk_usage(&upper);
        (bytes, inodes) = (bytes + more_bytes, inodes + more_inodes);
    }
    let told = bench
        .daemon
        .client
        .get(&bench.store.target("base", "/usage"));
    let expected = json!({ "bytes": bytes, "inodes": inodes, "source": "walk" });
    assert_eq!(told.expect("usage"), expected);
}

#[test]
fn a_layer_occupies_its_image_and_the_upper_above_it() {
    for setup in [setup::EROFS_EXT4, setup::EROFS_BTRFS] {
        let bench = setup.start();
        base(&bench, &archive(CONTENT));
        occupies_what_it_has(&bench);
        let path = bench.store.mount("base").expect("mount");
        // Copied up, new, hidden, and new with two names.
        fs::set_permissions(path.join("big"), fs::Permissions::from_mode(0o600)).expect("chmod");
        fs::write(path.join("new"), vec![7; 300_000]).expect("write");
        fs::hard_link(path.join("new"), path.join("d/again")).expect("link");
        fs::remove_file(path.join("set")).expect("remove");
        occupies_what_it_has(&bench);
        bench.store.unmount("base").expect("unmount");
        occupies_what_it_has(&bench);
        let second = archive("f more fill=50000\nf big fill=1000");
        bench.store.apply("base", &second).expect("apply");
        occupies_what_it_has(&bench);
    }
}

#[test]
fn what_an_index_cannot_hold_is_unpacked() {
    let bench = setup::EROFS_EXT4.start();
    let store = &bench.store;
    store.create("below", None).expect("create");
    store
        .apply(
            "below",
            &archive("f file data=1\nd target\nl link to=target"),
        )
        .expect("apply");
    for (name, script) in [
        ("a link to a file of the layer below", "h again to=file"),
        ("a way through a link of the layer below", "f link/x data=1"),
    ] {
        store.create("layer", Some("below")).expect("create");
        store.apply("layer", &archive(script)).expect(name);
        let path = store.view("layer").expect("view");
        assert!(
            path.join("again").exists() || path.join("target/x").exists(),
            "{name}"
        );
        store.unmount("layer").expect("unmount");
        let _only_below = sealed(&bench, "default");
        store.remove("layer").expect("remove");
    }
}

/// What is sealed is compared with what was sealed before it is given out: the kernel looks at neither.
#[test]
fn an_archive_or_index_that_was_changed_on_disk_is_named_and_not_served() {
    let bench = setup::EROFS_EXT4.start();
    base(&bench, &archive(CONTENT));
    let store = &bench.store;
    let (tar, index) = {
        let sealed = sealed(&bench, "default");
        (sealed.join("layer.tar"), sealed.join("layer.erofs"))
    };
    let whole = fs::read(&tar).expect("read");
    // One byte of a file's content.
    let at = whole
        .windows(5)
        .position(|part| part == b"hello")
        .expect("the content");
    overwrite(&tar, at, b"jello");
    let target = store.target("base", "/diff");
    let answer = store.client.try_send("GET", &target, Body::Empty);
    assert!(
        !answer.is_ok_and(|answer| answer.complete && answer.status == 200),
        "a stream that looks whole"
    );
    overwrite(&tar, at, b"hello");
    assert!(store.diff("base", Against::Nothing).expect("diff") == whole);
    // A byte of the index.
    let good = fs::read(&index).expect("read");
    overwrite(&index, 1400, &[!good[1400]]);
    refuses(&bench, "checksum");
    overwrite(&index, 1400, &[good[1400]]);
    // Behind the block with the checksum: the rights of a file, perhaps.
    let at = good.len() - 600;
    overwrite(&index, at, &[!good[at]]);
    refuses(&bench, "index");
    overwrite(&index, at, &[good[at]]);
    // An archive that is shorter than the index says.
    fs::write(&tar, &whole[..whole.len() - 2 * BLOCK]).expect("write");
    refuses(&bench, "blocks");
    fs::write(&tar, &whole).expect("write");
    store
        .create("again", Some("base"))
        .expect("all is as it was");
    store.remove("again").expect("remove");
}

fn overwrite(file: &Path, at: usize, bytes: &[u8]) {
    let file = fs::File::options().write(true).open(file).expect("open");
    file.write_all_at(bytes, at as u64).expect("write");
}

/// Nothing is mounted, and the message says why.
fn refuses(bench: &Bench, why: &str) {
    let image = sealed(bench, "default").with_file_name("image");
    if !images(&bench.lab).is_empty() {
        mica_tests::lab::run(&["umount", image.to_str().expect("text")]);
    }
    let told = bench.store.view("base").expect_err("it is damaged");
    let text = format!("{told:?}");
    assert!(text.contains(why) && text.contains("base"), "{text}");
    assert_eq!(images(&bench.lab), Vec::<String>::new());
}

/// The grants of a driver that may have images.
const FORGER: &str = "[drivers.forger]\ngrants = ['directory', 'home', 'mounts', 'images', 'streams', 'log', 'config', 'filesystem']\n";

/// Makes a layer of the driver that forges, and answers what the host said.
fn forge(store: &Store, index: &[u8], archive: &[u8], how: &str) -> String {
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let options = json!({ "index": hex(index), "archive": hex(archive), "how": how });
    let problem = store
        .create_as(json!({ "id": "forged", "storage_options": options }))
        .expect_err("creating it always fails");
    format!("{}: {}", problem.code, problem.detail)
}

/// The index and the archive of a small layer, as the shipped driver makes them.
fn genuine() -> (Vec<u8>, Vec<u8>) {
    let bench = setup::EROFS_EXT4.start();
    base(&bench, &entries("f file data=1"));
    let sealed = sealed(&bench, "default");
    let read = |name| fs::read(sealed.join(name)).expect("read");
    (read("layer.erofs"), read("layer.tar"))
}

/// Makes the superblock's checksum right again.
fn sum_up(index: &mut [u8]) {
    index[1028..1032].fill(0);
    let sum = index[1024..1536].iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ if sum & 1 == 1 { 0x82f6_3b78 } else { 0 }
        })
    });
    index[1028..1032].copy_from_slice(&sum.to_le_bytes());
}

/// What a hostile driver writes reaches the kernel only if it is what the shipped one would have written.
#[test]
fn a_driver_that_forges_indexes_is_refused_by_the_rule_that_it_breaks() {
    let (index, archive) = genuine();
    let lab = Lab::on(FileSystem::Ext4);
    let mut settings = setup::EROFS_EXT4.settings(&lab);
    settings.configuration = Some(FORGER.to_owned());
    let daemon = settings.start();
    daemon.client.load_driver(&build::forger()).expect("load");
    let store = daemon
        .client
        .create_store("forged", "forger", &json!({}))
        .expect("make a store");
    let mounted = forge(&store, &index, &archive, "");
    assert!(mounted.contains("the image was mounted"), "{mounted}");
    let exchanged = forge(&store, &index, &archive, "late");
    assert!(exchanged.contains("the image was mounted"), "{exchanged}");
    for (how, why) in [("held", "open for writing"), ("elsewhere", "not the room")] {
        let told = forge(&store, &index, &archive, how);
        assert!(told.contains(why), "{how}: {told}");
    }
    let short = forge(&store, &index, &archive[..512], "");
    assert!(short.contains("blocks"), "{short}");
    let root = usize::from(index[1038]) * 32;
    for (at, value, why) in [
        (0, 1, "is zero"),
        (1024, 0, "magic"),
        (1024 + 12, 12, "512 bytes"),
        (1024 + 80, 0x4c, "features"),
        (1024 + 86, 2, "one device"),
        (1152, b'x', "SHA-256"),
        (root, 7, "layouts"),
        (root + 6, 1, "reserved"),
        (root + 44, 9, "counts its names"),
        (root + 64 + 10, 7, "type of its inode"),
    ] {
        let mut forged = index.clone();
        forged[at] = value;
        sum_up(&mut forged);
        let told = forge(&store, &forged, &archive, "");
        assert!(told.contains(why), "{at}: {told}");
    }
    let mut unsummed = index.clone();
    unsummed[1500] ^= 1;
    assert!(forge(&store, &unsummed, &archive, "").contains("checksum"));
    assert!(forge(&store, &index[..1024], &archive, "").contains("512 bytes long"));
    assert_eq!(images(&lab), Vec::<String>::new(), "nothing stays mounted");
    // Without the grant it is not even loaded.
    let bare = setup::VFS_EXT4.start();
    let problem = bare.daemon.client.load_driver(&build::forger());
    let problem = problem.expect_err("images are not standard");
    assert!(format!("{problem:?}").contains("images"), "{problem:?}");
}

#[test]
fn holes_are_not_compared_though_an_image_counts_their_blocks() {
    let bench = setup::EROFS_EXT4.start();
    let store = &bench.store;
    // Half a terabyte would take minutes to read.
    let sparse = "f file data=x pax:GNU.sparse.size=549755813888 pax:GNU.sparse.numblocks=1 pax:GNU.sparse.map=0,1";
    for (id, more) in [("one", ""), ("other", "\nf more data=1")] {
        store.create(id, None).expect("create");
        let content = archive(&format!("{sparse}{more}"));
        store.apply(id, &content).expect("apply");
    }
    assert_eq!(
        store
            .changes("other", Against::Layer("one"))
            .expect("changes"),
        "A /more\n"
    );
}

#[test]
fn a_file_system_that_cannot_hold_images_is_refused_and_why() {
    let lab = Lab::on(FileSystem::Tmpfs);
    let daemon = setup::VFS_TMPFS.settings(&lab).start();
    let problem = daemon
        .client
        .create_store("other", "erofs", &json!({}))
        .expect_err("tmpfs");
    problem.is(problem.status, "incompatible-fs", "ext4, xfs or btrfs");
    assert!(!lab.home("other").exists());
}

/// More layers than fit one page of mount options.
#[test]
fn five_hundred_sealed_layers_are_one_view() {
    let bench = setup::EROFS_EXT4.start();
    let store = &bench.store;
    let mut parent: Option<String> = None;
    for number in 0..499 {
        let id = format!("l{number}");
        store.create(&id, parent.as_deref()).expect("create");
        let content = archive(&format!("f f{number} data=1\nf same data={number}"));
        store.apply(&id, &content).expect("apply");
        parent = Some(id);
    }
    store
        .create_read_write("top", parent.as_deref())
        .expect("create");
    let path = store.mount("top").expect("mount");
    assert_eq!(fs::read_dir(&path).expect("list").count(), 500);
    assert_eq!(fs::read_to_string(path.join("same")).expect("read"), "498");
    let mut file = fs::File::create(path.join("new")).expect("create");
    file.write_all(b"x").expect("write");
    drop(file);
    store.unmount("top").expect("unmount");
    assert_eq!(images(&bench.lab).len(), 499);
}
