//! The store `default`, which the first start makes.
//!
//! Invariant: only a root without any store gets one; a driver that was asked for is used or the start fails.

use super::{Error, whole};
use crate::config::Config;
use mica_engine::{Engine, Error as EngineError, StoreRequest};

/// The name of the store that commands use unless they are told another.
const NAME: &str = "default";

/// Makes the store, if this is the first start.
pub(super) fn make_default(engine: &Engine, config: &Config) -> Result<(), Error> {
    let stores = engine.stores();
    match &config.driver {
        Some(driver) if !stores.is_empty() => {
            engine.driver(driver).map_err(Error::Engine)?;
            let other = stores
                .iter()
                .find(|store| store.name == NAME && store.driver != *driver);
            if let Some(store) = other {
                let (has, asked) = (&store.driver, driver);
                tracing::warn!(
                    has,
                    asked,
                    "the store `default` keeps the driver that it was made with"
                );
            }
            Ok(())
        }
        None if !stores.is_empty() => Ok(()),
        Some(driver) => make(engine, driver).map_err(|source| Error::DefaultStore {
            driver: driver.clone(),
            source,
        }),
        None => first_that_works(engine, config),
    }
}

fn make(engine: &Engine, driver: &str) -> Result<(), EngineError> {
    let request = StoreRequest {
        name: NAME.to_owned(),
        driver: driver.to_owned(),
        options: Vec::new(),
        client: None,
    };
    engine.create_store(request)?;
    tracing::info!(driver, "made the store `default`");
    Ok(())
}

fn first_that_works(engine: &Engine, config: &Config) -> Result<(), Error> {
    let mut reasons = Vec::new();
    for (driver, _) in mica_artifacts::DRIVERS {
        let Err(error) = make(engine, driver) else {
            return Ok(());
        };
        let reason = whole(&error);
        tracing::info!(driver, reason, "the driver does not work here");
        reasons.push(format!("{driver}: {reason}"));
        if !is_about_the_driver(&error) {
            break;
        }
    }
    Err(Error::NoDriver {
        root: config.root.clone(),
        reasons: reasons.join("; "),
    })
}

/// Says whether another driver may work where this one does not.
fn is_about_the_driver(error: &EngineError) -> bool {
    matches!(
        error,
        EngineError::NotSupported(_)
            | EngineError::Prerequisites(_)
            | EngineError::IncompatibleFs(_)
            | EngineError::UnknownDriver { .. }
            | EngineError::DriverFailed { .. }
            | EngineError::Quarantined { .. }
    )
}
