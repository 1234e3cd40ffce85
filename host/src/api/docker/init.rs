//! The calls about the whole: what the plugin is, which store it serves, its state, its end.
//!
//! `Init` binds the socket to a store, by the name that the configuration gives (`docker` unless it says otherwise):
//!
//! - The first `Init` makes the store, with the driver of the option `mica.driver`, else the configured one, else one that
//!   the engine chooses; all other options are the driver's own. `Home` is kept with the store as the one it is for; the layers lie below Mica's root.
//! - A later one must say the same: another driver, other options, another `Home` are refused. Saying no driver is to
//!   be content with the one that the store has. A store that an operator made serves any `Home`.
//! - `Init` is the first call of a dockerd that has just started, so whatever an earlier one held it holds no more: the
//!   references to mounts are given back, the mounts stay for containers that still run.
//!
//! All of it is on disk before the answer, and nothing of it here.
//!
//! Invariant: what cannot be served is refused by `Init`, not by a later call.
//!
//! See docs/decisions/0039-a-docker-socket-serves-one-store.md.

use super::messages::{Capabilities, InitRequest, Reply, Request};
use super::{Answer, Shared, answer, call, done, read};
use crate::api::refusal::{Refusal, RequestError};
use axum::body::Body;
use axum::extract::State;
use mica_engine::{Engine, Error, Pairs, Release, StoreRequest, StoreView};

/// The option that names the driver; all others are the driver's.
const DRIVER: &str = "mica.driver";

/// `Plugin.Activate`.
pub(super) async fn activate() -> Answer {
    answer(&Reply {
        implements: Some(["GraphDriver"]),
        ..Reply::default()
    })
}

/// `Init`.
pub(super) async fn init(State(shared): State<Shared>, body: Body) -> Answer {
    let wanted = Wanted::read(read(&shared, body).await?)?;
    let driver = shared.settings.driver.clone();
    let bind = move |engine: &Engine, store: &str| {
        let bound = bind(engine, store, driver, wanted);
        match bound {
            Ok(()) => Ok(Ok(())),
            Err(Refusal::Engine(error)) => Err(error),
            Err(Refusal::Request(error)) => Ok(Err(error)),
        }
    };
    call(&shared, bind).await??;
    done()
}

/// `Capabilities`.
pub(super) async fn capabilities() -> Answer {
    answer(&Reply {
        capabilities: Some(Capabilities {
            reproduces_exact_diffs: false,
        }),
        ..Reply::default()
    })
}

/// `Status`: what `docker info` shows.
pub(super) async fn status(State(shared): State<Shared>, body: Body) -> Answer {
    let _empty: Request = read(&shared, body).await?;
    let view = call(&shared, |engine, store| engine.store(store)?.describe()).await?;
    answer(&Reply {
        status: Some(shown(view)),
        ..Reply::default()
    })
}

/// `Cleanup`: dockerd ends, and no container runs any more.
pub(super) async fn cleanup(State(shared): State<Shared>, body: Body) -> Answer {
    let _empty: Request = read(&shared, body).await?;
    let release =
        |engine: &Engine, store: &str| engine.store(store)?.release_mounts(Release::Unmount);
    call(&shared, release).await?;
    done()
}

/// The driver's own pairs behind what a user of Docker cannot see otherwise.
fn shown(view: StoreView) -> Vec<(String, String)> {
    let mut pairs = vec![("Mica Driver".to_owned(), view.driver)];
    pairs.extend(view.status.0);
    let unavailable = view.unavailable.into_iter();
    pairs.extend(unavailable.map(|reason| ("Unavailable".to_owned(), reason)));
    pairs
}

/// What an `Init` asks for.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    client: String,
    driver: Option<String>,
    options: Vec<(String, String)>,
}

