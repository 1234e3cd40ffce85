//! The operations that change nothing: what a driver tells of a store and of a layer, and what it is told.
//!
//! Invariant: each answers from what is at hand, within the time of a short operation.

use super::call::refused;
use super::generation::{Generation, safe_pairs};
use crate::limits::Class;
use crate::trace::Question;
use crate::{Error, Operation, SafeText};

impl Generation {
    /// Tells the driver that a view is gone.
    ///
    /// # Errors
    /// As [`Generation::init`].
    pub fn put(&self, operation: Operation, id: &str) -> Result<(), Error> {
        let id = id.to_owned();
        let question = || Question::Put { id: id.clone() };
        let done = self.call(operation, Class::Short, question, |store, driver| {
            driver.mica_driver_proto_driver().call_put(store, &id)
        })?;
        done.value.map_err(refused)
    }

    /// Says whether a layer exists.
    ///
    /// # Errors
    /// As [`Generation::init`].
    pub fn exists(&self, operation: Operation, id: &str) -> Result<bool, Error> {
        let id = id.to_owned();
        let question = || Question::Exists { id: id.clone() };
        let done = self.call(operation, Class::Short, question, |store, driver| {
            driver.mica_driver_proto_driver().call_exists(store, &id)
        })?;
        done.value.map_err(refused)
    }

    /// Describes the driver's state: at most a hundred pairs.
    ///
    /// # Errors
    /// As [`Generation::init`].
    pub fn status(&self, operation: Operation) -> Result<Vec<(SafeText, SafeText)>, Error> {
        let question = || Question::Status;
        let done = self.call(operation, Class::Short, question, |store, driver| {
            driver.mica_driver_proto_driver().call_status(store)
        })?;
        done.value.map(|pairs| safe_pairs(&pairs)).map_err(refused)
    }

    /// Describes a layer: at most a hundred pairs.
    ///
    /// # Errors
    /// As [`Generation::init`].
    pub fn metadata(
        &self,
        operation: Operation,
        id: &str,
    ) -> Result<Vec<(SafeText, SafeText)>, Error> {
        let id = id.to_owned();
        let question = || Question::Metadata { id: id.clone() };
        let done = self.call(operation, Class::Short, question, |store, driver| {
            driver.mica_driver_proto_driver().call_metadata(store, &id)
        })?;
        done.value.map(|pairs| safe_pairs(&pairs)).map_err(refused)
    }

    /// Tells the driver that the store is closed.
    ///
    /// # Errors
    /// As [`Generation::init`].
    pub fn cleanup(&self, operation: Operation) -> Result<(), Error> {
        let question = || Question::Cleanup;
        let done = self.call(operation, Class::Short, question, |store, driver| {
            driver.mica_driver_proto_driver().call_cleanup(store)
        })?;
        done.value.map_err(refused)
    }
}
