//! The child: enters its namespaces, opens an engine there, and plays or measures.
//!
//! It gets its job as an argument, then one line on standard input when its users are mapped, then the component and an archive if
//! there is one. On standard output it says one message a line.
//!
//! Invariant: nothing is opened, and no second thread started, before it is in its namespaces; what it makes lies in memory of
//! its own mount namespace, or in a directory that it removes.

use crate::base::Base;
use crate::bench::{self, BenchReport, BenchRequest};
use crate::cases::{self, is_wanted};
use crate::report::{CaseReport, DriverFacts, Mismatch, PlaceFacts, Request};
use crate::stage::{Facts, Stage};
use mica_cases::tree;
use mica_engine::{Error as EngineError, Grants};
use mica_runtime::{
    CancelToken, Compiler, Error, Generation, Limits, OwnContent, Program, Runtime,
};
use mica_sys::MappedIds;
use mica_text::with_causes;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, BufRead, Read, Write};
use std::path::Path;
use std::sync::Arc;

/// What the child is to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    /// The process that waits for it.
    pub(crate) parent: u32,
    /// What is wanted.
    pub(crate) work: Work,
    /// Bytes of the component; an archive follows it, if one was given.
    pub(crate) component_bytes: usize,
}

/// What is wanted of the child.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Work {
    /// That it plays cases.
    Cases(Request),
    /// That it measures.
    Bench(BenchRequest),
}

impl Work {
    fn grants(&self) -> &[String] {
        match self {
            Self::Cases(request) => &request.grants,
            Self::Bench(request) => &request.grants,
        }
    }

    fn directory(&self) -> Option<&Path> {
        match self {
            Self::Cases(request) => request.directory.as_deref(),
            Self::Bench(request) => request.directory.as_deref(),
        }
    }
}

/// What the parent says once it has mapped the users.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Mapped {
    /// Any file can have any owner.
    All,
    /// There is one owner.
    One,
}

/// What the child says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Message {
    /// It is in its namespaces, and waits for its users.
    Entered,
    /// It may not enter namespaces: what the kernel said.
    NotEntered(String),
    /// It will play.
    Begun(DriverFacts, PlaceFacts),
    /// What became of a case.
    Case(Box<CaseReport>),
    /// What was measured.
    Measured(Box<BenchReport>),
    /// A driver did not do what is measured: which, in which operation, and what it did.
    Broken {
        /// The driver.
        driver: String,
        /// What was done.
        operation: String,
        /// What it did.
        mismatch: Box<Mismatch>,
    },
    /// All is done.
    Done,
    /// The component cannot be loaded: why, and what would help.
    Rejected(String, String),
    /// The driver says that it cannot work here.
    Unsupported(String),
    /// Something else went wrong.
    Failed(String),
}

impl From<Error> for Message {
    fn from(error: Error) -> Self {
        match error {
            Error::Rejected { reason, remedy } | Error::NotGranted { reason, remedy } => {
                Self::Rejected(reason.to_string(), remedy.to_string())
            }
            other => Self::Failed(with_causes(&other)),
        }
    }
}

impl From<EngineError> for Message {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::NotSupported(_)
            | EngineError::Prerequisites(_)
            | EngineError::IncompatibleFs(_) => Self::Unsupported(with_causes(&error)),
            other => Self::Failed(with_causes(&other)),
        }
    }
}

/// The child's life.
///
/// # Errors
/// What it could not say to its parent, or why it does not know what to do.
pub fn play_child(job: &str, compiler: Program) -> Result<(), String> {
    let job: Job = serde_json::from_str(job).map_err(|error| error.to_string())?;
    let last = match live(&job, compiler) {
        Ok(()) => Message::Done,
        Err(message) => message,
    };
    say(&last).map_err(|error| error.to_string())
}

fn say(message: &Message) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, message)?;
    out.write_all(b"\n")?;
    out.flush()
}

/// What went wrong here, and is no fault of the driver.
pub(crate) fn failed(doing: &'static str) -> impl FnOnce(io::Error) -> Message {
    move |error| Message::Failed(format!("{doing}: {error}"))
}

