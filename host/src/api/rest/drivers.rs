//! `/v1/drivers`.
//!
//! Invariant: parses, calls the engine, prints.

use super::extract::{Asked, At};
use super::operations::attended;
use super::page::PageQuery;
use super::papers::{PapersOf, UnsignedQuery};
use super::{Answer, Shared, answer, call, made};
use crate::api::body::whole;
use crate::api::refusal::{Refusal, RequestError};
use crate::api::types::{DriverJudgement, DriverList, DriverView, Problem, ReleaseReport};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use mica_client::segment;
use mica_engine::{CancelToken, Consent, Engine, OperationKind};
use mica_runtime::manifest::UnknownAsk;
use serde::Deserialize;

/// What a component is expected to be, and what is approved of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LoadQuery {
    name: Option<String>,
    grants: Option<String>,
    #[serde(default)]
    unsigned: UnsignedQuery,
}

/// Under which name a component is looked at.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JudgeQuery {
    name: Option<String>,
    #[serde(default)]
    unsigned: UnsignedQuery,
}

/// What a quarantine is ended for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReleaseQuery {
    store: Option<String>,
    layer: Option<String>,
}

/// Lists the drivers by name, in pages.
#[utoipa::path(get, path = "/v1/drivers", operation_id = "list_drivers", tag = "drivers",
    params(
        ("after" = Option<String>, Query, description = "Begins after this name: `next` of the page before."),
        ("limit" = Option<usize>, Query, description = "Drivers of a page: 1000 unless given, 10000 at most."),
        ("prefix" = Option<String>, Query, description = "Only drivers whose names begin so."),
        ("state" = Option<String>, Query,
            description = "`quarantined`, `baking` or `used`: only drivers that are quarantined for anything, whose build bakes, or that \
                serve stores."),
    ),
    responses(
    (status = 200, description = "The page.", body = DriverList),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn list(State(shared): State<Shared>, Asked(page): Asked<PageQuery>) -> Answer {
    let fits: fn(&DriverView) -> bool = match page.state.as_deref() {
        None => |_| true,
        Some("quarantined") => |driver| !driver.quarantines.is_empty(),
        Some("baking") => |driver| driver.bake.is_some(),
        Some("used") => |driver| !driver.stores.is_empty(),
        Some(other) => {
            return Err(RequestError::Invalid(format!(
                "there are no drivers in the state `{other}`; give `quarantined`, `baking` or `used`"
            ))
            .into());
        }
    };
    let mut drivers = call(shared, |engine| Ok(engine.drivers().list())).await?;
    drivers.retain(fits);
    let next = page.cut(&mut drivers, |driver| &driver.name);
    answer(StatusCode::OK, &DriverList { drivers, next })
}

/// Describes a driver.
#[utoipa::path(get, path = "/v1/drivers/{driver}", operation_id = "get_driver", tag = "drivers",
    params(("driver" = String, Path, description = "The driver.")),
    responses(
    (status = 200, description = "The driver.", body = DriverView),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn inspect(State(shared): State<Shared>, At(driver): At<String>) -> Answer {
    let view = call(shared, move |engine| engine.drivers().get(&driver)).await?;
    answer(StatusCode::OK, &view)
}

/// Loads a component as a new driver; it is there after a restart, too. It is tried in a scratch store first. A client that goes away before the component is compiled
/// ends that, and nothing is loaded.
#[utoipa::path(post, path = "/v1/drivers", operation_id = "load_driver", tag = "drivers",
    params(
        ("name" = Option<String>, Query, description = "Refuses a component that calls itself otherwise."),
        ("grants" = Option<String>, Query, description = "What is approved of what it asks for, beside what it is granted: names between commas, or `asked` for all of it. It is kept with the driver."),
        ("unsigned" = Option<String>, Query, description = "`allow` takes a component from a registry without a signature, where the daemon's rules leave that to the client; `refuse` is the default."),
        ("Mica-Reference" = Option<String>, Header, description = "The reference that the component was pulled by, with the digest of its manifest; absent for a file."),
        ("Mica-Signature" = Option<String>, Header, description = "A signature of the component: `minisign` or `sigstore`, a blank, and the signature's file in base64. It may be given up to 16 times."),
    ),
    request_body(content = Vec<u8>, content_type = "application/wasm", description = "The component."),
    responses(
    (status = 201, description = "The new driver.", body = DriverView,
        headers(("Location" = String, description = "Where it is from now on."))),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn load(
    State(shared): State<Shared>,
    Asked(query): Asked<LoadQuery>,
    papers: PapersOf,
    body: Body,
) -> Answer {
    let consent = consent(query.grants.as_deref(), false)?;
    let component = component(&shared, body).await?;
    let name = query.name.clone().unwrap_or_default();
    let work = move |engine: &Engine, token: &CancelToken| {
        let papers = papers.with(query.unsigned);
        let name = query.name.as_deref();
        engine
            .drivers()
            .load(&component, papers, name, &consent, token)
    };
    let view = attended(shared, OperationKind::Load, ("", &name), work).await?;
    made(&format!("/v1/drivers/{}", segment(&view.name)), &view)
}

/// Tells what a component is and asks for, with the reasons of its manifest, what of that is granted, what its load would be refused
/// for, and in what it differs from the build of its name that runs. Nothing is compiled or changed.
#[utoipa::path(post, path = "/v1/drivers:judge", operation_id = "judge_component", tag = "drivers",
    params(
        ("name" = Option<String>, Query, description = "The driver that it is compared with; without it that of its manifest."),
        ("unsigned" = Option<String>, Query, description = "As for loading a driver."),
        ("Mica-Reference" = Option<String>, Header, description = "As for loading a driver."),
        ("Mica-Signature" = Option<String>, Header, description = "As for loading a driver."),
    ),
    request_body(content = Vec<u8>, content_type = "application/wasm", description = "The component."),
    responses(
    (status = 200, description = "What is known of it.", body = DriverJudgement),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn judge(
    State(shared): State<Shared>,
    Asked(query): Asked<JudgeQuery>,
    papers: PapersOf,
    body: Body,
) -> Answer {
    let component = component(&shared, body).await?;
    let judged = call(shared, move |engine| {
        let papers = papers.with(query.unsigned);
        let name = query.name.as_deref();
        engine.drivers().judge(&component, papers, name)
    });
    answer(StatusCode::OK, &judged.await?)
}

/// A body that must be a component.
async fn component(shared: &Shared, body: Body) -> Result<Bytes, Refusal> {
    let component = whole(body, shared.runtime.limits().component_bytes).await?;
    match component.is_empty() {
        false => Ok(component),
        true => Err(
            RequestError::Invalid("the body is empty; it must be a component".to_owned()).into(),
        ),
    }
}

/// What is approved of a component: names between commas, or all that it asks for.
pub(super) fn consent(grants: Option<&str>, force: bool) -> Result<Consent, RequestError> {
    let everything = grants == Some(EVERYTHING);
    let names = grants.filter(|_| !everything).unwrap_or_default();
    let asks = names
        .split(',')
        .map(str::trim)
        .filter(|one| !one.is_empty());
    let asks = asks.map(|one| {
        one.parse()
            .map_err(|error: UnknownAsk| RequestError::Invalid(error.to_string()))
    });
    Ok(Consent {
        asks: asks.collect::<Result<_, _>>()?,
        everything,
        force,
    })
}

/// The word for all that a component asks for.
const EVERYTHING: &str = "asked";

/// Removes a driver that was loaded, with its builds and their compiled code. One that ships with the program or lies in the drivers
/// directory is refused, and so is one that stores have.
#[utoipa::path(delete, path = "/v1/drivers/{driver}", operation_id = "remove_driver", tag = "drivers",
    params(("driver" = String, Path, description = "The driver.")),
    responses(
    (status = 204, description = "It is gone."),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn remove(State(shared): State<Shared>, At(driver): At<String>) -> Answer {
    call(shared, move |engine| engine.drivers().remove(&driver)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Ends a quarantine: lets a driver be called again that broke too often, and counts anew.
#[utoipa::path(post, path = "/v1/drivers/{driver}/release", operation_id = "release_driver", tag = "drivers",
    params(
        ("driver" = String, Path, description = "The driver."),
        ("store" = Option<String>, Query, description = "Only for this store and its layers."),
        ("layer" = Option<String>, Query, description = "Only for this layer of the store."),
    ),
    responses(
    (status = 200, description = "What was ended; nothing if nothing was quarantined.", body = ReleaseReport),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn release(
    State(shared): State<Shared>,
    At(driver): At<String>,
    Asked(query): Asked<ReleaseQuery>,
) -> Answer {
    let name = driver.clone();
    let released = call(shared, move |engine| {
        let (store, layer) = (query.store.as_deref(), query.layer.as_deref());
        engine.drivers().release(&name, store, layer)
    });
    let released = released.await?;
    answer(StatusCode::OK, &ReleaseReport { driver, released })
}
