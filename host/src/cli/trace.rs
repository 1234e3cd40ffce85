//! `--trace`: the host calls that drivers made for a command.
//!
//! Invariant: what the command does and how it ends is the same without it.

use super::context::Context;
use super::driver::trace_calls;
use crate::api::types::{TraceDocument, TraceList};
use mica_client::{Failure, query, read, segment, words};
use mica_engine::Moment;

/// An id for the requests of this command.
pub(super) fn request_id() -> String {
    let Moment {
        seconds,
        nanoseconds,
    } = Moment::now();
    format!("trace-{seconds:x}-{nanoseconds:x}-{:x}", std::process::id())
}

/// Does a command's work, and then tells on standard error what drivers did for it.
pub(super) fn with(
    context: &Context,
    is_traced: bool,
    work: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let done = work();
    if is_traced && let Err(failure) = tell(context) {
        let text = format!(
            "the host calls cannot be told: {}",
            words::safe(&failure.text())
        );
        context.printer.note(&text);
    }
    done
}

fn tell(context: &Context) -> Result<(), Failure> {
    // Its own requests are none of the command's.
    let client = context.client.again()?.named(None);
    let store = client.get(&format!("/v1/stores/{}", segment(&context.store)))?;
    let base = format!(
        "/v1/drivers/{}/traces",
        segment(&words::field(&store, "driver"))
    );
    let mut found = Vec::new();
    for request in context.client.request_ids() {
        let query = query([("request", Some(request.clone()))]);
        let list = client.get(&format!("{base}{query}"))?;
        let traces = read(&list).map_or_else(Vec::new, |list: TraceList| list.traces);
        found.extend(traces.iter().map(|trace| (trace.number, request.clone())));
    }
    found.sort_unstable();
    for (number, request) in found {
        let target = format!("{base}/{}?number={number}", segment(&request));
        let document = client.get(&target)?;
        let text =
            read::<TraceDocument>(&document).map_or_else(String::new, |one| trace_calls(&one));
        context.printer.note_document(&document, &text);
    }
    Ok(())
}
