//! What the demo does with one driver.
//!
//! Invariant: every step goes through REST or happens in a mounted layer; every claim is checked where it is made.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use crate::tell::{grouped, say, untrue};
use crate::{compare, inside, mounts};
use mica_client::{Client, Failure, segment, words};
use serde_json::{Value, json};

use crate::interrupt::Interruptible;
use crate::rootfs::RootFs;
use crate::stage::Stage;
use crate::timeline::{Amount, Timeline};
use mica_client::progress::{Watched, bytes_bar};

/// Changes that are shown.
const SHOWN_CHANGES: usize = 12;

/// Plays the whole story.
///
/// # Errors
/// The first step that fails, and the first claim that is not true.
pub(crate) fn tell(
    driver: &str,
    rootfs: &RootFs,
    stage: &Stage,
    timeline: &mut Timeline,
) -> Result<(), Failure> {
    say(driver);
    let mut story = Story {
        driver,
        client: stage.client()?,
        timeline,
    };
    story.prepare(rootfs)?;
    let child = story.work()?;
    let archive = stage.path(&format!("{driver}.tar"));
    let sibling = story.copy(&archive)?;
    let compared = story.step("compare both trees", || compare::equal(&child, &sibling))?;
    let (nodes, bytes) = (compared.entries.unwrap_or(0), compared.bytes.unwrap_or(0));
    say(&format!(
        "      equal: {} nodes, {}; content, mode, owner, mtime, xattrs, links, devices",
        grouped(nodes),
        words::bytes(bytes)
    ));
    story.swap(&child)?;
    story.end(&[&child, &sibling])
}

struct Story<'a> {
    driver: &'a str,
    client: &'a Client,
    timeline: &'a mut Timeline,
}

