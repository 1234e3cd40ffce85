//! `/v1/drivers`.
//!
//! Invariant: parses, calls the engine, prints.

use super::extract::{Asked, At};
use super::page::PageQuery;
use super::{Answer, Shared, answer, call, made};
use crate::api::body::whole;
use crate::api::refusal::RequestError;
use crate::api::stream::CancelOnDrop;
use crate::api::types::{DriverList, DriverView, Problem, ReleaseReport};
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use mica_client::segment;
use serde::Deserialize;

/// What a component is expected to be.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NameQuery {
    name: Option<String>,
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
    params(("name" = Option<String>, Query, description = "Refuses a component that calls itself otherwise.")),
    request_body(content = Vec<u8>, content_type = "application/wasm", description = "The component."),
    responses(
    (status = 201, description = "The new driver.", body = DriverView,
        headers(("Location" = String, description = "Where it is from now on."))),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn load(
    State(shared): State<Shared>,
    Asked(query): Asked<NameQuery>,
    body: Body,
) -> Answer {
    let component = whole(body, shared.runtime.limits().component_bytes).await?;
    if component.is_empty() {
        return Err(
            RequestError::Invalid("the body is empty; it must be a component".to_owned()).into(),
        );
    }
    let cancel = CancelOnDrop::default();
    let token = cancel.token();
    let view = call(shared, move |engine| {
        engine
            .drivers()
            .load(&component, query.name.as_deref(), &token)
    })
    .await?;
    made(&format!("/v1/drivers/{}", segment(&view.name)), &view)
}

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
