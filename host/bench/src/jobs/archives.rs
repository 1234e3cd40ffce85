//! Diff and apply of a root filesystem, beside GNU tar.
//!
//! Invariant: every side reads the same bytes and moves all of them.

use crate::Arguments;
use crate::measure::{Report, Side, watched};
use crate::place::{Bench, Names, Place, STORE, run, sync};
use anyhow::{Context, Result};
use mica_engine::{ArchiveForm, CancelToken, DiffParent, DiffRequest};
use mica_sdk::bindings::diff::exports::mica::driver::diff_driver::ArchiveForm as SdkForm;
use mica_sdk::host::streams::{Sink, Source};
use mica_sdk::testing::open_directory;
use mica_sdk::walk::{Kept, Sides};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};

/// How GNU tar unpacks what Mica unpacks.
pub(super) const EXTRACT: [&str; 4] = [
    "--extract",
    "--xattrs",
    "--xattrs-include=*",
    "--numeric-owner",
];

/// A diff of the whole root filesystem to a socket, whose other end throws it away.
pub(super) fn diff(arguments: &Arguments, place: &Place, report: &mut Report) -> Result<()> {
    let bench = Bench::open(&place.disk(), "overlay")?;
    fill(&bench, "base", &arguments.rootfs)?;
    let view = bench.mount("base")?;
    let sandboxed = Side::new("sandboxed", || {
        let (socket, reader) = drained()?;
        let sink = mica_engine::Sink::to_writer(Box::new(socket));
        let request = DiffRequest {
            id: "base".to_owned(),
            parent: DiffParent::None,
            form: ArchiveForm::Faithful,
        };
        bench
            .engine
            .store(STORE)?
            .diff(&request, sink, CancelToken::default())?;
        finish(reader)
    });
    let native = Side::new("native", || {
        let (socket, reader) = drained()?;
        let sink = Sink::new(socket);
        let tree = open_directory(&view)?;
        mica_sdk::diff::write_archive(tree, None, &Sides::Views(Kept::Unknown), &sink)
            .map_err(words)?;
        sink.finish()?;
        finish(reader)
    });
    let tar = Side::new("GNU tar", || {
        let (socket, reader) = drained()?;
        let output = Stdio::from(std::os::fd::OwnedFd::from(socket));
        let mut command = Command::new("tar");
        command.args(["--create", "--format=posix", "--xattrs", "--numeric-owner"]);
        run(command
            .arg("--directory")
            .arg(&view)
            .arg(".")
            .stdout(output))?;
        drop(command);
        finish(reader)
    });
    report.compare(
        "diff of a root filesystem to a socket",
        vec![sandboxed, native, tar],
    )?;
    bench.unmount("base")
}

/// The root filesystem's archive applied to an empty layer, in memory and on the disk.
pub(super) fn apply(arguments: &Arguments, place: &Place, report: &mut Report) -> Result<()> {
    for (name, above, left) in [
        (
            "apply of a root filesystem on tmpfs",
            place.memory(),
            Left::Removed,
        ),
        (
            "apply of a root filesystem on the disk",
            place.disk(),
            Left::Synced,
        ),
    ] {
        let bench = Bench::open(&above, "overlay")?;
        let (layers, trees) = (Names::new("layer"), Names::new("tree"));
        let clear = || -> Result<()> {
            for layer in layers.take() {
                bench.remove(&layer)?;
            }
            for tree in trees.take() {
                fs::remove_dir_all(above.join(tree))?;
            }
            bench.swept()
        };
        let begin = || match left {
            Left::Removed => clear(),
            Left::Synced => sync(&above),
        };
        let tree = || -> Result<PathBuf> {
            begin()?;
            let tree = above.join(trees.next());
            Ok(fs::create_dir(&tree).map(|()| tree)?)
        };
        let sandboxed = Side::timed("sandboxed", || {
            begin()?;
            let layer = layers.next();
            bench.create(&layer, None)?;
            watched(|| fill(&bench, &layer, &arguments.rootfs))
        });
        let native = Side::timed("native", || {
            let native_tree = tree()?;
            watched(|| {
                let source = Source::new(File::open(&arguments.rootfs)?);
                let tree = open_directory(&native_tree)?;
                mica_sdk::apply::apply(tree, SdkForm::Faithful, &source).map_err(words)
            })
        });
        let tar = Side::timed("GNU tar", || {
            let tar_tree = tree()?;
            watched(|| {
                let mut command = Command::new("tar");
                command.args(EXTRACT).arg("--directory").arg(&tar_tree);
                run(command.arg("--file").arg(&arguments.rootfs))
            })
        });
        report.compare(name, vec![sandboxed, native, tar])?;
        clear()?;
    }
    Ok(())
}

/// What becomes of what a run has left, before the next begins.
#[derive(Clone, Copy)]
enum Left {
    /// It goes: memory that was used before is quicker to have than memory that others' caches hold.
    Removed,
    /// It stays, on the device (see [`Names`]).
    Synced,
}

/// Applies the archive to a layer.
pub(super) fn fill(bench: &Bench, id: &str, archive: &Path) -> Result<()> {
    if id == "base" {
        bench.create(id, None)?;
    }
    let file = File::open(archive).with_context(|| format!("open `{}`", archive.display()))?;
    let source = mica_engine::Source::from_reader(Box::new(file));
    bench
        .engine
        .layers(STORE)?
        .apply(id, ArchiveForm::Faithful, source, CancelToken::default())?;
    Ok(())
}

/// A guest's error as people read it.
fn words(error: mica_sdk::Error) -> anyhow::Error {
    anyhow::anyhow!("{error:?}")
}

/// A socket whose other end is read to its end.
pub(super) fn drained() -> Result<(UnixStream, JoinHandle<io::Result<u64>>)> {
    let (writer, mut reader) = UnixStream::pair()?;
    let thread = thread::spawn(move || {
        let mut buffer = vec![0; 256 << 10];
        let mut count = 0;
        loop {
            match reader.read(&mut buffer)? {
                0 => return Ok(count),
                read => count += read as u64,
            }
        }
    });
    Ok((writer, thread))
}

/// Waits for the reader, who must have got something.
pub(super) fn finish(reader: JoinHandle<io::Result<u64>>) -> Result<()> {
    let count = reader
        .join()
        .map_err(|_panic| anyhow::anyhow!("the reader broke"))??;
    anyhow::ensure!(count > 1 << 20, "only {count} bytes came through");
    Ok(())
}