impl Story<'_> {
    fn step<T: crate::timeline::Measured>(
        &mut self,
        name: &str,
        work: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.timeline.step(self.driver, name, work)
    }

    /// The store's name: that of the driver, so that each has its own.
    fn store(&self) -> String {
        format!("/v1/stores/{}", segment(&format!("demo-{}", self.driver)))
    }

    fn layer(&self, id: &str, rest: &str) -> String {
        format!("{}/layers/{id}{rest}", self.store())
    }

    fn create(&mut self, id: &str, parent: Option<&str>, kind: &str) -> Result<(), Failure> {
        let request = json!({ "id": id, "kind": kind, "parent": parent });
        let (client, target) = (self.client, format!("{}/layers", self.store()));
        let name = parent.map_or_else(
            || format!("create `{id}`"),
            |parent| format!("create `{id}` on `{parent}`"),
        );
        self.step(&name, || client.post(&target, Some(&request)).map(drop))
    }

    /// A store, and a base layer that has the root file system.
    fn prepare(&mut self, rootfs: &RootFs) -> Result<(), Failure> {
        let (client, driver) = (self.client, self.driver);
        let request = json!({ "name": format!("demo-{driver}"), "driver": driver });
        self.step("make a store", || {
            client.post("/v1/stores", Some(&request)).map(drop)
        })?;
        self.create("base", None, "content")?;
        let target = self.layer("base", "/diff");
        self.step("apply the root file system to `base`", || {
            let bar = bytes_bar("  apply".to_owned(), rootfs.size_bytes());
            let source = Watched::new(Interruptible(rootfs.open()?), &bar);
            let report = client.put_stream(&target, source);
            bar.finish_and_clear();
            report
        })?;
        Ok(())
    }

    /// A child that a program worked in; where it is mounted.
    fn work(&mut self) -> Result<PathBuf, Failure> {
        let client = self.client;
        self.create("child", Some("base"), "read-write")?;
        let child = self.mount("child")?;
        self.step("run a program in `child` (chroot)", || inside::run(&child))?;
        let target = self.layer("child", "/changes");
        let changes = self.step("list the changes", || client.get(&target))?;
        show(words::list(&changes, "changes"))?;
        Ok(child)
    }

    fn mount(&mut self, id: &str) -> Result<PathBuf, Failure> {
        let (client, target) = (self.client, self.layer(id, "/mount"));
        self.step(&format!("mount `{id}`"), || {
            let view = client.post(&target, Some(&json!({})))?;
            Ok(PathBuf::from(words::field(&view, "path")))
        })
    }

    /// A sibling that has the child's difference from an archive; where it is mounted.
    fn copy(&mut self, archive: &Path) -> Result<PathBuf, Failure> {
        let (client, target) = (self.client, self.layer("child", "/diff"));
        self.step("write the difference to an archive", || {
            let file = File::create(archive)
                .map_err(Failure::io(format!("write `{}`", archive.display())))?;
            let mut sink = BufWriter::new(Interruptible(file));
            let count = client.get_stream(&target, &mut sink)?.count_bytes;
            Ok(Amount {
                bytes: Some(count),
                entries: None,
            })
        })?;
        self.create("sibling", Some("base"), "content")?;
        let target = self.layer("sibling", "/diff");
        let report = self.step("apply the archive to `sibling`", || {
            let file = File::open(archive)
                .map_err(Failure::io(format!("read `{}`", archive.display())))?;
            client.put_stream(&target, Interruptible(file))
        })?;
        match words::number(&report, "xattrs_skipped") {
            0 => self.mount("sibling"),
            skipped => Err(untrue(format!(
                "{skipped} extended attributes were not applied"
            ))),
        }
    }

    /// A new build of the driver under a layer that is mounted.
    fn swap(&mut self, child: &Path) -> Result<(), Failure> {
        let before = mount_id(child)?;
        let (client, target) = (
            self.client,
            format!("/v1/drivers/{}/swap", segment(self.driver)),
        );
        let report = self.step("swap the driver while both are mounted", || {
            client.post(&target, None)
        })?;
        let after = mount_id(child)?;
        if before != after {
            return Err(untrue(format!(
                "`{}` was mount {before} and is mount {after}",
                child.display()
            )));
        }
        inside::read_back(child)?;
        say(&format!(
            "      {} compiled in {} ms, tried in {} ms; `child` is still mount {after}, and is read",
            words::short_digest(&words::field(&report, "new_digest")),
            words::number(&report, "compile_ms"),
            words::number(&report, "probe_ms"),
        ));
        Ok(())
    }

    /// Everything goes: mounts, layers, the store.
    fn end(&mut self, mounted: &[&Path]) -> Result<(), Failure> {
        let client = self.client;
        for id in ["sibling", "child"] {
            let target = self.layer(id, "/unmount");
            self.step(&format!("unmount `{id}`"), || {
                client.post(&target, None).map(drop)
            })?;
        }
        for path in mounted {
            if let Some(mount) = mounts::below(path)?.first() {
                return Err(untrue(format!(
                    "`{}` is still mounted ({})",
                    path.display(),
                    mount.kind
                )));
            }
        }
        for id in ["sibling", "child", "base"] {
            let target = self.layer(id, "");
            self.step(&format!("remove `{id}`"), || client.delete(&target))?;
        }
        let left = client.get(&format!("{}/layers", self.store()))?;
        if !words::list(&left, "layers").is_empty() {
            return Err(untrue(format!("layers are left: {left}")));
        }
        let target = self.store();
        self.step("remove the store, which is empty", || {
            client.delete(&target)
        })?;
        say("");
        Ok(())
    }
}

/// The kernel's number for the mount at a path.
fn mount_id(path: &Path) -> Result<u64, Failure> {
    let mounts = mounts::below(path)?;
    let mount = mounts
        .last()
        .ok_or_else(|| untrue(format!("nothing is mounted at `{}`", path.display())))?;
    Ok(mount.id)
}

/// Shows some changes, and checks that those are there that the program made.
fn show(changes: &[Value]) -> Result<(), Failure> {
    for change in changes.iter().take(SHOWN_CHANGES) {
        say(&format!("      {}", words::change(change)));
    }
    if let Some(more) = changes
        .len()
        .checked_sub(SHOWN_CHANGES)
        .filter(|more| *more > 0)
    {
        say(&format!("      and {} more", grouped(more as u64)));
    }
    for expected in [format!("A /{}", inside::PLACE), "C /etc/passwd".to_owned()] {
        if !changes
            .iter()
            .any(|change| words::change(change) == expected)
        {
            return Err(untrue(format!("`{expected}` is not among the changes")));
        }
    }
    Ok(())
}
