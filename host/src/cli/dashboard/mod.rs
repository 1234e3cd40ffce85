//! `mica dashboard`: the daemon's page in a browser, with the rights of whoever runs the command.
//!
//! A browser cannot open a unix socket. The command listens on the loopback address, lets in one browser (`door.rs`), and
//! hands its requests to the daemon (`forward.rs`), which has the page.
//!
//! Invariant: nothing is kept on disk but, until the browser has come, the file that leads it here; and that only its owner can read.

mod answers;
mod browser;
mod door;
mod forward;

use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use super::context::Context;
use browser::Leader;
use door::{Door, Visit};
use mica_client::{Failure, Place};

pub(super) const EXAMPLES: &str = "\
Prints an address with a secret that lets in one browser, once, and opens it if there is a desktop. Whoever runs
this may use the daemon's socket, and so may that browser until the command ends. Each run has a name of its own
below `localhost`, which browsers lead to this machine, so that no other server here sees its cookie.

Examples:
  mica dashboard
  mica dashboard --no-open --listen 127.0.0.1:7788
  ssh -L 7788:127.0.0.1:7788 node mica dashboard --listen 127.0.0.1:7788   # a node without a desktop";

/// Arguments of `mica dashboard`.
#[derive(Debug, clap::Args)]
pub(crate) struct DashboardArguments {
    /// Only print the address
    #[arg(long)]
    no_open: bool,
    /// The loopback address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

/// Serves the page until interrupted.
///
/// # Errors
/// When the daemon does not answer, or the address cannot be listened on.
pub(crate) fn run(context: &Context, arguments: &DashboardArguments) -> Result<(), Failure> {
    let address = arguments.listen;
    if !address.ip().is_loopback() {
        return Err(Failure::Usage {
            what: format!("`{address}` is no loopback address"),
            remedy: "take 127.0.0.1 or [::1], and `ssh -L` from another machine",
        });
    }
    // A daemon that is away is told here rather than in the browser.
    context.client.get("/v1/status")?;
    let listening = format!("listen on {address}");
    let listener = StdListener::bind(address).map_err(Failure::io(&listening))?;
    listener
        .set_nonblocking(true)
        .map_err(Failure::io(&listening))?;
    let address = listener.local_addr().map_err(Failure::io(listening))?;
    let door = Door::new(address.port()).map_err(Failure::io("make a secret"))?;
    let url = door.url();
    context
        .printer
        .result(&json!({ "url": url }), || url.clone())?;
    let leader = match arguments.no_open {
        true => None,
        // The printed address does as well.
        false => Leader::open(&url).unwrap_or_else(|error| {
            let text = format!("no browser was opened: {error}");
            context.printer.note(&text);
            None
        }),
    };
    context
        .printer
        .note("the address lets in one browser, once; Ctrl-C ends the dashboard");
    let shared = Shared {
        door,
        place: context.client.place().clone(),
        leader,
    };
    let mut runtime = Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(Failure::io("make an event loop"))?;
    runtime.block_on(serve(listener, Arc::new(shared)))
}

/// What every request needs.
struct Shared {
    door: Door,
    place: Place,
    /// Leads a browser here, and goes when it has come.
    leader: Option<Leader>,
}

async fn serve(listener: StdListener, shared: Arc<Shared>) -> Result<(), Failure> {
    let waiting = "wait for signals";
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::io(waiting))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::io(waiting))?;
    let listener = TcpListener::from_std(listener).map_err(Failure::io("listen"))?;
    let router = Router::new()
        .fallback(answer)
        .with_state(Arc::clone(&shared));
    tokio::select! {
        served = axum::serve(listener, router) => served.map_err(Failure::io("serve the page")),
        // Whatever a browser still follows would go on for as long as the daemon does.
        _interrupted = interrupt.recv() => Ok(()),
        _terminated = terminate.recv() => Ok(()),
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    match shared.door.look(&request) {
        Visit::Answered(answer) => answer,
        Visit::Entered(answer) => {
            if let Some(leader) = &shared.leader {
                leader.remove();
            }
            answer
        }
        Visit::Inside => forward::ask(&shared.place, request).await,
    }
}

/// Whether a path is one that a person opens, and so an error is told as a page.
fn is_page(path: &str) -> bool {
    !path.starts_with("/v1/") && Path::new(path).extension().is_none()
}
