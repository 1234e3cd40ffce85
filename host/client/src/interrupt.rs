//! Signals that end a command.
//!
//! Invariant: the first one lets the command put right what it began; the second one ends the program.

use crate::failure::Failure;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// What a shell sees of a program that SIGINT ended.
const ENDED_BY_SIGNAL: i32 = 130;

/// Takes what a terminal sends when a user interrupts a program that runs before this one. A handler, unlike a signal that is ignored,
/// does not come along when another program is started.
///
/// # Errors
/// What listening says.
pub(crate) fn disregard() -> Result<(), Failure> {
    for kind in [SignalKind::interrupt(), SignalKind::quit()] {
        // It stays listened for after this is gone.
        drop(signal(kind).map_err(Failure::io("listen for signals"))?);
    }
    Ok(())
}

/// Tells when a signal comes.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Listens for SIGINT and SIGTERM, for as long as the program runs.
    ///
    /// # Errors
    /// What starting a thread, or listening, says.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(Failure::io("make an event loop"))?;
        let (tell, told) = watch::channel(false);
        let kinds = [SignalKind::interrupt(), SignalKind::terminate()];
        let signals = runtime.block_on(async {
            let [interrupt, terminate] = kinds.map(signal);
            interrupt.and_then(|interrupt| Ok([interrupt, terminate?]))
        });
        let mut signals = signals.map_err(Failure::io("listen for signals"))?;
        let thread = std::thread::Builder::new().name("mica-signals".to_owned());
        thread
            .spawn(move || {
                runtime.block_on(async {
                    next(&mut signals).await;
                    tell.send_replace(true);
                    next(&mut signals).await;
                    std::process::exit(ENDED_BY_SIGNAL);
                });
            })
            .map_err(Failure::io("start a thread that listens for signals"))?;
        Ok(Self(told))
    }

    /// Whether one has come.
    pub(crate) fn has_come(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for one.
    pub(crate) async fn came(&self) {
        let mut told = self.0.clone();
        if told.wait_for(|come| *come).await.is_err() {
            // Nobody listens any more, so none will be told.
            std::future::pending::<()>().await;
        }
    }
}

async fn next([interrupt, terminate]: &mut [Signal; 2]) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
