//! One loaded build of a driver, and its operations.
//!
//! Invariant: nothing is kept between two operations but the compiled, linked component.

use super::Runtime;
use super::admission::ComponentFacts;
use super::asked::check_said;
use super::call::{Finished, refused};
use super::clock::Counter;
use crate::bindings::DriverPre;
use crate::bindings::mica::driver::types as wit;
use crate::capability::State;
use crate::capability::handles::HandleBudget;
use crate::capability::home::NoHome;
use crate::capability::journal::Journal;
use crate::capability::mounts::Mount;
use crate::capability::permit::Permit;
use crate::capability::plan::{MountPlan, Outcome};
use crate::limits::Class;
use crate::manifest::Manifest;
use crate::trace::Question;
use crate::{
    Access, CancelToken, CreateOptions, Error, Grants, LayerKind, Limits, Operation, OwnContent,
    SafeText, Spent,
};
use mica_sys::mount::DetachedMount;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use wasmtime::component::Resource;

/// Pairs of names and sentences that are taken from a driver at once.
const MAX_PAIRS: usize = 100;

/// What a driver's author exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum World {
    /// proto-driver alone; naive-diff was composed with it.
    Proto,
    /// proto-driver and diff-driver.
    Full,
}

/// What a driver says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// The driver's name.
    pub name: String,
    /// Its own version.
    pub version: SafeText,
    /// One sentence.
    pub summary: SafeText,
    /// The options it knows, each with one sentence; the first hundred.
    pub options: Vec<(SafeText, SafeText)>,
    /// Where its layers' own content lies.
    pub content: OwnContent,
}

/// What a diff wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DiffReport {
    /// Entries of the archive.
    pub entries: u64,
    /// Bytes of the archive.
    pub archive_bytes: u64,
    /// Nodes and attributes of the layer that the archive does not hold.
    pub left_out_count: u64,
    /// The first of them, in words.
    pub first_left_out: Vec<String>,
    /// Whether the host sent it by itself: an archive that was kept, byte for byte, with its digest compared.
    pub is_kept: bool,
}

/// What applying an archive did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApplyReport {
    /// Sum of the sizes that the headers give.
    pub size_bytes: u64,
    /// Entries read.
    pub entries: u64,
    /// Extended attributes that were left out.
    pub xattrs_skipped: u64,
    /// The first of them, in words.
    pub first_left_out: Vec<String>,
}

/// A component that is ready to run.
pub struct Generation {
    digest: String,
    size_bytes: u64,
    world: World,
    pub(super) imports: Vec<String>,
    pub(super) contract: String,
    pub(super) description: Description,
    pub(super) label: Arc<str>,
    pub(super) linked: DriverPre<State>,
    pub(super) limits: Arc<Limits>,
    pub(super) granted: Grants,
    pub(super) manifest: Option<Manifest>,
    pub(super) permit: Permit,
    pub(super) handles: Arc<HandleBudget>,
    pub(super) journal: Arc<Journal>,
    pub(super) counter: Counter,
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generation")
            .field("name", &self.description.name)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

impl Generation {
    pub(super) fn new(
        runtime: &Runtime,
        bytes: &[u8],
        facts: ComponentFacts,
        linked: DriverPre<State>,
        granted: &Grants,
    ) -> Self {
        let limits = match &facts.manifest {
            Some(manifest) => Arc::new(runtime.limits.lowered_to(&manifest.limits)),
            None => Arc::clone(&runtime.limits),
        };
        Self {
            digest: super::digest_of(bytes),
            size_bytes: bytes.len() as u64,
            world: facts.world,
            imports: facts.imports,
            contract: facts.proto,
            description: Description::default(),
            label: Arc::from("?"),
            linked,
            permit: Permit::new(granted, facts.manifest.as_deref()),
            granted: granted.clone(),
            manifest: facts.manifest.map(|manifest| *manifest),
            limits,
            handles: HandleBudget::new(runtime.limits.driver_handles),
            journal: Arc::new(Journal::new(runtime.limits.journal_bytes)),
            counter: runtime.clock.counter().clone(),
        }
    }

