//! Permits of an operation that are lent to others while it waits for its client.
//!
//! Permits are taken in one order, those of the driver before the common ones, and whoever waits for the first kind holds
//! none of the second, so no two operations can wait for each other.
//!
//! Invariant: what is lent is taken back before the operation goes on, unless it was cancelled.

use super::gate::{Gate, Permit};
use crate::traffic::ClientCall;
use mica_runtime::{CancelToken, ClientWait};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often one that waits for a permit looks whether it was cancelled.
const POLL_PERIOD: Duration = Duration::from_millis(100);

/// The permits of one operation.
#[derive(Debug)]
pub(crate) struct Lent {
    gates: [Arc<Gate>; 2],
    held: Mutex<Vec<Permit>>,
    waits: Mutex<Waits>,
    /// Whose operation it is.
    call: Option<ClientCall>,
}

/// Waits for the client.
#[derive(Debug, Default)]
struct Waits {
    since: Option<Instant>,
    spent: Duration,
}

impl Lent {
    /// Takes a permit of each gate in turn, and waits for each no longer than `patience`.
    pub(super) fn take(gates: [Arc<Gate>; 2], patience: Duration) -> Option<Arc<Self>> {
        let permits = gates.iter().map(|gate| gate.enter(patience));
        let held = Mutex::new(permits.collect::<Option<Vec<_>>>()?);
        Some(Arc::new(Self {
            gates,
            held,
            waits: Mutex::default(),
            call: ClientCall::current(),
        }))
    }

    /// How long the operation waited for its client.
    pub(super) fn waited(&self) -> Duration {
        self.waits.lock().spent
    }

    fn put(&self, permits: Vec<Permit>) {
        *self.held.lock() = permits;
    }
}

impl ClientWait for Lent {
    fn begin(&self) {
        self.put(Vec::new());
        self.waits.lock().since = Some(Instant::now());
    }

    fn end(&self, cancel: &CancelToken) {
        let mut waits = self.waits.lock();
        if let Some(since) = waits.since.take() {
            let spent = since.elapsed();
            waits.spent += spent;
            if let Some(call) = &self.call {
                call.waited(spent);
            }
        }
        drop(waits);
        let mut permits = Vec::with_capacity(self.gates.len());
        for gate in &self.gates {
            // Whoever holds one works, and so gives it back.
            let permit = loop {
                match gate.enter(POLL_PERIOD) {
                    // Without permits: a cancelled operation does nothing any more but end.
                    None if cancel.is_cancelled() => return,
                    None => {}
                    Some(permit) => break permit,
                }
            };
            permits.push(permit);
        }
        self.put(permits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_serves_others_while_its_holder_waits() {
        let gates = [Gate::new(1), Gate::new(1)];
        let waiting = Lent::take(gates.clone(), Duration::ZERO).unwrap();
        assert!(Lent::take(gates.clone(), Duration::ZERO).is_none());
        waiting.begin();
        let other = Lent::take(gates.clone(), Duration::ZERO).unwrap();
        std::thread::scope(|scope| {
            let back = scope.spawn(|| waiting.end(&CancelToken::default()));
            drop(other);
            back.join().unwrap();
        });
        assert!(Lent::take(gates.clone(), Duration::ZERO).is_none());
        drop(waiting);
        assert!(Lent::take(gates, Duration::ZERO).is_some());
    }

    #[test]
    fn a_cancelled_operation_waits_for_no_permit() {
        let gates = [Gate::new(1), Gate::new(1)];
        let waiting = Lent::take(gates.clone(), Duration::ZERO).unwrap();
        waiting.begin();
        let _other = Lent::take(gates, Duration::ZERO).unwrap();
        let cancel = CancelToken::default();
        cancel.cancel();
        waiting.end(&cancel);
    }
}
