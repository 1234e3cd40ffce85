//! The operations that stream: diff, changes, apply, size.
//!
//! A stream is put into the operation's handle table and lent to the guest, so that it is the host that ends it:
//! complete after an answer, cut off after anything else.
//!
//! What a driver says of a stream is compared with what the host counted, for a client would take a number for measured.
//!
//! Invariant: the last chunk of an archive is handed on only after the driver has said that it is complete, and it is.

use super::call::refused;
use super::generation::{ApplyReport, DiffReport, Generation};
use crate::bindings::exports::mica::driver::diff_driver::{
    self as wit, LeftOut, LeftOutReason as Reason,
};
use crate::capability::streams::{Wait, Written};
use crate::capability::{HostError, State};
use crate::limits::Class;
use crate::trace::Question;
use crate::{ArchiveForm, ChangeSink, Error, Operation, Sink, Source};
use wasmtime::Store;
use wasmtime::component::Resource;

/// Bytes of an archive that an entry takes at least.
const HEADER_BYTES: u64 = 512;
/// What a guest left out, as people read it.
fn in_words(left_out: &[LeftOut]) -> Vec<String> {
    /// A guest may say what it likes; this is what a reader is given of it.
    const SHOWN_COUNT: usize = 16;
    const SHOWN_BYTES: usize = 256;
    let shown = |bytes: &[u8]| {
        let shown = bytes.get(..SHOWN_BYTES).unwrap_or(bytes);
        let dots = if shown.len() < bytes.len() { "..." } else { "" };
        format!("{}{dots}", shown.escape_ascii())
    };
    let words = |left_out: &LeftOut| {
        let path = shown(&left_out.path);
        match left_out.reason {
            Reason::Socket => format!("socket `{path}`"),
            Reason::ReservedName => format!("reserved name `{path}`"),
            Reason::WhiteoutDevice => format!("character device 0:0 `{path}`"),
            Reason::Attribute => {
                let name = shown(&left_out.attribute);
                // The name of an extended one begins with its name space and a dot.
                let what = match left_out.attribute.contains(&b'.') {
                    true => "extended attribute",
                    false => "attributes",
                };
                format!("{what} `{name}` of `{path}`")
            }
        }
    };
    left_out.iter().take(SHOWN_COUNT).map(words).collect()
}

