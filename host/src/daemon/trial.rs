//! Asks each driver of the program whether it can work below a directory, as a daemon with its root there would.
//!
//! Invariant: no driver is named here; what is made for the question is removed, whatever the answers are.

use super::drivers;
use crate::children;
use mica_engine::{Engine, EngineSettings, Runtime, StoreRequest};
use mica_runtime::{Compiler, Limits};
use mica_text::with_causes;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The store that is asked for, of each driver in turn.
const STORE: &str = "doctor";

/// What a driver says of a directory.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    /// The driver.
    pub(crate) name: &'static str,
    /// Why it cannot work there; `None` if it can.
    pub(crate) refusal: Option<String>,
}

/// Asks the drivers of the program, in the order of their table.
pub(crate) fn try_drivers(directory: &Path) -> Vec<Verdict> {
    let own = directory.join(format!(".mica-doctor-{}", std::process::id()));
    let verdicts = match open(&own) {
        Ok(engine) => {
            let verdicts = verdicts(|name| refusal(&engine, name));
            engine.close();
            verdicts
        }
        Err(why) => verdicts(|_| Some(format!("it could not be asked: {why}"))),
    };
    if let Err(error) = fs::remove_dir_all(&own)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(path = %own.display(), %error, "remove what the drivers were tried in");
    }
    verdicts
}

fn verdicts(refusal: impl Fn(&str) -> Option<String>) -> Vec<Verdict> {
    let verdict = |driver: &mica_artifacts::Driver| Verdict {
        name: driver.name,
        refusal: refusal(driver.name),
    };
    mica_artifacts::DRIVERS.iter().map(verdict).collect()
}

fn open(root: &PathBuf) -> Result<Arc<Engine>, String> {
    // Made here, so that nothing which was there before is used or removed.
    fs::create_dir(root).map_err(|error| format!("make `{}`: {error}", root.display()))?;
    let limits = Limits::default();
    let (sources, _) =
        drivers::sources(None, limits.component_bytes).map_err(|error| error.to_string())?;
    let settings = EngineSettings {
        drivers: sources,
        ..drivers::settled(EngineSettings::new(root, root.join("run")))
    };
    let sandbox = mica_runtime::Settings {
        limits,
        cache_dir: None,
        compiler: Compiler::Child(children::compiler()),
    };
    let sandbox = Runtime::new(sandbox).map_err(|error| error.to_string())?;
    Engine::open(settings, sandbox).map_err(|error| with_causes(&error))
}

fn refusal(engine: &Engine, driver: &str) -> Option<String> {
    let request = StoreRequest {
        name: STORE.to_owned(),
        driver: Some(driver.to_owned()),
        options: mica_engine::Pairs::default(),
        client: None,
    };
    let asked = engine.stores().create(request);
    asked
        .and_then(|_| engine.stores().remove(STORE))
        .err()
        .map(|error| with_causes(&error))
}
