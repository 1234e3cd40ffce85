//! Over Docker's protocol an overlay's archive is, byte for byte, the one that moby's overlay2 makes of the same upper
//! directory: otherwise an image would get other digests when a host moves to Mica.

use std::path::{Path, PathBuf};
use std::process::Command;

use mica_tests::build::repository;
use mica_tests::docker::{Bench, peer};
use mica_tests::lab::{FileSystem, run};
use mica_tests::{listing, tree};

/// What lies below: a bit of everything that can be removed and replaced.
const BELOW: &str = "
    d etc
    f etc/passwd data=root
    f etc/gone data=gone
    f etc/also-gone data=gone
    f etc/third-gone data=gone
    d opt/deep/er
    f opt/deep/er/file data=old
    d srv/remade mode=1777 own=7:8
    f srv/remade/old data=old
    d var/kept
    f var/kept/file data=kept
    f var/becomes-a-directory data=x
    d var/becomes-a-file
    f var/becomes-a-file/x data=x
    l lib to=usr/lib
";

/// What a container did to it.
const CHANGES: &str = "
    - etc/gone
    - etc/also-gone
    - etc/third-gone
    - opt/deep
    - srv/remade
    d srv/remade mode=2750 own=9:10
    f srv/remade/new data=new
    - var/becomes-a-directory
    d var/becomes-a-directory
    f var/becomes-a-directory/x data=x
    - var/becomes-a-file
    f var/becomes-a-file data=x
    - lib
    l lib to=/elsewhere
    m var/kept/file mode=600
    d plain/a
    f plain/a/x data=1
    f plain/a-b data=2
    f plain/a.b data=3
    f plain/empty
    f plain/block fill=512 mode=4755
    f plain/block-and-one fill=513 mode=2755
    f plain/megabyte fill=1048577 mode=1644
    f plain/owned data=x own=65534:65534
    f plain/huge-owner data=x own=4000000000:2097152
    f plain/old data=x mtime=1.5
    f plain/before data=x mtime=-86400.25
    f plain/after data=x mtime=9000000000.75
    f plain/precise data=x mtime=1700000000.999999999
    f links/one data=shared
    h links/two to=links/one
    h links/sub-three to=links/one
    l links/symbolic to=one
    h links/also-symbolic to=links/symbolic
    d nodes
    p nodes/pipe mode=640
    s nodes/socket
    c nodes/null rdev=1:3 mode=666
    b nodes/disk rdev=259:70000 mode=660 own=0:6
    f user data=x x:user.colour=blue
    f names/ümläut data=x
    f \"names/with blanks\" data=x
    f \"names/\\xff\\xfe not text\" data=x
    f names/用戶名 data=x
    l names/to-ümläut to=ümläut
    l names/far to=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    f names/.wh.looks-like-a-whiteout data=x
    d names/.wh.directory
    f names/.wh.directory/x data=x
";

/// A script with the directories that its lines need.
fn whole(script: &str) -> String {
    let mut whole = String::new();
    for line in script.lines() {
        let path = line.split_whitespace().nth(1).unwrap_or_default();
        let makes = !line.trim_start().starts_with(['-', 'm']);
        for (at, _) in path
            .match_indices('/')
            .filter(|_| makes && !path.starts_with('"'))
        {
            whole += &format!("d {}\n", &path[..at]);
        }
        whole += &format!("{line}\n");
    }
    whole
}

/// Names around the lengths where the format of a header changes.
fn long_names() -> String {
    let mut script = String::new();
    for length in [92, 93, 94, 99, 100, 101, 155, 156, 254, 255] {
        let name = "n".repeat(length);
        script += &format!("f long/{name} data=x\nd longdir/{name}\n");
    }
    for (outer, inner) in [
        (50, 50),
        (99, 99),
        (147, 100),
        (148, 100),
        (150, 101),
        (200, 200),
    ] {
        let (outer, inner) = ("o".repeat(outer), "i".repeat(inner));
        script += &format!("f longer/{outer}/{inner} data=x\nd longer/{outer}/{inner}d\n");
        script += &format!("h longer/{outer}/{inner}-link to=longer/{outer}/{inner}\n");
    }
    script += &format!("f deep/{}end data=x\n", "directory/".repeat(40));
    script += &format!("f mixed/{}ä data=x\n", "m".repeat(120));
    script
}

/// File capabilities: one that comes back as it is, one whose user namespace moby drops, and one on a hard link.
fn add_capabilities(root: &Path) {
    tree::build(
        root,
        "d caps\nf caps/ping data=x\nf caps/scoped data=x\nf caps/linked data=x\nh caps/other to=caps/linked\n",
    );
    let path = |name: &str| root.join("caps").join(name).display().to_string();
    run(&["setcap", "cap_net_raw=ep", &path("ping")]);
    run(&["setcap", "-n", "1000", "cap_net_admin=ep", &path("scoped")]);
    run(&["setcap", "cap_setuid=ep", &path("linked")]);
}

/// The archive of moby's: of an upper directory, or of what differs between two trees.
fn reference(trees: &[PathBuf]) -> Vec<u8> {
    let hidden =
        "mount --bind /dev/null /etc/passwd && mount --bind /dev/null /etc/group && exec \"$@\"";
    let output = Command::new("unshare")
        .args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            hidden,
            "sh",
        ])
        .arg(peer("archive"))
        .args(trees)
        .output()
        .expect("start the reference");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let expected = told
        .lines()
        .all(|line| line.contains("sockets not supported"));
    assert!(expected, "the reference left something out: {told}");
    output.stdout
}

