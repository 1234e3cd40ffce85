//! `mica:host/streams`: archives and changes on their way out and in.
//!
//! A sink collects what it gets in recycled chunks and hands each full one to a bounded channel: a full channel
//! stops the guest, a closed one fails its next call. A source gives out what a reader gives it.
//!
//! What a driver says is checked here, for every front end: an archive must have the frame of a tar, and a list of changes
//! must be one of paths in order. A driver that breaks that is ended.
//!
//! Invariant: the content of a file goes from descriptor to chunk and from chunk to descriptor, never to the guest.

mod changes;
mod channel;
mod framing;
mod hashing;
mod records;
mod sink;
mod source;
mod wait;

pub use changes::ChangeSink;
pub use sink::Sink;
pub(crate) use sink::Written;
pub use source::Source;
pub(crate) use wait::Wait;

use super::file::File;
use super::{HostResult, State};
use crate::bindings::mica::host::streams as wit;
use crate::{Change, Code, Failure};
use mica_sys::content;
use wasmtime::component::Resource;

/// Size of a chunk: large enough that a channel hop costs nothing beside the copy.
const CHUNK_BYTES: usize = 256 << 10;
/// Most changes in one call.
const MAX_CHANGES: usize = 1024;

impl State {
    /// Takes the time that a sink waited for its reader out of the operation's own.
    pub(super) fn excuse_sink(&mut self, sink: &Resource<Sink>) {
        if let Ok(sink) = self.handles.get_mut(sink) {
            self.meter.wait(sink.wait.take_spent());
        }
    }

    /// Takes the time that a source waited for its sender out of the operation's own.
    fn excuse_source(&mut self, source: &Resource<Source>) {
        if let Ok(source) = self.handles.get_mut(source) {
            self.meter.wait(source.wait.take_spent());
        }
    }
}

impl wit::Host for State {}

impl wit::HostSink for State {
    fn write(&mut self, this: Resource<Sink>, bytes: Vec<u8>) -> HostResult<()> {
        self.check_length(bytes.len() as u64)?;
        let done = self.at(&this)?.append(&bytes);
        self.excuse_sink(&this);
        done
    }

    fn copy_from(
        &mut self,
        this: Resource<Sink>,
        file: Resource<File>,
        offset: u64,
        length: u64,
    ) -> HostResult<()> {
        let file = self.at(&file)?.clone();
        let sink = self.handles.get_mut(&this)?;
        let done = sink.append_file(&file, offset, length);
        self.excuse_sink(&this);
        done
    }

    fn drop(&mut self, this: Resource<Sink>) -> wasmtime::Result<()> {
        self.close(this)
    }
}

impl wit::HostSource for State {
    fn read(&mut self, this: Resource<Source>, length: u32) -> HostResult<Vec<u8>> {
        self.check_length(length.into())?;
        let read = self.at(&this)?.read(length as usize);
        self.excuse_source(&this);
        let bytes = read?;
        self.meter.feed(bytes.len());
        Ok(bytes)
    }

    fn copy_to(
        &mut self,
        this: Resource<Source>,
        file: Resource<File>,
        offset: u64,
        length: u64,
    ) -> HostResult<()> {
        let file = self.at(&file)?.writable()?.clone();
        let source = self.handles.get_mut(&this)?;
        let done = source.consume(length, |part, done| {
            content::write_all_at(file.fd(), part, offset.saturating_add(done))
        });
        self.excuse_source(&this);
        Ok(done?)
    }

    fn skip(&mut self, this: Resource<Source>, length: u64) -> HostResult<()> {
        let done = self.at(&this)?.consume(length, |_, _| Ok(()));
        self.excuse_source(&this);
        Ok(done?)
    }

    fn drop(&mut self, this: Resource<Source>) -> wasmtime::Result<()> {
        self.close(this)
    }
}

impl wit::HostChangeSink for State {
    fn push(&mut self, this: Resource<ChangeSink>, changes: Vec<Change>) -> HostResult<()> {
        if changes.len() > MAX_CHANGES {
            let text = format!(
                "{} changes in one call are more than {MAX_CHANGES}",
                changes.len()
            );
            return Err(Failure::new(Code::Limit, text).into());
        }
        let sink = self.at(&this)?;
        let done = sink.push(changes);
        let spent = sink.wait.take_spent();
        self.meter.wait(spent);
        done
    }

    fn drop(&mut self, this: Resource<ChangeSink>) -> wasmtime::Result<()> {
        self.close(this)
    }
}
