//! One store: whether rows, layers, records, snapshots, mounts and images fit together.
//!
//! Invariant: nothing is changed. What hides the rest, as a store that nobody can describe, ends the look with its finding.

use super::root::list;
use super::{CheckRequest, Finding, FindingKind};
use crate::Error;
use crate::disk::home::{AREAS, Layout, find_damaged_records, look_at_numbers, reconcile};
use crate::disk::rows;
use crate::layers::{Entry, Table, find_lost};
use crate::mounts::Place;
use crate::scrub::{self, Digests};
use crate::snapshots::{Snapshots, Told};
use crate::store::{COPY, DESCRIPTION, Description, home_of};
use mica_runtime::{ImageFault, Thoroughness, inspect_image};
use mica_text::with_causes;
use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

/// What a home has beside its areas; the last ones are of SQLite's own tools, and of earlier builds.
const HOME: &[&str] = &[
    DESCRIPTION,
    COPY,
    scrub::FILE,
    "rows.sqlite",
    "rows.sqlite-wal",
    "rows.mark",
    "numbers",
    "reserve",
    "l",
    "rows.sqlite-shm",
    "rows.sqlite-journal",
    "index.redb",
    EARLIER,
    "snapshots.log",
    "snapshots.redb.taken-over",
    "snapshots.log.taken-over",
];
/// What an earlier build kept of snapshots.
const EARLIER: &str = "snapshots.redb";
/// What a layer's directory has.
const LAYER: &[&str] = &[
    "record.json",
    "record-2.json",
    "given-up.json",
    "digests",
    "origin.json",
    "d",
];
/// What the name of a file ends with that is not whole yet.
const DRAFT: &str = ".new";
/// What is written under such a name first.
const DRAFTED: &[&str] = &[
    DESCRIPTION,
    COPY,
    scrub::FILE,
    "numbers",
    "record.json",
    "record-2.json",
    "digests",
    "origin.json",
];
/// How the names of files of rows begin that a start set aside.
const KEPT_ROWS: &str = "rows.sqlite.damaged-";
/// The same of the files that describe a store.
const KEPT_DESCRIPTIONS: &[&str] = &["store.json.damaged-", "store-copy.json.damaged-"];

/// What is said of a layer that nobody was told of.
const MAKING: &str = "is a layer that was being made";

/// A look at one store.
pub(super) struct Look<'a> {
    request: &'a CheckRequest,
    copies: &'a rows::Place,
    name: &'a str,
    home: PathBuf,
    /// Layers that it has.
    pub(super) layers: u64,
    /// What is wrong.
    pub(super) findings: Vec<Finding>,
}

impl<'a> Look<'a> {
    pub(super) fn new(request: &'a CheckRequest, copies: &'a rows::Place, name: &'a str) -> Self {
        Self {
            request,
            copies,
            name,
            home: home_of(&request.root.join("stores"), name),
            layers: 0,
            findings: Vec::new(),
        }
    }

    fn add(&mut self, finding: Finding) {
        let is_known = |other: &Finding| other.kind == finding.kind && other.path == finding.path;
        // Two rules may meet the same file.
        if finding.path.is_none() || !self.findings.iter().any(is_known) {
            self.findings.push(finding);
        }
    }

    fn add_all(&mut self, findings: Vec<Finding>) {
        findings.into_iter().for_each(|finding| self.add(finding));
    }

    fn find(&mut self, kind: FindingKind, path: &Path, what: &str) {
        let detail = format!("`{}` {what}", path.display());
        self.add(Finding::new(kind, detail).at(path));
    }

    /// Looks at all of it.
    pub(super) fn all(&mut self) {
        self.look_for_strays();
        self.look_inside();
        for finding in &mut self.findings {
            finding.store = Some(self.name.to_owned());
        }
    }

