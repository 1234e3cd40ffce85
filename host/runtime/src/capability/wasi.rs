//! WASI 0.2, inert: what language runtimes import and must be able to link.
//!
//! Invariant: no files, no arguments, no environment, no sockets; standard error and output go to the driver's log; nothing waits longer
//! than its operation may.

mod wait;

use super::State;
use super::voice::Voice;
use crate::trace::Chance;
use wait::{Link, Waiting};
use wasmtime::component::{HasData, Linker, ResourceTable};
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, io, random, sockets, sync};
use wasmtime_wasi::random::WasiRandom;
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.wasi_handles,
        }
    }
}

/// A context that gives nothing but standard error and standard output.
pub(super) fn inert(voice: &Voice, chance: &Chance) -> WasiCtx {
    let mut context = WasiCtxBuilder::new();
    chance.give(&mut context);
    context
        .stdout(voice.stdout())
        .stderr(voice.stderr())
        // What is off anyhow in this release; nothing else stands between a driver and the network.
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .build()
}

/// Makes what links WASI, and what is known of it without a linker, of one table: for each interface its name, the module of
/// its bindings, and whose view of the state it gets.
macro_rules! interfaces {
    ($($name:literal, $($module:ident)::+, $data:ty, $view:expr;)*) => {
        /// The interfaces of WASI 0.2 that every component may import, without their version.
        const INTERFACES: &[&str] = &[$($name),*];

        #[cfg(test)]
        const MODULES: &[&str] = &[$(concat!($("::", stringify!($module)),+)),*];

        /// Links the interfaces that the runtimes of Rust, C, Go, JavaScript and Python import.
        pub(crate) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
            $($($module)::+::add_to_linker::<State, $data>(linker, $view)?;)*
            // The only one with something that its authors call unstable, which stays away.
            sockets::network::add_to_linker::<State, WasiSockets>(
                linker,
                &Default::default(),
                State::sockets,
            )
        }
    };
}

interfaces! {
    "wasi:cli/environment", cli::environment, WasiCli, State::cli;
    "wasi:cli/exit", cli::exit, WasiCli, State::cli;
    "wasi:cli/stdin", cli::stdin, WasiCli, State::cli;
    "wasi:cli/stdout", cli::stdout, WasiCli, State::cli;
    "wasi:cli/stderr", cli::stderr, WasiCli, State::cli;
    "wasi:cli/terminal-input", cli::terminal_input, WasiCli, State::cli;
    "wasi:cli/terminal-output", cli::terminal_output, WasiCli, State::cli;
    "wasi:cli/terminal-stdin", cli::terminal_stdin, WasiCli, State::cli;
    "wasi:cli/terminal-stdout", cli::terminal_stdout, WasiCli, State::cli;
    "wasi:cli/terminal-stderr", cli::terminal_stderr, WasiCli, State::cli;
    "wasi:clocks/wall-clock", clocks::wall_clock, WasiClocks, State::clocks;
    "wasi:clocks/monotonic-clock", clocks::monotonic_clock, WasiClocks, State::clocks;
    "wasi:random/random", random::random, WasiRandom, |state| state.wasi.random();
    "wasi:random/insecure", random::insecure, WasiRandom, |state| state.wasi.random();
    "wasi:random/insecure-seed", random::insecure_seed, WasiRandom, |state| state.wasi.random();
    "wasi:filesystem/preopens", filesystem::preopens, WasiFilesystem, State::filesystem;
    "wasi:filesystem/types", sync::filesystem::types, WasiFilesystem, State::filesystem;
    // The streams and pollables that the interfaces above hand out.
    "wasi:io/error", io::error, Table, |state| &mut state.wasi_handles;
    "wasi:io/poll", sync::io::poll, Link, waiting;
    "wasi:io/streams", sync::io::streams, Link, waiting;
    // Python imports them, whatever it does. No socket can be made and no name is resolved.
    "wasi:sockets/instance-network", sockets::instance_network, WasiSockets, State::sockets;
    "wasi:sockets/ip-name-lookup", sockets::ip_name_lookup, WasiSockets, State::sockets;
    "wasi:sockets/tcp-create-socket", sockets::tcp_create_socket, WasiSockets, State::sockets;
    "wasi:sockets/tcp", sync::sockets::tcp, WasiSockets, State::sockets;
    "wasi:sockets/udp-create-socket", sync::sockets::udp_create_socket, WasiSockets, State::sockets;
    "wasi:sockets/udp", sync::sockets::udp, WasiSockets, State::sockets;
}

/// The package of the interface that is linked beside the table.
const NETWORK: &str = "wasi:sockets/network";

/// Whether an interface of WASI is linked, by its full name. A linker takes any version of 0.2 for any other.
pub(crate) fn is_linked(full: &str) -> bool {
    let Some((name, version)) = full.split_once('@') else {
        return false;
    };
    let is_second = semver::Version::parse(version)
        .is_ok_and(|version| (version.major, version.minor) == (0, 2) && version.pre.is_empty());
    is_second && (name == NETWORK || INTERFACES.contains(&name))
}

struct Table;

impl HasData for Table {
    type Data<'a> = &'a mut ResourceTable;
}

fn waiting(state: &mut State) -> Waiting<'_> {
    Waiting {
        table: &mut state.wasi_handles,
        meter: &mut state.meter,
        cancel: &state.operation.cancel,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the table calls an interface is what its bindings are of.
    #[test]
    fn the_names_are_those_of_the_bindings() {
        for (name, module) in INTERFACES.iter().zip(MODULES) {
            let path = name
                .replace("wasi:", "::")
                .replace('/', "::")
                .replace('-', "_");
            assert!(module.ends_with(&path), "{name}: {module}");
        }
    }

    #[test]
    fn every_version_of_the_second_preview_is_known_and_no_other() {
        let mut linker = Linker::<State>::new(&wasmtime::Engine::default());
        link(&mut linker).unwrap();
        for name in INTERFACES.iter().chain([&NETWORK]) {
            assert!(is_linked(&format!("{name}@0.2.0")) && is_linked(&format!("{name}@0.2.99")));
            for version in ["", "@", "@0.3.0", "@0.2", "@0.2.0-rc-2023-11-10", "@1.2.0"] {
                assert!(!is_linked(&format!("{name}{version}")), "{name}{version}");
            }
        }
        assert!(!is_linked("wasi:http/types@0.2.0"));
    }
}
