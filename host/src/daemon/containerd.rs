//! The store of a containerd.
//!
//! Invariant: it is open before there is a socket, or every call is answered with the reason why it is not.

use super::Error;
use crate::config::Containerd;
use mica_engine::{Engine, Error as EngineError, Pairs, StoreRequest};

/// Opens the store, and makes it at the first start.
pub(super) fn open_store(engine: &Engine, settings: Option<&Containerd>) -> Result<(), Error> {
    let Some(settings) = settings else {
        return Ok(());
    };
    let request = StoreRequest {
        name: settings.store.clone(),
        driver: settings.driver.clone(),
        options: Pairs(settings.options.clone()),
        client: Some("containerd".to_owned()),
    };
    let has = engine
        .stores()
        .list()
        .into_iter()
        .find(|store| store.name == settings.store);
    if let (Some(has), Some(asked)) = (has, &settings.driver)
        && has.driver != *asked
    {
        let (store, has) = (&settings.store, has.driver);
        tracing::warn!(
            store,
            has,
            asked,
            "the store keeps the driver that it was made with"
        );
    }
    if let Some(reason) = engine.stores().why_unopened(&settings.store) {
        // Each call is answered with the reason; other stores and front ends have nothing to do with it.
        let store = &settings.store;
        tracing::error!(store, reason, "the store of containerd cannot be used");
        return Ok(());
    }
    engine
        .stores()
        .open_snapshots(request)
        .map_err(|source: EngineError| Error::ContainerdStore {
            store: settings.store.clone(),
            source,
        })
}
