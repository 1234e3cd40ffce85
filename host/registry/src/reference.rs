//! How a driver in a registry is named: `HOST[:PORT]/NAME[:TAG][@DIGEST]`, with or without `oci://` before it.
//!
//! Invariant: a [`Reference`] names its registry; there is none that is meant where nothing is said. Each part can stand in a
//! path as it is.

use crate::digest::Digest;
use crate::error::Error;
use mica_text::SafeText;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// The scheme that tells a reference from a file.
const SCHEME: &str = "oci://";
/// What is meant where neither tag nor digest is given, as every client of registries has it.
const USUAL_TAG: &str = "latest";
/// Characters of a name, and of a tag.
const MOST: (usize, usize) = (255, 128);

/// A driver in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The registry's host, with its port if one was given.
    pub registry: String,
    /// The name there.
    pub repository: String,
    /// The tag, if one was given.
    pub tag: Option<String>,
    /// The manifest's digest, if one was given: then it is what counts.
    pub digest: Option<Digest>,
}

impl Reference {
    /// Whether an argument means a driver in a registry rather than a file: it has the scheme, or its first part is a host.
    #[must_use]
    pub fn is_meant(argument: &str) -> bool {
        let host = argument.split_once('/').map(|(host, _)| host);
        argument.starts_with(SCHEME) || host.is_some_and(looks_like_host)
    }

    /// Reads a reference.
    ///
    /// # Errors
    /// [`Error::Reference`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |reason: &str| Error::Reference {
            reference: SafeText::label(text),
            reason: reason.to_owned(),
        };
        let bare = text.strip_prefix(SCHEME).unwrap_or(text);
        let (registry, rest) = bare
            .split_once('/')
            .filter(|(host, _)| looks_like_host(host))
            .ok_or_else(|| wrong("it names no registry: give HOST/NAME:TAG"))?;
        if !is_host(registry) {
            return Err(wrong("its registry is no host, with or without a port"));
        }
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (rest, None),
        };
        let (repository, tag) = match rest.rsplit_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (rest, None),
        };
        if !is_repository(repository) {
            return Err(wrong(
                "its name must be small letters and digits, with `.`, `_`, `-` and `/` between them, 255 at most",
            ));
        }
        if !tag.is_none_or(is_tag) {
            return Err(wrong(
                "its tag must be letters, digits, `_`, `.` and `-`, 128 at most, and begin with none of the last two",
            ));
        }
        let digest = digest.map(Digest::parse).transpose();
        Ok(Self {
            registry: registry.to_owned(),
            repository: repository.to_owned(),
            tag: tag.map(str::to_owned),
            digest: digest.map_err(|reason| wrong(&reason))?,
        })
    }

    /// By what the registry is asked for the manifest: the digest, or else the tag.
    #[must_use]
    pub fn wanted(&self) -> &str {
        let digest = self.digest.as_ref().map(Digest::as_str);
        digest.unwrap_or_else(|| self.tag())
    }

    /// The tag, `latest` where none is given.
    #[must_use]
    pub fn tag(&self) -> &str {
        self.tag.as_deref().unwrap_or(USUAL_TAG)
    }

    /// The same, which means this manifest from now on.
    #[must_use]
    pub fn pinned(&self, digest: &Digest) -> Self {
        let tag = match &self.digest {
            Some(_) => self.tag.clone(),
            None => Some(self.tag().to_owned()),
        };
        Self {
            tag,
            digest: Some(digest.clone()),
            ..self.clone()
        }
    }

    /// Whether the registry is on this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        is_local(host_of(&self.registry))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// Whether an address is one of the loopback interface.
pub(crate) fn is_local(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// The host without its port.
pub(crate) fn host_of(registry: &str) -> &str {
    match registry.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => host,
        _ => registry,
    }
}

/// As the clients of registries tell a host from the first part of a name.
fn looks_like_host(text: &str) -> bool {
    text == "localhost" || text.trim_start_matches('.').contains(['.', ':'])
}

fn is_host(registry: &str) -> bool {
    let host = host_of(registry);
    let port = registry.get(host.len()..).unwrap_or_default();
    let is_port = port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    let is_part = |part: &str| {
        let is_inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !part.is_empty() && part.bytes().all(is_inside) && !part.starts_with('-')
    };
    let six = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let is_host = match six {
        Some(six) => six.parse::<Ipv6Addr>().is_ok(),
        None => host.len() <= MOST.0 && host.split('.').all(is_part),
    };
    is_port && is_host
}

