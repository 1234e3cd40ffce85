//! Layers that are kept as their archives (driver erofs), beside trees of files: Mica's driver overlay, moby's overlay2 in
//! process, GNU tar.
//!
//! Invariant: whatever writes is measured until the file system has written it, and nothing that a run left is still being
//! written or deleted when the next begins.

use super::archives::{EXTRACT, drained, finish};
use super::moby::Moby;
use crate::Arguments;
use crate::daemon::Daemon;
use crate::measure::{Report, Side, Spent, watched};
use crate::place::{Names, Place, run, settle, sync};
use crate::request::{create, get, mount, put, remove, unmount};
use anyhow::Result;
use std::cell::RefCell;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Members of an archive that has nothing but names: as many as a root file system has.
const MEMBERS: usize = 6700;
/// Rounds whose trees have room beside each other: what is deleted between two of them makes ext4 slower for the next.
const ROUNDS: usize = 6;

/// Where all sides work, side by side on one file system.
struct Field<'a> {
    place: &'a str,
    above: PathBuf,
    rootfs: PathBuf,
    gzip: PathBuf,
    zstd: PathBuf,
    moby: RefCell<Moby>,
    layers: Names,
}

/// Measures on an ext4 in memory and on the disk.
pub(super) fn sealed(arguments: &Arguments, place: &Place, report: &mut Report) -> Result<()> {
    for (above, name) in [(place.looped()?, "loop ext4"), (place.disk(), "disk")] {
        let above = above.join("sealed");
        fs::create_dir(&above)?;
        report.begin(&format!("layers as archives, on {name}"));
        measure(arguments, &above, name, report)?;
        fs::remove_dir_all(&above)?;
    }
    Ok(())
}

fn measure(arguments: &Arguments, above: &Path, place: &str, report: &mut Report) -> Result<()> {
    let rootfs = fs::canonicalize(&arguments.rootfs)?;
    let packed = |program: &str, level: &str, name: &str| {
        let to = above.join(name);
        let mut command = Command::new(program);
        command.args([level, "-c"]).arg(&rootfs);
        run(command.stdout(File::create(&to)?)).map(|()| to)
    };
    let field = Field {
        place,
        gzip: packed("gzip", "-6", "rootfs.tar.gz")?,
        zstd: packed("zstd", "-3", "rootfs.tar.zst")?,
        moby: RefCell::new(Moby::start(&above.join("moby"))?),
        above: above.to_owned(),
        rootfs,
        layers: Names::new("layer"),
    };
    let start = |driver: &'static str| above.join(driver);
    let (erofs, overlay) = (start("erofs"), start("overlay"));
    let _daemons = (
        Daemon::start(
            &arguments.mica,
            &erofs,
            &["--driver".as_ref(), "erofs".as_ref()],
        )?,
        Daemon::start(
            &arguments.mica,
            &overlay,
            &["--driver".as_ref(), "overlay".as_ref()],
        )?,
    );
    let (erofs, overlay) = (&*erofs, &*overlay);
    applies(&field, erofs, overlay, report)?;
    index(&field, erofs, report)?;
    for daemon in [erofs, overlay] {
        create(&socket(daemon), "kept", None)?;
        put(&socket(daemon), "kept", &field.rootfs)?;
    }
    settle(&[erofs.to_owned(), overlay.to_owned()])?;
    occupied(&field, [erofs, overlay], report)?;
    diffs(&field, erofs, overlay, report)?;
    reads(&field, erofs, overlay, report)?;
    // An image stays attached until its layer goes.
    for daemon in [erofs, overlay] {
        remove(&socket(daemon), "kept")?;
    }
    settle(&[erofs.to_owned(), overlay.to_owned()])
}

fn socket(daemon: &Path) -> PathBuf {
    daemon.join("socket")
}

/// Archives that are applied to new layers, and these removed.
fn applies(field: &Field<'_>, erofs: &Path, overlay: &Path, report: &mut Report) -> Result<()> {
    let place = field.place;
    for (archive, how, unpack) in [
        (&field.rootfs, "plain", None),
        (&field.gzip, "gzip", Some("gzip")),
        (&field.zstd, "zstd", Some("zstd")),
    ] {
        let by = |daemon| move || applied(field, daemon, archive);
        let mut sides = vec![
            Side::timed("Mica erofs", by(erofs)),
            Side::timed("Mica overlay", by(overlay)),
            Side::timed("GNU tar, sync", || untar(field, archive, unpack)),
        ];
        if unpack.is_none() {
            let moby = || by_moby(field, archive);
            sides.push(Side::timed("moby overlay2 in process, sync", moby));
        }
        let job = format!("{place}: apply of a root file system, {how}, durable");
        report.compare_at_most(ROUNDS, &job, sides)?;
        clear(field, [erofs, overlay])?;
    }
    for (until, what) in [
        (Until::Answered, "the answer"),
        (Until::Freed, "the blocks are free"),
    ] {
        let by = |daemon| move || removed(daemon, &field.rootfs, until);
        let sides = vec![
            Side::timed("Mica erofs", by(erofs)),
            Side::timed("Mica overlay", by(overlay)),
            Side::timed("moby overlay2 in process", || removed_by_moby(field, until)),
        ];
        report.compare(&format!("{place}: remove that layer, until {what}"), sides)?;
    }
    Ok(())
}

