//! Do layers arrive as they were, from one store to another and as images of other tools?

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mica_tests::archive::archive;
use mica_tests::command::{mica, mica_with_input};
use mica_tests::dump;
use mica_tests::image::{Image, digest};
use mica_tests::setup::{self, Bench, Setup};
use serde_json::{Value, json};

/// What an image may hold, and drivers keep in different ways.
const BASE: &str = r#"
    d ./ mode=755 mtime=7
    d etc mode=755 mtime=10
    f etc/passwd mode=644 own=0:0 mtime=11.5 data="root:x:0:0\n"
    f etc/gone mode=600 data=1
    d bin mode=755
    f bin/tool mode=4755 own=3:4 mtime=12 fill=300000 x:user.note=text
    h bin/also to=bin/tool
    l lib to=bin
    d opt mode=755
    d opt/a mode=1777
    f opt/a/old mode=644 data=old
"#;
const CHILD: &str = r#"
    f etc/.wh.gone mode=644
    f etc/passwd mode=640 own=1:2 mtime=20.25 data="root:x:0:0\nuser\n"
    d opt/a mode=755
    f opt/a/.wh..wh..opq mode=644
    f opt/a/new mode=644 data=new
    h opt/a/link to=opt/a/new
    d opt mode=755 mtime=30
    c opt/null mode=666 rdev=1:3
    p opt/pipe mode=600
"#;
/// Where a chain's archives are told by their chain ids.
const DRIVERS: [&str; 3] = ["vfs", "erofs", "overlay"];

fn layers(bench: &Bench) {
    bench.store.create("base", None).expect("create");
    bench.store.apply("base", &archive(BASE)).expect("apply");
    bench.store.create("child", Some("base")).expect("create");
    bench.store.apply("child", &archive(CHILD)).expect("apply");
}

/// Runs `mica` against a store.
fn in_store(bench: &Bench, store: &str, arguments: &[&str]) -> mica_tests::command::Ended {
    let arguments = [&["--store", store], arguments].concat();
    mica(&bench.daemon.client.socket, &arguments)
}

/// The tree of a layer, as its mount shows it.
fn tree_of(bench: &Bench, store: &str, id: &str) -> String {
    let path = in_store(bench, store, &["layer", "mount", id, "--read-only"]).worked();
    let shown = dump::print(&dump::as_archived(&dump::nodes(Path::new(path.trim()))));
    in_store(bench, store, &["layer", "umount", id]).worked();
    shown
}

/// A store for what arrives.
fn make_store(bench: &Bench, name: &str, driver: &str) {
    let arguments = ["store", "create", name, "--driver", driver];
    in_store(bench, name, &arguments).worked();
}

fn ids(bench: &Bench, store: &str) -> Vec<String> {
    let listed = in_store(bench, store, &["layer", "ls", "-q"]).worked();
    listed.lines().map(str::to_owned).collect()
}

#[track_caller]
fn a_chain_is_copied(from: Setup) {
    let bench = from.start();
    layers(&bench);
    let original = tree_of(&bench, "default", "child");
    for driver in DRIVERS {
        let store = format!("to-{driver}");
        make_store(&bench, &store, driver);
        let told = mica(
            &bench.daemon.client.socket,
            &["--output", "json", "layer", "copy", "child", "--to", &store],
        )
        .worked();
        let told: Value = serde_json::from_str(&told).expect("a document");
        let names: Vec<_> = told["layers"]
            .as_array()
            .expect("layers")
            .iter()
            .map(|one| (one["id"].as_str(), one["was_there"].as_bool()))
            .collect();
        assert_eq!(
            names,
            [(Some("base"), Some(false)), (Some("child"), Some(false))]
        );
        assert!(told["layers"][1]["verified"].as_u64() > Some(10), "{told}");
        assert_eq!(tree_of(&bench, &store, "child"), original, "{driver}");
        // Again: what is there is compared, not copied.
        let again = mica(
            &bench.daemon.client.socket,
            &["layer", "copy", "child", "--to", &store],
        )
        .worked();
        assert!(again.contains("child  was there, "), "{again}");
    }
}