/// The specification's rule: parts of small letters and digits, with `.`, `_`, `__` or any number of `-` between them.
fn is_repository(name: &str) -> bool {
    let is_alphanumeric = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9');
    let is_part = |part: &str| {
        let ends = [part.bytes().next(), part.bytes().next_back()];
        let is_ended = ends.iter().all(|end| end.is_some_and(is_alphanumeric));
        let mut between = part.split(|character: char| character.is_ascii_alphanumeric());
        let is_separated = between.all(|between| {
            matches!(between, "" | "." | "_" | "__") || between.bytes().all(|byte| byte == b'-')
        });
        is_ended && is_separated && !part.bytes().any(|byte| byte.is_ascii_uppercase())
    };
    name.len() <= MOST.0 && name.split('/').all(is_part)
}

fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let mut bytes = tag.bytes();
    tag.len() <= MOST.1
        && bytes.next().is_some_and(is_word)
        && bytes.all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_has_its_parts() {
        let digest = format!("sha256:{}", "0".repeat(64));
        for (text, registry, repository, wanted) in [
            (
                "registry.example/team/driver:1.0",
                "registry.example",
                "team/driver",
                "1.0",
            ),
            (
                "oci://localhost:5000/driver",
                "localhost:5000",
                "driver",
                "latest",
            ),
            (
                "127.0.0.1:5000/a__b/c-d.e:v",
                "127.0.0.1:5000",
                "a__b/c-d.e",
                "v",
            ),
            ("[::1]:5000/a:1", "[::1]:5000", "a", "1"),
            (
                &format!("registry.example/a:1@{digest}"),
                "registry.example",
                "a",
                &digest,
            ),
            (
                &format!("registry.example/a@{digest}"),
                "registry.example",
                "a",
                &digest,
            ),
        ] {
            let read = Reference::parse(text).unwrap();
            assert_eq!(
                (&*read.registry, &*read.repository, read.wanted()),
                (registry, repository, wanted)
            );
            let bare = text.strip_prefix(SCHEME).unwrap_or(text);
            assert_eq!(read.to_string(), bare);
            assert!(Reference::is_meant(text), "{text}");
        }
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        let short = "registry.example/a@sha256:00";
        for (text, reason) in [
            ("driver", "no registry"),
            ("team/driver:1", "no registry"),
            ("oci://driver", "no registry"),
            ("registry.example/", "name must be"),
            ("registry.example/A", "name must be"),
            ("registry.example/a//b", "name must be"),
            ("registry.example/../a", "name must be"),
            ("registry.example/a_.b", "name must be"),
            ("registry.example/a%2f", "name must be"),
            ("registry.example/a:", "tag must be"),
            ("registry.example/a:-1", "tag must be"),
            ("registry.example/a:b c", "tag must be"),
            ("registry.example:0/a", "no host"),
            ("registry.example:99999/a", "no host"),
            ("user:word@registry.example/a", "no host"),
            ("registry .example/a", "no host"),
            ("[::g]:1/a", "no host"),
            (short, "no digest"),
            ("registry.example/a@md5:00", "no digest"),
        ] {
            let error = Reference::parse(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn a_file_is_not_taken_for_a_reference() {
        for file in [
            "driver.wasm",
            "./driver.wasm",
            "../a/b.wasm",
            "/a/b:c",
            "a/b.wasm",
        ] {
            assert!(!Reference::is_meant(file), "{file}");
        }
    }

    #[test]
    fn a_registry_of_this_machine_is_known() {
        for (registry, is_local) in [
            ("localhost:5000", true),
            ("127.0.0.1:5000", true),
            ("127.1.2.3", true),
            ("[::1]:5000", true),
            ("registry.example", false),
            ("127.example", false),
            ("localhost.example:5000", false),
            ("10.0.0.1:5000", false),
        ] {
            let reference = Reference::parse(&format!("{registry}/a")).unwrap();
            assert_eq!(reference.is_local(), is_local, "{registry}");
        }
    }

    #[test]
    fn a_resolved_reference_keeps_the_tag_that_it_was_found_by() {
        let digest = Digest::of(b"");
        let told = |text: &str| Reference::parse(text).unwrap().pinned(&digest).to_string();
        assert_eq!(
            told("registry.example/a"),
            format!("registry.example/a:latest@{digest}")
        );
        assert_eq!(
            told(&format!("registry.example/a@{digest}")),
            format!("registry.example/a@{digest}")
        );
    }
}