fn live(job: &Job, compiler: Program) -> Result<(), Message> {
    mica_sys::enter_own_namespaces().map_err(|error| Message::NotEntered(error.to_string()))?;
    // Not before, because new rights take it back.
    mica_sys::confine::end_with_parent(job.parent).map_err(failed("wait for the parent"))?;
    say(&Message::Entered).map_err(failed("tell the parent"))?;
    let mut input = io::stdin().lock();
    let mut line = String::new();
    input
        .read_line(&mut line)
        .map_err(failed("hear the parent"))?;
    let mapped: Mapped =
        serde_json::from_str(&line).map_err(|error| Message::Failed(error.to_string()))?;
    let mut component = Vec::new();
    input
        .read_to_end(&mut component)
        .map_err(failed("read the component"))?;
    let archive = component.split_off(job.component_bytes.min(component.len()));
    let base = Base::make(job.work.directory(), job.parent)?;
    let played = work(job, &base.path, (&component, archive), &mapped, compiler);
    base.remove();
    played
}

/// The driver, loaded with the limits that a daemon has by default.
pub(crate) struct Loaded {
    pub(crate) runtime: Arc<Runtime>,
    generation: Arc<Generation>,
    pub(crate) grants: Grants,
}

impl Loaded {
    pub(crate) fn facts(&self) -> DriverFacts {
        let description = self.generation.description();
        DriverFacts {
            name: description.name.clone(),
            version: description.version.to_string(),
            digest: self.generation.digest().to_owned(),
        }
    }
}

fn load(job: &Job, base: &Path, component: &[u8], compiler: Program) -> Result<Loaded, Message> {
    let runtime = Runtime::new(mica_runtime::Settings {
        limits: Limits::default(),
        // So that the engine, and each restart of it, need not compile it again.
        cache_dir: Some(base.join("code-cache")),
        compiler: Compiler::Child(compiler),
    })?;
    let mut grants = Grants::standard();
    for name in job.work.grants() {
        let grant = name.parse();
        let grant = grant.map_err(|error| Message::Failed(with_causes(&error)))?;
        grants = grants.and(grant);
    }
    let generation = runtime.load(component, &grants, &CancelToken::default())?;
    Ok(Loaded {
        runtime,
        generation,
        grants,
    })
}

fn work(
    job: &Job,
    base: &Path,
    (component, archive): (&[u8], Vec<u8>),
    mapped: &Mapped,
    compiler: Program,
) -> Result<(), Message> {
    let loaded = load(job, base, component, compiler)?;
    let facts = Facts {
        any_owner: matches!(mapped, Mapped::All),
        xattrs: has_xattrs(base).map_err(failed("try the file system"))?,
        stacked: matches!(
            loaded.generation.description().content,
            OwnContent::Stacked(_)
        ),
    };
    let owners = match mapped {
        Mapped::All => "all",
        Mapped::One => "one",
    };
    match &job.work {
        Work::Cases(request) => play(request, base, (loaded, component), facts, owners),
        Work::Bench(request) => {
            let archive = Some(archive).filter(|archive| !archive.is_empty());
            let given = (loaded, component, archive);
            let report = bench::run(request, base, given, facts, owners)?;
            tell(&Message::Measured(Box::new(report)))
        }
    }
}

fn tell(message: &Message) -> Result<(), Message> {
    say(message).map_err(failed("tell the parent"))
}

fn play(
    request: &Request,
    base: &Path,
    (loaded, component): (Loaded, &[u8]),
    facts: Facts,
    owners: &str,
) -> Result<(), Message> {
    let driver = loaded.facts();
    let Loaded {
        runtime, grants, ..
    } = loaded;
    let mut stage = Stage::open(
        base,
        runtime,
        (&driver.name, component),
        grants,
        request.options.clone(),
        facts,
    )?;
    let place = PlaceFacts {
        filesystem: stage.filesystem()?,
        owners: owners.to_owned(),
    };
    tell(&Message::Begun(driver, place))?;
    for case in cases::all() {
        if is_wanted(&case.view().name, &request.only) {
            tell(&Message::Case(Box::new(case.play(&mut stage))))?;
        }
    }
    stage.close();
    Ok(())
}

/// Whether files here can have attributes of users: those in memory can from Linux 6.6 on.
fn has_xattrs(base: &Path) -> io::Result<bool> {
    let probe = base.join("probe");
    fs::create_dir(&probe)?;
    let set = tree::try_build(&probe, "f f x:user.probe=1");
    fs::remove_dir_all(&probe)?;
    Ok(set.is_ok())
}

impl From<MappedIds> for Mapped {
    fn from(ids: MappedIds) -> Self {
        match ids {
            MappedIds::All => Self::All,
            MappedIds::One => Self::One,
        }
    }
}