impl Wanted {
    fn read(request: InitRequest) -> Result<Self, RequestError> {
        for (name, maps) in [
            ("UIDMaps", &request.uid_maps),
            ("GIDMaps", &request.gid_maps),
        ] {
            let ranges = maps.as_ref().map_or(0, Vec::len);
            if ranges > 0 {
                return Err(RequestError::Invalid(format!(
                    "`{name}` has {ranges} ranges, but owners are not shifted; start dockerd without --userns-remap"
                )));
            }
        }
        let home = request.home.filter(|home| !home.is_empty());
        let home = home.ok_or_else(|| RequestError::Invalid("`Home` is empty".to_owned()))?;
        let (mut driver, mut options) = (None, Vec::new());
        for option in request.opts.unwrap_or_default() {
            let Some((key, value)) = option.split_once('=').filter(|(key, _)| !key.is_empty())
            else {
                return Err(RequestError::Invalid(format!(
                    "option `{option}` is not of the form key=value"
                )));
            };
            let (key, value) = (key.trim().to_owned(), value.to_owned());
            if key == DRIVER && driver.is_none() {
                driver = Some(value);
            } else if key == DRIVER || options.iter().any(|(known, _)| *known == key) {
                return Err(RequestError::Invalid(format!("option `{key}` comes twice")));
            } else {
                options.push((key, value));
            }
        }
        options.sort();
        let client = format!("docker {home}");
        Ok(Self {
            client,
            driver,
            options,
        })
    }

    /// Refuses a store that is not what is asked for.
    fn check(&self, store: &StoreView) -> Result<(), RequestError> {
        let differs = |what: &str, has: String, asked: String| {
            RequestError::Invalid(format!(
                "store `{name}` has {what} `{has}`, `{asked}` is asked for; ask for the same, remove the store with \
                 `mica store rm {name}`, or serve another store on a socket of its own",
                name = store.name
            ))
        };
        if let Some(driver) = self
            .driver
            .as_ref()
            .filter(|driver| **driver != store.driver)
        {
            return Err(differs("driver", store.driver.clone(), driver.clone()));
        }
        let mut options = store.options.0.clone();
        options.sort();
        if options != self.options {
            return Err(differs(
                "options",
                written(&options),
                written(&self.options),
            ));
        }
        match &store.client {
            Some(client) if *client != self.client => {
                Err(differs("client", client.clone(), self.client.clone()))
            }
            _ => Ok(()),
        }
    }
}

fn written(options: &[(String, String)]) -> String {
    let options: Vec<_> = options
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    options.join(" ")
}

/// Makes the store, or finds that it is what is asked for, and lets go of what an earlier client held.
fn bind(
    engine: &Engine,
    store: &str,
    driver: Option<String>,
    wanted: Wanted,
) -> Result<(), Refusal> {
    match engine.store(store) {
        Ok(store) => wanted.check(&store.describe()?)?,
        Err(Error::UnknownStore(_)) => {
            engine.stores().create(StoreRequest {
                name: store.to_owned(),
                driver: wanted.driver.or(driver),
                options: Pairs(wanted.options),
                client: Some(wanted.client),
            })?;
        }
        Err(error) => return Err(error.into()),
    }
    let store = engine.store(store)?;
    store.check()?;
    store.release_mounts(Release::Keep)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(body: &str) -> Result<Wanted, String> {
        let request = serde_json::from_str(body).unwrap();
        Wanted::read(request).map_err(|error| error.to_string())
    }

    #[test]
    fn the_driver_is_an_option_and_all_others_are_the_drivers() {
        let body =
            r#"{"Home":"/h","Opts":["z=1","mica.driver=vfs","a=b=c"],"UIDMaps":null,"GIDMaps":[]}"#;
        let wanted = wanted(body).unwrap();
        assert_eq!(wanted.driver.as_deref(), Some("vfs"));
        assert_eq!(written(&wanted.options), "a=b=c z=1");
        assert_eq!(wanted.client, "docker /h");
    }

    #[test]
    fn what_cannot_be_served_is_named() {
        for (body, names) in [
            (r#"{"Home":"/h","UIDMaps":[{"container_id":0}]}"#, "UIDMaps"),
            (r#"{"Home":"/h","GIDMaps":[{}]}"#, "GIDMaps"),
            (r#"{"Home":""}"#, "Home"),
            ("{}", "Home"),
            (r#"{"Home":"/h","Opts":["size"]}"#, "`size`"),
            (r#"{"Home":"/h","Opts":["=x"]}"#, "`=x`"),
            (r#"{"Home":"/h","Opts":["a=1","a=1"]}"#, "`a`"),
            (
                r#"{"Home":"/h","Opts":["mica.driver=a","mica.driver=b"]}"#,
                "mica.driver",
            ),
        ] {
            let refusal = wanted(body).unwrap_err();
            assert!(refusal.contains(names), "{body}: {refusal}");
        }
    }
}
