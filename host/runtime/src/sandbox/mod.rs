//! wasmtime: components to generations, generations to operations.
//!
//! One [`Engine`] for the process, its epoch advanced every 10 ms by a thread of its own. Instances come from a pool
//! where the address space allows, otherwise on demand; `RuntimeFacts` says which.
//!
//! Invariant: no operation's meaning is known here, and no file is touched but the code cache.

mod admission;
mod cache;
mod call;
pub(crate) mod compile;
mod compose;
mod diff;
mod engine;
pub(crate) mod generation;
mod link;

use crate::{Error, Grants, Limits};
use generation::Generation;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wasmtime::Engine;

/// How components are compiled.
#[derive(Clone, Debug, Default)]
pub enum Compiler {
    /// In this process: for components that are trusted as this program is, and for tests.
    #[default]
    InProcess,
    /// By a child process with limits on memory and time: this program, started with these arguments, which must
    /// call [`crate::compile_child`].
    Child {
        /// The program.
        program: PathBuf,
        /// Its arguments.
        arguments: Vec<String>,
    },
}

/// What a [`Runtime`] is made with.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Every number.
    pub limits: Limits,
    /// Where compiled code is kept between starts; it is made with mode 0700 and must belong to this user.
    pub cache_dir: Option<PathBuf>,
    /// How components are compiled.
    pub compiler: Compiler,
}

/// What `mica status` tells of the sandbox.
#[derive(Clone, Debug, Serialize)]
pub struct RuntimeFacts {
    /// `pooling`, or `on-demand` where the address space is too small for a pool.
    pub allocator: &'static str,
    /// The wasmtime release.
    pub wasmtime: &'static str,
    /// Where compiled code is kept.
    pub cache_dir: Option<PathBuf>,
    /// Operations that run now.
    pub live_operations: u64,
    /// Operations that were ever begun.
    pub operations: u64,
}

/// Operations begun and running.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Counters {
    pub(crate) fn begin(self: &Arc<Self>) -> Running {
        self.begun.fetch_add(1, Ordering::Relaxed);
        Running(Arc::clone(self))
    }
}

/// Counts an operation's end when it goes.
pub(crate) struct Running(Arc<Counters>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// Loads components and runs them.
pub struct Runtime {
    engine: Engine,
    allocator: &'static str,
    limits: Arc<Limits>,
    cache: Option<cache::Cache>,
    compiler: Compiler,
    counters: Arc<Counters>,
    _ticker: engine::Ticker,
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime")
            .field("facts", &self.facts())
            .finish_non_exhaustive()
    }
}

impl Runtime {
    /// Makes the engine and starts its clock.
    ///
    /// # Errors
    /// [`Error::Runtime`] when the cache directory cannot be used or the engine cannot be made.
    pub fn new(settings: Settings) -> Result<Arc<Self>, Error> {
        let (engine, allocator) = engine::new(&settings.limits)?;
        let cache = settings.cache_dir.map(cache::Cache::open).transpose()?;
        let ticker = engine::Ticker::start(&engine)?;
        Ok(Arc::new(Self {
            engine,
            allocator,
            limits: Arc::new(settings.limits),
            cache,
            compiler: settings.compiler,
            counters: Arc::default(),
            _ticker: ticker,
        }))
    }

    /// Checks a component, compiles it (or finds the code in the cache), composes it with naive-diff if it exports
    /// no diff-driver, links it with what is granted, and asks it what it is.
    ///
    /// # Errors
    /// [`Error::Rejected`] with the reason and what would help; the errors of an operation for `describe`.
    pub fn load(&self, bytes: &[u8], grants: &Grants) -> Result<Arc<Generation>, Error> {
        let facts = admission::check(bytes, &self.limits)?;
        link::check_grants(&facts.imports, grants)?;
        let world = facts.world;
        let composed = match world {
            generation::World::Full => None,
            generation::World::Proto => Some(compose::with_naive_diff(bytes)?),
        };
        let component = self.compile(composed.as_deref().unwrap_or(bytes))?;
        let linked = link::link(&self.engine, &component, grants)?;
        let generation = Generation::new(self, bytes, facts, linked);
        let description = generation.describe().map_err(|error| {
            Error::rejected(
                format!("it cannot say what it is: {error}"),
                "`describe` is called without a store: it may use the log and nothing else",
            )
        })?;
        Ok(Arc::new(generation.described(description)?))
    }

    fn compile(&self, bytes: &[u8]) -> Result<wasmtime::component::Component, Error> {
        let key = cache::key(&self.engine, bytes);
        if let Some(found) = self
            .cache
            .as_ref()
            .and_then(|cache| cache.find(&self.engine, &key))
        {
            return Ok(found);
        }
        let code = compile::compile(&self.engine, &self.compiler, bytes, &self.limits)?;
        if let Some(cache) = &self.cache {
            cache.keep(&key, &code);
        }
        cache::load(&self.engine, &code)
    }

    /// What the sandbox is and does.
    #[must_use]
    pub fn facts(&self) -> RuntimeFacts {
        let operations = self.counters.begun.load(Ordering::Relaxed);
        RuntimeFacts {
            allocator: self.allocator,
            wasmtime: engine::WASMTIME,
            cache_dir: self.cache.as_ref().map(|cache| cache.path().to_owned()),
            live_operations: operations.saturating_sub(self.counters.ended.load(Ordering::Relaxed)),
            operations,
        }
    }

    /// The numbers it works with.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}