/// What the driver says of a layer under a key.
fn directory(bench: &Bench, id: &str, key: &str) -> PathBuf {
    let told = bench.plugin.about("GetMetadata", id).expect("metadata");
    PathBuf::from(told["Metadata"][key].as_str().expect("a directory"))
}

/// Compares an overlay's archive of a layer with the reference.
#[track_caller]
fn same_as_moby(bench: &Bench, id: &str, parent: &str) -> Vec<u8> {
    let ours = bench.plugin.diff(id, parent).expect("diff");
    same(id, &ours, &reference(&[directory(bench, id, "UpperDir")]));
    ours
}

/// Says where two archives part.
#[track_caller]
fn same(id: &str, ours: &[u8], mobys: &[u8]) {
    let parting = (0..ours.len().max(mobys.len())).find(|&at| ours.get(at) != mobys.get(at));
    if let Some(at) = parting {
        let block = at / 512 * 512;
        let shown = |bytes: &[u8]| {
            let end = bytes.len().min(block + 512);
            let bytes = bytes.get(block..end).unwrap_or_default();
            bytes.escape_ascii().to_string()
        };
        panic!(
            "`{id}`: byte {at} of {} and {}:\nours  {}\nmobys {}",
            ours.len(),
            mobys.len(),
            shown(ours),
            shown(mobys)
        );
    }
}

/// Works in a mounted layer.
fn within(bench: &Bench, id: &str, work: impl FnOnce(&Path)) {
    let root = bench.plugin.get(id).expect("get");
    work(&root);
    bench.plugin.about("Put", id).expect("put");
}

#[test]
fn an_upper_directory_gives_mobys_bytes() {
    for file_system in [FileSystem::Ext4, FileSystem::Xfs] {
        let bench = Bench::with(file_system, "overlay");
        bench.plugin.create("below", "").expect("create");
        within(&bench, "below", |root| tree::build(root, &whole(BELOW)));
        bench.plugin.create("layer", "below").expect("create");
        within(&bench, "layer", |root| {
            tree::build(root, &whole(&(CHANGES.to_owned() + &long_names())));
            add_capabilities(root);
        });
        same_as_moby(&bench, "below", "");
        let archive = same_as_moby(&bench, "layer", "below");
        let names: Vec<_> = listing::list(&archive)
            .into_iter()
            .map(|entry| entry.name)
            .collect();
        for expected in ["etc/.wh.gone", "srv/remade/.wh..wh..opq", "opt/.wh.deep"] {
            let found = names.iter().any(|name| name == expected.as_bytes());
            assert!(
                found,
                "{expected} is not in the archive: the case tests nothing"
            );
        }
        // A layer that was applied, rather than written to, gives the same bytes as moby's reader of it would.
        bench.plugin.create("applied", "below").expect("create");
        bench
            .plugin
            .apply("applied", "below", &archive)
            .expect("apply");
        same_as_moby(&bench, "applied", "below");
        // While processes use it as well.
        bench.plugin.get("layer").expect("get");
        same_as_moby(&bench, "layer", "below");
    }
}

#[test]
fn a_whole_root_file_system_gives_mobys_bytes() {
    let bench = Bench::with(FileSystem::Ext4, "overlay");
    bench.plugin.create("rootfs", "").expect("create");
    within(&bench, "rootfs", |root| {
        let archive = repository().join("target/demo/rootfs.tar");
        let root = root.to_str().expect("a path that is text");
        if archive.exists() {
            let archive = archive.to_str().expect("a path that is text");
            run(&[
                "tar",
                "-x",
                "--xattrs",
                "--numeric-owner",
                "-C",
                root,
                "-f",
                archive,
            ]);
        } else {
            // Without a network: of this machine what fits twice on the file system under test.
            run(&["cp", "-a", "/etc", "/usr/sbin", "/usr/share/perl", root]);
        }
    });
    let archive = same_as_moby(&bench, "rootfs", "");
    assert!(
        archive.len() > 20_000_000,
        "{} bytes are no root file system",
        archive.len()
    );
    bench.plugin.create("again", "").expect("create");
    bench.plugin.apply("again", "", &archive).expect("apply");
    assert_eq!(same_as_moby(&bench, "again", ""), archive);
}

/// Without deletions, whose time moby takes from its clock, two views that are compared give moby's bytes as well.
#[test]
fn compared_views_give_mobys_bytes() {
    let added: String = CHANGES
        .lines()
        .filter(|line| {
            !line.trim_start().starts_with('-')
                && !line.contains("becomes")
                && !line.contains("l lib")
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let bench = Bench::with(FileSystem::Ext4, "vfs");
    bench.plugin.create("below", "").expect("create");
    within(&bench, "below", |root| tree::build(root, &whole(BELOW)));
    bench.plugin.create("layer", "below").expect("create");
    within(&bench, "layer", |root| {
        tree::build(root, &whole(&(added + &long_names())));
        add_capabilities(root);
    });
    let tree = |id: &str| directory(&bench, id, "SourceDir");
    let archive = bench.plugin.diff("layer", "").expect("diff");
    same("layer", &archive, &reference(&[tree("layer")]));
    let archive = bench.plugin.diff("layer", "below").expect("diff");
    same(
        "layer",
        &archive,
        &reference(&[tree("layer"), tree("below")]),
    );
    assert!(archive.len() > 1_000_000, "the case tests nothing");
}
