//! Stores that lie on disk become open ones.
//!
//! Invariant: a store that cannot be opened or used stops no other; it is reported, and its reason kept.

use super::{Store, Stores, Surroundings};
use crate::disk::files;
use crate::event::News;
use crate::mounts::Place;
use crate::{Error, EventKind, Result, StoreName};
use mica_sys::{Name, node, tree};
use mica_text::with_causes;
use std::fs;
use std::os::fd::AsFd;

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
                if let Err(error) = tree::remove(top.as_fd(), &name) {
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
        let path = self.path().join(name.as_str());
        let around = Surroundings {
            run_dir: &self.engine.settings.run_dir,
            durability: self.engine.settings.durability,
            reaper: &self.engine.reaper,
        };
        let (store, problems) = Store::open(name, &path, &around)?;
        for problem in problems {
            self.engine.report_store(name.as_str(), problem);
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
        Ok(())
    }

    /// Unmounts what stores left that are not there any more.
    pub(crate) fn clear_mounts_of_no_store(self) {
        let Ok(entries) = fs::read_dir(self.engine.settings.run_dir.join("m")) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if StoreName::parse(&name).is_err() || self.path().join(&name).exists() {
                continue;
            }
            let Ok(place) = Place::open(&self.engine.settings.run_dir, &name) else {
                continue;
            };
            match place.adopt(|_| false) {
                Ok(adopted) => adopted
                    .problems
                    .into_iter()
                    .for_each(|problem| self.engine.report_store(&name, problem)),
                Err(error) => self
                    .engine
                    .report_store(&name, format!("its mounts cannot be listed: {error}")),
            }
            place.remove();
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