#[test]
fn overlay_is_copied_to_every_driver() {
    a_chain_is_copied(setup::OVERLAY_EXT4);
}

#[test]
fn erofs_is_copied_to_every_driver() {
    a_chain_is_copied(setup::EROFS_EXT4);
}

#[test]
fn btrfs_is_copied_to_every_driver() {
    a_chain_is_copied(setup::BTRFS);
}

#[test]
fn vfs_is_copied_to_every_driver() {
    a_chain_is_copied(setup::VFS_XFS);
}

#[test]
fn a_directory_that_no_archive_describes_may_have_any_time() {
    let bench = setup::EROFS_EXT4.start();
    bench.store.create("base", None).expect("create");
    let implied = archive("f a/b/c mode=644 data=x\nd d mode=755 mtime=5");
    bench.store.apply("base", &implied).expect("apply");
    make_store(&bench, "to", "vfs");
    let copied = mica(
        &bench.daemon.client.socket,
        &["layer", "copy", "base", "--to", "to"],
    );
    assert_eq!(copied.worked(), "base  copied, 4 files compared\n");
}

#[test]
fn a_copy_that_is_not_the_same_is_told_and_nothing_half_stays() {
    let bench = setup::OVERLAY_EXT4.start();
    layers(&bench);
    make_store(&bench, "to", "vfs");
    // Another layer has the name of the one below.
    in_store(&bench, "to", &["layer", "create", "base"]).worked();
    let copy = |arguments: &[&str]| {
        mica(
            &bench.daemon.client.socket,
            &[&["layer", "copy"], arguments].concat(),
        )
    };
    let refused = copy(&["child", "--to", "to"]);
    refused.failed(
        1,
        "layer `base` of store `to` is not the same as `base` of store `default`",
    );
    assert!(
        refused.stderr.contains("/bin/tool: is missing there"),
        "{}",
        refused.stderr
    );
    assert_eq!(ids(&bench, "to"), ["base"]);
    // What is there is compared, also where copies are not.
    copy(&["child", "--to", "to", "--no-verify"]).failed(1, "layer `base` of store `to` is not");
    for (arguments, code, named) in [
        (vec!["nobody", "--to", "to"], 3, "nobody"),
        (vec!["child", "--to", "nowhere"], 3, "nowhere"),
        (
            vec!["child", "--to", "default"],
            2,
            "is in store `default` already",
        ),
        (vec!["child"], 2, "--to"),
    ] {
        copy(&arguments).failed(code, named);
    }
    // Within one store the layers below are shared.
    copy(&["child", "--to", "default", "--as", "twin"]).worked();
    assert_eq!(
        tree_of(&bench, "default", "twin"),
        tree_of(&bench, "default", "child")
    );
    copy(&["child", "--to", "default", "--as", "twin"]).failed(1, "another layer `twin`");
}

#[track_caller]
fn an_export_is_imported(from: Setup, gzip: bool) {
    let bench = from.start();
    layers(&bench);
    let file = bench.lab.scratch("out").join("image.tar");
    let path = file.to_str().expect("text");
    let mut arguments = vec![
        "layer",
        "export",
        "child",
        "-o",
        path,
        "--name",
        "example/app:1",
    ];
    arguments.extend(gzip.then_some("--gzip"));
    mica(&bench.daemon.client.socket, &arguments).worked();
    let first = fs::read(&file).expect("an archive");
    mica(&bench.daemon.client.socket, &arguments).worked();
    assert!(
        fs::read(&file).expect("an archive") == first,
        "the same bytes again"
    );
    for driver in DRIVERS {
        let store = format!("to-{driver}");
        make_store(&bench, &store, driver);
        let id = in_store(&bench, &store, &["layer", "import", path]).worked();
        assert_eq!(
            tree_of(&bench, &store, id.trim()),
            tree_of(&bench, "default", "child"),
            "{driver}"
        );
        let again = in_store(&bench, &store, &["layer", "import", path]);
        assert_eq!(again.worked(), id);
        assert!(
            again.stderr.contains("2 of 2 layers were there"),
            "{}",
            again.stderr
        );
    }
}

