//! Stores that lie on disk become open ones.
//!
//! Invariant: a store that cannot be opened or used stops no other; it is reported, and its reason kept.

use super::{Store, Stores, Surroundings, site};
use crate::check::{Finding, FindingKind};
use crate::disk::files;
use crate::event::News;
use crate::mounts::Place;
use crate::{Error, EventKind, Result, StoreName};
use mica_sys::{Name, node};
use mica_text::with_causes;
use std::fs;
use std::os::fd::AsFd;
use std::path::Path;

impl Stores<'_> {
    /// Opens every store; those that cannot be opened are reported.
    pub(crate) fn open_all(self) -> Result<()> {
        let path = self.path();
        files::make_directory(&path).map_err(|error| Error::path("make", &path, error))?;
        let top =
            files::open_directory(&path).map_err(|error| Error::path("open", &path, error))?;
        let names = node::names(top.as_fd()).map_err(|error| Error::path("list", &path, error))?;
        for bytes in names {
            let Ok(name) = Name::new(&bytes) else {
                continue;
            };
            if bytes.starts_with(b".") {
                if let Err(error) = site::clear(&path, top.as_fd(), &name) {
                    let path = path.join(String::from_utf8_lossy(&bytes).as_ref());
                    tracing::warn!(path = %path.display(), %error, "a scratch directory stays until the next start");
                }
                continue;
            }
            let text = String::from_utf8_lossy(&bytes);
            let opened = StoreName::parse(&text).and_then(|name| {
                self.open_one(&name)
                    .map_err(|error| self.note_unopened(&name, error))
            });
            if let Err(error) = opened {
                let news = News::new(EventKind::StoreFailed).store(&text);
                self.engine.report(
                    news,
                    Some(&text),
                    format!("the store cannot be opened: {}", with_causes(&error)),
                );
            }
        }
        Ok(())
    }

    pub(super) fn open_one(self, name: &StoreName) -> Result<()> {
        site::check_there(&self.path(), name.as_str())?;
        let path = site::home_of(&self.path(), name.as_str());
        let around = Surroundings {
            run_dir: &self.engine.settings.run_dir,
            durability: self.engine.settings.durability,
            reaper: &self.engine.reaper,
        };
        let (store, findings) = Store::open(name, &path, &around)?;
        for finding in findings {
            self.engine.report_store(name.as_str(), finding.detail);
        }
        if let Err(error) = store.make_ready(self.engine) {
            // The status tells it for as long as it is so.
            let detail = with_causes(&error);
            tracing::warn!(store = %name, detail, "the store cannot be used");
            self.engine.bus.tell(
                News::new(EventKind::StoreFailed)
                    .store(name.as_str())
                    .detail(detail),
            );
        }
        self.add(store);
        self.open(name.as_str())?.resume_references();
        Ok(())
    }

    /// Unmounts what stores left that are not there any more.
    pub(crate) fn clear_mounts_of_no_store(self) {
        for finding in clear_mounts_of_no_store(&self.engine.settings.run_dir, &self.path()) {
            let store = finding.store.clone().unwrap_or_default();
            self.engine.report_store(&store, finding.detail);
        }
    }

    /// Begins to remove layers without snapshots in all stores.
    pub(crate) fn start_removers(self) -> Result<()> {
        let stores = self.all();
        let mut with_snapshots = stores.iter().filter(|store| store.snapshots().is_ok());
        with_snapshots.try_for_each(|store| self.start_remover(store))
    }

    pub(super) fn start_remover(self, store: &Store) -> Result<()> {
        let remover = store.snapshots()?.remover();
        remover
            .start(self.engine.weak(), store.name.as_str())
            .map_err(|error| Error::io("start a thread", error))
    }
}

/// Unmounts what stores left below a run directory that are not there any more. What could not be comes back.
pub(crate) fn clear_mounts_of_no_store(run_dir: &Path, stores: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    for entry in fs::read_dir(run_dir.join("m"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        // One that lies elsewhere is there, whether its file system is mounted or not.
        if StoreName::parse(&name).is_err() || stores.join(&name).symlink_metadata().is_ok() {
            continue;
        }
        let Ok(place) = Place::open(run_dir, &name) else {
            continue;
        };
        let found = match place.adopt(|_| false) {
            Ok(adopted) => adopted.findings,
            Err(error) => {
                let detail = format!("its mounts cannot be listed: {error}");
                vec![Finding::new(FindingKind::Unseen, detail)]
            }
        };
        findings.extend(found.into_iter().map(|finding| finding.of_store(&name)));
        place.remove();
    }
    findings
}