    fn look_inside(&mut self) {
        let description = match Description::read(&self.home) {
            Ok((description, damaged)) => {
                damaged.into_iter().for_each(|finding| self.add(finding));
                description
            }
            Err(error) => {
                let path = self.home.join(DESCRIPTION);
                return self
                    .add(Finding::new(FindingKind::StoreUnreadable, with_causes(&error)).at(path));
            }
        };
        let Some(layout) = self.look_at_areas() else {
            return;
        };
        if self.home.join(EARLIER).exists() {
            let what =
                "is of an earlier build, and taken over by the next start: check again after it";
            return self.find(FindingKind::Unseen, &self.home.join(EARLIER), what);
        }
        let mut loaded = match rows::look(&self.home, self.copies) {
            Ok(loaded) => loaded,
            Err(error) => return self.refused(&self.home.join("rows.sqlite"), &error),
        };
        let (told, described) = Told::new(&mut loaded, &description.driver);
        self.add_all(loaded.findings);
        let recovered = match reconcile(&layout, &described) {
            Ok(recovered) => recovered,
            Err(error) => return self.unseen(&self.home.join("layers"), &error),
        };
        self.add_all(recovered.findings);
        for number in recovered.superseded {
            let path = layout.layer_path(number);
            let what = "is an older revision of a layer";
            self.find(FindingKind::LayerSuperseded, &path, what);
        }
        for number in recovered.unmade {
            let path = layout.layer_path(number);
            self.find(FindingKind::StagedLeft, &path, MAKING);
        }
        let table = Table::load(recovered.layers).with_unseen(recovered.unseen);
        self.layers = table.len();
        self.look_at_layers(&layout, &table);
        for finding in Snapshots::look(&told, &self.home, &table) {
            let path = finding.number.map(|number| layout.layer_path(number));
            self.add(path.map_or(finding.clone(), |path| finding.at(path)));
        }
        self.look_at_numbers(&table);
        self.look_at_mounts(&table);
        self.look_at_scrub();
    }

    fn look_at_scrub(&mut self) {
        if let Err(error) = scrub::look_at_kept(&self.home) {
            let what = format!("cannot be read: {error}");
            self.find(
                FindingKind::ScrubDamaged,
                &self.home.join(scrub::FILE),
                &what,
            );
        }
    }

    /// Rows that no start would read; or there is no room for their copy now, or they change all the time.
    fn refused(&mut self, path: &Path, error: &Error) {
        let kind = match error {
            Error::Corrupt { .. } => FindingKind::RowsUnreadable,
            _ => FindingKind::Unseen,
        };
        self.add(Finding::new(kind, with_causes(error)).at(path));
    }

    fn unseen(&mut self, path: &Path, error: &io::Error) {
        let what = format!("cannot be looked at: {error}");
        self.find(FindingKind::Unseen, path, &what);
    }

    /// The open directories of the home, if all are there; and what is left in those that a start empties.
    fn look_at_areas(&mut self) -> Option<Layout> {
        let mut is_whole = true;
        for name in AREAS {
            let path = self.home.join(name);
            if !path.is_dir() {
                is_whole = false;
                let what = "is missing, and what else is wrong is told once it is there";
                let kind = match name {
                    "layers" => FindingKind::LayersMissing,
                    _ => FindingKind::AreaMissing,
                };
                self.find(kind, &path, what);
            }
        }
        let left = [
            ("staging", FindingKind::StagedLeft, MAKING),
            (
                "trash",
                FindingKind::TrashLeft,
                "is a layer that was being deleted",
            ),
        ];
        for (area, kind, what) in left {
            for path in list(&self.home.join(area)).unwrap_or_default() {
                self.find(kind, &path, what);
            }
        }
        if !is_whole {
            return None;
        }
        Layout::look(&self.home)
            .inspect_err(|error| self.unseen(&self.home.clone(), error))
            .ok()
    }

    fn look_for_strays(&mut self) {
        let home = self.home.clone();
        for path in list(&home).unwrap_or_default() {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if KEPT_DESCRIPTIONS.iter().any(|kept| name.starts_with(kept)) {
                let what = "is a description of the store that a start could not read and kept";
                self.find(FindingKind::DescriptionKept, &path, what);
            } else if name.starts_with(KEPT_ROWS) {
                self.find(
                    FindingKind::RowsKept,
                    &path,
                    "is damaged rows that a start kept",
                );
            } else {
                self.look_at_name(&path, &name, &[HOME, &AREAS].concat());
            }
        }
        for layer in list(&home.join("layers")).unwrap_or_default() {
            for path in list(&layer).unwrap_or_default() {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                self.look_at_name(&path, &name, LAYER);
            }
        }
    }

    fn look_at_name(&mut self, path: &Path, name: &str, known: &[&str]) {
        if known.contains(&name) {
            return;
        }
        match name.strip_suffix(DRAFT) {
            Some(whole)
                if known.contains(&whole)
                    && DRAFTED.contains(&whole)
                    && path.symlink_metadata().is_ok_and(|found| found.is_file()) =>
            {
                self.find(FindingKind::DraftLeft, path, "was never whole");
            }
            _ => self.find(FindingKind::Stray, path, "is nothing that Mica has here"),
        }
    }

