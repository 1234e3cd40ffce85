//! The calls about one layer.
//!
//! Two answers are moby's rather than the engine's: removing a layer that is not there succeeds, as dockerd tries again
//! after a removal that broke off; and a layer may be built on a parent that is mounted, as BuildKit does it.
//!
//! Invariant: parses, calls the engine, prints.

use super::messages::{Reply, Request};
use super::{Answer, Shared, answer, call, done, read};
use axum::body::Body;
use axum::extract::State;
use mica_engine::{Error, LayerKind, LayerRequest, LiveParent, MountRequest, Pairs, WhenBusy};

/// `Create`: a layer for content.
pub(super) async fn create(State(shared): State<Shared>, body: Body) -> Answer {
    make(shared, body, LayerKind::Content).await
}

/// `CreateReadWrite`: the writable layer of a container.
pub(super) async fn create_read_write(State(shared): State<Shared>, body: Body) -> Answer {
    make(shared, body, LayerKind::ReadWrite).await
}

async fn make(shared: Shared, body: Body, kind: LayerKind) -> Answer {
    let mut request: Request = read(&shared, body).await?;
    let request = LayerRequest {
        id: request.take_id(),
        parent: request.take_parent(),
        kind,
        mount_label: request.take_mount_label(),
        storage_options: Pairs(request.take_storage_options()),
        live_parent: LiveParent::Accept,
    };
    call(&shared, |engine, store| {
        engine.layers(store)?.create(request)
    })
    .await?;
    done()
}

/// `Remove`.
pub(super) async fn remove(State(shared): State<Shared>, body: Body) -> Answer {
    let id = read::<Request>(&shared, body).await?.take_id();
    let remove =
        move |engine: &mica_engine::Engine, store: &str| match engine.layers(store)?.remove(&id) {
            Err(Error::UnknownLayer { .. }) => Ok(()),
            other => other,
        };
    call(&shared, remove).await?;
    done()
}

/// `Get`: mounts a layer, or counts one more who wants it.
pub(super) async fn get(State(shared): State<Shared>, body: Body) -> Answer {
    let mut request: Request = read(&shared, body).await?;
    let id = request.take_id();
    let mount = MountRequest {
        mount_label: request.take_mount_label(),
        ..MountRequest::default()
    };
    let view = call(&shared, move |engine, store| {
        engine.store(store)?.mount(&id, mount)
    })
    .await?;
    answer(&Reply {
        dir: Some(view.path.display().to_string()),
        ..Reply::default()
    })
}

/// `Put`: gives back what `Get` gave. dockerd does not try again, but removes the layer later.
pub(super) async fn put(State(shared): State<Shared>, body: Body) -> Answer {
    let id = read::<Request>(&shared, body).await?.take_id();
    let put = move |engine: &mica_engine::Engine, store: &str| {
        engine.store(store)?.unmount(&id, WhenBusy::LetGo)
    };
    call(&shared, put).await?;
    done()
}

/// `Exists`.
pub(super) async fn exists(State(shared): State<Shared>, body: Body) -> Answer {
    let id = read::<Request>(&shared, body).await?.take_id();
    let look =
        move |engine: &mica_engine::Engine, store: &str| match engine.store(store)?.layer(&id) {
            Ok(_) => Ok(true),
            Err(Error::UnknownLayer { .. }) => Ok(false),
            Err(error) => Err(error),
        };
    let exists = call(&shared, look).await?;
    answer(&Reply {
        exists: Some(exists),
        ..Reply::default()
    })
}

/// `GetMetadata`: what `docker inspect` shows of a layer.
pub(super) async fn metadata(State(shared): State<Shared>, body: Body) -> Answer {
    let id = read::<Request>(&shared, body).await?.take_id();
    let pairs = call(&shared, move |engine, store| {
        engine.store(store)?.metadata(&id)
    })
    .await?;
    answer(&Reply {
        metadata: Some(pairs.into_iter().collect()),
        ..Reply::default()
    })
}