    /// Takes what the driver says of itself, once it was checked.
    pub(super) fn described(mut self, description: Description) -> Result<Self, Error> {
        let name = &description.name;
        let allowed = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.'
        };
        // The name becomes that of a directory: `drivers/<name>/`.
        let dots = name.starts_with('.') || name.ends_with('.');
        if name.is_empty() || name.len() > 64 || dots || !name.bytes().all(allowed) {
            let shown = SafeText::within(name, 64);
            return Err(Error::rejected(
                format!("it calls itself `{shown}`"),
                "a driver's name is 1 to 64 lower-case letters, digits, `-` and `.`",
            ));
        }
        if let Some(manifest) = &self.manifest {
            check_said(manifest, &description)?;
        }
        self.label = Arc::from(name.as_str());
        self.description = description;
        Ok(self)
    }

    /// `sha256:` and the hexadecimal digest of the component as it was given.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Bytes of the component as it was given.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// What the driver says of itself.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// What its author exported.
    #[must_use]
    pub fn world(&self) -> World {
        self.world
    }

    /// The interfaces it imports.
    #[must_use]
    pub fn imports(&self) -> &[String] {
        &self.imports
    }

    /// The interface that makes it a driver, with the version of the contract that it was built for.
    #[must_use]
    pub fn contract(&self) -> &str {
        &self.contract
    }

    pub(super) fn describe(&self) -> Result<Description, Error> {
        let operation = || Operation {
            store: "-".into(),
            name: "describe",
            home: Arc::new(NoHome),
            options: Arc::new([]),
            cancel: CancelToken::default(),
            client_wait: None,
            spent: Spent::default(),
            witness: None,
            replay: None,
        };
        self.check_exports(operation())?;
        let done = self.call(
            operation(),
            Class::Short,
            || Question::Describe,
            |store, driver| driver.mica_driver_proto_driver().call_describe(store),
        )?;
        let wit::Description {
            name,
            version,
            summary,
            options,
            content,
        } = done.value;
        Ok(Description {
            name,
            version: SafeText::label(&version),
            summary: SafeText::line(&summary),
            options: safe_pairs(&options),
            content: OwnContent::check(content)?,
        })
    }

    /// Checks that the driver can work on the store.
    ///
    /// # Errors
    /// As every operation: the driver's own answer, or why the sandbox ended it.
    pub fn init(&self, operation: Operation, options: &[(String, String)]) -> Result<(), Error> {
        let question = || Question::Init {
            options: options.to_vec(),
        };
        let done = self.call(operation, Class::Mount, question, |store, driver| {
            driver.mica_driver_proto_driver().call_init(store, options)
        })?;
        done.value.map_err(refused)
    }

    /// Creates a layer. With a `view` it also tells what such a view of it consists of, as [`Generation::plan`] does.
    ///
    /// # Errors
    /// As [`Generation::init`].
    pub fn create(
        &self,
        operation: Operation,
        id: &str,
        parent: Option<&str>,
        kind: LayerKind,
        options: &CreateOptions,
        view: Option<Access>,
    ) -> Result<Option<MountPlan>, Error> {
        let id = id.to_owned();
        let parent = parent.map(str::to_owned);
        let options = wit::CreateOptions {
            mount_label: options.mount_label.clone(),
            storage_options: options.storage_options.clone(),
        };
        let question = || Question::Create {
            id: id.clone(),
            parent: parent.clone(),
            kind,
            mount_label: options.mount_label.clone(),
            storage_options: options.storage_options.clone(),
            view,
        };
        let done = self.call(operation, Class::Long, question, |store, driver| {
            let driver = driver.mica_driver_proto_driver();
            let parent = parent.as_ref();
            let created = match kind {
                LayerKind::Content => driver.call_create(&mut *store, &id, parent, &options),
                LayerKind::ReadWrite => {
                    driver.call_create_read_write(&mut *store, &id, parent, &options)
                }
            }?;
            // In the same instance: containerd asks for the view of each snapshot that it makes, and a second instance would
            // cost as much as the first.
            let Some(access) = view.filter(|_| created.is_ok()) else {
                return Ok((created, None));
            };
            store.data_mut().outcome = Outcome::Plan;
            // From here on what the driver builds is described, not mounted: containerd mounts by itself.
            let viewed = driver.call_get(store, &id, access, None)?;
            Ok((created, Some(viewed)))
        })?;
        let Finished { value, state } = done;
        let (created, viewed) = value;
        created.map_err(refused)?;
        viewed.map(|view| planned(view, state)).transpose()
    }