/// Applies over REST, which answers when all is on the device.
fn applied(field: &Field<'_>, daemon: &Path, archive: &Path) -> Result<Spent> {
    let (socket, layer) = (socket(daemon), field.layers.next());
    create(&socket, &layer, None)?;
    settle(&[daemon.to_owned()])?;
    watched(|| put(&socket, &layer, archive))
}

fn untar(field: &Field<'_>, archive: &Path, unpack: Option<&str>) -> Result<Spent> {
    let tree = field.above.join(field.layers.next());
    fs::create_dir(&tree)?;
    sync(&tree)?;
    watched(|| {
        let mut tar = Command::new("tar");
        tar.args(EXTRACT).arg("--directory").arg(&tree);
        match unpack {
            None => run(tar.arg("--file").arg(archive))?,
            Some(program) => {
                let mut unpack = Command::new(program);
                unpack.arg("-dc").arg(archive).stdout(Stdio::piped());
                let mut unpack = unpack.spawn()?;
                let output = unpack.stdout.take().map_or(Stdio::null(), Stdio::from);
                run(tar.args(["--file", "-"]).stdin(output))?;
                unpack.wait()?;
            }
        }
        sync(&tree)
    })
}

fn by_moby(field: &Field<'_>, archive: &Path) -> Result<Spent> {
    let (mut moby, layer) = (field.moby.borrow_mut(), field.layers.next());
    moby.ask(&format!("create {layer}"))?;
    sync(&field.above)?;
    watched(|| {
        moby.ask(&format!("apply {layer} {}", archive.display()))?;
        sync(&field.above)
    })
}

/// Removes what the runs of a comparison have left. Each layer is of one side.
fn clear(field: &Field<'_>, daemons: [&Path; 2]) -> Result<()> {
    for layer in field.layers.take() {
        let [_one, _other] = daemons.map(|daemon| remove(&socket(daemon), &layer));
        match fs::remove_dir_all(field.above.join(&layer)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => done?,
        }
        field.moby.borrow_mut().ask(&format!("remove {layer}"))?;
    }
    settle(&daemons.map(Path::to_owned))
}

/// Until when a removal counts.
#[derive(Clone, Copy)]
enum Until {
    /// Whoever asked goes on.
    Answered,
    /// Everything is deleted and written.
    Freed,
}

fn removed(daemon: &Path, archive: &Path, until: Until) -> Result<Spent> {
    let (socket, roots) = (socket(daemon), [daemon.to_owned()]);
    create(&socket, "layer", None)?;
    put(&socket, "layer", archive)?;
    settle(&roots)?;
    let spent = watched(|| {
        remove(&socket, "layer")?;
        match until {
            Until::Answered => Ok(()),
            Until::Freed => settle(&roots),
        }
    })?;
    settle(&roots)?;
    Ok(spent)
}

fn removed_by_moby(field: &Field<'_>, until: Until) -> Result<Spent> {
    let mut moby = field.moby.borrow_mut();
    moby.ask("create layer")?;
    moby.ask(&format!("apply layer {}", field.rootfs.display()))?;
    sync(&field.above)?;
    watched(|| {
        moby.ask("remove layer")?;
        match until {
            Until::Answered => Ok(()),
            Until::Freed => sync(&field.above),
        }
    })
}

/// What it takes to write, check and seal an index: the apply of an archive that has names and nothing else.
fn index(field: &Field<'_>, erofs: &Path, report: &mut Report) -> Result<()> {
    let archive = field.above.join("names.tar");
    let tree = field.above.join("names");
    for number in 0..MEMBERS {
        let directory = tree.join(format!("directory-{}", number / 100));
        fs::create_dir_all(&directory)?;
        File::create(directory.join(format!("file-{number}")))?;
    }
    let mut tar = Command::new("tar");
    run(tar
        .arg("--directory")
        .arg(&tree)
        .args(["--create", "--file"])
        .arg(&archive)
        .arg("."))?;
    fs::remove_dir_all(&tree)?;
    let made = field.above.join("names.erofs");
    let mkfs = || {
        let mut mkfs = Command::new("mkfs.erofs");
        mkfs.args(["--tar=i", "--quiet"]).arg(&made).arg(&archive);
        mkfs.stdout(Stdio::null()).stderr(Stdio::null());
        run(&mut mkfs)
    };
    let mut sides = vec![Side::timed("Mica erofs, durable", || {
        applied(field, erofs, &archive)
    })];
    if mkfs().is_ok() {
        sides.push(Side::new("mkfs.erofs --tar=i, not synced", mkfs));
    } else {
        report.tell(
            "mkfs.erofs is not installed, or knows no archives (1.7): no index to compare with"
                .to_owned(),
        );
    }
    let job = format!("{}: apply of {MEMBERS} empty files: the index", field.place);
    report.compare(&job, sides)?;
    for layer in field.layers.take() {
        remove(&socket(erofs), &layer)?;
    }
    settle(&[erofs.to_owned()])
}

