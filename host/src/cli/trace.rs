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
    request: Option<&str>,
    work: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let done = work();
    if let Some(request) = request
        && let Err(failure) = tell(context, request)
    {
        let text = format!(
            "the host calls cannot be told: {}",
            words::safe(&failure.text())
        );
        context.printer.note(&text);
    }
    done
}

fn tell(context: &Context, request: &str) -> Result<(), Failure> {
    // Its own requests are none of the command's.
    let client = context.client.again()?.named(None);
    let store = client.get(&format!("/v1/stores/{}", segment(&context.store)))?;
    let base = format!(
        "/v1/drivers/{}/traces",
        segment(&words::field(&store, "driver"))
    );
    let query = query([("request", Some(request.to_owned()))]);
    let list = client.get(&format!("{base}{query}"))?;
    let Some(TraceList { traces }) = read(&list) else {
        return Ok(());
    };
    for trace in traces.iter().rev() {
        let number = trace.number;
        let target = format!("{base}/{}?number={number}", segment(request));
        let document = client.get(&target)?;
        let text =
            read::<TraceDocument>(&document).map_or_else(String::new, |one| trace_calls(&one));
        context.printer.note_document(&document, &text);
    }
    Ok(())
}
