//! What lies below a root directory beside the content of stores: which stores there are, drivers, compiled code.
//!
//! Invariant: nothing is changed; what cannot be looked at is a finding, and hides nothing else.

use super::aside::Aside;
use super::store::Look;
use super::{CheckReport, CheckRequest, Finding, FindingKind};
use crate::disk::{files, rows};
use crate::drivers::{DAMAGED_HISTORY, Shelf};
use crate::mounts::Place;
use crate::store::{home_of, is_elsewhere};
use crate::{Error, Result, StoreName};
use mica_runtime::inspect_code;
use mica_sys::filesystem;
use mica_text::with_causes;
use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

/// What makes a file system of its own at a mount point.
const LOST_AND_FOUND: &str = "lost+found";

/// Whether a daemon has claimed a root directory.
pub(super) fn is_claimed(root: &Path) -> Result<bool> {
    let claimed = files::open_directory(root).and_then(|top| filesystem::is_locked(top.as_fd()));
    claimed.map_err(|error| Error::path("look at", root, error))
}

/// A look at everything below a root directory.
pub(super) struct Root<'a> {
    request: &'a CheckRequest,
    copies: rows::Place,
    report: CheckReport,
}

impl<'a> Root<'a> {
    pub(super) fn new(request: &'a CheckRequest) -> Result<Self> {
        let copies = rows::Place::new()
            .map_err(|error| Error::io("make a directory for copies of rows", error))?;
        let report = CheckReport {
            daemon_runs: false,
            stores: 0,
            layers: 0,
            set_aside: Aside::new(&request.root).count(),
            findings: Vec::new(),
        };
        Ok(Self {
            request,
            copies,
            report,
        })
    }

    pub(super) fn report(self) -> CheckReport {
        self.report
    }

    fn find(&mut self, kind: FindingKind, path: &Path, what: &str) {
        let detail = format!("`{}` {what}", path.display());
        let finding = Finding::new(kind, detail).at(path);
        self.report.findings.push(finding);
    }

    /// The names of stores, in their order. What else lies there is a finding.
    pub(super) fn stores(&mut self) -> Result<Vec<String>> {
        let directory = self.request.root.join("stores");
        let paths = match list(&directory) {
            // Nothing was ever stored here.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            listed => listed.map_err(|error| Error::path("list", &directory, error))?,
        };
        let mut names = Vec::new();
        for path in paths {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name == LOST_AND_FOUND {
                continue;
            }
            let is_asked_for = self.request.store.is_none();
            match (name.starts_with('.'), StoreName::parse(&name)) {
                (true, _) | (false, Err(_)) if !is_asked_for => {}
                (true, _) => self.find(
                    FindingKind::ScratchLeft,
                    &path,
                    "is what is left of a store that was being made, removed or used to try a driver",
                ),
                // One that lies elsewhere may be out of reach, and is a store.
                (false, Ok(name)) if path.is_dir() || is_elsewhere(&path) => names.push(name.as_str().to_owned()),
                (false, _) => self.find(FindingKind::Stray, &path, "is no store"),
            }
        }
        Ok(names)
    }

    pub(super) fn look_at_store(&mut self, name: &str) {
        let stores = self.request.root.join("stores");
        let (entry, home) = (stores.join(name), home_of(&stores, name));
        if is_elsewhere(&entry) && !home.is_dir() {
            let home = home.display();
            let detail = format!(
                "`{}` leads to `{home}`, which is not there: mount its file system",
                entry.display()
            );
            let finding = Finding::new(FindingKind::Unseen, detail).at(entry);
            self.report.findings.push(finding.of_store(name));
            return;
        }
        let mut look = Look::new(self.request, &self.copies, name);
        look.all();
        self.report.stores += 1;
        self.report.layers += look.layers;
        self.report.findings.extend(look.findings);
    }

    /// Looks at drivers, at compiled code, and at mounts of stores that are not there.
    pub(super) fn look_at_rest(&mut self, stores: &[String]) {
        self.look_at_drivers();
        let code = self.request.root.join("code-cache");
        match inspect_code(&code) {
            Ok(damaged) => {
                for (path, error) in damaged {
                    let what = format!("is no compiled code that can be used: {error}");
                    self.find(FindingKind::CodeDamaged, &path, &what);
                }
            }
            Err(error) => self.unseen(&code, &error),
        }
        let mounts = self.request.run_dir.join("m");
        for path in list(&mounts).unwrap_or_default() {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_ours = StoreName::parse(&name).is_ok() && !stores.iter().any(|one| *one == name);
            if !is_ours {
                continue;
            }
            let found = Place::look_in(&self.request.run_dir, &name)
                .and_then(|place| place.look(|_| false));
            match found {
                Ok(found) => {
                    let found = found.into_iter().map(|finding| finding.of_store(&name));
                    self.report.findings.extend(found);
                }
                Err(error) => self.unseen(&path, &error),
            }
        }
    }

    fn unseen(&mut self, path: &Path, error: &io::Error) {
        let what = format!("cannot be looked at: {error}");
        self.find(FindingKind::Unseen, path, &what);
    }

    fn look_at_drivers(&mut self) {
        for path in list(&self.request.root.join("drivers")).unwrap_or_default() {
            if path.is_dir() {
                self.look_at_driver(&path);
            } else if path.extension().is_none_or(|ending| ending != "wasm") {
                self.find(FindingKind::Stray, &path, "is no driver");
            }
        }
    }

    fn look_at_driver(&mut self, directory: &Path) {
        let shelf = Shelf::new(directory.to_owned());
        let history = match shelf.look() {
            Ok(Some(history)) => history,
            // Without a record, a start takes what ships, whatever lies there.
            Ok(None) => {
                if list(directory).is_ok_and(|paths| !paths.is_empty()) {
                    let what = "has components of a driver, and no record of its builds";
                    self.find(FindingKind::HistoryDamaged, directory, what);
                }
                return;
            }
            Err(error @ Error::Corrupt { .. }) => {
                let what = format!("has no record of its builds: {}", with_causes(&error));
                return self.find(FindingKind::HistoryDamaged, directory, &what);
            }
            // An error of the disk may pass.
            Err(error) => {
                let what = format!("cannot be read: {}", with_causes(&error));
                return self.find(FindingKind::Unseen, directory, &what);
            }
        };
        for (path, error) in shelf.find_damaged(&history, self.request.limits.component_bytes) {
            let is_damaged = matches!(error, Error::Corrupt { .. });
            let kind = match (path.exists(), shelf.is_active(&history, &path)) {
                (true, _) if is_damaged => FindingKind::BuildDamaged,
                // It is larger than the limits that this program was told, or cannot be read now.
                (true, _) => FindingKind::Unseen,
                (false, true) => FindingKind::BuildMissing,
                (false, false) => FindingKind::BuildLost,
            };
            let what = format!("is not the component of its build: {}", with_causes(&error));
            self.find(kind, &path, &what);
        }
        for path in shelf.unnamed(&history) {
            self.find(
                FindingKind::BuildUnnamed,
                &path,
                "is of no build that is kept",
            );
        }
        let damaged = directory.join(DAMAGED_HISTORY);
        if damaged.exists() {
            self.find(
                FindingKind::Stray,
                &damaged,
                "is a record that could not be read",
            );
        }
    }
}

/// The paths in a directory, in their order.
pub(super) fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory)?.map(|entry| Ok(entry?.path()));
    let mut paths: Vec<PathBuf> = entries.collect::<io::Result<_>>()?;
    paths.sort();
    Ok(paths)
}
