//! The calls of WASI that wait: for a clock, or for a stream.
//!
//! wasmtime's own wait on a runtime of tokio's, and neither a deadline nor a cancellation ends that. Here a wait is a look
//! every few milliseconds, with all that ends an operation in between.
//!
//! Invariant: a wait ends with its operation, and may be made on any thread.

use crate::CancelToken;
use crate::capability::meter::{Meter, Stop};
use std::future::Future;
use std::pin::pin;
use std::time::Duration;
use wasmtime::component::{HasData, Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::io::{poll as future_poll, streams as future_streams};
use wasmtime_wasi::p2::bindings::sync::io::{poll, streams};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, StreamError, StreamResult};
use wasmtime_wasi::runtime::{poll_noop, with_ambient_tokio_runtime};

/// How long a wait rests between two looks.
const POLL_PERIOD: Duration = Duration::from_millis(5);

/// What waits, and what ends it.
pub(super) struct Waiting<'a> {
    pub(super) table: &'a mut ResourceTable,
    pub(super) meter: &'a mut Meter,
    pub(super) cancel: &'a CancelToken,
}

/// How the linker names it.
pub(super) struct Link;

impl HasData for Link {
    type Data<'a> = Waiting<'a>;
}

impl Waiting<'_> {
    fn until<'a, F: Future>(
        &'a mut self,
        begin: impl FnOnce(&'a mut ResourceTable) -> F,
    ) -> wasmtime::Result<F::Output> {
        let Self {
            table,
            meter,
            cancel,
        } = self;
        let mut future = pin!(begin(table));
        with_ambient_tokio_runtime(|| {
            loop {
                if let Some(done) = poll_noop(future.as_mut()) {
                    return Ok(done);
                }
                if cancel.is_cancelled() {
                    return Err(Stop::Cancelled.into());
                }
                meter.tick()?;
                std::thread::sleep(POLL_PERIOD);
                meter.sleep(POLL_PERIOD);
            }
        })
    }

    /// The same for what may fail in a stream's own way.
    fn stream<'a, T, F: Future<Output = StreamResult<T>>>(
        &'a mut self,
        begin: impl FnOnce(&'a mut ResourceTable) -> F,
    ) -> StreamResult<T> {
        self.until(begin).map_err(StreamError::Trap)?
    }
}

impl poll::Host for Waiting<'_> {
    fn poll(&mut self, list: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        self.until(|table| future_poll::Host::poll(table, list))?
    }
}

impl poll::HostPollable for Waiting<'_> {
    fn ready(&mut self, this: Resource<DynPollable>) -> wasmtime::Result<bool> {
        self.until(|table| future_poll::HostPollable::ready(table, this))?
    }

    fn block(&mut self, this: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.until(|table| future_poll::HostPollable::block(table, this))?
    }

    fn drop(&mut self, this: Resource<DynPollable>) -> wasmtime::Result<()> {
        future_poll::HostPollable::drop(self.table, this)
    }
}

impl streams::Host for Waiting<'_> {
    fn convert_stream_error(
        &mut self,
        error: StreamError,
    ) -> wasmtime::Result<streams::StreamError> {
        streams::Host::convert_stream_error(self.table, error)
    }
}

impl streams::HostOutputStream for Waiting<'_> {
    fn check_write(&mut self, this: Resource<DynOutputStream>) -> StreamResult<u64> {
        future_streams::HostOutputStream::check_write(self.table, this)
    }

    fn write(&mut self, this: Resource<DynOutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        future_streams::HostOutputStream::write(self.table, this, bytes)
    }

    fn blocking_write_and_flush(
        &mut self,
        this: Resource<DynOutputStream>,
        bytes: Vec<u8>,
    ) -> StreamResult<()> {
        self.stream(|table| {
            future_streams::HostOutputStream::blocking_write_and_flush(table, this, bytes)
        })
    }

    fn blocking_write_zeroes_and_flush(
        &mut self,
        this: Resource<DynOutputStream>,
        length: u64,
    ) -> StreamResult<()> {
        self.stream(|table| {
            future_streams::HostOutputStream::blocking_write_zeroes_and_flush(table, this, length)
        })
    }

    fn write_zeroes(&mut self, this: Resource<DynOutputStream>, length: u64) -> StreamResult<()> {
        future_streams::HostOutputStream::write_zeroes(self.table, this, length)
    }

    fn flush(&mut self, this: Resource<DynOutputStream>) -> StreamResult<()> {
        future_streams::HostOutputStream::flush(self.table, this)
    }

    fn blocking_flush(&mut self, this: Resource<DynOutputStream>) -> StreamResult<()> {
        self.stream(|table| future_streams::HostOutputStream::blocking_flush(table, this))
    }

    fn splice(
        &mut self,
        this: Resource<DynOutputStream>,
        from: Resource<DynInputStream>,
        length: u64,
    ) -> StreamResult<u64> {
        future_streams::HostOutputStream::splice(self.table, this, from, length)
    }

    fn blocking_splice(
        &mut self,
        this: Resource<DynOutputStream>,
        from: Resource<DynInputStream>,
        length: u64,
    ) -> StreamResult<u64> {
        self.stream(|table| {
            future_streams::HostOutputStream::blocking_splice(table, this, from, length)
        })
    }

    fn subscribe(
        &mut self,
        this: Resource<DynOutputStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        future_streams::HostOutputStream::subscribe(self.table, this)
    }

    fn drop(&mut self, this: Resource<DynOutputStream>) -> wasmtime::Result<()> {
        self.until(|table| future_streams::HostOutputStream::drop(table, this))?
    }
}

impl streams::HostInputStream for Waiting<'_> {
    fn read(&mut self, this: Resource<DynInputStream>, length: u64) -> StreamResult<Vec<u8>> {
        future_streams::HostInputStream::read(self.table, this, length)
    }

    fn blocking_read(
        &mut self,
        this: Resource<DynInputStream>,
        length: u64,
    ) -> StreamResult<Vec<u8>> {
        self.stream(|table| future_streams::HostInputStream::blocking_read(table, this, length))
    }

    fn skip(&mut self, this: Resource<DynInputStream>, length: u64) -> StreamResult<u64> {
        future_streams::HostInputStream::skip(self.table, this, length)
    }

    fn blocking_skip(&mut self, this: Resource<DynInputStream>, length: u64) -> StreamResult<u64> {
        self.stream(|table| future_streams::HostInputStream::blocking_skip(table, this, length))
    }

    fn subscribe(
        &mut self,
        this: Resource<DynInputStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        future_streams::HostInputStream::subscribe(self.table, this)
    }

    fn drop(&mut self, this: Resource<DynInputStream>) -> wasmtime::Result<()> {
        self.until(|table| future_streams::HostInputStream::drop(table, this))?
    }
}
