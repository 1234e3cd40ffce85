//! What a build does that is worse than the one before it.
//!
//! Built with `HOSTILE_FAULT=late`, the driver behaves but for layers with ids such as `late-trap-create-1`: the second word says
//! what it does, the third in which call. So it passes every probe.
//!
//! Invariant: without that fault nothing here does anything.

use crate::FAULT;
use crate::exports::mica::driver::proto_driver::Error;

/// Turns of a loop that take a good part of a second and end long before any limit.
const SLOW_TURNS: u64 = 150_000_000;

/// What is to be done otherwise than by the contract.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    /// All as it should be.
    Nothing,
    /// An answer that is not true.
    Lie,
    /// Files in another place than the build before has them.
    Layout,
}

/// Traps, loops, is slow or refuses, if the layer's id asks for that in this call; or says what the caller has to do.
pub(crate) fn act(call: &str, id: &str) -> Result<Deed, Error> {
    let mut words = id.split('-');
    let (late, kind, of) = (words.next(), words.next(), words.next());
    // A layout that a layer was made with is the one that it is shown with.
    let is_shown = (kind, call) == (Some("layout"), "get");
    if FAULT != "late" || late != Some("late") || (of != Some(call) && !is_shown) {
        return Ok(Deed::Nothing);
    }
    match kind {
        Some("trap") => core::arch::wasm32::unreachable(),
        Some("loop") => loop {
            core::hint::spin_loop();
        },
        Some("slow") => {
            for turn in 0..SLOW_TURNS {
                core::hint::black_box(turn);
            }
            Ok(Deed::Nothing)
        }
        Some("refuse") => Err(Error::Invalid("it does not like this".to_owned())),
        Some("lie") => Ok(Deed::Lie),
        Some("layout") => Ok(Deed::Layout),
        _ => Ok(Deed::Nothing),
    }
}