/// Bytes on the device.
fn occupied(field: &Field<'_>, daemons: [&Path; 2], report: &mut Report) -> Result<()> {
    let [erofs, overlay] = daemons.map(|daemon| blocks(&daemon.join("root/stores/default/layers")));
    let of = |bytes: u64| -> Result<f64> {
        let archive = fs::metadata(&field.rootfs)?.len();
        #[expect(clippy::cast_precision_loss, reason = "a ratio that a person reads")]
        Ok(bytes as f64 / archive as f64)
    };
    report.tell(format!(
        "{}: on the device, to the bytes of the archive: erofs {:.3}, overlay {:.3}",
        field.place,
        of(erofs?)?,
        of(overlay?)?
    ));
    Ok(())
}

fn blocks(path: &Path) -> Result<u64> {
    let metadata = fs::symlink_metadata(path)?;
    let mut bytes = metadata.blocks() * 512;
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            bytes += blocks(&entry?.path())?;
        }
    }
    Ok(bytes)
}

fn diffs(field: &Field<'_>, erofs: &Path, overlay: &Path, report: &mut Report) -> Result<()> {
    let view = mount(&socket(overlay), "kept")?;
    field.moby.borrow_mut().ask("create kept")?;
    let apply = format!("apply kept {}", field.rootfs.display());
    field.moby.borrow_mut().ask(&apply)?;
    let by = |daemon: &Path| {
        let socket = socket(daemon);
        move || get(&socket, "kept")
    };
    let sides = vec![
        Side::new("Mica erofs, over REST", by(erofs)),
        Side::new("Mica overlay, over REST", by(overlay)),
        Side::new("moby overlay2 in process", || {
            field.moby.borrow_mut().ask("diff kept")
        }),
        Side::new("GNU tar", || {
            let (socket, reader) = drained()?;
            let mut tar = Command::new("tar");
            tar.args(["--create", "--format=posix", "--xattrs", "--numeric-owner"]);
            tar.arg("--directory").arg(&view).arg(".");
            run(tar.stdout(Stdio::from(OwnedFd::from(socket))))?;
            drop(tar);
            finish(reader)
        }),
    ];
    report.compare(
        &format!("{}: diff of that layer to a socket", field.place),
        sides,
    )?;
    unmount(&socket(overlay), "kept")?;
    field.moby.borrow_mut().ask("remove kept")
}

/// Reads every file of the mounted layer.
fn reads(field: &Field<'_>, erofs: &Path, overlay: &Path, report: &mut Report) -> Result<()> {
    let views = [erofs, overlay].map(|daemon| mount(&socket(daemon), "kept"));
    let [erofs_view, overlay_view] = views;
    let (erofs_view, overlay_view) = (erofs_view?, overlay_view?);
    let can_forget = forget().is_ok();
    if !can_forget {
        let text = format!(
            "{}: the kernel's caches cannot be dropped here: no cold reads",
            field.place
        );
        report.tell(text);
    }
    for (how, cold) in [("cold", true), ("warm", false)] {
        if cold && !can_forget {
            continue;
        }
        let by = |view: &Path| {
            let view = view.to_owned();
            move || {
                if cold {
                    forget()?;
                }
                watched(|| read_all(&view))
            }
        };
        let sides = vec![
            Side::timed("Mica erofs", by(&erofs_view)),
            Side::timed("Mica overlay", by(&overlay_view)),
        ];
        report.compare(
            &format!("{}: read of all its files, {how}", field.place),
            sides,
        )?;
    }
    [erofs, overlay]
        .into_iter()
        .try_for_each(|daemon| unmount(&socket(daemon), "kept"))
}

/// Has the kernel forget what it has read. Where `/proc/sys` is read-only, as in a container, another one is not.
fn forget() -> Result<()> {
    let script = "sync; mount -t proc proc /proc && echo 3 >/proc/sys/vm/drop_caches";
    run(Command::new("unshare").args(["--mount", "sh", "-c", script]))
}

fn read_all(path: &Path) -> Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            read_all(&entry.path())?;
        } else if kind.is_file() {
            io::copy(&mut File::open(entry.path())?, &mut io::sink())?;
        }
    }
    Ok(())
}
