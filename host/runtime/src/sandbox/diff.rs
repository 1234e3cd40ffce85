//! The operations that stream: diff, changes, apply, size.
//!
//! A stream is put into the operation's handle table and lent to the guest, so that it is the host that ends it:
//! complete after an answer, cut off after anything else.
//!
//! Invariant: the last chunk of an archive is handed on only after the driver has said that it is complete.

use super::call::refused;
use super::generation::{ApplyReport, DiffReport, Generation};
use crate::capability::{HostError, State};
use crate::limits::Class;
use crate::{ArchiveForm, ChangeSink, Error, Operation, Sink, Source};
use wasmtime::Store;
use wasmtime::component::Resource;

/// Puts a stream into the operation's table; the number is what a guest borrows it by.
fn lend<T: Send + 'static>(store: &mut Store<State>, stream: T) -> wasmtime::Result<u32> {
    Ok(store.data_mut().handles.push(stream)?.rep())
}

impl Generation {
    /// Writes the difference between a layer and `parent` as a tar archive of the form that is asked for.
    ///
    /// # Errors
    /// As [`Generation::init`]; what the sink got until then is no complete archive.
    pub fn diff(
        &self,
        operation: Operation,
        id: &str,
        parent: Option<&str>,
        form: ArchiveForm,
        mut sink: Sink,
    ) -> Result<DiffReport, Error> {
        let id = id.to_owned();
        let parent = parent.map(str::to_owned);
        sink.bind(self.limits.stream_idle(), operation.cancel.clone());
        let done = self.call(operation, Class::Long, |store, driver| {
            let place = lend(store, sink)?;
            let driver = driver.mica_driver_diff_driver();
            let answer = driver.call_diff(
                &mut *store,
                &id,
                parent.as_ref(),
                form,
                Resource::new_borrow(place),
            )?;
            Ok((answer, place))
        })?;
        let ((answer, place), mut state) = (done.value, done.state);
        let report = answer.map_err(refused)?;
        let sink: Resource<Sink> = Resource::new_own(place);
        let sink = state
            .handles
            .delete(sink)
            .map_err(|error| Error::Runtime(format!("end the archive: {error}")))?;
        sink.finish().map_err(|error| match error {
            HostError::Failure(failure) => Error::Host {
                doing: "end the archive".into(),
                failure,
            },
            HostError::Trap(_) => Error::Cancelled,
        })?;
        Ok(DiffReport {
            entries: report.entries,
            archive_bytes: report.archive_bytes,
            sockets_skipped: report.sockets_skipped,
        })
    }

    /// Lists the difference between a layer and `parent`, in byte order of the paths.
    ///
    /// # Errors
    /// As [`Generation::init`].
    pub fn changes(
        &self,
        operation: Operation,
        id: &str,
        parent: Option<&str>,
        sink: ChangeSink,
    ) -> Result<(), Error> {
        let id = id.to_owned();
        let parent = parent.map(str::to_owned);
        let done = self.call(operation, Class::Long, |store, driver| {
            let place = lend(store, sink)?;
            let driver = driver.mica_driver_diff_driver();
            driver.call_changes(
                &mut *store,
                &id,
                parent.as_ref(),
                Resource::new_borrow(place),
            )
        })?;
        done.value.map_err(refused)
    }

    /// Reads an archive into a layer that was created from `parent`.
    ///
    /// # Errors
    /// As [`Generation::init`]; [`Error::InvalidArchive`] when the archive ends too early. The layer's room is then
    /// in any state: it is for the caller to throw it away.
    pub fn apply_diff(
        &self,
        operation: Operation,
        id: &str,
        parent: Option<&str>,
        source: Source,
    ) -> Result<ApplyReport, Error> {
        let id = id.to_owned();
        let parent = parent.map(str::to_owned);
        let done = self.call(operation, Class::Long, |store, driver| {
            let place = lend(store, source)?;
            let driver = driver.mica_driver_diff_driver();
            driver.call_apply_diff(
                &mut *store,
                &id,
                parent.as_ref(),
                Resource::new_borrow(place),
            )
        })?;
        let report = done.value.map_err(refused)?;
        Ok(ApplyReport {
            size_bytes: report.size_bytes,
            entries: report.entries,
            xattrs_skipped: report.xattrs_skipped,
        })
    }

    /// Sums the sizes of added and modified files in bytes, each inode once.
    ///
    /// # Errors
    /// As [`Generation::init`].
    pub fn diff_size(
        &self,
        operation: Operation,
        id: &str,
        parent: Option<&str>,
    ) -> Result<u64, Error> {
        let id = id.to_owned();
        let parent = parent.map(str::to_owned);
        let done = self.call(operation, Class::Long, |store, driver| {
            driver
                .mica_driver_diff_driver()
                .call_diff_size(store, &id, parent.as_ref())
        })?;
        done.value.map_err(refused)
    }
}