#[test]
fn an_export_of_overlay_is_imported_by_every_driver() {
    an_export_is_imported(setup::OVERLAY_EXT4, false);
}

#[test]
fn a_compressed_export_of_erofs_is_imported_by_every_driver() {
    an_export_is_imported(setup::EROFS_EXT4, true);
}

/// A directory with an OCI layout, as other tools write it.
fn layout(bench: &Bench, image: &Image) -> PathBuf {
    let directory = bench.lab.scratch("layout");
    let blobs = directory.join("blobs/sha256");
    fs::create_dir_all(&blobs).expect("a directory");
    for blob in image.layers.iter().chain([&image.config, &image.manifest]) {
        let digits = blob.digest().replace("sha256:", "");
        fs::write(blobs.join(digits), &blob.bytes).expect("a blob");
    }
    let found = json!({ "mediaType": image.manifest.media_type, "digest": image.manifest.digest(), "size": image.manifest.bytes.len() });
    let index = json!({ "schemaVersion": 2, "manifests": [found] });
    fs::write(directory.join("index.json"), index.to_string()).expect("the index");
    directory
}

#[test]
fn what_an_image_says_of_itself_is_checked() {
    let bench = setup::OVERLAY_EXT4.start();
    let image = Image::new("app", &[archive(BASE), archive(CHILD)], &["/bin/tool"]);
    let directory = layout(&bench, &image);
    let path = directory.to_str().expect("text");
    let import = || mica(&bench.daemon.client.socket, &["layer", "import", path]);
    let blob = |of: &[u8]| {
        directory
            .join("blobs/sha256")
            .join(digest(of).replace("sha256:", ""))
    };
    // Every blob in turn: other bytes of the same length, fewer bytes, and none at all.
    for (file, bytes) in [
        (blob(&image.manifest.bytes), &image.manifest.bytes),
        (blob(&image.config.bytes), &image.config.bytes),
        (blob(&image.layers[1].bytes), &image.layers[1].bytes),
    ] {
        let name = file
            .file_name()
            .expect("a name")
            .to_str()
            .expect("text")
            .to_owned();
        let mut other = bytes.clone();
        *other.last_mut().expect("bytes") ^= 1;
        for damaged in [&other[..], &bytes[..bytes.len() - 1], &[]] {
            fs::write(&file, damaged).expect("write");
            import().failed(6, &name);
            assert_eq!(ids(&bench, "default"), [""; 0], "nothing half stays");
        }
        fs::remove_file(&file).expect("remove");
        import().failed(6, &format!("blob sha256:{name} is not in the archive"));
        fs::write(&file, bytes).expect("write");
    }
    import().worked();
    assert_eq!(ids(&bench, "default").len(), 2);
}

#[test]
fn a_layer_that_is_there_is_shared_and_one_that_was_left_empty_is_filled() {
    let bench = setup::OVERLAY_EXT4.start();
    let image = Image::new("app", &[archive(BASE), archive(CHILD)], &["/bin/tool"]);
    let directory = layout(&bench, &image);
    let path = directory.to_str().expect("text");
    let import = || mica(&bench.daemon.client.socket, &["layer", "import", path]);
    let id = import().worked();
    // A layer that a command left empty gets its archive.
    in_store(&bench, "default", &["layer", "rm", id.trim()]).worked();
    let below = ids(&bench, "default").remove(0);
    in_store(
        &bench,
        "default",
        &["layer", "create", id.trim(), "--parent", &below],
    )
    .worked();
    let before = import();
    assert_eq!(before.worked(), id);
    assert!(
        before.stderr.contains("1 of 2 layers were there"),
        "{}",
        before.stderr
    );
    assert!(tree_of(&bench, "default", id.trim()).contains("opt/a/new"));
    // A name of one's own is nobody else's.
    let named = || {
        mica(
            &bench.daemon.client.socket,
            &["layer", "import", path, "--as", "app"],
        )
    };
    assert_eq!(named().worked(), "app\n");
    named().failed(4, "layer `app` exists already");
    assert_eq!(ids(&bench, "default").len(), 3);
}

