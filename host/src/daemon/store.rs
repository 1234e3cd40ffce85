//! The store `default`, which the first start makes.
//!
//! Invariant: only a root without any store gets one; a driver that was asked for is used or the start fails. Which
//! driver it is, the engine decides.

use super::Error;
use mica_engine::{Engine, Pairs, StoreRequest};

/// The name of the store that commands use unless they are told another.
pub(super) const NAME: &str = "default";

/// Makes the store, if this is the first start.
pub(super) fn make_default(engine: &Engine) -> Result<(), Error> {
    let stores = engine.stores().list();
    if stores.is_empty() && !engine.stores().has_unopened() {
        let request = StoreRequest {
            name: NAME.to_owned(),
            driver: None,
            options: Pairs::default(),
            client: None,
        };
        let made = engine.stores().create(request);
        let made = made.map_err(Error::DefaultStore)?;
        let reason = made.chosen.unwrap_or_default();
        tracing::info!(driver = made.driver, reason, "made the store `default`");
        return Ok(());
    }
    let Some(asked) = engine.stores().named_driver().map_err(Error::Engine)? else {
        return Ok(());
    };
    let other = stores
        .iter()
        .find(|store| store.name == NAME && store.driver != asked);
    if let Some(store) = other {
        let has = &store.driver;
        tracing::warn!(
            has,
            asked,
            "the store `default` keeps the driver that it was made with"
        );
    }
    Ok(())
}
