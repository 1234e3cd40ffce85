//! Names and passwords for registries, where the tools of this field keep them.
//!
//! Invariant: a password is in no text and in no debug output; programs that keep passwords are named, and not started.

use crate::error::Error;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mica_text::SafeText;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Bytes of a file with passwords.
const MOST_BYTES: u64 = 1 << 20;

/// By what a client shows who it is.
#[derive(Clone, Default)]
pub struct Credentials {
    pub(crate) known: Option<(String, String)>,
    /// A program that has them.
    pub(crate) helper: Option<SafeText>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.known.as_ref().map(|(user, _)| user);
        f.debug_struct("Credentials")
            .field("user", &user)
            .field("helper", &self.helper)
            .finish_non_exhaustive()
    }
}

/// The part of Docker's `config.json` that is about passwords; containers' `auth.json` has the same.
#[derive(Deserialize)]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    auth: Option<String>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: Option<String>,
}

impl Credentials {
    /// A name and a password.
    #[must_use]
    pub fn of(user: String, password: String) -> Self {
        Self {
            known: Some((user, password)),
            helper: None,
        }
    }

    /// Those that a file has for a registry; none if there is no file, or nothing in it.
    ///
    /// # Errors
    /// [`Error::Credentials`].
    pub fn of_file(path: &Path, registry: &str) -> Result<Self, Error> {
        let wrong = |reason: String| Error::Credentials {
            path: path.to_owned(),
            reason,
        };
        let mut bytes = Vec::new();
        match std::fs::File::open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => return Err(wrong(error.to_string())),
            Ok(file) => file
                .take(MOST_BYTES + 1)
                .read_to_end(&mut bytes)
                .map_err(|error| wrong(error.to_string()))?,
        };
        if bytes.len() as u64 > MOST_BYTES {
            return Err(wrong("it has more than a MiB".to_owned()));
        }
        // What the parser says may quote what it read, and that is a secret.
        let file: File = serde_json::from_slice(&bytes)
            .map_err(|error| wrong(format!("line {} is no such JSON", error.line())))?;
        file.credentials(registry).map_err(wrong)
    }

    /// The file that the tools of this field use: the one that `REGISTRY_AUTH_FILE` names, else `config.json` in the directory that
    /// `DOCKER_CONFIG` names or in `~/.docker`.
    #[must_use]
    pub fn usual_file(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
        let given = |name| variable(name).filter(|path| !path.as_os_str().is_empty());
        let docker = || given("DOCKER_CONFIG").map(|directory| directory.join("config.json"));
        let home = || given("HOME").map(|home| home.join(".docker/config.json"));
        given("REGISTRY_AUTH_FILE").or_else(docker).or_else(home)
    }

    /// What a request shows that wants a name and a password.
    pub(crate) fn basic(&self) -> Option<String> {
        let (user, password) = self.known.as_ref()?;
        Some(format!(
            "Basic {}",
            STANDARD.encode(format!("{user}:{password}"))
        ))
    }
}

impl File {
    fn credentials(self, registry: &str) -> Result<Credentials, String> {
        let helper = self.helpers.get(registry).or(self.store.as_ref());
        let helper = helper.map(|name| SafeText::label(name));
        let mut entries = self.auths.into_iter();
        let found = entries.find(|(name, _)| host_in(name) == registry);
        let Some((_, entry)) = found else {
            return Ok(Credentials {
                known: None,
                helper,
            });
        };
        let known = match (
            entry.auth.filter(|auth| !auth.is_empty()),
            entry.username,
            entry.password,
        ) {
            (Some(auth), ..) => Some(decoded(&auth).ok_or_else(|| {
                format!(
                    "`auth` of `{}` is not NAME:PASSWORD in base64",
                    SafeText::label(registry)
                )
            })?),
            (None, Some(user), Some(password)) => Some((user, password)),
            // Docker leaves an empty entry where a program has the password.
            (None, ..) => None,
        };
        Ok(Credentials { known, helper })
    }
}

/// The host in a key, which earlier clients wrote as an address of a page.
fn host_in(key: &str) -> &str {
    let bare = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"));
    let bare = bare.unwrap_or(key);
    bare.split_once('/').map_or(bare, |(host, _)| host)
}

fn decoded(auth: &str) -> Option<(String, String)> {
    let bytes = STANDARD.decode(auth.trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (user, password) = text.split_once(':')?;
    // Some clients wrote C strings.
    Some((user.to_owned(), password.trim_end_matches('\0').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, registry: &str) -> Result<Credentials, Error> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Credentials::of_file(file.path(), registry)
    }

    #[test]
    fn a_file_has_passwords_in_each_of_its_forms() {
        let text = r#"{"auths": {"registry.example:5000": {"auth": "bWU6YTpi"}, "https://old.example/v1/": {"auth": "bWU6Yg=="},
            "plain.example": {"username": "me", "password": "c"}, "empty.example": {}},
            "credHelpers": {"helped.example": "pass"}, "credsStore": "desktop", "experimental": "on"}"#;
        for (registry, password) in [
            ("registry.example:5000", Some("a:b")),
            ("old.example", Some("b")),
            ("plain.example", Some("c")),
            ("empty.example", None),
            ("registry.example", None),
        ] {
            let found = read(text, registry).unwrap();
            let found_password = found.known.map(|(_, password)| password);
            assert_eq!(found_password.as_deref(), password, "{registry}");
        }
        let helper = |registry| read(text, registry).unwrap().helper.unwrap().to_string();
        assert_eq!(helper("helped.example"), "pass");
        assert_eq!(helper("empty.example"), "desktop");
    }

    #[test]
    fn a_file_that_makes_no_sense_is_named_and_not_quoted() {
        let secret = read(r#"{"auths": "hunter2"}"#, "a.example").unwrap_err();
        assert!(!secret.to_string().contains("hunter2"), "{secret}");
        for text in ["{", r#"{"auths": {"a.example": {"auth": "%%"}}}"#] {
            assert!(matches!(
                read(text, "a.example"),
                Err(Error::Credentials { .. })
            ));
        }
        let none =
            Credentials::of_file(Path::new("/nonexistent/config.json"), "a.example").unwrap();
        assert!(none.known.is_none());
        let shown = format!(
            "{:?}",
            Credentials::of("me".to_owned(), "hunter2".to_owned())
        );
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn the_file_is_where_the_tools_of_this_field_have_it() {
        let usual = |given: &[(&str, &str)]| {
            let given: BTreeMap<String, PathBuf> = given
                .iter()
                .map(|(name, path)| ((*name).to_owned(), path.into()))
                .collect();
            Credentials::usual_file(|name| given.get(name).cloned())
        };
        assert_eq!(usual(&[]), None);
        assert_eq!(
            usual(&[("HOME", "/h")]),
            Some("/h/.docker/config.json".into())
        );
        let docker = ("DOCKER_CONFIG", "/d");
        assert_eq!(
            usual(&[("HOME", "/h"), docker]),
            Some("/d/config.json".into())
        );
        assert_eq!(
            usual(&[("REGISTRY_AUTH_FILE", "/a"), docker]),
            Some("/a".into())
        );
    }
}
