//! An engine with one driver and one store, as the cases use it.
//!
//! Invariant: whatever the engine refuses becomes a mismatch that names the driver's function behind it; a case asks nothing of
//! the engine but through here.

use crate::calls::{METADATA, worked};
use crate::report::Mismatch;
use mica_cases::dump::{Node, as_layered, print, try_nodes};
use mica_cases::tree;
use mica_engine::{
    DriverSource, Durability, Engine, EngineSettings, Error, Granted, Grants, LogFilter,
    LogReading, Origin, Pairs, Result as Answer, Runtime, StoreRequest, TraceFilter, WhenBusy,
};
use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Lines that are told of what a driver said in a case.
const SAID_LINES: usize = 20;

/// How often it is looked whether the trash is empty.
const SWEEP: Duration = Duration::from_millis(2);
/// How long that may take: what the engine cannot delete it tries again each minute.
const SWEEP_TIMEOUT: Duration = Duration::from_secs(90);

/// What a case comes to.
pub(crate) type Step<T> = Result<T, Box<Mismatch>>;

/// What this place can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Whether files can have any owner.
    pub(crate) any_owner: bool,
    /// Whether files can have attributes of users.
    pub(crate) xattrs: bool,
    /// Whether the driver stacks directories: views of them are overlays.
    pub(crate) stacked: bool,
}

/// An engine with one driver and one store.
pub(crate) struct Stage {
    engine: Option<Arc<Engine>>,
    settings: EngineSettings,
    runtime: Arc<Runtime>,
    driver: String,
    options: Vec<(String, String)>,
    store: String,
    number: u64,
    /// Where plain trees are made.
    base: PathBuf,
    /// Reads what the driver says, and what it said before the engine was opened again.
    log: Option<LogReading>,
    heard: Vec<String>,
    /// What this place can do.
    pub(crate) facts: Facts,
}

/// The trees beside the store that no archive may reach.
const VICTIM: &str = "f secret data=canary-content\nf hello data=hello\nd sub";

impl Stage {
    /// Opens an engine below `base`, which is empty, with a store of the driver.
    pub(crate) fn open(
        base: &Path,
        runtime: Arc<Runtime>,
        (driver, component): (&str, &[u8]),
        grants: Grants,
        options: Vec<(String, String)>,
        facts: Facts,
    ) -> Answer<Self> {
        let source = DriverSource {
            name: Some(driver.to_owned()),
            bytes: Cow::Owned(component.to_vec()),
            origin: Origin::Embedded,
            provenance: None,
        };
        let mut settings = EngineSettings::new(base.join("root"), base.join("run"));
        settings.durability = Durability::None;
        settings.drivers = vec![source];
        settings
            .grants
            .insert(driver.to_owned(), Granted::interfaces_of(&grants));
        let engine = Engine::open(settings.clone(), Arc::clone(&runtime))?;
        let mut stage = Self {
            engine: Some(engine),
            settings,
            runtime,
            driver: driver.to_owned(),
            options,
            store: String::new(),
            number: 0,
            base: base.to_owned(),
            log: None,
            heard: Vec::new(),
            facts,
        };
        stage.listen()?;
        let victim = stage.scratch("victim");
        victim
            .and_then(|victim| tree::try_build(&victim, VICTIM).map_err(io::Error::other))
            .map_err(|source| Error::Io {
                doing: "make the tree beside the store".to_owned(),
                source,
            })?;
        stage.new_store()?;
        Ok(stage)
    }

    /// Listens to the driver of the engine that is open.
    fn listen(&mut self) -> Answer<()> {
        let drivers = self.engine()?.drivers();
        self.log = Some(drivers.log(&self.driver, LogFilter::default(), None)?);
        Ok(())
    }

    fn hear(&mut self) {
        let lines = self.log.as_mut().map(LogReading::next_lines);
        for line in lines.into_iter().flatten() {
            let (operation, source, text) = (&line.operation, &line.source, &line.text);
            self.heard.push(format!("{operation}, {source}: {text}"));
        }
        let most = self.heard.len().saturating_sub(SAID_LINES);
        self.heard.drain(..most);
    }

    /// What the driver said since this was asked last: the last lines.
    pub(crate) fn said(&mut self) -> Vec<String> {
        self.hear();
        std::mem::take(&mut self.heard)
    }

    fn engine(&self) -> Answer<&Arc<Engine>> {
        self.engine.as_ref().ok_or(Error::Cancelled)
    }

    /// Goes on in a store that no case was played in.
    pub(crate) fn new_store(&mut self) -> Answer<()> {
        self.number += 1;
        self.store = format!("kit-{}", self.number);
        self.make_store(&self.store, self.options.clone())
    }

    /// Makes a store of the driver.
    pub(crate) fn make_store(&self, name: &str, options: Vec<(String, String)>) -> Answer<()> {
        let request = StoreRequest {
            name: name.to_owned(),
            driver: Some(self.driver.clone()),
            options: Pairs(options),
            client: None,
        };
        self.engine()?.stores().create(request).map(drop)
    }

    /// The options of the stores.
    pub(crate) fn options(&self) -> &[(String, String)] {
        &self.options
    }

    /// Removes a store again.
    pub(crate) fn remove_store(&self, name: &str) -> Answer<()> {
        self.engine()?.stores().remove(name)
    }

