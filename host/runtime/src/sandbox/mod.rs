//! wasmtime: components to generations, generations to operations.
//!
//! One [`Engine`] for the process, its epoch advanced every 10 ms by a thread of its own. Instances come from a pool
//! where the address space allows, otherwise on demand; `RuntimeFacts` says which.
//!
//! Invariant: no operation's meaning is known here, and no file is touched but the code cache.

mod admission;
mod asked;
pub(crate) mod cache;
mod call;
pub(crate) mod child;
mod clock;
mod compose;
mod diff;
mod engine;
pub(crate) mod generation;
pub(crate) mod inspect;
pub(crate) mod link;
mod look;
mod prepare;
pub(crate) mod replay;

use crate::{CancelToken, Error, Grants, Limits};
use admission::ComponentFacts;
use child::Compilers;
use engine::Allocation;
use generation::Generation;
use inspect::Inspection;
use mica_text::hex;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use wasmtime::Engine;
use wasmtime::component::Component;

pub use mica_sys::Program;

/// How components are checked and compiled.
#[derive(Clone, Debug, Default)]
pub enum Compiler {
    /// In this process: for components that are trusted as this program is, and for tests.
    #[default]
    InProcess,
    /// By child processes that are confined and have limits on memory and time: this program, started so that it calls
    /// [`crate::compile_child`].
    Child(Program),
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

/// Loads components and runs them.
pub struct Runtime {
    engine: Engine,
    allocation: Allocation,
    limits: Arc<Limits>,
    cache: Option<cache::Cache>,
    compilers: Option<Compilers>,
    confinement: OnceLock<Vec<String>>,
    clock: clock::Clock,
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
        let (engine, allocation) = engine::new(&settings.limits)?;
        let cache = settings.cache_dir.map(cache::Cache::open).transpose()?;
        let clock = clock::Clock::start(&engine)?;
        Ok(Arc::new(Self {
            engine,
            allocation,
            compilers: match settings.compiler {
                Compiler::InProcess => None,
                Compiler::Child(program) => Some(Compilers::new(program, &settings.limits)),
            },
            limits: Arc::new(settings.limits),
            cache,
            confinement: OnceLock::new(),
            clock,
        }))
    }

    /// Whether loading a component takes what was compiled before.
    #[must_use]
    pub fn is_compiled(&self, bytes: &[u8]) -> bool {
        let key = || cache::key(&self.engine, bytes, &self.limits);
        self.cache.as_ref().is_some_and(|cache| cache.has(&key()))
    }

    /// Forgets what was compiled of a component.
    pub fn forget(&self, bytes: &[u8]) {
        if let Some(cache) = &self.cache {
            cache.forget(&cache::key(&self.engine, bytes, &self.limits));
        }
    }

    /// Has a component checked and compiled (or finds what came of it in the cache), links it with what is granted, and asks it
    /// what it is. This process looks at nothing of it but its size before the compiler has said yes.
    ///
    /// # Errors
    /// [`Error::Rejected`] with the reason and what would help; the errors of an operation for `describe`;
    /// [`Error::Cancelled`].
    pub fn load(
        &self,
        bytes: &[u8],
        grants: &Grants,
        cancel: &CancelToken,
    ) -> Result<Arc<Generation>, Error> {
        // What a stranger built must not end this process at each start, whatever a library makes of it.
        catch_unwind(AssertUnwindSafe(|| {
            self.load_checked(bytes, grants, cancel)
        }))
        .unwrap_or_else(|_told_by_the_hook| {
            Err(Error::rejected(
                "the sandbox broke on it",
                "the daemon's log says where; report it with the component",
            ))
        })
    }

    /// Has a component looked at without compiling it, and compares it with limits and grants.
    ///
    /// # Errors
    /// As [`crate::inspect`].
    pub fn inspect(&self, bytes: &[u8], grants: &Grants) -> Result<Inspection, Error> {
        match &self.compilers {
            Some(compilers) => inspect::inspect(compilers.program(), bytes, &self.limits, grants),
            None => {
                let facts = admission::check(bytes, &self.limits)?;
                inspect::judge(facts, bytes.len(), &self.limits, grants)
            }
        }
    }

    fn load_checked(
        &self,
        bytes: &[u8],
        grants: &Grants,
        cancel: &CancelToken,
    ) -> Result<Arc<Generation>, Error> {
        admission::check_size(bytes, &self.limits)?;
        let (facts, component) = self.prepared(bytes, grants, cancel)?;
        let linked = link::link(
            &self.engine,
            &component,
            &grants.within(facts.manifest.as_deref()),
        )?;
        let generation = Generation::new(self, bytes, facts, linked, grants);
        let description = generation.describe().map_err(|error| match error {
            Error::Rejected { .. } | Error::NotGranted { .. } => error,
            _ => Error::rejected(
                format!("it cannot say what it is: {error}"),
                "`describe` is called without a store: it may use the log and nothing else",
            ),
        })?;
        Ok(Arc::new(generation.described(description)?))
    }

    /// What the checks found, and the code.
    fn prepared(
        &self,
        bytes: &[u8],
        grants: &Grants,
        cancel: &CancelToken,
    ) -> Result<(ComponentFacts, Component), Error> {
        let key = cache::key(&self.engine, bytes, &self.limits);
        if let Some(cache) = &self.cache
            && let Some(found) = cache.find(&key)
        {
            link::check_grants(
                &found.facts.imports,
                found.facts.manifest.as_deref(),
                grants,
            )?;
            match cache::load(&self.engine, &found.code) {
                Ok(component) => return Ok((found.facts, component)),
                Err(error) => cache.drop_damaged(&key, &error),
            }
        }
        let limits = &self.limits;
        let made = match &self.compilers {
            Some(compilers) => compilers.prepare(bytes, limits, grants, self.allocation, cancel)?,
            None => {
                let engine = engine::for_compilation(limits, self.allocation)?;
                prepare::prepare(&engine, bytes, limits, grants)?
            }
        };
        let component = cache::load(&self.engine, &made.code)?;
        if let Some(cache) = &self.cache {
            cache.keep(&key, &made);
        }
        Ok((made.facts, component))
    }

    /// What the processes that compile could not give away before they read a component, each with the reason; empty where
    /// they are confined as intended. The first call finds it out, with such a process.
    pub fn confinement_lacks(&self) -> &[String] {
        self.confinement.get_or_init(|| match &self.compilers {
            None => vec!["components are compiled in this process".to_owned()],
            Some(compilers) => compilers
                .probe(&self.limits)
                .unwrap_or_else(|error| vec![error.to_string()]),
        })
    }

    /// What the sandbox is and does.
    #[must_use]
    pub fn facts(&self) -> RuntimeFacts {
        let (operations, live_operations) = self.clock.operations();
        RuntimeFacts {
            allocator: self.allocation.word(),
            wasmtime: engine::WASMTIME,
            cache_dir: self.cache.as_ref().map(|cache| cache.path().to_owned()),
            live_operations,
            operations,
        }
    }

    /// The numbers it works with.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

/// `sha256:` and the hexadecimal digest of a component.
#[must_use]
pub fn digest_of(component: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(component)))
}
