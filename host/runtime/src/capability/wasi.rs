//! WASI 0.2, inert: what language runtimes import and must be able to link.
//!
//! Invariant: no files, no arguments, no environment, no sockets; standard error is kept for the log; nothing waits longer
//! than its operation may.

mod wait;

use super::State;
use wait::{Link, Waiting};
use wasmtime::component::Linker;
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, random, sync};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::random::WasiRandom;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.wasi_handles,
        }
    }
}

/// A context that gives nothing but standard error.
pub(super) fn inert(stderr: MemoryOutputPipe) -> WasiCtx {
    WasiCtxBuilder::new().stderr(stderr).build()
}

/// Links the interfaces that a Rust, C or Go runtime imports. There are no sockets among them.
pub(crate) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    cli::environment::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::exit::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::stdin::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::stdout::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::stderr::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_input::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_output::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_stdin::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_stdout::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_stderr::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    clocks::wall_clock::add_to_linker::<State, WasiClocks>(linker, State::clocks)?;
    clocks::monotonic_clock::add_to_linker::<State, WasiClocks>(linker, State::clocks)?;
    random::random::add_to_linker::<State, WasiRandom>(linker, |state| state.wasi.random())?;
    random::insecure::add_to_linker::<State, WasiRandom>(linker, |state| state.wasi.random())?;
    random::insecure_seed::add_to_linker::<State, WasiRandom>(linker, |state| state.wasi.random())?;
    filesystem::preopens::add_to_linker::<State, WasiFilesystem>(linker, State::filesystem)?;
    sync::filesystem::types::add_to_linker::<State, WasiFilesystem>(linker, State::filesystem)?;
    wasmtime_wasi_io_link(linker)
}

/// The streams and pollables that the interfaces above hand out.
fn wasmtime_wasi_io_link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    use wasmtime::component::{HasData, ResourceTable};
    struct Table;
    impl HasData for Table {
        type Data<'a> = &'a mut ResourceTable;
    }
    wasmtime_wasi::p2::bindings::io::error::add_to_linker::<State, Table>(linker, |state| {
        &mut state.wasi_handles
    })?;
    sync::io::poll::add_to_linker::<State, Link>(linker, waiting)?;
    sync::io::streams::add_to_linker::<State, Link>(linker, waiting)
}

fn waiting(state: &mut State) -> Waiting<'_> {
    Waiting {
        table: &mut state.wasi_handles,
        meter: &mut state.meter,
        cancel: &state.operation.cancel,
    }
}