    /// Forgives the driver what it did in earlier cases, and removes what they left: a new store if that does not work.
    pub(crate) fn settle(&mut self) -> Answer<()> {
        let engine = Arc::clone(self.engine()?);
        engine.drivers().release(&self.driver, None, None)?;
        for name in ["model", "other"] {
            let _none = std::fs::remove_dir_all(self.base.join(name));
        }
        let left = self.ids()?;
        if left.is_empty() {
            return Ok(());
        }
        let layers = engine.layers(&self.store)?;
        for id in &left {
            while layers.unmount(id, WhenBusy::Hold).is_ok() {}
        }
        // A layer goes after those that are built on it, which come in any order.
        while self.ids()?.iter().any(|id| layers.remove(id).is_ok()) {}
        drop(layers);
        engine.drivers().release(&self.driver, None, None)?;
        match self.ids()?.is_empty() {
            true => Ok(()),
            false => self.new_store(),
        }
    }

    /// Ends the engine and opens it again on the same directories, as a daemon that is restarted does.
    pub(crate) fn restart(&mut self) -> Answer<()> {
        if let Some(engine) = self.engine.take() {
            engine.close();
        }
        self.hear();
        let engine = Engine::open(self.settings.clone(), Arc::clone(&self.runtime))?;
        self.engine = Some(engine);
        self.listen()
    }

    /// Ends the engine.
    pub(crate) fn close(&mut self) {
        if let Some(engine) = self.engine.take() {
            engine.close();
        }
    }

    /// The ids of all layers.
    pub(crate) fn ids(&self) -> Answer<Vec<String>> {
        let layers = self.engine()?.layers(&self.store)?;
        let views = layers.layers(None, usize::MAX);
        Ok(views.into_iter().map(|view| view.id).collect())
    }

    /// An empty directory beside the store.
    pub(crate) fn scratch(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.base.join(name);
        let _none = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path)?;
        Ok(path)
    }

    /// What lies beside the store, which no archive may reach.
    pub(crate) fn victim(&self) -> Step<String> {
        read(&self.base.join("victim"), "the tree beside the store", "").map(|nodes| print(&nodes))
    }

    /// The domain's door to the layers.
    pub(crate) fn with<T>(
        &self,
        work: impl FnOnce(&mica_engine::LayerStore<'_>) -> Answer<T>,
    ) -> Answer<T> {
        work(&self.engine()?.layers(&self.store)?)
    }

    /// What the driver and the host tell of a layer.
    pub(crate) fn metadata(&self, id: &str) -> Step<Vec<(String, String)>> {
        worked(METADATA, id, self.with(|layers| layers.metadata(id)))
    }

    /// The file system below the store.
    pub(crate) fn filesystem(&self) -> Answer<String> {
        let view = self.engine()?.store(&self.store)?.describe()?;
        Ok(view.backing.filesystem)
    }

    /// Host calls that the driver made since the engine was opened, and the memory of all its operations together, in bytes.
    pub(crate) fn amounts(&self) -> (u64, u64) {
        let figures = self.engine.as_ref().map(|engine| engine.figures());
        let drivers = figures.map(|figures| figures.drivers).unwrap_or_default();
        let own = drivers.iter().filter(|figures| figures.name == self.driver);
        own.flat_map(|figures| &figures.amounts)
            .fold((0, 0), |(calls, memory), row| {
                (calls + row.host_calls.sum, memory + row.memory_bytes.sum)
            })
    }

    /// What the engine was answered by a function of the driver that failed, in this store, of those that it remembers.
    pub(crate) fn failures(&self, function: &str) -> Answer<Vec<String>> {
        let filter = TraceFilter {
            store: Some(self.store.clone()),
            only_failed: true,
            ..TraceFilter::default()
        };
        let traces = self.engine()?.drivers().traces(&self.driver, &filter)?;
        let of_function = traces
            .into_iter()
            .filter(|trace| trace.function == function);
        Ok(of_function.filter_map(|trace| trace.error).collect())
    }

    /// Waits until what was removed is gone from the disk.
    ///
    /// # Errors
    /// The kernel's; `TimedOut` for what cannot be deleted.
    pub(crate) fn swept(&self) -> io::Result<()> {
        let trash = self
            .base
            .join("root/stores")
            .join(&self.store)
            .join("trash");
        let begun = Instant::now();
        while std::fs::read_dir(&trash)?.next().is_some() {
            if begun.elapsed() > SWEEP_TIMEOUT {
                return Err(io::ErrorKind::TimedOut.into());
            }
            std::thread::sleep(SWEEP);
        }
        Ok(())
    }

    /// What the store's driver says of itself.
    pub(crate) fn status(&self) -> Answer<Vec<(String, String)>> {
        let view = self.engine()?.store(&self.store)?.describe()?;
        Ok(view.status.0)
    }
}

/// Reads the tree of a view.
pub(crate) fn read(path: &Path, call: &str, layer: &str) -> Step<Vec<Node>> {
    let nodes = try_nodes(path).map_err(|error| {
        let seen = format!("{error:#}");
        Mismatch::new(call, Some(layer), "a tree that can be read", &seen)
    })?;
    Ok(as_layered(&nodes))
}