/// Puts a stream into the operation's table; the number is what a guest borrows it by.
fn lend<T: Send + 'static>(store: &mut Store<State>, stream: T) -> wasmtime::Result<u32> {
    Ok(store.data_mut().handles.lend(stream)?.rep())
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
        sink.bind(Wait::of(&operation, self.limits.stream_idle()));
        let question = || Question::Diff {
            id: id.clone(),
            parent: parent.clone(),
            form,
        };
        let done = self.call(operation, Class::Long, question, |store, driver| {
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
            .map_err(|error| Error::runtime("end the archive", error))?;
        check_written(&report, &sink)?;
        let is_kept = sink.written().entries.is_none();
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
            left_out_count: report.left_out_count,
            first_left_out: in_words(&report.first_left_out),
            is_kept,
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
        mut sink: ChangeSink,
    ) -> Result<(), Error> {
        sink.bind(Wait::of(&operation, self.limits.stream_idle()));
        let id = id.to_owned();
        let parent = parent.map(str::to_owned);
        let question = || Question::Changes {
            id: id.clone(),
            parent: parent.clone(),
        };
        let done = self.call(operation, Class::Long, question, |store, driver| {
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

    /// Reads an archive into a layer that was created from `parent`, by the rules of a form.
    ///
    /// # Errors
    /// As [`Generation::init`]; [`Error::InvalidArchive`] when the archive ends too early; [`Error::Implausible`]. The layer's room is then
    /// in any state: it is for the caller to throw it away.
    pub fn apply_diff(
        &self,
        operation: Operation,
        id: &str,
        parent: Option<&str>,
        form: ArchiveForm,
        mut source: Source,
    ) -> Result<ApplyReport, Error> {
        source.bind(Wait::of(&operation, self.limits.stream_idle()));
        let id = id.to_owned();
        let parent = parent.map(str::to_owned);
        let question = || Question::ApplyDiff {
            id: id.clone(),
            parent: parent.clone(),
            form,
        };
        let done = self.call(operation, Class::Long, question, |store, driver| {
            let place = lend(store, source)?;
            let driver = driver.mica_driver_diff_driver();
            let answer = driver.call_apply_diff(
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
        let source: Resource<Source> = Resource::new_own(place);
        let source = state
            .handles
            .delete(source)
            .map_err(|error| Error::runtime("end the archive", error))?;
        check_read(&report, source)?;
        Ok(ApplyReport {
            size_bytes: plausible("apply", report.size_bytes)?,
            entries: report.entries,
            xattrs_skipped: report.xattrs_skipped,
            first_left_out: in_words(&report.first_left_out),
        })
    }

    /// Sums the sizes of added and modified files in bytes, each inode once.
    ///
    /// # Errors
    /// As [`Generation::init`]; [`Error::Implausible`].
    pub fn diff_size(
        &self,
        operation: Operation,
        id: &str,
        parent: Option<&str>,
    ) -> Result<u64, Error> {
        let id = id.to_owned();
        let parent = parent.map(str::to_owned);
        let question = || Question::DiffSize {
            id: id.clone(),
            parent: parent.clone(),
        };
        let done = self.call(operation, Class::Long, question, |store, driver| {
            driver
                .mica_driver_diff_driver()
                .call_diff_size(store, &id, parent.as_ref())
        })?;
        plausible("size", done.value.map_err(refused)?)
    }
}

/// Checks that an archive is whole and is what the driver says.
fn check_written(report: &wit::DiffReport, sink: &Sink) -> Result<(), Error> {
    let failed = |what: String| Err(Error::Trapped(format!("`diff`: {what}").into()));
    if let Err(what) = sink.check_end() {
        return failed(what);
    }
    let Written { entries, bytes } = sink.written();
    // The host looked at no header of an archive that it sent as it was kept.
    let entries = entries.unwrap_or(report.entries.min(bytes / HEADER_BYTES));
    if (report.entries, report.archive_bytes) != (entries, bytes) {
        return failed(format!(
            "it tells of {} entries and {} bytes, and wrote {entries} and {bytes}",
            report.entries, report.archive_bytes
        ));
    }
    if i64::try_from(report.left_out_count).is_err() {
        let count = report.left_out_count;
        return failed(format!(
            "it tells of {count} nodes and attributes that it left out"
        ));
    }
    Ok(())
}

/// Checks that an archive was read to its end, and that it can hold what the driver found in it. What a driver leaves
/// unread might be half of the layer, or the notice that the client broke off.
fn check_read(report: &wit::ApplyReport, mut source: Source) -> Result<(), Error> {
    let failed = |what: String| Err(Error::Trapped(format!("`apply`: {what}").into()));
    let is_over = source.is_over().map_err(|failure| Error::Host {
        doing: "end the archive".into(),
        failure,
    })?;
    if !is_over {
        return failed("it did not read the archive to its end".into());
    }
    let bytes = source.given();
    let (entries, xattrs) = (report.entries, report.xattrs_skipped);
    if entries > bytes / HEADER_BYTES || xattrs > bytes {
        return failed(format!(
            "it tells of {entries} entries and {xattrs} attributes in an archive of {bytes} bytes"
        ));
    }
    Ok(())
}

/// Refuses a size that no client could be told: they count in 63 bits. It need not be the driver's fault, for a layer may
/// hold sparse files of that size.
fn plausible(doing: &str, bytes: u64) -> Result<u64, Error> {
    match i64::try_from(bytes) {
        Ok(_) => Ok(bytes),
        Err(_) => {
            let text = format!("`{doing}`: {bytes} bytes are more than any layer can have");
            Err(Error::Implausible(text.into()))
        }
    }
}
