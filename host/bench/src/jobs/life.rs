//! The life of a layer, and what one call into the sandbox costs.
//!
//! Invariant: *system calls* makes the mount and the directories that the engine makes, and keeps no records; *and their syncs*
//! waits for the disk as well, when the layer has its name and when it has lost it.

use crate::Arguments;
use crate::measure::{Report, Side, watched};
use crate::place::{Bench, Place, STORE};
use anyhow::Result;
use mica_engine::MountRequest;
use mica_sys::mount::{self, Overlay, Unmount};
use mica_sys::{Name, node, tree};
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::Path;

/// Create, get, put, remove of an overlay layer.
pub(super) fn life(_: &Arguments, place: &Place, report: &mut Report) -> Result<()> {
    let bench = Bench::open(&place.disk(), "overlay")?;
    bench.create("base", None)?;
    let mut number = 0_u64;
    let whole = Side::new("sandboxed", || {
        number += 1;
        let id = format!("l{number}");
        bench.create(&id, Some("base"))?;
        bench.mount(&id)?;
        bench.unmount(&id)?;
        bench.remove(&id)
    });
    let scratch = place.disk().join("calls");
    fs::create_dir(&scratch)?;
    let calls = Side::new("system calls", || by_calls(&scratch, Waits::Never));
    let synced = Side::new("system calls and their syncs", || {
        by_calls(&scratch, Waits::ForTheDisk)
    });
    report.compare(
        "create, get, put, remove (overlay)",
        vec![whole, calls, synced],
    )?;
    bench.create("mounted", Some("base"))?;
    bench.mount("mounted")?;
    let get = Side::new("get and put of a mounted layer", || {
        bench
            .engine
            .store(STORE)?
            .mount("mounted", MountRequest::default())?;
        bench.unmount("mounted")
    });
    report.compare("a reference more and less", vec![get])?;
    bench.unmount("mounted")
}

/// Whether what was changed is on the device when a step is done.
#[derive(Clone, Copy, PartialEq)]
enum Waits {
    Never,
    ForTheDisk,
}

/// What an overlay layer's life is at least.
fn by_calls(scratch: &Path, waits: Waits) -> Result<()> {
    let at = File::open(scratch)?;
    let names = ["layer", "upper", "work", "lower", "point"].map(|name| Name::new(name.as_bytes()));
    let [layer, upper, work, lower, point] = names;
    let (layer, point) = (layer?, point?);
    let room = node::create_directory(at.as_fd(), &layer, 0o755)?;
    let upper = node::create_directory(room.as_fd(), &upper?, 0o755)?;
    let work = node::create_directory(room.as_fd(), &work?, 0o700)?;
    let lower = node::create_directory(room.as_fd(), &lower?, 0o755)?;
    let target = node::create_directory(room.as_fd(), &point, 0o755)?;
    if waits == Waits::ForTheDisk {
        File::from(node::open_directory(at.as_fd(), &layer)?).sync_all()?;
        at.sync_all()?;
    }
    let mount = mount::overlay(&Overlay {
        lowers: &[lower.as_fd()],
        upper_and_work: Some((upper.as_fd(), work.as_fd())),
        label: None,
        read_only: false,
    })?;
    let _attached = mount.attach(target.as_fd())?;
    mount::unmount(room.as_fd(), &point, Unmount::Plain)?;
    drop((upper, work, lower, target));
    tree::remove(at.as_fd(), &layer)?;
    if waits == Waits::ForTheDisk {
        at.sync_all()?;
    }
    Ok(())
}

/// One call that does nothing but look a layer up.
pub(super) fn instance(_: &Arguments, place: &Place, report: &mut Report) -> Result<()> {
    let bench = Bench::open(&place.memory(), "vfs")?;
    bench.create("base", None)?;
    let call = Side::timed("sandboxed", || {
        let spent = watched(|| {
            for _ in 0..100 {
                bench.engine.store(STORE)?.metadata("base")?;
            }
            Ok(())
        });
        Ok(spent? / 100)
    });
    report.compare("instance, one call, end (metadata)", vec![call])
}