#[test]
fn a_layer_without_anything_is_shared_too() {
    let bench = setup::OVERLAY_EXT4.start();
    let layers = [archive(BASE), archive(""), archive(CHILD)];
    let directory = layout(&bench, &Image::new("app", &layers, &[]));
    let path = directory.to_str().expect("text");
    let import = |more: &[&str]| {
        let arguments = [&["layer", "import", path], more].concat();
        mica(&bench.daemon.client.socket, &arguments)
    };
    let id = import(&[]).worked();
    let again = import(&[]);
    assert_eq!(again.worked(), id);
    assert!(
        again.stderr.contains("3 of 3 layers were there"),
        "{}",
        again.stderr
    );
    import(&["--platform", "linux/riscv64"]).failed(6, "no image for linux/riscv64");
}

#[test]
fn an_index_within_an_index_is_what_its_name_says() {
    let bench = setup::VFS_TMPFS.start();
    let image = Image::new("app", &[archive(BASE)], &[]);
    let directory = layout(&bench, &image);
    let path = directory.to_str().expect("text");
    let index = fs::read(directory.join("index.json")).expect("the index");
    let digits = digest(&index).replace("sha256:", "");
    let kind = "application/vnd.oci.image.index.v1+json";
    let found = json!({ "mediaType": kind, "digest": digest(&index), "size": index.len() });
    let outer = |found: &[&Value]| {
        let outer = json!({ "schemaVersion": 2, "manifests": found });
        fs::write(directory.join("index.json"), outer.to_string()).expect("the index");
    };
    let inner = directory.join("blobs/sha256").join(&digits);
    fs::write(&inner, &index).expect("a blob");
    let import = || mica(&bench.daemon.client.socket, &["layer", "import", path]);
    outer(&[&found]);
    import().worked();
    outer(&[&found; 65]);
    import().failed(6, "too many indexes");
    outer(&[&found]);
    fs::write(&inner, String::from_utf8_lossy(&index).replace("2,", "2, ")).expect("a blob");
    import().failed(6, &digits);
    // What a directory has instead of a file is not opened.
    fs::remove_file(&inner).expect("remove");
    mica_tests::lab::run(&["mkfifo", inner.to_str().expect("text")]);
    import().failed(6, "is no regular file");
}

#[test]
fn a_link_to_an_output_stays_a_link() {
    let bench = setup::VFS_TMPFS.start();
    bench.store.create("base", None).expect("create");
    let directory = bench.lab.scratch("out");
    let (link, file) = (directory.join("link"), directory.join("file"));
    fs::write(&file, "x".repeat(1 << 20)).expect("write");
    std::os::unix::fs::symlink(&file, &link).expect("a link");
    let path = link.to_str().expect("text");
    mica(
        &bench.daemon.client.socket,
        &["layer", "export", "base", "-o", path],
    )
    .worked();
    assert!(link.is_symlink());
    let read = fs::read(&file).expect("read");
    assert!(read.starts_with(b"oci-layout") && read.len() < 1 << 20);
}

