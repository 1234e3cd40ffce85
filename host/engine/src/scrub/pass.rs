//! A pass over the layers of a store: when it is due, and what is kept of it.
//!
//! Invariant: what a pass could not verify it counts, and a pass that has skipped something has not verified all.

use crate::Moment;
use crate::engine::Engine;
use crate::store::Store;
use crate::view::{PassView, ScrubMode, Verdict, VerifyView};

/// What came of a layer.
pub(super) enum Seen {
    Done(VerifyView),
    /// It is gone, or has no digests and is to have none.
    Nothing,
    /// Others work on it, or it cannot be read.
    Skipped,
}

pub(super) fn count(pass: &mut PassView, seen: &Seen) {
    let view = match seen {
        Seen::Done(view) => view,
        Seen::Nothing => return,
        Seen::Skipped => {
            pass.skipped += 1;
            return;
        }
    };
    pass.bytes += view.bytes;
    match view.verdict {
        Verdict::Whole => pass.layers += 1,
        Verdict::Damaged => {
            pass.layers += 1;
            pass.damaged += 1;
        }
        Verdict::Taken => pass.taken += 1,
        Verdict::Unsettled => {}
    }
}

/// How many layers the pass did not verify that has just ended; of one that was stopped also those that it has not come to.
pub(super) fn skipped_of_pass(store: &Store) -> u64 {
    let kept = store.scrub.kept();
    match (kept.pass, kept.last) {
        (None, Some(last)) => last.skipped,
        (Some(pass), _) => {
            let done = pass.layers + pass.taken;
            drop(kept);
            store.layers.table().len().saturating_sub(done).max(1)
        }
        (None, None) => 0,
    }
}

pub(super) fn begin_pass(store: &Store) {
    store.scrub.change(|kept| {
        kept.after = None;
        kept.pass = Some(PassView {
            began: Moment::now(),
            ended: None,
            layers: 0,
            bytes: 0,
            taken: 0,
            damaged: 0,
            skipped: 0,
        });
    });
}

pub(super) fn end_pass(store: &Store) {
    forget_gone(store);
    store.scrub.change(|kept| {
        kept.after = None;
        kept.last = kept.pass.take().map(|pass| PassView {
            ended: Some(Moment::now()),
            ..pass
        });
        if let Some(PassView {
            skipped: 0, ended, ..
        }) = kept.last
        {
            kept.verified = ended;
        }
        let skipped = kept.last.map_or(0, |pass| pass.skipped);
        tracing::info!(store = %store.name, skipped, "a pass over all layers has ended");
    });
}

/// Forgets damage of layers that are not there any more.
pub(super) fn forget_gone(store: &Store) {
    let numbers = store.layers.numbers();
    store.scrub.forget_gone(&|number| numbers.contains(&number));
}

/// Whether a pass over a store is under way, or is to begin.
pub(super) fn is_due(engine: &Engine, store: &Store) -> bool {
    let settings = &engine.settings.scrub;
    let mode = settings.mode_of(store.name.as_str());
    let kept = store.scrub.kept();
    if mode == ScrubMode::Off || kept.paused || store.layers.table().len() == 0 {
        return false;
    }
    if kept.pass.is_some() {
        return true;
    }
    let Some(every) = settings.every else {
        return false;
    };
    let last = kept.last.map(|pass| pass.ended.unwrap_or(pass.began));
    match (last, mode) {
        // Layers that were there before get their digests by the first pass.
        (None, ScrubMode::All) => true,
        (last, _) => {
            let since = last.unwrap_or(kept.since).seconds;
            Moment::now().seconds.saturating_sub(since) >= every.as_secs()
        }
    }
}
