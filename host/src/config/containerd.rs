//! What is said of containerd.
//!
//! Invariant: without a socket nothing of it is used.

use super::{Error, full, invalid};
use mica_engine::StoreName;
use mica_runtime::Number;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The store, unless another is named.
const STORE: &str = "containerd";

/// Where a containerd with the usual root keeps content.
pub(crate) const CONTENT_ROOT: &str = "/var/lib/containerd/io.containerd.content.v1.content";

/// The section of the file. What each key is for stands in `texts`, and of numbers below.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Section {
    pub(super) socket: Option<PathBuf>,
    pub(super) store: String,
    pub(super) driver: Option<String>,
    pub(super) options: BTreeMap<String, String>,
    pub(super) content_root: Option<PathBuf>,
    pub(super) address: Option<PathBuf>,
    pub(super) share_content: bool,
    pub(super) call_seconds: u64,
    pub(super) work_seconds: u64,
    pub(super) filter_bytes: usize,
    pub(super) filter_expressions: usize,
}

impl Default for Section {
    fn default() -> Self {
        Self {
            socket: None,
            store: STORE.to_owned(),
            driver: None,
            options: BTreeMap::new(),
            content_root: None,
            address: None,
            share_content: false,
            call_seconds: 30,
            work_seconds: 30 * 60,
            // A client asks with one or two filters of some hundred bytes.
            filter_bytes: 64 << 10,
            // Compiled, each may take a mebibyte.
            filter_expressions: 32,
        }
    }
}

/// Limits of the snapshot service. Of deadlines, containerd itself often has none, and holds its own locks meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContainerdLimits {
    call_seconds: u64,
    work_seconds: u64,
    /// Bytes of all filters of one request.
    pub(crate) filter_bytes: usize,
    /// Regular expressions in them.
    pub(crate) filter_expressions: usize,
}

#[cfg(test)]
impl Default for ContainerdLimits {
    fn default() -> Self {
        Section::default().limits()
    }
}

impl ContainerdLimits {
    /// For a call that reads or writes rows.
    pub(crate) fn call(self) -> Duration {
        Duration::from_secs(self.call_seconds)
    }

    /// For a call that copies, walks or deletes trees.
    pub(crate) fn work(self) -> Duration {
        Duration::from_secs(self.work_seconds)
    }
}

/// What happens when content is to be unpacked that another namespace has unpacked already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// It is unpacked once more: who may use content, only the registry that it comes from can tell.
    Apart,
    /// It is used, and nothing is fetched: whoever knows a digest gets the content.
    Shared,
}

/// The snapshot service of one containerd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Containerd {
    /// The unix socket.
    pub(crate) socket: PathBuf,
    /// The store.
    pub(crate) store: String,
    /// The driver of the store, when it is made.
    pub(crate) driver: Option<String>,
    /// The driver's options, when the store is made.
    pub(crate) options: Vec<(String, String)>,
    /// Where containerd keeps content, if that was said.
    pub(crate) content_root: Option<PathBuf>,
    /// containerd's own socket.
    pub(crate) address: Option<PathBuf>,
    /// Whether content that one namespace has unpacked is used for others.
    pub(crate) content: Content,
    /// Deadlines.
    pub(crate) limits: ContainerdLimits,
}

impl Section {
    /// The numbers of the section.
    pub(super) fn numbers(&self) -> [Number; 4] {
        let usual = Self::default();
        let wide = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let number = |name, about: &str, (value, default), (least, most)| Number {
            name,
            about: about.to_owned(),
            value,
            default,
            least,
            most,
        };
        [
            number(
                "call_seconds",
                "Seconds for a call that reads or writes rows.",
                (self.call_seconds, usual.call_seconds),
                (1, 60 * 60),
            ),
            number(
                "work_seconds",
                "Seconds for a call that copies, walks or deletes trees.",
                (self.work_seconds, usual.work_seconds),
                (1, 7 * 24 * 60 * 60),
            ),
            number(
                "filter_bytes",
                "Bytes of all filters of one request.",
                (wide(self.filter_bytes), wide(usual.filter_bytes)),
                (1, 16 << 20),
            ),
            number(
                "filter_expressions",
                "Regular expressions in them; compiled, each may take a mebibyte.",
                (
                    wide(self.filter_expressions),
                    wide(usual.filter_expressions),
                ),
                (0, 1000),
            ),
        ]
    }

    fn limits(&self) -> ContainerdLimits {
        ContainerdLimits {
            call_seconds: self.call_seconds,
            work_seconds: self.work_seconds,
            filter_bytes: self.filter_bytes,
            filter_expressions: self.filter_expressions,
        }
    }

    /// Checks the section; the flag goes before it.
    pub(super) fn check(
        self,
        flag: Option<PathBuf>,
        rest: &Path,
    ) -> Result<Option<Containerd>, Error> {
        StoreName::parse(&self.store)
            .map_err(|error| invalid("containerd.store", error.to_string()))?;
        let limits = self.limits();
        let Some(socket) = flag.or(self.socket) else {
            return Ok(None);
        };
        let socket = full("containerd.socket", &socket)?;
        if socket == rest {
            let text = format!("`{}` is the socket of REST", socket.display());
            return Err(invalid("containerd.socket", text));
        }
        Ok(Some(Containerd {
            socket,
            store: self.store,
            driver: self.driver,
            options: self.options.into_iter().collect(),
            content_root: named("containerd.content_root", self.content_root)?,
            address: named("containerd.address", self.address)?,
            content: match self.share_content {
                true => Content::Shared,
                false => Content::Apart,
            },
            limits,
        }))
    }
}

fn named(setting: &'static str, path: Option<PathBuf>) -> Result<Option<PathBuf>, Error> {
    path.map(|path| full(setting, &path)).transpose()
}