#[test]
fn what_is_no_image_is_refused_and_says_what_it_is() {
    let bench = setup::VFS_TMPFS.start();
    let import =
        |input: &[u8]| mica_with_input(&bench.daemon.client.socket, &["layer", "import"], input);
    let with = |name: &str, text: &str| {
        archive(&format!(
            "f {name} mode=644 data={}",
            serde_json::to_string(text).expect("text")
        ))
    };
    let deep = format!("[{}", "[".repeat(10_000));
    for (input, named) in [
        (b"junk".to_vec(), "it is no tar archive, or a cut one"),
        (
            archive(BASE),
            "it has neither `index.json` nor `manifest.json`",
        ),
        (with("index.json", "{"), "`index.json`"),
        (with("index.json", &deep), "`index.json`"),
        (
            with("index.json", r#"{"schemaVersion":2,"manifests":[]}"#),
            "has no image for",
        ),
        (
            with(
                "index.json",
                r#"{"schemaVersion":2,"manifests":[{"digest":"sha256:../../x","size":1}]}"#,
            ),
            "is no digest",
        ),
        (with("manifest.json", "[]"), "lists no image"),
        (
            with(
                "manifest.json",
                r#"[{"Config":"../../../etc/passwd","RepoTags":null,"Layers":[]}]"#,
            ),
            "`../../../etc/passwd`, which is not in the archive",
        ),
    ] {
        import(&input).failed(6, named);
    }
    let missing = ["layer", "import", "/nonexistent/image.tar"];
    mica(&bench.daemon.client.socket, &missing).failed(1, "/nonexistent/image.tar");
    assert_eq!(ids(&bench, "default"), [""; 0]);
}

#[test]
fn which_image_is_meant_is_asked_where_it_is_not_clear() {
    let bench = setup::VFS_TMPFS.start();
    let images = ["one", "two"].map(|name| {
        let layer = archive(&format!("f {name} mode=644 data={name}"));
        Image::new(name, &[layer], &[])
    });
    let directory = layout(&bench, &images[0]);
    layout(&bench, &images[1]);
    let path = directory.to_str().expect("text");
    let index = |manifests: Value| {
        let index = json!({ "schemaVersion": 2, "manifests": manifests });
        fs::write(directory.join("index.json"), index.to_string()).expect("the index");
    };
    let found = |image: &Image, more: Value| {
        let mut found = json!({ "mediaType": image.manifest.media_type, "digest": image.manifest.digest(), "size": image.manifest.bytes.len() });
        found
            .as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        found
    };
    let import = |more: &[&str]| {
        mica(
            &bench.daemon.client.socket,
            &[&["layer", "import", path], more].concat(),
        )
    };
    let name = |name: &str| json!({ "annotations": { "io.containerd.image.name": name } });
    index(json!([
        found(&images[0], name("example/one:1")),
        found(&images[1], name("registry.example/example/two:1"))
    ]));
    let unclear = import(&[]);
    unclear.failed(6, "more than one image");
    assert!(
        unclear
            .stderr
            .contains("one of: example/one:1, registry.example/example/two:1"),
        "{}",
        unclear.stderr
    );
    import(&["--image", "three"]).failed(6, "the archive has no image `three`");
    // As Docker writes a name, and as its user typed it.
    let id = import(&["--image", "example/two:1"]).worked();
    assert!(tree_of(&bench, "default", id.trim()).contains("two"));
    let platform =
        |architecture: &str| json!({ "platform": { "os": "linux", "architecture": architecture } });
    index(json!([
        found(&images[0], platform("riscv64")),
        found(&images[1], platform("s390x"))
    ]));
    import(&[]).failed(6, "has no image for linux/");
    let id = import(&["--platform", "linux/riscv64"]).worked();
    assert!(tree_of(&bench, "default", id.trim()).contains("one"));
    import(&["--platform", "riscv64"]).failed(2, "a platform reads like");
}

#[test]
fn an_archive_is_whole_or_not_there() {
    let bench = setup::OVERLAY_EXT4.start();
    layers(&bench);
    let directory = bench.lab.scratch("out");
    let file = directory.join("image.tar");
    let path = file.to_str().expect("text");
    let export = |arguments: &[&str]| {
        mica(
            &bench.daemon.client.socket,
            &[&["layer", "export"], arguments].concat(),
        )
    };
    export(&["nobody", "-o", path]).failed(3, "nobody");
    export(&["child", "-o", path, "--name", "Not A Name"]).failed(2, "an image's name reads like");
    fs::write(directory.join("config"), "[1]").expect("write");
    let config = directory.join("config");
    let config = config.to_str().expect("text");
    export(&["child", "-o", path, "--config", config]).failed(6, config);
    assert!(!file.exists());
    fs::write(
        config,
        r#"{"architecture":"riscv64","os":"linux","config":{"Cmd":["/bin/tool"]}}"#,
    )
    .expect("write");
    export(&["child", "-o", path, "--config", config]).worked();
    let shown = Command::new("tar")
        .args(["-xOf", path, "manifest.json"])
        .output()
        .expect("tar");
    let manifest: Value = serde_json::from_slice(&shown.stdout).expect("a document");
    let member = manifest[0]["Config"].as_str().expect("a name");
    let shown = Command::new("tar")
        .args(["-xOf", path, member])
        .output()
        .expect("tar");
    let config: Value = serde_json::from_slice(&shown.stdout).expect("a document");
    assert_eq!(
        (&config["architecture"], &config["config"]["Cmd"][0]),
        (&json!("riscv64"), &json!("/bin/tool"))
    );
    // For another machine, and it is all there is.
    mica(&bench.daemon.client.socket, &["layer", "import", path]).worked();
}

#[test]
fn what_would_go_is_told_before_anything_goes() {
    let bench = setup::OVERLAY_EXT4.start();
    layers(&bench);
    bench.store.create("box", Some("child")).expect("create");
    bench.store.create("other", None).expect("create");
    let remove = |arguments: &[&str]| {
        mica(
            &bench.daemon.client.socket,
            &[&["layer", "rm"], arguments].concat(),
        )
    };
    remove(&["base"]).failed(4, "base");
    remove(&["base", "--dry-run"]).failed(4, "layer `base` has children");
    assert_eq!(
        remove(&["box", "child", "base", "--dry-run"]).worked(),
        "box\nchild\nbase\n"
    );
    assert_eq!(
        remove(&["base", "--recursive", "--dry-run"]).worked(),
        "box\nchild\nbase\n"
    );
    remove(&["child", "box", "--dry-run"]).failed(4, "layer `child` has children");
    remove(&["nobody", "--recursive"]).failed(3, "nobody");
    in_store(&bench, "default", &["layer", "mount", "box"]).worked();
    remove(&["base", "--recursive"]).failed(4, "layer `box` is mounted");
    assert_eq!(ids(&bench, "default").len(), 4, "nothing went");
    in_store(&bench, "default", &["layer", "umount", "box"]).worked();
    assert_eq!(remove(&["base", "-r"]).worked(), "box\nchild\nbase\n");
    assert_eq!(ids(&bench, "default"), ["other"]);
}

#[test]
fn any_two_layers_are_compared() {
    let bench = setup::OVERLAY_EXT4.start();
    for (id, name) in [("one", "a"), ("two", "b")] {
        bench.store.create(id, None).expect("create");
        let text = format!("f both mode=644 data=x mtime=1\nf {name} mode=644 data=y mtime=1");
        bench.store.apply(id, &archive(&text)).expect("apply");
    }
    let changes = mica(
        &bench.daemon.client.socket,
        &["layer", "changes", "one", "two"],
    )
    .worked();
    assert_eq!(changes, "D /a\nA /b\n");
    let back = mica(
        &bench.daemon.client.socket,
        &["layer", "changes", "two", "one"],
    )
    .worked();
    assert_eq!(back, "A /a\nD /b\n");
    let diff = mica(
        &bench.daemon.client.socket,
        &["layer", "diff", "one", "two"],
    );
    bench.store.create("three", Some("one")).expect("create");
    bench.store.apply("three", &diff.stdout).expect("apply");
    assert_eq!(
        tree_of(&bench, "default", "three"),
        tree_of(&bench, "default", "two")
    );
    mica(
        &bench.daemon.client.socket,
        &["layer", "diff", "one", "two", "--whole"],
    )
    .failed(2, "--whole");
}