    fn look_at_layers(&mut self, layout: &Layout, table: &Table) {
        let layers: Vec<_> = table.page(None, usize::MAX).collect();
        let numbered = layers.iter().map(|entry| (entry.number, entry.id()));
        for finding in find_damaged_records(layout, numbered) {
            self.add(finding);
        }
        for finding in table
            .find_orphans()
            .into_iter()
            .chain(find_lost(layout, table))
        {
            self.add(finding);
        }
        for entry in layers {
            let list = self.look_at_list(layout, entry);
            let is_whole = self.look_at_image(layout, entry, list.is_some());
            if let (Some(list), Thoroughness::Content, true) = (list, self.request.how, is_whole) {
                self.look_at_content(layout, entry, &list);
            }
        }
    }

    /// Looks at the image of a sealed layer; its archive is hashed with the other content, if there is a list of
    /// that. Says whether nothing is wrong with it.
    fn look_at_image(&mut self, layout: &Layout, entry: &Entry, has_list: bool) -> bool {
        let path = layout.room_path(entry.number).join("sealed");
        let how = match has_list {
            true => Thoroughness::Sizes,
            false => self.request.how,
        };
        let most = self.request.limits.index_bytes;
        let room = layout.open_room(entry.number);
        let inspected = room.and_then(|room| inspect_image(room.as_fd(), most, how));
        let (kind, file, failure) = match inspected {
            Ok(None) => return true,
            Ok(Some(ImageFault::Index(failure))) => {
                (FindingKind::IndexDamaged, "layer.erofs", failure)
            }
            Ok(Some(ImageFault::Archive(failure))) => {
                (FindingKind::ArchiveDamaged, "layer.tar", failure)
            }
            Err(error) => {
                self.unseen(&path, &error);
                return false;
            }
        };
        let path = path.join(file);
        let detail = format!("`{}` of layer `{}`: {failure}", path.display(), entry.id());
        let finding = Finding::new(kind, detail).of_layer(entry.id().as_str());
        self.add(finding.at(path));
        false
    }

    /// The digests of a layer's files, if it has some that can be read.
    fn look_at_list(&mut self, layout: &Layout, entry: &Entry) -> Option<Digests> {
        let error = match scrub::look_at_list(layout, entry.number) {
            Ok(list) => return list,
            Err(error) => error,
        };
        let path = layout.layer_path(entry.number).join("digests");
        let detail = format!(
            "`{}`: {error}; what the files of layer `{}` were is not known any more",
            path.display(),
            entry.id()
        );
        let finding = Finding::new(FindingKind::DigestsDamaged, detail);
        self.add(finding.of_layer(entry.id().as_str()).at(path));
        None
    }

    /// Compares the files of a layer with their digests.
    fn look_at_content(&mut self, layout: &Layout, entry: &Entry, list: &Digests) {
        let (id, path) = (entry.id().as_str(), layout.room_path(entry.number));
        match scrub::compare(layout, entry.number, id, list, &self.request.read_bytes) {
            Ok(None) => {}
            Ok(Some(damage)) => {
                let what = scrub::described(&damage);
                let detail = format!("layer `{id}` in `{}`: {what}", path.display());
                let finding = Finding::new(FindingKind::ContentDamaged, detail);
                self.add(finding.of_layer(id).at(path));
            }
            Err(error) => self.unseen(&path, &error),
        }
    }

    fn look_at_numbers(&mut self, table: &Table) {
        let path = self.home.join("numbers");
        let highest = table.page(None, usize::MAX).map(|entry| entry.number).max();
        match look_at_numbers(&path) {
            Ok(Some(free)) if highest.is_none_or(|highest| free > highest) => {}
            Ok(Some(_)) => self.find(
                FindingKind::NumbersDamaged,
                &path,
                "says that a number is free which a layer has",
            ),
            // A store that never had a layer has none.
            Ok(None) if highest.is_none() && fs::symlink_metadata(&path).is_err() => {}
            Ok(None) => self.find(
                FindingKind::NumbersDamaged,
                &path,
                "is missing or makes no sense",
            ),
            Err(error) => self.unseen(&path, &error),
        }
    }

    fn look_at_mounts(&mut self, table: &Table) {
        let run_dir = &self.request.run_dir;
        let place = match Place::look_in(run_dir, self.name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            place => place,
        };
        let is_layer = |state: &crate::mounts::State| {
            table
                .get(state.layer.as_str())
                .is_some_and(|entry| entry.number == state.number)
        };
        match place.and_then(|place| place.look(is_layer)) {
            Ok(found) => found.into_iter().for_each(|finding| self.add(finding)),
            Err(error) => self.unseen(&run_dir.join("m").join(self.name), &error),
        }
    }
}