    /// Removes a layer.
    ///
    /// # Errors
    /// As [`Generation::init`].
    pub fn remove(&self, operation: Operation, id: &str) -> Result<(), Error> {
        let id = id.to_owned();
        let question = || Question::Remove { id: id.clone() };
        let done = self.call(operation, Class::Long, question, |store, driver| {
            driver.mica_driver_proto_driver().call_remove(store, &id)
        })?;
        done.value.map_err(refused)
    }

    /// Makes the view of a layer, attached nowhere.
    ///
    /// # Errors
    /// As [`Generation::init`].
    pub fn get(
        &self,
        operation: Operation,
        id: &str,
        access: Access,
        mount_label: Option<&str>,
    ) -> Result<DetachedMount, Error> {
        let id = id.to_owned();
        let question = || Question::Get {
            id: id.clone(),
            access,
            mount_label: mount_label.map(str::to_owned),
            planned: false,
        };
        let done = self.call(operation, Class::Mount, question, |store, driver| {
            store.data_mut().outcome = Outcome::Mount;
            driver
                .mica_driver_proto_driver()
                .call_get(store, &id, access, mount_label)
        })?;
        let Finished { value, mut state } = done;
        let mount = state.handles.delete(value.map_err(refused)?);
        // Nothing of the guest's may keep the file system busy once it is attached.
        mount
            .map_err(|error| Error::Trapped(format!("`get`: {error}").into()))?
            .into_detached()
            .ok_or_else(|| Error::Trapped("`get`: the view is not made".into()))
    }

    /// Tells what the view of a layer consists of, without making it.
    ///
    /// # Errors
    /// As [`Generation::init`].
    pub fn plan(&self, operation: Operation, id: &str, access: Access) -> Result<MountPlan, Error> {
        let id = id.to_owned();
        let question = || Question::Get {
            id: id.clone(),
            access,
            mount_label: None,
            planned: true,
        };
        let done = self.call(operation, Class::Mount, question, |store, driver| {
            store.data_mut().outcome = Outcome::Plan;
            driver
                .mica_driver_proto_driver()
                .call_get(store, &id, access, None)
        })?;
        planned(done.value, done.state)
    }
}

/// Names and sentences that a driver tells of itself or of a layer.
pub(super) fn safe_pairs(pairs: &[(String, String)]) -> Vec<(SafeText, SafeText)> {
    let pairs = pairs.iter().take(MAX_PAIRS);
    pairs
        .map(|(name, text)| (SafeText::label(name), SafeText::line(text)))
        .collect()
}

/// What a view consists of that was planned and not made.
fn planned(
    view: Result<Resource<Mount>, wit::Error>,
    mut state: State,
) -> Result<MountPlan, Error> {
    let mount = state.handles.delete(view.map_err(refused)?);
    mount
        .map_err(|error| Error::Trapped(format!("`get`: {error}").into()))?
        .into_plan()
        .ok_or_else(|| Error::Trapped("`get`: the view is not planned".into()))
}
