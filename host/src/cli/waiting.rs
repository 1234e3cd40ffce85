//! A bar while the daemon does what takes long and sends no bytes meanwhile.
//!
//! Invariant: the daemon is asked how far it is only if a bar can be seen, and never before something has taken long.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use mica_client::progress::{ProgressBar, age_bar, tell_bytes};
use mica_client::{Client, query, read};

use super::context::Context;
use crate::api::types::OperationList;

/// What is done sooner needs no bar.
const PATIENCE: Duration = Duration::from_millis(700);
/// How often the daemon is asked.
const PAUSE: Duration = Duration::from_millis(250);

/// By what a request is found among those that run.
#[derive(Clone, Debug, Default)]
pub(super) struct Sought {
    /// What it does, as the description of REST names it.
    pub(super) operation: &'static str,
    /// The store that it is about, if it is about one.
    pub(super) store: Option<String>,
    /// The layer.
    pub(super) layer: Option<String>,
}

impl Sought {
    /// A request that is about neither.
    pub(super) fn of(operation: &'static str) -> Self {
        Self {
            operation,
            ..Self::default()
        }
    }

    /// A request about a layer of the store that the command is about.
    pub(super) fn layer(operation: &'static str, context: &Context, id: &str) -> Self {
        Self {
            operation,
            store: Some(context.store.clone()),
            layer: Some(id.to_owned()),
        }
    }
}

/// Draws a bar for as long as `work` waits for the daemon.
pub(super) fn with_bar<T>(
    context: &Context,
    message: &str,
    sought: &Sought,
    work: impl FnOnce() -> T,
) -> T {
    // Without a terminal nobody would see it.
    if age_bar(String::new()).is_hidden() {
        return work();
    }
    let Ok(client) = context.client.undisturbed() else {
        return work();
    };
    alone(message, move |bar| ask(&client, sought, bar), work)
}

/// Draws a bar for as long as `work` takes, as `draw` says again and again.
pub(super) fn alone<T>(
    message: &str,
    draw: impl Fn(&ProgressBar) + Send,
    work: impl FnOnce() -> T,
) -> T {
    let bar = age_bar(message.to_owned());
    if bar.is_hidden() {
        return work();
    }
    thread::scope(|scope| {
        let (done, is_done) = mpsc::channel::<()>();
        scope.spawn(move || watch(&bar, draw, &is_done));
        let result = work();
        drop(done);
        result
    })
}

fn watch(bar: &ProgressBar, draw: impl Fn(&ProgressBar), is_done: &mpsc::Receiver<()>) {
    let timeout = Err(mpsc::RecvTimeoutError::Timeout);
    let mut pause = PATIENCE;
    while is_done.recv_timeout(pause) == timeout {
        pause = PAUSE;
        bar.tick();
        draw(bar);
        bar.tick();
    }
    bar.finish_and_clear();
}

/// Asks how far it is; a daemon that does not say it is no reason to stop.
fn ask(client: &Client, sought: &Sought, bar: &ProgressBar) {
    let keys = [
        ("operation", Some(sought.operation.to_owned())),
        ("store", sought.store.clone()),
        ("layer", sought.layer.clone()),
    ];
    let list = client.get(&format!("/v1/operations{}", query(keys))).ok();
    let list = list.and_then(|list| read::<OperationList>(&list));
    let running = list.and_then(|list| list.operations.into_iter().next_back());
    if let Some(call) = running
        && let Some(done) = call.done_bytes
    {
        tell_bytes(bar, call.work_bytes);
        bar.set_position(call.work_bytes.map_or(done, |total| done.min(total)));
    }
}
