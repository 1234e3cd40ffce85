//! `/v1/drivers/{driver}/swap`, `/rollback` and `/history`.
//!
//! Invariant: parses, calls the engine, prints.

use super::drivers::consent;
use super::extract::{Asked, At};
use super::operations::attended;
use super::papers::{PapersOf, UnsignedQuery};
use super::{Answer, Shared, answer, call};
use crate::api::body::whole;
use crate::api::refusal::RequestError;
use crate::api::types::{DriverHistory, Problem, SwapReport};
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use mica_engine::{Agreement, CancelToken, Engine, OperationKind, Shadow, SwapRequest, Target};
use serde::Deserialize;
use std::time::Duration;

/// The longest time for which calls are compared, in seconds: an hour.
const MOST_SHADOW_SECONDS: u64 = 3600;

/// How a swap is made.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SwapQuery {
    shadow: Option<String>,
    #[serde(default)]
    differences: Differences,
    grants: Option<String>,
    #[serde(default)]
    force: bool,
    #[serde(default)]
    unsigned: UnsignedQuery,
}

/// What is to become of a build that answers otherwise than the one before.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Differences {
    #[default]
    Refuse,
    Accept,
}

/// Where a rollback goes to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RollbackQuery {
    to: Option<u64>,
    #[serde(default)]
    shipped: bool,
}

/// Replaces the build of a driver while its layers are mounted. Without a body the component of the running build is loaded anew,
/// from its file if it came from the drivers directory.
///
/// The new build is probed in a scratch store, and asked about layers that are there; whatever fails leaves the old one in place,
/// and so does a client without an `Idempotency-Key` that goes away before the new build takes over. Operations that run end on the old build, and the
/// answer does not wait for them. The new build is watched for a while (`bake_seconds`), and the old one takes over again if it
/// does worse: see the history.
#[utoipa::path(post, path = "/v1/drivers/{driver}/swap", operation_id = "swap_driver", tag = "drivers",
    params(
        ("driver" = String, Path, description = "The driver."),
        ("shadow" = Option<String>, Query, description = "Before the new build takes over, calls that read are asked of both builds, and one answer that differs refuses the new one: until so many were compared (`100`), or for so many seconds (`30s`)."),
        ("differences" = Option<String>, Query, description = "`accept` takes a build that answers otherwise than the running one, where it answers at all; `refuse` is the default."),
        ("grants" = Option<String>, Query, description = "What is approved of what it asks for and the running build does not: names between commas, or `asked` for all of it. It is kept with the driver."),
        ("force" = Option<bool>, Query, description = "`true` takes a build that is a step back: an older version, or one that cannot read the state that lies in layers."),
        ("unsigned" = Option<String>, Query, description = "As for loading a driver."),
        ("Mica-Reference" = Option<String>, Header, description = "As for loading a driver."),
        ("Mica-Signature" = Option<String>, Header, description = "As for loading a driver."),
    ),
    request_body(content = Option<Vec<u8>>, content_type = "application/wasm", description = "The component."),
    responses(
    (status = 200, description = "What was done.", body = SwapReport),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn swap(
    State(shared): State<Shared>,
    At(driver): At<String>,
    Asked(query): Asked<SwapQuery>,
    papers: PapersOf,
    body: Body,
) -> Answer {
    let shadow = query.shadow.as_deref().map(parse_shadow).transpose()?;
    let consent = consent(query.grants.as_deref(), query.force)?;
    let component = whole(body, shared.runtime.limits().component_bytes).await?;
    let name = driver.clone();
    let work = move |engine: &Engine, token: &CancelToken| {
        let papers = papers.with(query.unsigned);
        let request = SwapRequest {
            component: (!component.is_empty()).then_some(&*component),
            papers: Some(&papers),
            shadow,
            agreement: match query.differences {
                Differences::Refuse => Agreement::Required,
                Differences::Accept => Agreement::Waived,
            },
            consent: Some(&consent),
        };
        engine.drivers().swap(&driver, request, token)
    };
    let report = attended(shared, OperationKind::Swap, ("", &name), work).await?;
    answer(StatusCode::OK, &report)
}

/// Puts a build in place again that the driver had: the one before the running one, one by its number, or what ships with the
/// program. The last three builds are kept.
#[utoipa::path(post, path = "/v1/drivers/{driver}/rollback", operation_id = "roll_back_driver", tag = "drivers",
    params(
        ("driver" = String, Path, description = "The driver."),
        ("to" = Option<u64>, Query, description = "The number of a build in the history; by default the one before the running one."),
        ("shipped" = Option<bool>, Query, description = "`true` takes what ships with the program or lies in the drivers directory, now and at every start."),
    ),
    responses(
    (status = 200, description = "What was done.", body = SwapReport),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn rollback(
    State(shared): State<Shared>,
    At(driver): At<String>,
    Asked(query): Asked<RollbackQuery>,
) -> Answer {
    let target = match (query.to, query.shipped) {
        (None, false) => Target::Before,
        (None, true) => Target::Shipped,
        (Some(number), false) => Target::Build(number),
        (Some(_), true) => {
            let text = "`to` and `shipped` name two builds: leave out one of them";
            return Err(RequestError::Invalid(text.to_owned()).into());
        }
    };
    let name = driver.clone();
    let work = move |engine: &Engine, token: &CancelToken| {
        engine.drivers().rollback(&driver, target, token)
    };
    let report = attended(shared, OperationKind::Rollback, ("", &name), work).await?;
    answer(StatusCode::OK, &report)
}

/// Tells which builds a driver had, the last first, and what became of them.
#[utoipa::path(get, path = "/v1/drivers/{driver}/history", operation_id = "get_driver_history", tag = "drivers",
    params(("driver" = String, Path, description = "The driver.")),
    responses(
    (status = 200, description = "The builds.", body = DriverHistory),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn history(State(shared): State<Shared>, At(driver): At<String>) -> Answer {
    let history = call(shared, move |engine| engine.drivers().history(&driver)).await?;
    answer(StatusCode::OK, &history)
}

/// A number of calls, or with an `s` behind it of seconds.
fn parse_shadow(text: &str) -> Result<Shadow, RequestError> {
    let number = text.strip_suffix('s').unwrap_or(text).parse::<u64>().ok();
    let shadow = match (number, text.ends_with('s')) {
        (Some(calls), false) if calls > 0 => Shadow::Calls(calls),
        (Some(seconds), true) if (1..=MOST_SHADOW_SECONDS).contains(&seconds) => {
            Shadow::Time(Duration::from_secs(seconds))
        }
        _ => {
            let shown: String = text.escape_debug().take(64).collect();
            return Err(RequestError::Invalid(format!(
                "shadow `{shown}` is neither a number of calls (`100`) nor of seconds up to {MOST_SHADOW_SECONDS} (`30s`)"
            )));
        }
    };
    Ok(shadow)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shadow_is_a_number_of_calls_or_a_time() {
        assert_eq!(parse_shadow("100").ok(), Some(Shadow::Calls(100)));
        let time = Duration::from_secs(30);
        assert_eq!(parse_shadow("30s").ok(), Some(Shadow::Time(time)));
        for bad in ["", "0", "s", "0s", "3601s", "-1", "10m", "1 s"] {
            assert!(parse_shadow(bad).is_err(), "{bad}");
        }
    }
}
