//! `[[drivers.trust]]`: who has to have signed which drivers.
//!
//! Invariant: a key that is named was read; one that cannot be is an error, because a rule without it would say something else.

use super::{Error, invalid};
use mica_engine::{TrustRule, Unsigned};
use mica_signatures::{Identity, PublicKey, Trust};
use serde::Deserialize;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// The setting's name.
const NAME: &str = "drivers.trust";
/// Bytes of a file with a key or a root of trust.
const MOST_BYTES: u64 = 1 << 20;

/// One rule.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Rule {
    name: Option<String>,
    registry: Option<String>,
    keys: Vec<PathBuf>,
    identity: Option<String>,
    issuer: Option<String>,
    trust_root: Option<PathBuf>,
    unsigned: Option<Unsigned>,
}

/// Checks the rules, and reads their keys.
pub(super) fn rules(rules: &[Rule]) -> Result<Vec<TrustRule>, Error> {
    rules.iter().map(rule).collect()
}

fn rule(rule: &Rule) -> Result<TrustRule, Error> {
    let wrong = |reason: String| invalid(NAME, reason);
    let name = rule.name.as_ref().map(|name| {
        glob::Pattern::new(name)
            .map_err(|error| wrong(format!("name `{name}` is no pattern: {error}")))
    });
    let registry = rule.registry.as_ref().map(|registry| match registry.split('/').next() {
        Some(host) if !host.is_empty() && !registry.contains(['@', ' ']) && !registry.contains("://") => Ok(registry.clone()),
        _ => Err(wrong(format!(
            "registry `{registry}` must be a host, or a host and the beginning of a name: registry.example/team"
        ))),
    });
    let keys = rule.keys.iter().map(|path| {
        let text =
            read(path).map_err(|reason| wrong(format!("key `{}`: {reason}", path.display())))?;
        PublicKey::parse(&text)
            .map_err(|reason| wrong(format!("key `{}`: {reason}", path.display())))
    });
    let identity = match (&rule.identity, &rule.issuer, &rule.trust_root) {
        (None, None, None) => None,
        (Some(identity), Some(issuer), Some(path))
            if !identity.is_empty() && !issuer.is_empty() =>
        {
            let named =
                |reason: String| wrong(format!("trust_root `{}`: {reason}", path.display()));
            let root = read(path).map_err(named)?;
            Some(Identity::new(identity.clone(), issuer.clone(), &root).map_err(named)?)
        }
        _ => {
            return Err(wrong(
                "`identity`, `issuer` and `trust_root` belong together: give all three, none empty"
                    .to_owned(),
            ));
        }
    };
    Ok(TrustRule {
        name: name.transpose()?,
        registry: registry.transpose()?,
        trust: Trust {
            keys: keys.collect::<Result<_, _>>()?,
            identities: identity.into_iter().collect(),
        },
        unsigned: rule.unsigned,
    })
}

fn read(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MOST_BYTES).read_to_string(&mut text));
    read.map(|_bytes| text).map_err(|error| error.to_string())
}
