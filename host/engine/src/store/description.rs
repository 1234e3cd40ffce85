//! What a store is: its driver and the driver's options, as they lie on disk.
//!
//! ```text
//! <store>/store.json, <store>/store-copy.json   the same twice, each with a checksum
//! <store>/store.json.damaged-<n>                one that could not be read, as it was found
//! ```
//!
//! Invariant: the description never changes after the store was made.

use crate::check::{Finding, FindingKind};
use crate::disk::files;
use crate::settings::Durability;
use crate::{Error, Moment, Result};
use mica_text::with_causes;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;

/// The file that describes a store.
pub(crate) const DESCRIPTION: &str = "store.json";
/// Its copy: nobody else knows the driver's options.
pub(crate) const COPY: &str = "store-copy.json";
/// The shape of that file.
const VERSION: u32 = 1;

/// A store as `store.json` describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Description {
    version: u32,
    /// The driver.
    pub(crate) driver: String,
    /// Why it is this one, if no one named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) chosen: Option<String>,
    /// The driver's options, in order.
    pub(crate) options: Vec<(String, String)>,
    /// Whom the store is for, in the words of the front end that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client: Option<String>,
    /// When the store was made.
    pub(crate) created: Moment,
}

impl Description {
    pub(crate) fn new(
        driver: &str,
        options: Vec<(String, String)>,
        client: Option<String>,
    ) -> Self {
        Self {
            version: VERSION,
            driver: driver.to_owned(),
            chosen: None,
            options,
            client,
            created: Moment::now(),
        }
    }

    /// Notes why it is this driver.
    pub(crate) fn because(self, reason: &str) -> Self {
        Self {
            chosen: Some(reason.to_owned()),
            ..self
        }
    }

    /// Reads the description of the store in a directory, or its copy, and says if one of them is damaged.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`] when neither can be read: that of the first.
    pub(crate) fn read(home: &Path) -> Result<(Self, Option<Finding>)> {
        let (first, copy) = (
            Self::read_file(home, DESCRIPTION),
            Self::read_file(home, COPY),
        );
        let damaged = |name: &str, error: &Error| {
            let path = home.join(name);
            let detail = format!(
                "`{}` cannot be read ({}), and its copy counts; a start keeps it as `{name}.damaged-<n>`: for what someone \
                 changed in it to count, take the line `sum` out of that file, and put it back while Mica does not run",
                path.display(),
                with_causes(error)
            );
            Finding::new(FindingKind::DescriptionDamaged, detail).at(path)
        };
        match (first, copy) {
            (Ok(read), Ok(_)) => Ok((read, None)),
            (Ok(read), Err(error)) => {
                let is_missing = matches!(&error, Error::Io { source, .. }
                    if source.kind() == io::ErrorKind::NotFound);
                // Stores of earlier builds have none.
                let found = (!is_missing).then(|| damaged(COPY, &error));
                Ok((read, found))
            }
            (Err(error), Ok(copy)) => Ok((copy, Some(damaged(DESCRIPTION, &error)))),
            (Err(error), Err(_)) => Err(error),
        }
    }

    fn read_file(home: &Path, name: &str) -> Result<Self> {
        let path = home.join(name);
        let bytes = files::read(&path).map_err(|error| Error::path("read", &path, error))?;
        let corrupt = |reason: String| Error::Corrupt {
            path: path.clone(),
            reason,
        };
        files::check_sum(&bytes).map_err(|error| corrupt(error.to_string()))?;
        let read: Self =
            serde_json::from_slice(&bytes).map_err(|error| corrupt(error.to_string()))?;
        if read.version != VERSION {
            return Err(corrupt(format!(
                "it has version {}, this program reads {VERSION}",
                read.version
            )));
        }
        Ok(read)
    }

    /// Writes it into the directory of a store, with its copy.
    pub(crate) fn write(&self, home: &Path, durability: Durability) -> Result<()> {
        for name in [COPY, DESCRIPTION] {
            self.write_file(home, name, durability)?;
        }
        Ok(())
    }

    /// Writes the one of both files that cannot be read, if one cannot, and a copy that is another: the first counts, and may have
    /// been changed by hand.
    /// What cannot be read is kept beside it: someone may have changed it by hand and left the old checksum in it.
    pub(crate) fn mend(&self, home: &Path, durability: Durability) {
        for name in [DESCRIPTION, COPY] {
            let read = Self::read_file(home, name);
            if read.as_ref().ok() == Some(self) {
                continue;
            }
            let kept = match read {
                Err(Error::Corrupt { path, .. }) => files::keep_damaged(&path).map(drop),
                _ => Ok(()),
            };
            let kept = kept.map_err(|error| Error::path("keep", &home.join(name), error));
            if let Err(error) = kept.and_then(|()| self.write_file(home, name, durability)) {
                // On a read-only file system the other one is as good.
                tracing::debug!(%error, "a description of a store is not written anew");
            }
        }
    }

    fn write_file(&self, home: &Path, name: &str, durability: Durability) -> Result<()> {
        let path = home.join(name);
        let write = || {
            let bytes = files::with_sum(&serde_json::to_vec_pretty(self)?);
            files::replace(&path, &bytes, durability)
        };
        write().map_err(|error| Error::path("write", &path, error))
    }
}
